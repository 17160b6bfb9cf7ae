#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# After both tiers: every system call of SystemCall.swift has been made to fail in some test. The tests
# write down which they forced; a new call that no such test makes is an error here.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib/common.sh
. "$(dirname "$0")/lib/common.sh"
cd "$(repo_root)"

results=.build/test-results
if [ ! -e "$results/device.forced" ]; then
  [ "${DEVICE_TESTS:-auto}" = off ] || die "no $results/device.forced; run: make test-device"
  say "which system calls were forced was not looked at: DEVICE_TESTS=off"
  exit 0
fi
[ -e "$results/host.forced" ] || die "no $results/host.forced; run: make test-host"
calls="$(sed -n 's/^  case \([a-zA-Z, ]*\)$/\1/p' Sources/DevmemSystem/SystemCall.swift | tr -d ' ' |
  tr ',' '\n' | sort -u)"
[ -n "$calls" ] || die "no cases found in Sources/DevmemSystem/SystemCall.swift"
missing="$(comm -23 <(echo "$calls") <(sort -u "$results/host.forced" "$results/device.forced"))"
[ -z "$missing" ] ||
  die "system calls that no test forces to fail: $(paste -sd ' ' <<<"$missing"); see ForcedErrnos"
say "$(wc -l <<<"$calls") system calls, each forced to fail in some test"
