#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Prints the manifest of a Vulkan driver in software (lavapipe) that takes and gives dma-bufs, for
# VK_DRIVER_FILES, fetching it when there is none: Mesa 25 or newer. Debian 13 has it; for Debian 12 that of
# bookworm-backports is unpacked into the cache, which neither installs it nor touches apt's lists.
#
#   scripts/vm-mesa.sh
#
# What the driver is linked with comes with the system's own mesa-vulkan-drivers: scripts/install-deps.sh vulkan.
# DEVMEM_DEBIAN_MIRROR   the mirror; default: the one this machine's apt already uses
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib/common.sh
. "$(dirname "$0")/lib/common.sh"
# shellcheck source-path=SCRIPTDIR source=lib/debian.sh
. "$(dirname "$0")/lib/debian.sh"

suite=bookworm-backports
cache="$(cache_dir)/mesa"
oldest=25
own="$(find /usr/share/vulkan/icd.d -name "lvp_icd*.json" 2>/dev/null | head -n 1)" || true
if [ -n "$own" ] && dpkg --compare-versions \
  "$(dpkg-query -W -f '${Version}' mesa-vulkan-drivers 2>/dev/null || echo 0)" ge "$oldest"; then
  echo "$own"
  exit 0
fi

fetch() {
  local keyring from log folder
  [ ! -e "$cache/lvp_icd.json" ] || return 0
  keyring="$(debian_keyring)"
  from="$(debian_mirror)"
  rm -rf "$cache"
  mkdir -p "$cache"
  staging="$(mktemp -d "$cache/.staging.XXXXXX")"
  # This runs in the subshell that holds the lock, which has no traps of its parent.
  trap 'rm -rf "$staging"' EXIT
  log="$staging/apt.log"
  write_apt_config "$staging/apt"
  export APT_CONFIG="$staging/apt/apt.conf"
  say "downloading mesa-vulkan-drivers of $suite"
  echo "deb [signed-by=$keyring] $from $suite main" >"$staging/apt/sources.list"
  if ! apt-get -q -o APT::Update::Error-Mode=any update >>"$log" 2>&1 ||
    ! (cd "$staging" && apt-get -q download mesa-vulkan-drivers >>"$log" 2>&1); then
    tail -n 20 "$log" >&2
    die "no Mesa could be downloaded from $from ($suite); see above." \
      "Another mirror: export DEVMEM_DEBIAN_MIRROR=http://HOST/debian"
  fi
  dpkg-deb -x "$staging"/mesa-vulkan-drivers_*.deb "$staging/tree"
  folder="$staging/tree/usr/lib/x86_64-linux-gnu"
  [ -e "$folder/libvulkan_lvp.so" ] || die "the package has no libvulkan_lvp.so"
  mv "$folder/libvulkan_lvp.so" "$cache/"
  # Beside its manifest, wherever the cache is.
  sed 's#"library_path": *"[^"]*"#"library_path": "./libvulkan_lvp.so"#' \
    "$staging"/tree/usr/share/vulkan/icd.d/lvp_icd*.json >"$staging/lvp_icd.json"
  mv "$staging/lvp_icd.json" "$cache/lvp_icd.json"
  say "the driver is cached in $cache"
}

[ -e "$cache/lvp_icd.json" ] || with_cache_lock mesa fetch
echo "$cache/lvp_icd.json"
