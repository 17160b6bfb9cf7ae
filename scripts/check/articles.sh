#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What README, docs and documentation comments name is there, options and links included, and their counts of
# instructions are those of Benchmarks/Thresholds; see scripts/lib/articles.py. Builds on the rule "build".
set -euo pipefail
[ -x .build/debug/devmemctl ] || scripts/build.sh debug
python3 scripts/lib/articles.py
