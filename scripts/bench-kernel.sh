#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Counts the instructions of the kernel's own page pool benchmark, unmodified, in a virtual machine
# whose clock ticks once for each, and those of the same cases here by callgrind.
#
#   scripts/bench-kernel.sh [--json] [--loops N] [--as-booted]
#
# --json       the last line is an array of {case, peer, oursInstructions, peerInstructions, ratio}
# --loops N    turns of each of the kernel's loops, ten times as many of the first two (default 20000)
# --as-booted  leave on what costs the kernel extra: zeroing new pages (init_on_alloc) and the
#              mitigations of processor flaws. Off, the comparison is in the kernel's favour.
#
# Counts mean the same on any machine, however busy.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib/common.sh
. "$(dirname "$0")/lib/common.sh"
cd "$(repo_root)"

json=() loops=20000 options=(--append "init_on_alloc=0 mitigations=off")
while [ $# -gt 0 ]; do
  case "$1" in
    --json) json=(--json) ;;
    --as-booted) options=() ;;
    --loops)
      [[ "${2:-}" =~ ^[1-9][0-9]{0,7}$ ]] || die "--loops needs a number from 1 to 99999999"
      loops="$2"
      shift
      ;;
    --help | -h) sed -n '3,/^set -e/{/^set -e/d;s/^# \{0,1\}//;p}' "$0" && exit 0 ;;
    *) die "unknown option $1; see $0 --help" ;;
  esac
  shift
done

groups=(build check vm)
kernel="$(scripts/vm-kernel.sh)"
version="$(cat "$kernel/version")"
cache="$(cache_dir)"
[ -e "$cache/kernel-bench/$version/bench_page_pool.ko" ] || groups+=(kernel)
scripts/install-deps.sh "${groups[@]}"
module="$(Benchmarks/Kernel/module.sh)"
ours="$(Benchmarks/Peers/build-ours.sh)"

say "running the kernel's benchmark in a virtual machine ($(cat "$(dirname "$module")/made-of"))"
messages="$(mktemp)"
trap 'rm -f "$messages"' EXIT
# The module refuses to stay loaded twice, and reports to the kernel's log.
# shellcheck disable=SC2016 # for the shell in the machine
scripts/vm-run.sh --icount --hugepages 0 --timeout 1800 "${options[@]}" -- sh -c \
  'insmod "$0" loops="$1" && dmesg' "$module" "$loops" >"$messages" ||
  die "the virtual machine did not run the benchmark"
python3 Benchmarks/Kernel/compare.py "$version" "$messages" "$ours" "${json[@]}"
