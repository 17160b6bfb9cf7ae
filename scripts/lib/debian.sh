# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Where Debian's packages come from; sourced, never run.

# The keys that Debian signs its suites with. Nothing is taken from a mirror that they do not vouch for,
# whatever this machine's apt is told to put up with.
debian_keyring() {
  local keyring=/usr/share/keyrings/debian-archive-keyring.gpg
  [ -s "$keyring" ] || die "no $keyring: scripts/install-deps.sh vm"
  echo "$keyring"
}

# What an apt.conf says so that nothing unsigned is taken; after everything else in it.
only_signed() {
  cat <<'END'
Acquire::AllowInsecureRepositories "false";
Acquire::AllowWeakRepositories "false";
Acquire::AllowDowngradeToInsecureRepositories "false";
APT::Get::AllowUnauthenticated "false";
END
}

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

# apt with a state of its own. What the machine says about getting files (proxies, certificates,
# retries) is kept; its sources, hooks and caches are not.
write_apt_config() {
  local state="$1"
  mkdir -p "$state/lists/partial" "$state/cache/archives/partial" "$state/empty"
  : >"$state/status"
  {
    apt-config dump | grep '^Acquire::' || true
    cat <<EOF
Dir::Etc::Main "/dev/null";
Dir::Etc::Parts "$state/empty";
Dir::Etc::SourceList "$state/sources.list";
Dir::Etc::SourceParts "$state/empty";
Dir::Etc::Preferences "/dev/null";
Dir::Etc::PreferencesParts "$state/empty";
Dir::State::Lists "$state/lists";
Dir::State::status "$state/status";
Dir::Cache "$state/cache";
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
Acquire::Languages "none";
APT::Architecture "amd64";
APT::Architectures { "amd64"; };
APT::Sandbox::User "";
EOF
    only_signed
  } >"$state/apt.conf"
}
