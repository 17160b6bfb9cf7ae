#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# The tests that need neither privileges nor devices.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib/common.sh
. "$(dirname "$0")/lib/common.sh"
cd "$(repo_root)"
scripts/build.sh debug

results=.build/test-results
mkdir -p "$results"
rm -f "$results"/host.*
status=0
# One at a time: tests count the open descriptors and mappings of their process.
DEVMEM_FORCED_CALLS="$PWD/$results/host.forced" swift test --skip-build --disable-xctest --no-parallel --skip DevmemDeviceTests \
  --event-stream-output-path "$PWD/$results/host.events" </dev/null || status=$?
python3 scripts/lib/summary.py host "$results/host.events" "$status" "$results/host.counts"
