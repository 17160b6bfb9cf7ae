#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Has the kernel of the virtual machine patch its own text again and again (the static keys of the scheduler's
# statistics, in __schedule and what it calls) while both processors run that text, and says how often it
# did. An emulator that keeps a breakpoint which is long gone ends that in a panic.
#
#   scripts/vm-flips.sh [SECONDS]        default 60
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib/common.sh
. "$(dirname "$0")/lib/common.sh"
cd "$(repo_root)"
seconds="${1:-60}"
[[ "$seconds" =~ ^[1-9][0-9]{0,3}$ ]] || die "usage: $0 [SECONDS], a number from 1 to 9999"
scripts/install-deps.sh vm

# shellcheck disable=SC2016 # the guest's shell expands it
exec scripts/vm-run.sh --hugepages 0 --timeout "$((seconds + 300))" -- bash -c '
while :; do echo; done | cat >/dev/null &
while :; do echo; done | cat >/dev/null &
key=/proc/sys/kernel/sched_schedstats flips=0 end=$((SECONDS + $1))
while [ "$SECONDS" -lt "$end" ]; do
  echo 1 >$key && echo 0 >$key || exit
  flips=$((flips + 2))
  [ $((flips % 100)) -ne 0 ] || echo "$flips flips"
done
echo "$flips flips, no panic"' flips "$seconds"
