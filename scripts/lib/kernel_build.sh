# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Builds things for the kernel that the virtual machine boots: modules, and programs out of the
# kernel's own source. They want the compiler, headers and libc of that kernel's Debian release, so
# they are built in a small Debian of their own, which needs root and stays in the cache. Sourced
# after common.sh and debian.sh, never run.
#
# A script that uses it has two halves. The first runs as anybody:
#
#   build_once FILE SCRIPT ARGUMENTS...   has SCRIPT --build ARGUMENTS run as root, once, until FILE
#                                         is there
#
# and the second, which SCRIPT --build is, as root:
#
#   open_debian KERNEL PACKAGE...   a Debian with the headers of KERNEL and the packages; sets `work`,
#                                   a folder in it that ends with the script, and `source`
#   take_source PATTERN...          unpacks these parts of the kernel's source into $work/$source
#   inside COMMAND...               runs COMMAND there as root; $work is /mnt of that Debian
#   keep FOLDER FILE                puts what was built into the cache
#   logged WHAT COMMAND...          runs COMMAND; when it fails, shows the end of what it said
PATH="$PATH:/usr/sbin:/sbin"

# The kernel that scripts/vm-run.sh boots, e.g. 7.3.4+deb13-amd64.
booted_kernel() { cat "$("$(repo_root)/scripts/vm-kernel.sh")/version"; }

# The Debian release whose compiler built a kernel: trixie for 7.3.4+deb13-amd64.
release_of() {
  case "$1" in
    *+deb12*) echo bookworm ;;
    *+deb13*) echo trixie ;;
    *+deb14*) echo forky ;;
    *) die "do not know which Debian release built the kernel $1" ;;
  esac
}

build_once() { [ -e "$1" ] || with_cache_lock kernel-build build_as_root "$@"; }

build_as_root() {
  local file="$1" script="$2" prefix
  shift 2
  # Another make may have built it while this one waited for the lock.
  [ ! -e "$file" ] || return 0
  # One command for a person to type: everything that the build asks about is in it.
  local command=(env "DEVMEM_CACHE=$(cache_dir)")
  [ -z "${DEVMEM_DEBIAN_MIRROR:-}" ] || command+=("DEVMEM_DEBIAN_MIRROR=$DEVMEM_DEBIAN_MIRROR")
  command+=("$script" --build "$@")
  prefix="$(root_prefix)" ||
    die "building $(basename "$file") needs root, once; run: sudo ${command[*]}"
  # shellcheck disable=SC2086
  $prefix "${command[@]}" >&2
}

logged() {
  local what="$1"
  shift
  "$@" >"$build_log" 2>&1 || {
    tail -n 20 "$build_log" >&2
    die "$what failed; see above"
  }
}

inside() {
  # The kernel's build checks what the compiler can do through /proc and /dev. The mounts end with
  # the command.
  # shellcheck disable=SC2016
  unshare --mount --propagation private sh -c '
    debian="$1" work="$2" && shift 2
    mount -t proc proc "$debian/proc" && mount --rbind /dev "$debian/dev" &&
      mount --bind "$work" "$debian/mnt" &&
      exec chroot "$debian" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C \
        DEBIAN_FRONTEND=noninteractive ${http_proxy:+http_proxy="$http_proxy"} \
        ${https_proxy:+https_proxy="$https_proxy"} "$@"
  ' sh "$debian" "$work" "$@" </dev/null
}

make_debian() {
  local release="$1" mirror="$2"
  # Only one that was made with checked signatures says so.
  [ "$(cat "$debian/.complete" 2>/dev/null)" != verified ] || return 0
  say "installing a small Debian $release with debootstrap"
  rm -rf "$debian"
  mkdir -p "$(dirname "$debian")"
  logged "debootstrap of $release from $mirror" \
    debootstrap --force-check-gpg --keyring="$(debian_keyring)" --variant=minbase "$release" \
    "$debian" "$mirror"
  # What this machine says about getting files (proxies, certificates, retries) holds there too.
  {
    apt-config dump | grep '^Acquire::' || true
    only_signed
  } >"$debian/etc/apt/apt.conf.d/90host"
  echo verified >"$debian/.complete"
}

open_debian() {
  local kernel="$1" release mirror suite tool
  shift
  release="$(release_of "$kernel")"
  mirror="$(debian_mirror)"
  debian="$(cache_dir)/debian-$release"
  build_log="$(mktemp)"
  work=""
  trap 'rm -rf "$build_log" "$work"' EXIT
  for tool in debootstrap unshare dpkg-deb xz; do
    command -v "$tool" >/dev/null || die "$tool is missing: scripts/install-deps.sh kernel"
  done
  make_debian "$release" "$mirror"
  for suite in "$release" "$release-backports"; do echo "deb $mirror $suite main"; done \
    >"$debian/etc/apt/sources.list"
  # What a build that was killed has left.
  rm -rf "$debian"/build.*
  work="$(mktemp -d "$debian/build.XXXXXX")"

  say "installing there: linux-headers-$kernel${*:+ $*}"
  logged "fetching the package lists of $mirror" inside apt-get -q update
  logged "installing (has linux-headers-$kernel left the mirror? scripts/vm-kernel.sh --refresh)" \
    inside apt-get -q install -y --no-install-recommends "linux-headers-$kernel" make gcc \
    libc6-dev "$@"
  # shellcheck disable=SC2016 # for dpkg-query
  source_version="$(inside dpkg-query --show --showformat '${Version}' "linux-headers-$kernel")"
  source="linux-source-$(sed -E 's/^([0-9]+\.[0-9]+).*/\1/' <<<"$kernel")"
}

unpack_source() {
  dpkg-deb --fsys-tarfile "$work/$source"_*.deb | tar -xO "./usr/src/$source.tar.xz" | xz -dc |
    tar -x -C "$work" --wildcards "$@"
}

take_source() {
  say "taking out of $source $source_version: $*"
  # Root may write there, apt's own user may not.
  # shellcheck disable=SC2016 # for the inner shell
  logged "downloading $source" inside sh -c \
    'cd /mnt && apt-get -q -o APT::Sandbox::User= download "$1"' sh "$source=$source_version"
  logged "taking $* out of $source" unpack_source "${@/#/$source/}"
  rm -f "$work"/*.deb
}

# keep FOLDER FILE: moves what was built into the cache, complete or not at all, with a line about
# what it was made of.
keep() {
  local into="$1" file="$2"
  rm -rf "$into.new"
  mkdir -p "$into.new"
  mv "$file" "$into.new/"
  echo "$source $source_version, $(inside gcc --version | head -n 1)" >"$into.new/made-of"
  rm -rf "$into"
  mv "$into.new" "$into"
}
