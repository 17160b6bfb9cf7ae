#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Prints the bin folder of a Python environment that holds virtme-ng, making it when there is none.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib/common.sh
. "$(dirname "$0")/lib/common.sh"

# The option names that vm-run.sh uses are those of 1.42.
requirements="$(repo_root)/scripts/lib/virtme-ng.txt"
cache="$(cache_dir)"
# Another list is another environment.
venv="$cache/virtme-ng-1.42-$(sha256sum <"$requirements" | cut -c1-8)"

ensure() {
  [ ! -e "$venv/.complete" ] || return 0
  say "installing virtme-ng from PyPI into $venv"
  rm -rf "$venv"
  python3 -m venv "$venv" >&2 ||
    die "python3 cannot make a virtual environment: scripts/install-deps.sh vm"
  local install=("$venv/bin/python3" -m pip install --quiet --disable-pip-version-check
    --require-hashes --only-binary=:all: --requirement "$requirements")
  "${install[@]}" >&2 || die "pip could not install virtme-ng; by hand: $(printf '%q ' "${install[@]}")"
  touch "$venv/.complete"
}

[ -e "$venv/.complete" ] || with_cache_lock virtme-ng ensure
echo "$venv/bin"
