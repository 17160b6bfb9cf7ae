#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Races and misuse by the thousand, with threads stopped at random instructions (Tests/DevmemStorm).
#
#   scripts/test-storm.sh [address|thread] [FACTOR]
#
# Under a sanitizer one report fails. FACTOR multiplies the rounds (default 1).
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib/common.sh
. "$(dirname "$0")/lib/common.sh"
cd "$(repo_root)"

options=()
case "${1:-}" in
  address) options=(--sanitize=address --scratch-path .build-asan) && shift ;;
  thread) options=(--sanitize=thread --scratch-path .build-tsan) && shift ;;
esac
scripts/install-deps.sh build
say "swift build ${options[*]} --product DevmemStorm"
swift build "${options[@]}" --product DevmemStorm >&2
storm="$(swift build "${options[@]}" --show-bin-path)/DevmemStorm"
# Leaks are not looked for: what a trap leaves is the system's. A crash is reported by the sanitizer.
ASAN_OPTIONS=detect_leaks=0 TSAN_OPTIONS="suppressions=$PWD/scripts/tsan.supp exitcode=66" \
  SWIFT_BACKTRACE=enable=no timeout --kill-after=5 "${STORM_TIMEOUT:-600}" "$storm" "${@:-1}" </dev/null
