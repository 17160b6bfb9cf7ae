#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The hot paths as an optimised build has them: no call into the runtime for reference counts or
# exclusivity, none of the runtime's or the C library's allocations, and not one instruction more than
# Benchmarks/Thresholds allows.
# Instructions are counted by callgrind as the difference of two loop counts, which is exact where a
# clock is not.
set -euo pipefail

thresholds=Benchmarks/Thresholds/instructions.txt
binary=.build/release/devmem-bench
forbidden='swift_(retain|release|bridgeObject|unknownObject|beginAccess|dynamicCast|alloc|slowAlloc)'
forbidden+='|<(malloc|calloc|realloc|aligned_alloc|posix_memalign|_Zn[aw][jm])[@>]'

scripts/build.sh bench
# Symbol and readable name side by side.
symbols="$(nm "$binary" | sed -n 's/^.* [tT] \($s11DevmemBench[A-Za-z0-9_]*\)$/\1/p')"
names="$(paste <(printf '%s\n' "$symbols") <(printf '%s\n' "$symbols" | swift demangle))"

status=0
# shellcheck disable=SC2013  # the names have no blanks
for function in $(sed -n 's/^[a-z][^ ]* *[0-9.]* *\([a-z0-9_]*\)$/\1/p' "$thresholds" | sort -u); do
  # A function may be there more than once, specialised for its arguments.
  mine="$(grep -E "DevmemBench\.\(?$function( in |\()" <<<"$names" | grep -v 'closure' | cut -f 1)" || {
    echo "$binary has no function $function, which $thresholds names"
    status=1
    continue
  }
  for symbol in $mine; do
    code="$(objdump -d --no-show-raw-insn --disassemble="$symbol" "$binary")"
    # A function that cannot be found gives an empty listing and would pass every search.
    grep -qE '\s(ret|jmp)' <<<"$code" || {
      echo "$function: objdump shows no code for $symbol"
      status=1
      continue
    }
    if grep -E "(call|jmp) .*($forbidden)" <<<"$code"; then
      echo "$function: these runtime calls are on the hot path; a class property that is read there,"
      echo "  or a closure or existential that is kept, is the usual cause; look at:"
      echo "  objdump -d --no-show-raw-insn --disassemble='$symbol' $binary"
      status=1
    fi
  done
done
"$binary" --thresholds "$thresholds" || status=1
exit "$status"
