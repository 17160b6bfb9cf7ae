#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Runs COMMAND as root beside the tests and fails when the kernel complained meanwhile, whatever
# COMMAND itself says. Writes the kernel's version to FILE.
#
#   scripts/lib/watch-kernel.sh FILE COMMAND [ARGUMENTS...]
set -uo pipefail
uname -r >"$1"
shift

# Warnings of the boot are none of ours: everything before this line.
mark="devmem tests $$ begin"
echo "<5>$mark" >/dev/kmsg || exit 1

status=0
"$@" || status=$?

# What the kernel says when something is broken, locked wrongly, stuck, or was never given back.
complaints='WARNING: |BUG: |kernel BUG|Oops|[Gg]eneral protection|Kernel panic|Call Trace'
complaints+='|lockdep|possible (recursive|circular)|INFO: (task|rcu|possible)|suspicious RCU'
complaints+='|refcount_t:|UBSAN|KASAN|KFENCE|scheduling while atomic|soft lockup|blocked for more'
complaints+='|page_pool.*(stalled|release_retry|leak)|leaked|kmemleak|mem-provider init failed'
complaints+="|can't destroy genpool|unregister_netdevice: waiting"
found="$(dmesg | sed -n "/$mark/,\$p" | sed 1d | grep -E "$complaints")"
if [ -n "$found" ]; then
  printf 'error: the kernel complained during the tests:\n%s\n' "$found" >&2
  [ "$status" -ne 0 ] || status=1
fi
exit "$status"
