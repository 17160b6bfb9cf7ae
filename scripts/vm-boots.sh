#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Boots the virtual machine again and again on a busy machine, and counts what a user would have seen fail.
#
#   scripts/vm-boots.sh [COUNT]        default 100
#
# For each processor a loop keeps it busy. One line a boot; the exit status is 0 if none failed.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib/common.sh
. "$(dirname "$0")/lib/common.sh"
cd "$(repo_root)"
count="${1:-100}"
[[ "$count" =~ ^[1-9][0-9]{0,4}$ ]] || die "usage: $0 [COUNT], a number from 1 to 99999"
scripts/install-deps.sh vm

load=()
# shellcheck disable=SC2329 # by the trap
stop_load() { [ "${#load[@]}" -eq 0 ] || kill "${load[@]}" 2>/dev/null || true; }
trap stop_load EXIT
trap 'exit 130' INT TERM
for _ in $(seq "$(nproc)"); do
  while :; do :; done &
  load+=($!)
done

failed=0 again=0
log="$(mktemp)"
trap 'stop_load; rm -f "$log"' EXIT
for number in $(seq "$count"); do
  status=0
  scripts/vm-run.sh --hugepages 0 -- true >"$log" 2>&1 || status=$?
  if grep -q 'trying once more' "$log"; then again=$((again + 1)); fi
  if [ "$status" -ne 0 ]; then
    failed=$((failed + 1))
    tail -n 5 "$log" >&2
  fi
  printf 'boot %s of %s: status %s\n' "$number" "$count" "$status"
done
printf '%s boots, %s failed, %s needed a second attempt\n' "$count" "$failed" "$again"
[ "$failed" -eq 0 ]
