#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Prints the path of a thing that tests of the kernel's devmem TCP and io_uring need, for the kernel that the
# virtual machine boots, building it when there is none or its source has changed.
#
#   Tests/KernelModules/build.sh devmemsim   the module of a software NIC for device memory
#   Tests/KernelModules/build.sh ncdevmem    the kernel's own selftest client, unmodified
#   Tests/KernelModules/build.sh iou-zcrx    that of io_uring's zero-copy receive, unmodified, with the newest liburing
#   Tests/KernelModules/build.sh --cached    prints nothing and fails if one has to be built
#
# See scripts/lib/kernel_build.sh for how they are built. All of it stays in the cache; with the
# cache filled it needs neither root nor the network.
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd -P)"
# shellcheck source-path=SCRIPTDIR source=../../scripts/lib/common.sh
. "$here/../../scripts/lib/common.sh"
# shellcheck source-path=SCRIPTDIR source=../../scripts/lib/debian.sh
. "$here/../../scripts/lib/debian.sh"
# shellcheck source-path=SCRIPTDIR source=../../scripts/lib/kernel_build.sh
. "$here/../../scripts/lib/kernel_build.sh"

# As root, while the caller holds the lock.
build_devmemsim() {
  local kernel="$1" into="$2"
  open_debian "$kernel"
  cp -r "$here/devmemsim" "$work/devmemsim"
  say "building devmemsim"
  logged "building devmemsim" inside make -C "/lib/modules/$kernel/build" M=/mnt/devmemsim modules
  # Debug information is nine tenths of it, and the guest reads it through a slow file system.
  logged "stripping devmemsim" inside strip --strip-debug /mnt/devmemsim/devmemsim.ko
  keep "$into" "$work/devmemsim/devmemsim.ko"
  # Other checkouts may share the cache; the five newest are enough.
  keep_newest 5 "$(dirname "$into")" 'devmemsim-*'
}

# The library is generated from the specifications of netlink families; the generator looks for
# MAINTAINERS to find the root of the tree. Static: it runs on this machine's files, whose libc is
# another.
build_ncdevmem() {
  local kernel="$1" into="$2" ynl=tools/net/ynl selftest=tools/testing/selftests/drivers/net/hw
  open_debian "$kernel" python3-yaml python3-jsonschema linux-libc-dev
  # The kernel's interface in its newest form, netdev.h above all, comes with the same version.
  logged "installing linux-libc-dev $source_version" \
    inside apt-get -q install -y --no-install-recommends "linux-libc-dev=$source_version"
  take_source MAINTAINERS "tools/scripts/*" "$ynl/*" "Documentation/netlink/*" "include/uapi/*" \
    "$selftest/ncdevmem.c"
  say "building ncdevmem"
  logged "building the netlink library" inside make -C "/mnt/$source/$ynl" GENS="netdev ethtool" \
    RSTS= libynl.a
  logged "building ncdevmem" inside gcc -O2 -static "-I/mnt/$source/$ynl/lib" \
    "-I/mnt/$source/$ynl/generated" "/mnt/$source/$selftest/ncdevmem.c" \
    "/mnt/$source/$ynl/libynl.a" -o /mnt/ncdevmem
  keep "$into" "$work/ncdevmem"
}

# It wants a liburing that knows zero-copy receive, newer than the kernel's own release has.
build_iou-zcrx() {
  local kernel="$1" into="$2" selftest=tools/testing/selftests/drivers/net/hw
  open_debian "$kernel"
  take_source "$selftest/iou-zcrx.c"
  say "fetching the newest liburing"
  echo "deb $(debian_mirror) sid main" >"$work/newest.list"
  mkdir -p "$work/newest/partial"
  # Lists of their own: nothing of this Debian is installed from there.
  local newest=(apt-get -q -o APT::Sandbox::User= -o Dir::Etc::SourceList=/mnt/newest.list
    -o Dir::Etc::SourceParts=/dev/null -o Dir::State::Lists=/mnt/newest -o Dir::Cache::pkgcache=
    -o Dir::Cache::srcpkgcache=)
  logged "fetching the package lists of sid" inside "${newest[@]}" update
  # Where apt-get is, it leaves the package.
  logged "downloading liburing" inside sh -c 'cd /mnt && exec "$@"' sh "${newest[@]}" download liburing-dev
  local package
  package="$(find "$work" -maxdepth 1 -name 'liburing-dev_*.deb')"
  logged "unpacking liburing" dpkg-deb -x "$package" "$work/liburing"
  say "building iou-zcrx with $(basename "$package" .deb)"
  logged "building iou-zcrx" inside gcc -O2 -static -I/mnt/liburing/usr/include \
    "/mnt/$source/$selftest/iou-zcrx.c" /mnt/liburing/usr/lib/x86_64-linux-gnu/liburing.a -o /mnt/iou-zcrx
  keep "$into" "$work/iou-zcrx"
}

if [ "${1:-}" = --build ]; then
  "build_$2" "$3" "$4"
  exit 0
fi
kernel="$(booted_kernel)"
cache="$(cache_dir)/kernel-tests/$kernel"
mkdir -p "$cache"
hash="$(cd "$here" && sha256sum devmemsim/* | sha256sum | cut -c 1-16)"
devmemsim="$cache/devmemsim-$hash/devmemsim.ko"
ncdevmem="$cache/ncdevmem/ncdevmem"
zcrx="$cache/iou-zcrx/iou-zcrx"
case "${1:-}" in
  --cached)
    [ -e "$devmemsim" ] && [ -e "$ncdevmem" ] && [ -e "$zcrx" ]
    exit
    ;;
  devmemsim) file="$devmemsim" ;;
  ncdevmem) file="$ncdevmem" ;;
  iou-zcrx) file="$zcrx" ;;
  *) die "name what to build: $0 devmemsim|ncdevmem|iou-zcrx" ;;
esac
build_once "$file" "$here/build.sh" "$1" "$kernel" "$(dirname "$file")"
echo "$file"
