#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# The lock-free parts, allocator and pool, under ThreadSanitizer: one report fails.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib/common.sh
. "$(dirname "$0")/lib/common.sh"
cd "$(repo_root)"
scripts/install-deps.sh build

folder=.build-tsan
say "swift build --build-tests --sanitize=thread"
swift build --build-tests --sanitize=thread --scratch-path "$folder" >&2

results=.build/test-results
mkdir -p "$results"
rm -f "$results"/tsan.*
status=0
TSAN_OPTIONS="suppressions=$PWD/scripts/tsan.supp exitcode=66" \
  swift test --skip-build --sanitize=thread --scratch-path "$folder" --disable-xctest --no-parallel \
  --filter 'DevmemPagePoolTests|DevmemGenpoolTests.ConcurrencyTests|SizeClassTests' \
  --event-stream-output-path "$PWD/$results/tsan.events" </dev/null || status=$?
python3 scripts/lib/summary.py tsan "$results/tsan.events" "$status" "$results/tsan.counts"
