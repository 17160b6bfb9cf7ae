#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Measures this library beside DPDK's object pool and packet buffers, jemalloc, mimalloc and glibc:
# the same loops, turn by turn in one run.
#
#   scripts/bench-peers.sh [--json] [--markdown] [--instructions] [--rounds N] [--case NAME]...
#
# --json          the last line is an array of {case, peer, oursNs, peerNs, ratio}
# --markdown      the tables of docs/performance-peers.md
# --instructions  callgrind counts too, where one thread does all
#
# Times mean something on a quiet machine with two processors; counts anywhere.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib/common.sh
. "$(dirname "$0")/lib/common.sh"
cd "$(repo_root)"
groups=(build peers)
for argument in "$@"; do
  case "$argument" in
    --help | -h) exec python3 Benchmarks/Peers/peers.py "" "" --help ;;
    --instructions) groups+=(check) ;;
  esac
done
scripts/install-deps.sh "${groups[@]}"

folder="$PWD/.build/peers/bin"
mkdir -p "$folder"
ours="$(Benchmarks/Peers/build-ours.sh)"

# compile NAME SOURCE FLAGS...: a failure shows the compiler's words.
compile() {
  local name="$1" source="$2" shared=Benchmarks/Peers/Ours/Sources/CPeerBench
  shift 2
  "${CC:-cc}" -O3 -std=gnu11 -Wall -Wextra -Werror -pthread "-I$shared/include" \
    "Benchmarks/Peers/Harness/$source" "$shared/CPeerBench.c" -o "$folder/$name" "$@"
}

say "building the peers' side with $("${CC:-cc}" --version | head -n 1)"
# DPDK's own flags, which let it use newer instructions than this library is built for.
read -ra dpdk_flags <<<"$(pkg-config --cflags libdpdk)"
compile dpdk dpdk.c "${dpdk_flags[@]}" -Wl,--no-as-needed -lrte_eal -lrte_mempool \
  -lrte_mempool_ring -lrte_mbuf
# The compiler knows malloc and would drop pairs of calls.
builtins=(-fno-builtin-malloc -fno-builtin-free)
compile handover handover.c
compile handover-looks handover.c -DLOOKS
compile glibc malloc.c "${builtins[@]}"
for name in jemalloc mimalloc; do
  compile "$name" malloc.c "${builtins[@]}" -Wl,--no-as-needed "-l$name"
done

# Measuring glibc under another name would be easy and worthless.
for pair in glibc:libc.so jemalloc:libjemalloc mimalloc:libmimalloc; do
  which="$("$folder/${pair%%:*}" --which)"
  [[ "$which" == *"${pair#*:}"* ]] || die "${pair%%:*}: malloc comes from $which"
done
say "$("$folder/dpdk" --which); $(uname -srm), $(nproc) processors"
exec python3 Benchmarks/Peers/peers.py "$folder" "$ours" "$@"
