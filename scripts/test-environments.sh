#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# The tool and the examples in a matrix of environments (no privileges, namespaces, filters of system calls,
# small limits, no /proc, a full disk, closed streams, …), each cell with its expectation in
# Tests/Environments/expected.txt.
#
#   scripts/test-environments.sh [--vm] [--only ENVIRONMENT,...] [--commands COMMAND,...]
#
# --vm runs it in the virtual machine, as root on a kernel that has exporters, with a software NIC.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib/common.sh
. "$(dirname "$0")/lib/common.sh"
cd "$(repo_root)"
run=()
if [ "${1:-}" = --vm ]; then
  shift
  groups=(vm nic)
  Tests/KernelModules/build.sh --cached || groups+=(kernel)
  scripts/install-deps.sh "${groups[@]}"
  module="$(Tests/KernelModules/build.sh devmemsim)"
  run=(scripts/vm-run.sh --timeout 3600 -- env "DEVMEMSIM_MODULE=$module" Tests/KernelModules/devmemsim.sh run)
fi
scripts/build.sh release
scripts/examples.sh build
counts=()
if [ "$#" -eq 0 ] && [ "${#run[@]}" -eq 0 ]; then
  mkdir -p .build/test-results
  counts=(--counts .build/test-results/environments.counts)
fi
exec "${run[@]}" python3 -B Tests/Environments/environments.py "$PWD/.build/release/devmemctl" \
  --examples "$PWD/.build/examples/debug" "${counts[@]}" "$@"
