#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Random operations of everything on several threads against a holder map, optimised; then messages that make no
# sense, under AddressSanitizer: what comes from other processes and from the wire, a million of each kind; then, in
# the virtual machine, one connection by zero-copy receive whose memory runs out a million times, with growth and
# without (some hours).
#
#   MINUTES=10 FUZZ_COUNT=1000000 EXHAUSTION_COUNT=1000000 scripts/soak.sh        0 leaves one of these out
#
# DEVMEM_FUZZ_SEED is the number of the first message; a failure names its own.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib/common.sh
. "$(dirname "$0")/lib/common.sh"
cd "$(repo_root)"
scripts/install-deps.sh build
say "swift build -c release --product DevmemStorm"
swift build -c release --product DevmemStorm >&2
"$(swift build -c release --show-bin-path)/DevmemStorm" soak "$((${MINUTES:-1} * 60))"

count="${FUZZ_COUNT:-1000000}"
if [ "$count" != 0 ]; then
  # Optimised, because most of the time goes into making messages; what is asserted still is.
  options=(--sanitize=address --scratch-path .build-asan -Xswiftc -O -Xswiftc -assert-config -Xswiftc Debug)
  say "swift build --build-tests ${options[*]}"
  swift build --quiet --build-tests "${options[@]}" >&2
  # Leaks are not looked for: what the process of an exit test leaves is the system's.
  ASAN_OPTIONS=detect_leaks=0 DEVMEM_FUZZ_COUNT="$count" swift test "${options[@]}" --skip-build --disable-xctest \
    --no-parallel --filter FuzzTests </dev/null
fi

count="${EXHAUSTION_COUNT:-1000000}"
[ "$count" != 0 ] || exit 0
DEVICE_TESTS=vm DEVICE_TESTS_TIMEOUT=36000 DEVMEM_EXHAUSTION_COUNT="$count" \
  DEVICE_TESTS_FILTER='ZeroCopyReceiverTests.manyTimes' scripts/test-device.sh
