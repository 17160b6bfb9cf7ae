#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Measures receiving and sending by io_uring beside the same loops in C on liburing, over loopback, turn by turn in
# one run.
#
#   scripts/bench-wires.sh [--json] [--instructions] [--rounds N] [--bytes MIB]
#
# --json          the last line is an array of {wire, size, ratio, …}
# --instructions  callgrind counts too: user instructions for each 4 KiB of payload
#
# Times mean something on a quiet machine with two processors; counts anywhere.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib/common.sh
. "$(dirname "$0")/lib/common.sh"
cd "$(repo_root)"
groups=(build)
for argument in "$@"; do
  case "$argument" in
    --help | -h) exec python3 Benchmarks/Wires/wires.py --help ;;
    --instructions) groups+=(check) ;;
  esac
done
scripts/install-deps.sh "${groups[@]}"

folder="$PWD/.build/wires"
mkdir -p "$folder"
"${CC:-cc}" -O3 -std=gnu11 -Wall -Wextra -Werror Benchmarks/Wires/wires.c -o "$folder/wires" -luring
swift build --quiet -c release --product WireBench >&2
# Valgrind does not understand all of the debug information.
strip -o "$folder/ours" "$(swift build -c release --show-bin-path)/WireBench"
say "liburing $(pkg-config --modversion liburing); $(uname -srm), $(nproc) processors"
exec python3 Benchmarks/Wires/wires.py "$folder/wires" "$folder/ours" "$@"
