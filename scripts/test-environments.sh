#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# The tool in a matrix of environments (no privileges, namespaces, filters of system calls, small limits, no
# /proc, a full disk, closed streams, …), each cell with its expectation in Tests/Environments/expected.txt.
#
#   scripts/test-environments.sh [--vm] [--only ENVIRONMENT]
#
# --vm runs it in the virtual machine, as root on a kernel that has exporters.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib/common.sh
. "$(dirname "$0")/lib/common.sh"
cd "$(repo_root)"
run=()
if [ "${1:-}" = --vm ]; then
  shift
  scripts/install-deps.sh vm
  run=(scripts/vm-run.sh --timeout 1800 --)
fi
scripts/build.sh release
exec "${run[@]}" python3 -B Tests/Environments/environments.py "$PWD/.build/release/devmemctl" "$@"
