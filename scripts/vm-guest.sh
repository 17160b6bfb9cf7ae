#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Runs inside the virtual machine, started by vm-run.sh, which shares the folder $1 with it:
# sets the machine up, runs the command of $1/command and leaves its exit status in $1/status.
share="$1"
PATH="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

finish() {
  echo "$1" >"$share/status.new"
  mv "$share/status.new" "$share/status"
  exit 0
}

# 125 is vm-run.sh's own failure, as it is env's and timeout's.
fail() {
  echo "error: in the virtual machine: $*" >>"$share/stderr"
  finish 125
}

# What vm-run.sh put there: see its `settings`.
rw=() near=() hugepages=
# shellcheck source=/dev/null
. "$share/settings"

# What is to be writable: each at its own path, whatever that is called.
for position in "${!rw[@]}"; do
  mount --bind "/run/devmem-rw$position" "${rw[$position]}" || fail "cannot mount ${rw[$position]}"
done

# iproute2 may be missing on the machine whose files we run on; busybox is there for the initramfs.
busybox ip link set lo up || fail "cannot bring the loopback interface up"
mountpoint -q /sys/kernel/debug || mount -t debugfs debugfs /sys/kernel/debug ||
  fail "cannot mount debugfs"
modprobe vgem || fail "cannot load vgem"

# Half of the pages come from each node; read back, because the kernel gives what it can.
echo "$hugepages" >/proc/sys/vm/nr_hugepages
got="$(cat /proc/sys/vm/nr_hugepages)"
[ "$got" -eq "$hugepages" ] || fail "only $got of $hugepages huge pages could be reserved"

for node in /dev/udmabuf /dev/dma_heap/system /dev/dri/card0; do
  [ -c "$node" ] || fail "$(uname -r) has no $node"
done
nodes="$(cat /sys/devices/system/node/online)"
[ "$nodes" = 0-1 ] || fail "two NUMA nodes were asked for, online are: $nodes"

ulimit -l unlimited
ulimit -n 65536
: >"$share/started"

# Read once, where each page of a program would be asked for again and again.
for position in "${!near[@]}"; do
  copy="/dev/shm/devmem-near/$position"
  if ! { mkdir -p /dev/shm/devmem-near && cp -p "${near[$position]}" "$copy" &&
    mount --bind "$copy" "${near[$position]}"; }; then
    fail "cannot copy ${near[$position]}"
  fi
done

/bin/bash "$share/command" </dev/null >>"$share/stdout" 2>>"$share/stderr"
status=$?
sync
finish "$status"
