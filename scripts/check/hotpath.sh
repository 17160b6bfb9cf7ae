#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The hot paths as a user's optimised build has them: no call into the runtime for reference counts,
# exclusivity or allocation, and no more instructions than budgets.txt allows. Instructions are
# counted by callgrind as the difference of two loop counts, which is exact where a clock is not.
set -euo pipefail

package=scripts/check/hotpath
scratch=.build/hotpath
forbidden='swift_(retain|release|bridgeObject|unknownObject|beginAccess|dynamicCast|allocObject)'

# The package manager looks for new files in the root package only: without its plan of the last
# build it makes a new one, which finds those of the library as well.
rm -f "$scratch/release.yaml"
# Static, so that each run under valgrind starts in half a second.
output="$(swift build --quiet -c release --static-swift-stdlib --package-path "$package" \
  --scratch-path "$scratch" 2>&1)" || {
  printf '%s\n' "$output"
  exit 1
}
binary="$(realpath "$scratch/release/hotpath")"
symbols="$(nm "$binary")"

instructions() {
  local output
  output="$(valgrind --tool=callgrind --callgrind-out-file=/dev/null "$binary" "$1" "$2" 2>&1)" || {
    echo "$output" >&2
    return 1
  }
  sed -n 's/^.*Collected : \([0-9]*\).*$/\1/p' <<<"$output"
}

status=0
while read -r name budget turn; do
  case "$name" in '' | '#'*) continue ;; esac
  function="${name%%.*}"
  pattern="\\\$s7hotpath${#function}${function}[A-Za-z0-9_]*\$"
  symbol="$(grep -oE "$pattern" <<<"$symbols" | head -n 1)" || {
    echo "$package has no function $function, which budgets.txt asks for"
    status=1
    continue
  }
  code="$(objdump -d --no-show-raw-insn --disassemble="$symbol" "$binary")"
  # A function that cannot be found gives an empty listing and would pass every search.
  grep -q 'ret' <<<"$code" || {
    echo "$name: objdump shows no code for $symbol"
    status=1
    continue
  }
  if grep -E "(call|jmp) .*$forbidden" <<<"$code"; then
    echo "$name: these runtime calls are on the hot path; a class property that is read there, or a"
    echo "  closure or existential that is kept, is the usual cause"
    status=1
  fi
  few=1000 many=101000
  low="$(instructions "$name" "$few")"
  high="$(instructions "$name" "$many")"
  turns=$((many - few))
  # Start-up differs by some dozen instructions from run to run; rounded, it is gone.
  each=$(((high - low + turns / 2) / turns))
  echo "$name: $each instructions per $turn (budget $budget)"
  if [ "$each" -gt "$budget" ]; then
    echo "$name: above its budget in scripts/check/budgets.txt; look at:"
    echo "  objdump -d --no-show-raw-insn --disassemble='$symbol' $binary"
    status=1
  elif [ "$each" -lt 5 ]; then
    echo "$name: too few to be true, the loop was optimised away"
    status=1
  fi
done <scripts/check/budgets.txt
exit "$status"
