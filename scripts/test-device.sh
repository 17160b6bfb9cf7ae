#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# The examples and the tests on a real /dev/udmabuf, as root: on this machine when it has all that they need, else in
# the virtual machine. DEVICE_TESTS=off leaves them out (and says so), =host or =vm chooses the
# place. DEVICE_TESTS_FILTER is a pattern for the names of the tests to run, all of them without it.
#
# The tests of devmem TCP load the module devmemsim, which no machine but a virtual one should have to
# bear. Who wants it here builds it for the kernel that runs here and says where it is and where
# ncdevmem and iou-zcrx: DEVMEMSIM_MODULE=FILE NCDEVMEM=FILE DEVMEM_IOU_ZCRX=FILE.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib/common.sh
. "$(dirname "$0")/lib/common.sh"
cd "$(repo_root)"

# Huge pages that the tests take at once, of 2 MiB.
huge_pages=320

has_nic_tests() { [ -f "${DEVMEMSIM_MODULE:-}" ] && [ -x "${NCDEVMEM:-}" ] && [ -x "${DEVMEM_IOU_ZCRX:-}" ]; }

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
  has_nic_tests || echo "leave to load a test module (DEVMEMSIM_MODULE, NCDEVMEM, DEVMEM_IOU_ZCRX)"
}

results="$PWD/.build/test-results"
mkdir -p "$results"
rm -f "$results"/device.* "$results"/device-*

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

scripts/install-deps.sh nic vulkan
if [ "$place" = host ] && ! has_nic_tests; then
  die "the tests load a kernel module and run the kernel's own clients: say which with DEVMEMSIM_MODULE, NCDEVMEM" \
    "and DEVMEM_IOU_ZCRX (see $0), or use the virtual machine: DEVICE_TESTS=vm"
fi
if [ "$place" = vm ]; then
  groups=(vm)
  # Only who must build them needs what builds them.
  Tests/KernelModules/build.sh --cached || groups+=(kernel)
  scripts/install-deps.sh "${groups[@]}"
  DEVMEMSIM_MODULE="$(Tests/KernelModules/build.sh devmemsim)"
  NCDEVMEM="$(Tests/KernelModules/build.sh ncdevmem)"
  # Into the cache itself, which the machine sees at another place.
  scripts/vm-kernel.sh >/dev/null
  scripts/vm-tools.sh >/dev/null
  DEVMEM_IOU_ZCRX="$(Tests/KernelModules/build.sh iou-zcrx)"
fi
# Of a machine with a GPU: VK_DRIVER_FILES=/usr/share/vulkan/icd.d/NAME.json.
vulkan_driver="${VK_DRIVER_FILES:-$(scripts/vm-mesa.sh)}"
# Many processes compile the same shaders; what the machine keeps of them goes with it.
shader_cache=MESA_SHADER_CACHE_DIR=/dev/shm/devmem-mesa
[ "$place" = vm ] || shader_cache=MESA_SHADER_CACHE_DISABLE=true
scripts/build.sh debug
scripts/build.sh release
scripts/examples.sh build
binary="$(swift build --show-bin-path)/swift-devmemPackageTests.xctest"
[ -x "$binary" ] || die "no test binary at $binary; run: make build"

odd="$PWD/.build/a place with ümlauts"
into="$results"
[ "$place" = host ] || into="$odd/results"
job=(env "PATH=$PATH:/usr/sbin:/sbin" "DEVMEMSIM_MODULE=$DEVMEMSIM_MODULE" "NCDEVMEM=$NCDEVMEM"
  "DEVMEM_IOU_ZCRX=$DEVMEM_IOU_ZCRX" "VK_DRIVER_FILES=$vulkan_driver" "$shader_cache"
  "DEVMEM_FENCE_COUNT=${DEVMEM_FENCE_COUNT:-20000}" "DEVMEM_EXHAUSTION_COUNT=${DEVMEM_EXHAUSTION_COUNT:-2000}"
  "DEVMEM_FORCED_CALLS=$into/device.forced" "DEVICE_TESTS_FILTER=${DEVICE_TESTS_FILTER:-}"
  scripts/lib/watch-kernel.sh "$into/device.kernel"
  scripts/lib/device-tier.sh "$into"
  "$binary" --testing-library swift-testing --no-parallel --filter "${DEVICE_TESTS_FILTER:-DevmemDeviceTests}"
  --event-stream-output-path "$into/device.events")

# Folders may be called what they like: the machine is started from a checkout, with temporary files, results and
# a cache whose paths have a blank and an umlaut, so that each run shows it.
make_odd_places() {
  local cache
  cache="$(cache_dir)"
  rm -rf "$odd"
  mkdir -p "$odd/cache" "$odd/tmp" "$odd/results"
  ln -s "$PWD" "$odd/checkout"
  # A copy of names alone where the file system allows it. Only this has to be below that path: the rest is
  # found through links.
  cp -al "$cache/kernel" "$odd/cache/kernel" 2>/dev/null || cp -a "$cache/kernel" "$odd/cache/"
  find "$cache" -mindepth 1 -maxdepth 1 ! -name kernel ! -name logs -exec ln -s {} "$odd/cache/" \;
}

# Prints what the tests load again and again, each exit test and each run of the tool anew.
loaded_often() {
  local runtime
  runtime="$(ldd "$binary" | sed -n 's|.* => \(/.*\)/libswiftCore\.so .*|\1|p')"
  printf '%s\n' "$binary" "$(dirname "$binary")/devmemctl" "$(dirname "$binary")/ZeroCopyPeer" \
    "$PWD/.build/release/devmemctl"
  ldd "$binary" | sed -n "s|.* => \\($runtime/[^ ]*\\) .*|\\1|p"
}

status=0
if [ "$place" = host ]; then
  say "device tests on this machine"
  # shellcheck disable=SC2046
  $(root_prefix) "${job[@]}" </dev/null || status=$?
else
  say "device tests in a virtual machine; this one lacks: $(lacking_here | paste -sd, | sed 's/,/, /g')"
  make_odd_places
  near=()
  while read -r file; do near+=(--near "$file"); done < <(loaded_often)
  (cd "$odd/checkout" && TMPDIR="$odd/tmp" DEVMEM_CACHE="$odd/cache" scripts/vm-run.sh \
    --timeout "${DEVICE_TESTS_TIMEOUT:-2400}" \
    --hugepages "$huge_pages" --rw "$odd/results" "${near[@]}" -- "${job[@]}") || status=$?
  find "$odd/results" -mindepth 1 -maxdepth 1 -exec mv -t "$results" {} +
  # Whether /dev/kvm works is asked once.
  find "$odd/cache" -maxdepth 1 -type f -name 'kvm-*' -exec cp -t "$(cache_dir)" {} +
fi
linux="$(sed 's/[^0-9.].*//' "$results/device.kernel" 2>/dev/null || true)"
python3 scripts/lib/summary.py device "$results/device.events" "$status" "$results/device.counts" \
  "${linux:-unknown}"
