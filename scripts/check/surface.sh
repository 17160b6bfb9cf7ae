#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What is public is a promise: the list in docs/public-api.txt is what the modules show, so that a change of the
# surface is seen in a diff. `scripts/check/surface.sh --write` writes the list anew.
set -euo pipefail

list=docs/public-api.txt
bin="$(swift build --show-bin-path)"
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
maps=()
while read -r map; do maps+=(-Xcc "-fmodule-map-file=$map"); done < <(
  ls "$PWD"/Sources/CLib*/module.modulemap "$bin"/CThreads.build/module.modulemap \
    "$bin"/CSystemShims.build/module.modulemap)
for module in DevmemPagePool DevmemSystem Devmem DevmemNIC DevmemNet DevmemTesting; do
  swift symbolgraph-extract -module-name "$module" -I "$bin/Modules" "${maps[@]}" \
    -target x86_64-unknown-linux-gnu -minimum-access-level public -skip-synthesized-members \
    -output-dir "$folder"
done
python3 scripts/check/surface.py "$folder" >"$folder/list"
if [ "${1:-}" = --write ]; then
  cp "$folder/list" "$list"
elif ! diff -u "$list" "$folder/list"; then
  echo "the public surface differs from $list; if that is meant: scripts/check/surface.sh --write"
  exit 1
fi
# The declarations of all products together may not grow past this.
limit=550
count="$(sed -n 's/^# \([0-9]*\) declarations.*/\1/p' "$list")"
[ "$count" -le "$limit" ] || {
  echo "$list has $count declarations, and $limit are the most that users should have to know"
  exit 1
}
