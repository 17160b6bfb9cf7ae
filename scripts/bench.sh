#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Builds and runs the benchmarks, on this machine: times measured in an emulated one mean nothing.
# Standard output is that of `devmem-bench` alone.
#
#   scripts/bench.sh [ARGUMENTS...]            see --help
#   scripts/bench.sh latency [ARGUMENTS...]    tails of the allocation latency
#   scripts/bench.sh tables                    measures everything, and writes the tables of docs/performance.md
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib/common.sh
. "$(dirname "$0")/lib/common.sh"
root="$(repo_root)"

if [ "${1:-}" = latency ]; then
  shift
  "$root/scripts/install-deps.sh" build
  say "building the package in Benchmarks/"
  forget_plan "$root/.build/benchmarks"
  swift build --quiet -c release --package-path "$root/Benchmarks" \
    --scratch-path "$root/.build/benchmarks" --product devmem-latency >&2
  exec "$root/.build/benchmarks/release/devmem-latency" "$@"
fi

if [ "${1:-}" = tables ]; then
  "$root/scripts/install-deps.sh" check
  "$root/scripts/build.sh" bench
  folder="$(mktemp -d)"
  trap 'rm -rf "$folder"' EXIT
  "$root/.build/release/devmem-bench" --list >"$folder/list"
  "$root/.build/release/devmem-bench" --instructions --json >"$folder/json"
  cd "$root"
  python3 scripts/lib/bench_tables.py "$folder/list" "$folder/json"
  exit
fi

for argument in "$@"; do
  [ "$argument" != --instructions ] || "$root/scripts/install-deps.sh" check
done
"$root/scripts/build.sh" bench
exec "$root/.build/release/devmem-bench" "$@"
