#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What scripts do as root does not depend on what folders are called, and takes nothing unsigned.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=../lib/common.sh
. scripts/lib/common.sh
# shellcheck source-path=SCRIPTDIR source=../lib/sources.sh
. scripts/lib/sources.sh
status=0
wrong() {
  echo "$*"
  status=1
}

# A list of names that goes through blanks is another list.
if project_files '*.sh' Makefile | xargs -0 grep -nE 'xargs +(-[^0 ]+ +)*[^- ]' /dev/null |
  grep -vE 'xargs -0|scripts/check/scripts.sh'; then
  wrong "xargs without -0: see above"
fi

{ project_files '*.sh' && printf '.ci/run\0'; } | xargs -0 shellcheck -x || wrong "shellcheck: see above"

folder="$(mktemp -d "${TMPDIR:-/tmp}/a folder.XXXXXX")"
trap 'rm -rf "$folder"' EXIT
cache="$folder/with a blank"
# What `rm -rf` of the second half of a split name would take.
mkdir -p "$cache" "$folder/a" "$cache/blank"
for number in 1 2 3 4 5 6 7 8; do
  mkdir "$cache/thing-$number blank"
  touch -d "2020-01-0$number" "$cache/thing-$number blank"
done
(cd "$cache" && keep_newest 5 "$cache" 'thing-*')
left="$(find "$cache" -mindepth 1 -maxdepth 1 -printf '%f\n' | sort | paste -sd,)"
[ "$left" = "blank,thing-4 blank,thing-5 blank,thing-6 blank,thing-7 blank,thing-8 blank" ] ||
  wrong "keep_newest left: $left"

# A mirror that nobody has signed.
mkdir -p "$folder/mirror/dists/trixie/main/binary-amd64"
: >"$folder/mirror/dists/trixie/main/binary-amd64/Packages"
gzip -k "$folder/mirror/dists/trixie/main/binary-amd64/Packages"
{
  printf 'Origin: Debian\nSuite: trixie\nCodename: trixie\nArchitectures: amd64\nComponents: main\n'
  printf 'Date: %s\nSHA256:\n' "$(date -Ru)"
  (cd "$folder/mirror/dists/trixie" && find main -type f -printf '%P %s\n' | while read -r name size; do
    printf ' %s %s main/%s\n' "$(sha256sum <"main/$name" | cut -d' ' -f1)" "$size" "$name"
  done)
} >"$folder/mirror/dists/trixie/Release"
plain="$(mktemp -d "${TMPDIR:-/tmp}/unsigned.XXXXXX")"
trap 'rm -rf "$folder" "$plain"' EXIT
cp -r "$folder/mirror" "$plain/"
if DEVMEM_CACHE="$plain/cache" DEVMEM_DEBIAN_MIRROR="file://$plain/mirror" \
  DEVMEM_KERNEL_SUITES=trixie scripts/vm-kernel.sh >"$plain/log" 2>&1; then
  wrong "vm-kernel.sh took a kernel from a mirror without a signature"
fi
grep -qi 'not signed' "$plain/log" || wrong "vm-kernel.sh does not say that a mirror is not signed: $(tail -n 3 "$plain/log")"

if [ "$(id -u)" -eq 0 ] && command -v debootstrap >/dev/null; then
  if (
    . scripts/lib/debian.sh
    . scripts/lib/kernel_build.sh
    debian="$plain/debian" build_log="$plain/log"
    make_debian trixie "file://$plain/mirror"
  ) >"$plain/said" 2>&1; then
    wrong "debootstrap took a mirror without a signature"
  fi
  grep -qiE 'Release signature|Release.gpg|InRelease' "$plain/said" ||
    wrong "debootstrap failed for another reason: $(tail -n 3 "$plain/said")"
  [ ! -e "$plain/debian/.complete" ] || wrong "a Debian without signatures counts as complete"
else
  echo "debootstrap was not tried: not root, or not installed"
fi

# A machine that ends while it boots, and a cache with no place for its last words: they are shown.
fake="$plain/made-up cache"
tools="$fake/$(grep -om1 'virtme-ng-[0-9.]*[0-9]' scripts/vm-tools.sh)-$(sha256sum <scripts/lib/virtme-ng.txt | cut -c1-8)"
mkdir -p "$fake/kernel/current" "$tools/bin" "$plain/bin"
echo 0.0.0-made-up >"$fake/kernel/current/version"
touch "$tools/.complete" "$fake/logs"
printf '#!/bin/sh\necho "Kernel panic - not syncing: made up"\nexit 1\n' >"$tools/bin/vng"
chmod +x "$tools/bin/vng"
# Emulation, whatever this machine has.
echo fails >"$fake/kvm-$(uname -r)-0.0.0-made-up"
# shellcheck disable=SC2031 # the subshell above had one of its own
path="$PATH:/usr/sbin:/sbin:$plain/bin"
for tool in qemu-system-x86_64 busybox modprobe file; do
  PATH="$path" command -v "$tool" >/dev/null || ln -s /bin/true "$plain/bin/$tool"
done
boot_status=0
DEVMEM_CACHE="$fake" PATH="$path" scripts/vm-run.sh -- true >"$plain/said" 2>&1 || boot_status=$?
if [ "$boot_status" -ne 125 ] || ! grep -q 'Kernel panic - not syncing: made up' "$plain/said" ||
  ! grep -q 'cannot be kept' "$plain/said"; then
  wrong "a boot that failed is not explained where the cache takes no log (status $boot_status):" \
    "$(cat "$plain/said")"
fi

# What PyPI gives is what was looked at.
if grep -vE '^(#.*)?$|^[a-z0-9-]+==[0-9a-z.]+ \\$|^  --hash=sha256:[0-9a-f]{64}$' scripts/lib/virtme-ng.txt; then
  wrong "scripts/lib/virtme-ng.txt has a line without a hash or a version"
fi
exit "$status"
