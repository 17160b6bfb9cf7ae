#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# A DocC archive for each library, in .build/docs; what DocC complains about is shown. Needs no
# network once the packages are resolved.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib/common.sh
. "$(dirname "$0")/lib/common.sh"
cd "$(repo_root)"
scripts/install-deps.sh build

targets=(DevmemPagePool DevmemGenpool DevmemSystem Devmem DevmemNIC DevmemNet DevmemTesting)
output=.build/docs
log=.build/docs.log
mkdir -p .build
rm -rf "$output"

options=()
for target in "${targets[@]}"; do options+=(--target "$target"); done
say "generating documentation: ${targets[*]}"
if ! swift package --allow-writing-to-directory "$output" generate-documentation "${options[@]}" \
  --output-path "$output" >"$log" 2>&1; then
  cat "$log" >&2
  die "DocC failed; see above"
fi
for target in "${targets[@]}"; do
  [ -e "$output/$target.doccarchive" ] || die "DocC wrote no archive for $target; see $log"
done
# Each complaint with its place and its explanation.
grep -E -A 3 '^(warning|error):' "$log" || true
printf '%s documentation archives in %s, %s warnings\n' "${#targets[@]}" "$output" \
  "$(grep -c '^warning:' "$log" || true)"
