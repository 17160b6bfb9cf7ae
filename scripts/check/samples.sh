#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Every Swift sample of the documentation is compiled from its own text; see scripts/lib/samples.py.
# Builds on the modules of the rule "build".
set -euo pipefail
[ -d .build/debug/Modules ] || scripts/build.sh debug
python3 scripts/lib/samples.py
