#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# The programs of Examples/: builds them as a user's package would be built, sees that each is short and has no
# `unsafe`, and runs each.
#
#   scripts/examples.sh                  builds and runs them; the counts go to .build/test-results
#   scripts/examples.sh build            builds only
#   scripts/examples.sh run COUNTS       runs what was built, on real dma-bufs: where a program has taken other
#                                        memory, it has failed
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib/common.sh
. "$(dirname "$0")/lib/common.sh"
cd "$(repo_root)"
binaries=.build/examples/debug

# Lines of a program at most, all of them counted.
line_limit=35

# Seconds for each; on an idle machine they need parts of one, in an emulated one that is not idle many.
time_limit=300

# Programs that use a device where there is one: their line says of what kind the memory is.
with_device=(TopLevelAwait ThreadPerCore EpollLoop CustomNIC AnotherProcess)

programs() { (cd Examples/Sources && ls); }

look() {
  local file lines wrong=0
  for file in Examples/Sources/*/*.swift Examples/Tests/*/*.swift; do
    lines="$(wc -l <"$file")"
    [ "$lines" -le "$line_limit" ] || { echo "$file: $lines lines; at most $line_limit" && wrong=1; }
  done
  # Weights is of this package, and longer (docs/decisions).
  for file in Examples/Sources/*/*.swift Examples/Tests/*/*.swift Examples/Weights/*.swift; do
    # Strict memory safety makes the compiler ask for the word where it is needed.
    if grep -nHw 'unsafe' "$file"; then echo "$file: an example needs no unsafe" && wrong=1; fi
  done
  return "$wrong"
}

build() {
  scripts/install-deps.sh build
  look >&2 || die "examples are to be short and safe; see above"
  say "swift build --package-path Examples"
  # The scratch path is this package's own, so that `make clean` finds it.
  forget_plan .build/examples
  local output
  output="$(swift build --quiet --package-path Examples --scratch-path "$PWD/.build/examples" \
    --build-tests 2>&1)" || {
    printf '%s\n' "$output" >&2
    die "the examples do not build; see above"
  }
}

# run PLACE COUNTS
run() {
  local place="$1" counts="$2" passed=0 failed=0 name output status
  for name in $(programs) FakeProviderTests; do
    status=0
    if [ "$name" = FakeProviderTests ]; then
      output="$(timeout --kill-after=5 "$time_limit" "$binaries/ExamplesPackageTests.xctest" \
        --testing-library swift-testing 2>&1 </dev/null)" || status=$?
      if [ "$status" -eq 0 ]; then
        output="$(grep -o 'Test run with [1-9][0-9]* test.* passed' <<<"$output")" || status=1
      fi
    else
      output="$(timeout --kill-after=5 "$time_limit" "$binaries/$name" </dev/null)" || status=$?
      if [ "$status" -eq 0 ] && { [ -z "$output" ] || [ "$(wc -l <<<"$output")" -ne 1 ]; }; then
        output="(not one line)"$'\n'"$output"
        status=1
      fi
      if [ "$status" -eq 0 ] && [ "$place" = device ] && [[ " ${with_device[*]} " == *" $name "* ]]; then
        grep -q 'dmabuf' <<<"$output" || {
          output="(not a real dma-buf) $output"
          status=1
        }
      fi
    fi
    if [ "$status" -eq 0 ]; then
      passed=$((passed + 1))
      printf 'example %-17s %s\n' "$name" "$output"
    else
      failed=$((failed + 1))
      printf 'example %-17s FAILED (status %s)\n%s\n' "$name" "$status" "$output"
    fi
  done
  printf '%s %s\n' "$passed" "$failed" >"$counts"
  printf 'examples, %s: %s passed, %s failed\n' "$place" "$passed" "$failed"
  [ "$failed" -eq 0 ]
}

case "${1:-all}" in
  all)
    mkdir -p .build/test-results
    rm -f .build/test-results/examples.counts
    build
    run host .build/test-results/examples.counts
    ;;
  build) build ;;
  run) run device "${2:?name a file for the counts}" ;;
  *) die "unknown: $1; see $0" ;;
esac
