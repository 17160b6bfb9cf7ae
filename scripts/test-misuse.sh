#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# The programs of Tests/Misuse must not compile, each for the reason that it names.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib/common.sh
. "$(dirname "$0")/lib/common.sh"
cd "$(repo_root)"
scripts/build.sh debug
mkdir -p .build/test-results
python3 scripts/lib/misuse.py .build/test-results/misuse.counts
