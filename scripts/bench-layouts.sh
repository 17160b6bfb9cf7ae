#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Measures five ways to stand for host and device buffers in one handle; the question and the
# answer are in docs/decisions/0010-one-handle-for-two-kinds-of-memory.md.
#
#   scripts/bench-layouts.sh [--json] [--rounds N] [--svg FILE]
#
# --json     the last line is an array of {layout, work, mix, nsPerOp, nsMin, nsMax, instructionsPerOp,
#            branchesPerOp, mispredictsPerOp, hostBytes, deviceBytes}
# --rounds   interleaved rounds of the clock, 121 unless told
# --svg      draws the figure of the decision
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib/common.sh
. "$(dirname "$0")/lib/common.sh"
cd "$(repo_root)"
case "${1:-}" in
  --help | -h) exec python3 -B scripts/lib/layouts.py --help ;;
esac
scripts/install-deps.sh build check

say "building the package in Benchmarks/RecordLayouts/"
folder="$PWD/.build/layouts"
forget_plan "$folder"
swift build --quiet -c release --package-path Benchmarks/RecordLayouts --scratch-path "$folder" \
  --static-swift-stdlib >&2
exec python3 -B scripts/lib/layouts.py "$folder/release/Layouts" "$@"
