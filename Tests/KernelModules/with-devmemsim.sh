#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Runs COMMAND as root beside a pair of software NICs, and takes them away again. For use inside
# the virtual machine:
#
#   scripts/vm-run.sh -- Tests/KernelModules/with-devmemsim.sh \
#     "$(Tests/KernelModules/build.sh devmemsim)" COMMAND [ARGUMENTS...]
#
# COMMAND sees dmsim0 with 10.45.0.1 and fd45::1. The other end is dmsim1 in the network namespace
# dmsim-peer, with 10.45.0.2 and fd45::2: ip netns exec dmsim-peer ...  (In one namespace the kernel
# would route over lo, which cannot do device memory.)
set -euo pipefail
module="${1:?name the module, as Tests/KernelModules/build.sh devmemsim prints it}"
shift
[ $# -gt 0 ] || set -- bash
PATH="$PATH:/usr/sbin:/sbin"
peer=dmsim-peer

# Deleting the namespace gives dmsim1 back, which takes a moment.
take_away() {
  ip netns del "$peer" 2>/dev/null || true
  rmmod devmemsim
}

insmod "$module"
trap take_away EXIT
ip netns add "$peer"
ip link set dmsim1 netns "$peer"
ip addr add 10.45.0.1/24 dev dmsim0
ip addr add fd45::1/64 dev dmsim0 nodad
ip -n "$peer" addr add 10.45.0.2/24 dev dmsim1
ip -n "$peer" addr add fd45::2/64 dev dmsim1 nodad
ip link set dmsim0 up
ip -n "$peer" link set dmsim1 up
ip -n "$peer" link set lo up
"$@"
