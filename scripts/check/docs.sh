#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The modules' documentation becomes one site without a warning, and every public symbol is in a topic; see
# scripts/lib/docs.py. Builds on the modules of the rule "build".
set -euo pipefail
[ -d .build/debug/Modules ] || scripts/build.sh debug
python3 scripts/lib/docs.py .build/docs
