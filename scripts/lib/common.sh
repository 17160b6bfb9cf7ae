# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Shared by the scripts of this folder; sourced, never run. Progress goes to standard error so that
# standard output stays the result of whatever was asked for.

say() { printf '==> %s\n' "$*" >&2; }

die() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

repo_root() { cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P; }

# Everything downloaded lives here, outside the build folder, so that `make clean` costs no
# download.
cache_dir() {
  local dir="${DEVMEM_CACHE:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/swift-devmem}"
  mkdir -p "$dir" || die "cannot create the cache folder $dir; choose another: export DEVMEM_CACHE=DIR"
  (cd "$dir" && pwd -P)
}

# keep_newest COUNT FOLDER PATTERN: removes the other files and folders of that name in FOLDER. Names go
# through NUL: what blanks make of a list of names is another list.
keep_newest() {
  find "$2" -mindepth 1 -maxdepth 1 -name "$3" -printf '%T@ %p\0' | sort -zrn |
    tail -z -n "+$(($1 + 1))" | cut -z -d' ' -f2- | xargs -0 -r rm -rf --
}

# Runs a command while holding the named lock of the cache, so that two makes can run side by side.
with_cache_lock() {
  local name="$1"
  shift
  (
    flock 9
    "$@"
  ) 9>"$(cache_dir)/$name.lock"
}

# The package manager looks for new files in the root package only: for a package that depends on this one by
# path its plan of the last build goes, and the new one finds those of the library as well.
forget_plan() {
  local scratch="$1"
  rm -f "$scratch/debug.yaml" "$scratch/release.yaml"
}

# Prints the prefix that gives root ("", "sudo" or "sudo -n"), or fails when there is no way.
root_prefix() {
  if [ "$(id -u)" -eq 0 ]; then
    return 0
  elif ! command -v sudo >/dev/null; then
    return 1
  elif sudo -n true 2>/dev/null; then
    echo "sudo -n"
  elif [ -t 0 ]; then
    echo "sudo"
  else
    return 1
  fi
}

# Prints the version of the QEMU that scripts/vm-run.sh runs, nothing if there is none.
qemu_version() {
  PATH="$PATH:/usr/sbin:/sbin" qemu-system-x86_64 --version 2>/dev/null | sed -n 's/.* version \([0-9.]*\).*/\1/p'
}
