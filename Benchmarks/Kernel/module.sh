#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Prints the path of the kernel's own page pool benchmark (tools/testing/selftests/net/bench/page_pool,
# unmodified) as a module for the kernel that the virtual machine boots, building it when there is
# none. Its source comes from Debian's package of the kernel's source; it is built with that kernel's
# headers and compiler in a small Debian of their own, which needs root. All of it stays in the cache.
#
#   Benchmarks/Kernel/module.sh
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=../../scripts/lib/common.sh
. "$(dirname "$0")/../../scripts/lib/common.sh"
# shellcheck source-path=SCRIPTDIR source=../../scripts/lib/debian.sh
. "$(dirname "$0")/../../scripts/lib/debian.sh"
here="$(cd "$(dirname "$0")" && pwd -P)"
cache="$(cache_dir)"
PATH="$PATH:/usr/sbin:/sbin"

benchmark=tools/testing/selftests/net/bench/page_pool

# release_of KERNEL: the Debian release whose compiler built it, e.g. trixie for 7.3.4+deb13-amd64.
release_of() {
  case "$1" in
    *+deb12*) echo bookworm ;;
    *+deb13*) echo trixie ;;
    *+deb14*) echo forky ;;
    *) die "do not know which Debian release built the kernel $1" ;;
  esac
}

# inside FOLDER COMMAND...: as root of the small Debian. The mounts end with the command.
inside() {
  local folder="$1"
  shift
  # The kernel's build checks what the compiler can do through /proc and /dev.
  # shellcheck disable=SC2016
  unshare --mount --propagation private sh -c '
    folder="$1" && shift
    mount -t proc proc "$folder/proc" && mount --rbind /dev "$folder/dev" &&
      exec chroot "$folder" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C \
        DEBIAN_FRONTEND=noninteractive ${http_proxy:+http_proxy="$http_proxy"} \
        ${https_proxy:+https_proxy="$https_proxy"} "$@"
  ' sh "$folder" "$@" </dev/null
}

make_debian() {
  local release="$1" mirror="$2" debian="$3"
  [ ! -e "$debian/.complete" ] || return 0
  say "installing a small Debian $release with debootstrap"
  rm -rf "$debian"
  mkdir -p "$(dirname "$debian")"
  debootstrap --variant=minbase "$release" "$debian" "$mirror" >"$log" 2>&1 ||
    failed "debootstrap of $release from $mirror"
  # What this machine says about getting files (proxies, certificates, retries) holds there too.
  apt-config dump | grep '^Acquire::' >"$debian/etc/apt/apt.conf.d/90host" || true
  touch "$debian/.complete"
}

failed() {
  tail -n 20 "$log" >&2
  die "$* failed; see above"
}

# As root, while the caller holds the lock.
build() {
  local kernel="$1" into="$2" release mirror debian suite source version series
  release="$(release_of "$kernel")"
  mirror="$(debian_mirror)"
  debian="$cache/debian-$release"
  log="$(mktemp)"
  work=""
  trap 'rm -rf "$log" "$work"' EXIT
  for tool in debootstrap unshare dpkg-deb xz; do
    command -v "$tool" >/dev/null || die "$tool is missing: scripts/install-deps.sh kernel"
  done
  make_debian "$release" "$mirror" "$debian"
  for suite in "$release" "$release-backports"; do echo "deb $mirror $suite main"; done \
    >"$debian/etc/apt/sources.list"

  say "installing the headers of $kernel there"
  { inside "$debian" apt-get -q update && inside "$debian" apt-get -q install -y \
    --no-install-recommends "linux-headers-$kernel" make gcc libc6-dev; } >"$log" 2>&1 ||
    failed "installing linux-headers-$kernel (if it has left the mirror: scripts/vm-kernel.sh" \
      "--refresh)"
  # shellcheck disable=SC2016 # for dpkg-query
  version="$(inside "$debian" dpkg-query --show --showformat '${Version}' "linux-headers-$kernel")"
  series="$(sed -E 's/^([0-9]+\.[0-9]+).*/\1/' <<<"$kernel")"
  source="linux-source-$series"

  say "fetching the benchmark's source out of $source $version"
  work="$(mktemp -d "$debian/build.XXXXXX")"
  # Root may write there, apt's own user may not.
  # shellcheck disable=SC2016 # for the inner shell
  inside "$debian" sh -c 'cd "$1" && apt-get -q -o APT::Sandbox::User= download "$2"' sh \
    "/$(basename "$work")" "$source=$version" >"$log" 2>&1 || failed "downloading $source"
  dpkg-deb --fsys-tarfile "$work/$source"_*.deb | tar -xO "./usr/src/$source.tar.xz" | xz -dc |
    tar -x -C "$work" --wildcards "*/$benchmark/*" >"$log" 2>&1 ||
    failed "taking $benchmark out of $source (it came with Linux 6.17)"
  rm -f "$work"/*.deb
  mv "$work/$source/$benchmark" "$work/page_pool"

  say "building the module with $(inside "$debian" gcc --version | head -n 1)"
  inside "$debian" make -C "/lib/modules/$kernel/build" "M=/$(basename "$work")/page_pool" modules \
    >"$log" 2>&1 || failed "building the module"
  mkdir -p "$into.new"
  cp "$work/page_pool/bench_page_pool.ko" "$into.new/"
  echo "$source $version, $(inside "$debian" gcc --version | head -n 1)" >"$into.new/made-of"
  rm -rf "$into"
  mv "$into.new" "$into"
}

if [ "${1:-}" = --build ]; then
  build "$2" "$3"
  exit 0
fi

kernel="$(cat "$("$here/../../scripts/vm-kernel.sh")/version")"
into="$cache/kernel-bench/$kernel"

ensure() {
  local prefix
  [ ! -e "$into/bench_page_pool.ko" ] || return 0
  # One command for a person to type: everything that the build asks about is in it.
  local command=(env "DEVMEM_CACHE=$cache")
  [ -z "${DEVMEM_DEBIAN_MIRROR:-}" ] || command+=("DEVMEM_DEBIAN_MIRROR=$DEVMEM_DEBIAN_MIRROR")
  command+=("$here/module.sh" --build "$kernel" "$into")
  prefix="$(root_prefix)" ||
    die "building the module needs root, once; run: sudo ${command[*]}"
  # shellcheck disable=SC2086
  $prefix "${command[@]}" >&2
}
[ -e "$into/bench_page_pool.ko" ] || with_cache_lock kernel-bench ensure
echo "$into/bench_page_pool.ko"
