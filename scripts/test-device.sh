#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# The tests on a real /dev/udmabuf, as root: on this machine when it has all that they need, else in
# the virtual machine. DEVICE_TESTS=off leaves them out (and says so), =host or =vm chooses the
# place.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib/common.sh
. "$(dirname "$0")/lib/common.sh"
cd "$(repo_root)"

# Huge pages that the tests take at once, of 2 MiB.
huge_pages=320

lacking_here() {
  [ -c /dev/udmabuf ] || echo "/dev/udmabuf"
  [ -c /dev/dma_heap/system ] || echo "/dev/dma_heap/system"
  [ -d /sys/module/vgem ] || echo "vgem (modprobe vgem)"
  [ -d /sys/devices/system/node/node1 ] || echo "a second NUMA node"
  local free
  free="$(cat /sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages 2>/dev/null || echo 0)"
  [ "$free" -ge "$huge_pages" ] ||
    echo "$huge_pages free huge pages (sysctl vm.nr_hugepages=$huge_pages)"
  root_prefix >/dev/null || echo "root"
}

results="$PWD/.build/test-results"
mkdir -p "$results"
rm -f "$results"/device.*

place="${DEVICE_TESTS:-auto}"
case "$place" in
  off)
    echo "device tests: switched off by DEVICE_TESTS=off; nothing was tested on a real dma-buf"
    exit 0
    ;;
  auto) if [ -z "$(lacking_here)" ]; then place=host; else place=vm; fi ;;
  host | vm) ;;
  *) die "DEVICE_TESTS is off, host or vm, not '$place'" ;;
esac

scripts/build.sh debug
binary="$(swift build --show-bin-path)/swift-devmemPackageTests.xctest"
[ -x "$binary" ] || die "no test binary at $binary; run: make build"

# shellcheck disable=SC2016 # $0 is for the shell that runs next to the tests
job=(sh -c 'uname -r >"$0/device.kernel"; exec "$@"' "$results"
  "$binary" --testing-library swift-testing --no-parallel --filter DevmemDeviceTests
  --event-stream-output-path "$results/device.events")
status=0
if [ "$place" = host ]; then
  say "device tests on this machine"
  # shellcheck disable=SC2046
  $(root_prefix) "${job[@]}" </dev/null || status=$?
else
  say "device tests in a virtual machine; this one lacks: $(lacking_here | paste -sd, | sed 's/,/, /g')"
  scripts/install-deps.sh vm
  scripts/vm-run.sh --timeout 1200 --hugepages "$huge_pages" --rw "$results" -- "${job[@]}" || status=$?
fi
linux="$(sed 's/[^0-9.].*//' "$results/device.kernel" 2>/dev/null || true)"
python3 scripts/lib/summary.py device "$results/device.events" "$status" "$results/device.counts" \
  "${linux:-unknown}"
