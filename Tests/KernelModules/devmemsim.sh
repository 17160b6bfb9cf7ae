#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Sets up a pair of software NICs and takes them away again; as root, inside the virtual machine.
#
#   Tests/KernelModules/devmemsim.sh up      loads the module, gives both ends addresses
#   Tests/KernelModules/devmemsim.sh down    removes all of that
#   Tests/KernelModules/devmemsim.sh run COMMAND [ARGUMENTS...]    up, COMMAND, down
#
# DEVMEMSIM_MODULE is the module, as Tests/KernelModules/build.sh devmemsim prints it. By hand:
#
#   scripts/vm-run.sh -- env DEVMEMSIM_MODULE="$(Tests/KernelModules/build.sh devmemsim)" \
#     Tests/KernelModules/devmemsim.sh run COMMAND
#
# COMMAND sees dmsim0 with 10.45.0.1 and fd45::1. The other end is dmsim1 in the network namespace
# dmsim-peer, with 10.45.0.2 and fd45::2: ip netns exec dmsim-peer ...  (In one namespace the kernel
# would route over lo, which cannot do device memory.)
set -euo pipefail
PATH="$PATH:/usr/sbin:/sbin"
peer=dmsim-peer

up() {
  insmod "${DEVMEMSIM_MODULE:?is not set; see $0}" "$@"
  ip netns add "$peer"
  ip -batch - <<EOF
link set dmsim1 netns $peer
addr add 10.45.0.1/24 dev dmsim0
addr add fd45::1/64 dev dmsim0 nodad
link set dmsim0 up
EOF
  ip -n "$peer" -batch - <<EOF
addr add 10.45.0.2/24 dev dmsim1
addr add fd45::2/64 dev dmsim1 nodad
link set dmsim1 up
link set lo up
EOF
}

# With its namespace gone dmsim1 comes back here; if a process still is in it, rmmod finds it there.
down() {
  ip netns del "$peer" 2>/dev/null || true
  rmmod devmemsim
}

case "${1:-}" in
  up) up "${@:2}" ;;
  down) down ;;
  run)
    shift
    [ $# -gt 0 ] || set -- bash
    trap down EXIT
    up
    "$@"
    ;;
  *) sed -n '3,/^set -e/{/^set -e/d;s/^# \{0,1\}//;p}' "$0" >&2 && exit 2 ;;
esac
