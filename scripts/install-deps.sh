#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Installs what the named groups lack, and nothing when nothing is lacking.
#
#   scripts/install-deps.sh GROUP...
#
#   build   the headers of libdrm, libnuma, libmnl, liburing, libxdp, libcrypto and Vulkan, pkg-config
#   check   the disassembler, the instruction counter and the shell linter of `make check`
#   vm      QEMU and what boots a Debian kernel in it
#   peers   DPDK, mimalloc and jemalloc, which `make bench-peers` measures beside this library
#   kernel  what builds a module for that kernel, for `make bench-kernel` and `make test-device`
#   vulkan  what a Vulkan driver in software is linked with, what compiles shaders, and the validation layers
#   nic     what sets up a network interface, for the tests of devmem TCP
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib/common.sh
. "$(dirname "$0")/lib/common.sh"
PATH="$PATH:/usr/sbin:/sbin"

# shellcheck source-path=SCRIPTDIR source=lib/debian.sh
. "$(dirname "$0")/lib/debian.sh"

minimum_swift=6.2
swift_site=https://www.swift.org/install/linux/
# An older QEMU has to run all emulated processors in one thread (scripts/vm-run.sh), which takes twice the time.
good_qemu=8.1
missing=() backports=()

# lacks PACKAGE TEST...: names PACKAGE as missing when TEST fails.
lacks() {
  local package="$1"
  shift
  "$@" >/dev/null 2>&1 || missing+=("$package")
}

has() { command -v "$1"; }

# has_header NAME: for libraries without a pkg-config file.
has_header() { echo "#include <$1>" | cc -E -x c -; }

has_package() { [ "$(dpkg-query -W -f '${Status}' "$1")" = "install ok installed" ]; }

has_good_qemu() {
  printf '%s\n' "$good_qemu" "$(qemu_version)" | sort -V -C
}

# Debian 12 has a good one in its backports alone; where there is no better one, an old one has to do.
lacks_qemu() {
  if has_good_qemu; then return; fi
  # shellcheck disable=SC1091
  if [ "$(. /etc/os-release && echo "${ID:-} ${VERSION_ID:-}")" = "debian 12" ]; then
    backports+=(qemu-system-x86)
  else
    lacks qemu-system-x86 has qemu-system-x86_64
  fi
}

require_swift() {
  local version
  command -v swift >/dev/null ||
    die "no swift in PATH; version $minimum_swift or newer is needed: $swift_site"
  version="$(swift --version 2>/dev/null | sed -n 's/.*Swift version \([0-9][0-9.]*\).*/\1/p')"
  if ! printf '%s\n' "$minimum_swift" "$version" | sort -V -C; then
    die "Swift $minimum_swift or newer is needed, this is ${version:-unknown}: $swift_site"
  fi
}

# Installs what only Debian 12's backports have, from lists of its own: neither apt's sources nor its lists change.
# What cannot be had so is installed as Debian 12 has it.
install_backports() {
  local state prefix package keyring from status=0
  [ "${#backports[@]}" -gt 0 ] || return 0
  if prefix="$(root_prefix)" && keyring="$(debian_keyring)"; then
    state="$(mktemp -d)"
    from="$(debian_mirror)"
    say "installing from bookworm-backports: ${backports[*]}"
    printf "deb [signed-by=$keyring] $from %s main\n" bookworm bookworm-backports >"$state/sources.list"
    mkdir -p "$state/lists/partial" "$state/empty"
    only_signed >"$state/apt.conf"
    local options=(-q -c "$state/apt.conf" -o "Dir::Etc::SourceList=$state/sources.list"
      -o "Dir::Etc::SourceParts=$state/empty" -o "Dir::State::Lists=$state/lists"
      -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= -o DPkg::Lock::Timeout=120)
    # shellcheck disable=SC2086
    { $prefix apt-get "${options[@]}" update &&
      $prefix env DEBIAN_FRONTEND=noninteractive apt-get "${options[@]}" install -y --no-install-recommends \
        --target-release bookworm-backports "${backports[@]}"; } </dev/null >"$state/log" 2>&1 || status=$?
    if [ "$status" -ne 0 ]; then
      tail -n 5 "$state/log" >&2
      say "they cannot be had from there; Debian 12's own have to do"
    fi
    # What root's apt wrote there is root's.
    $prefix rm -rf "$state"
    [ "$status" -ne 0 ] || return 0
  fi
  for package in "${backports[@]}"; do
    [ "$(dpkg-query -W -f '${Status}' "$package" 2>/dev/null)" = "install ok installed" ] || missing+=("$package")
  done
}

[ $# -gt 0 ] || die "name a group: $0 build|check|vm|peers|kernel|vulkan|nic ..."
for group in "$@"; do
  case "$group" in
    build)
      require_swift
      lacks pkg-config has pkg-config
      lacks libdrm-dev pkg-config --exists libdrm
      lacks libnuma-dev pkg-config --exists numa
      lacks libmnl-dev pkg-config --exists libmnl
      lacks liburing-dev pkg-config --exists liburing
      lacks libxdp-dev pkg-config --exists libxdp
      lacks libssl-dev pkg-config --exists libcrypto
      lacks libvulkan-dev pkg-config --exists vulkan
      ;;
    check)
      lacks binutils has objdump
      lacks valgrind has valgrind
      lacks python3 has python3
      lacks shellcheck has shellcheck
      ;;
    vm)
      lacks_qemu
      # Static: it is the whole userland of the initial ramdisk.
      lacks busybox-static test -x /bin/busybox
      lacks kmod has depmod
      # virtme-ng asks it for the version of a kernel, and boots without modules if it is not there.
      lacks file has file
      lacks python3 has python3
      # ensurepip comes with Debian's python3-venv; a pyenv or upstream Python has it built in.
      lacks python3-venv python3 -c 'import ensurepip, venv'
      lacks ca-certificates test -e /etc/ssl/certs/ca-certificates.crt
      lacks debian-archive-keyring test -s /usr/share/keyrings/debian-archive-keyring.gpg
      ;;
    peers)
      lacks gcc has gcc
      lacks libc6-dev test -e /usr/include/stdlib.h
      lacks pkg-config has pkg-config
      lacks python3 has python3
      # The headers are in the one package that depends on all of DPDK's libraries and drivers.
      lacks libdpdk-dev pkg-config --exists libdpdk
      lacks libmimalloc-dev has_header mimalloc.h
      lacks libjemalloc-dev pkg-config --exists jemalloc
      ;;
    kernel)
      lacks debootstrap has debootstrap
      lacks debian-archive-keyring test -s /usr/share/keyrings/debian-archive-keyring.gpg
      # Checks the signatures for debootstrap.
      lacks gpgv has gpgv
      lacks util-linux has unshare
      lacks xz-utils has xz
      lacks python3 has python3
      ;;
    vulkan)
      # Its own driver may be too old (scripts/vm-mesa.sh); what that is linked with is what it brings.
      lacks mesa-vulkan-drivers has_package mesa-vulkan-drivers
      lacks vulkan-validationlayers has_package vulkan-validationlayers
      lacks glslang-tools has glslangValidator
      lacks spirv-tools has spirv-val
      ;;
    nic)
      lacks iproute2 has ip
      # Also what ncdevmem calls.
      lacks ethtool has ethtool
      ;;
    *) die "unknown group $group; there are: build check vm peers kernel vulkan nic" ;;
  esac
done
[ $((${#missing[@]} + ${#backports[@]})) -gt 0 ] || exit 0

install_backports
[ "${#missing[@]}" -gt 0 ] || exit 0
mapfile -t missing < <(printf '%s\n' "${missing[@]}" | sort -u)
command -v apt-get >/dev/null ||
  die "missing: ${missing[*]} (Debian's names); install them with this system's package manager"
install="apt-get install -y --no-install-recommends ${missing[*]}"
say "missing: ${missing[*]}"
if ! prefix="$(root_prefix)"; then
  die "installing them needs root; run: sudo apt-get update && sudo $install"
fi

# Lists that are missing or old make the first attempt fail; only then are they fetched.
run_install() {
  # shellcheck disable=SC2086
  $prefix env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=120 install -y \
    --no-install-recommends "${missing[@]}" </dev/null
}
say "installing: ${prefix:+$prefix }$install"
log="$(mktemp)"
trap 'rm -f "$log"' EXIT
if ! run_install >"$log" 2>&1; then
  say "fetching the package lists first: ${prefix:+$prefix }apt-get update"
  # shellcheck disable=SC2086
  $prefix apt-get -q update </dev/null >"$log" 2>&1 || true
  if ! run_install >>"$log" 2>&1; then
    tail -n 20 "$log" >&2
    die "the installation failed; by hand: sudo apt-get update && sudo $install"
  fi
fi
say "installed: ${missing[*]}"
