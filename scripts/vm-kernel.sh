#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Prints the folder of a cached Debian kernel that has udmabuf, fetching it when there is none:
# DIR/vmlinuz and DIR/lib/modules/VERSION. Touches neither the system's apt lists nor its packages.
#
#   scripts/vm-kernel.sh [--refresh]
#
# DEVMEM_KERNEL_SUITES   suites to try, in this order
# DEVMEM_DEBIAN_MIRROR   the mirror; default: the one this machine's apt already uses
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib/common.sh
. "$(dirname "$0")/lib/common.sh"
# shellcheck source-path=SCRIPTDIR source=lib/debian.sh
. "$(dirname "$0")/lib/debian.sh"

# Newest first. 6.11 is the oldest kernel whose udmabuf and dma-heap behave as the tests expect;
# Debian 12's own 6.1 has both switched off.
suites="${DEVMEM_KERNEL_SUITES:-trixie-backports trixie bookworm-backports}"
cache="$(cache_dir)/kernel"

[ "$(uname -m)" = x86_64 ] ||
  die "the virtual machine is for x86_64; here ($(uname -m)) the kernel itself must have /dev/udmabuf"

# Prints the packages that make up the newest kernel of the suite the lists were read from.
kernel_packages() {
  local image parts
  image="$(apt-cache depends linux-image-amd64 2>/dev/null |
    sed -n 's/^ *Depends: \(linux-image-[0-9][^ ]*\)$/\1/p' | head -n 1)"
  [ -n "$image" ] || return 1
  # From 7.x on the image package is empty and three packages carry its parts.
  parts="$(apt-cache depends "$image" 2>/dev/null |
    sed -n 's/^ *Depends: \(linux-\(binary\|modules\|base\)-[0-9][^ ]*\)$/\1/p')"
  echo "${parts:-$image}"
}

# Downloads and unpacks into $staging, and moves it into place only when it is complete.
fetch() {
  local suite from keyring packages version log
  keyring="$(debian_keyring)"
  for tool in apt-get dpkg-deb depmod; do
    PATH="$PATH:/usr/sbin:/sbin" command -v "$tool" >/dev/null ||
      die "fetching a kernel needs $tool: scripts/install-deps.sh vm"
  done
  mkdir -p "$cache"
  # We hold the lock: what lies there was left by a run that was killed.
  rm -rf "$cache"/.staging.*
  staging="$(mktemp -d "$cache/.staging.XXXXXX")"
  # This runs in the subshell that holds the lock, which has no traps of its parent.
  trap 'rm -rf "$staging"' EXIT
  log="$staging/apt.log"
  from="$(debian_mirror)"
  write_apt_config "$staging/apt"
  export APT_CONFIG="$staging/apt/apt.conf"
  for suite in $suites; do
    say "looking for a kernel in $suite on $from"
    echo "deb [signed-by=$keyring] $from $suite main" >"$staging/apt/sources.list"
    if ! apt-get -q -o APT::Update::Error-Mode=any update >>"$log" 2>&1; then
      say "$suite cannot be read from $from"
      continue
    fi
    packages="$(kernel_packages)" || continue
    # shellcheck disable=SC2086
    say "downloading" $packages
    # shellcheck disable=SC2086
    (cd "$staging" && apt-get -q download $packages >>"$log" 2>&1) || continue
    unpack || continue
    return 0
  done
  tail -n 20 "$log" >&2
  die "no kernel could be downloaded from $from ($suites); see above." \
    "Another mirror: export DEVMEM_DEBIAN_MIRROR=http://HOST/debian"
}

unpack() {
  local deb modules version tree="$staging/tree" done_dir
  mkdir -p "$tree"
  for deb in "$staging"/*.deb; do dpkg-deb -x "$deb" "$tree" || return 1; done
  # Kernels up to 6.12 ship /lib and /boot, newer ones everything below /usr/lib/modules.
  modules="$(find "$tree/usr/lib/modules" "$tree/lib/modules" -mindepth 1 -maxdepth 1 -type d \
    2>/dev/null | head -n 1)"
  [ -n "$modules" ] || return 1
  version="$(basename "$modules")"
  mkdir -p "$staging/kernel/lib/modules"
  cp "$(find "$tree" -name 'vmlinuz*' -type f | head -n 1)" "$staging/kernel/vmlinuz" || return 1
  mv "$modules" "$staging/kernel/lib/modules/$version"
  PATH="$PATH:/usr/sbin:/sbin" depmod -b "$staging/kernel" "$version" || return 1
  echo "$version" >"$staging/kernel/version"
  done_dir="$cache/$version"
  rm -rf "$done_dir"
  mv "$staging/kernel" "$done_dir"
  ln -sfn "$version" "$cache/.current.new"
  mv -T "$cache/.current.new" "$cache/current"
  say "kernel $version is cached in $done_dir"
}

ensure() {
  if [ "${1:-}" = --refresh ] || [ ! -e "$cache/current/version" ]; then fetch; fi
}

if [ "${1:-}" = --refresh ] || [ ! -e "$cache/current/version" ]; then
  with_cache_lock kernel ensure "$@"
fi
(cd "$cache/current" && pwd -P)
