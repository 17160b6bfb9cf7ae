#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Prints the bin folder of a Python environment that holds virtme-ng, making it when there is none.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib/common.sh
. "$(dirname "$0")/lib/common.sh"

# The option names that vm-run.sh uses are those of 1.42.
requirement="virtme-ng~=1.42"
cache="$(cache_dir)"
venv="$cache/virtme-ng-1.42"

ensure() {
  [ ! -e "$venv/.complete" ] || return 0
  say "installing $requirement from PyPI into $venv"
  rm -rf "$venv"
  python3 -m venv "$venv" >&2 ||
    die "python3 cannot make a virtual environment: scripts/install-deps.sh vm"
  "$venv/bin/pip" install --quiet --disable-pip-version-check "$requirement" >&2 ||
    die "pip could not install $requirement; try it by hand: $venv/bin/pip install '$requirement'"
  touch "$venv/.complete"
}

[ -e "$venv/.complete" ] || with_cache_lock virtme-ng ensure
echo "$venv/bin"
