# SPDX-License-Identifier: Apache-2.0
# Where Debian's packages come from; sourced, never run.

# Prints the mirror: DEVMEM_DEBIAN_MIRROR, else the one that this machine's apt already uses.
debian_mirror() {
  local uri
  if [ -n "${DEVMEM_DEBIAN_MIRROR:-}" ]; then
    echo "${DEVMEM_DEBIAN_MIRROR%/}"
    return
  fi
  # Works without downloaded lists, unlike `apt-get indextargets`.
  # shellcheck disable=SC1091
  uri="$(. /etc/os-release && [ "${ID:-}" = debian ] &&
    apt-get update --print-uris 2>/dev/null |
    sed -n "s#^'\(.*\)/dists/${VERSION_CODENAME:-stable}/InRelease'.*#\1#p" | head -n 1)" || uri=""
  echo "${uri:-http://deb.debian.org/debian}"
}
