#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The optimised devmemctl, which is run as root, loads libraries from the system's folders alone: none that
# somebody has put beside it.
set -euo pipefail
scripts/build.sh release
binary=.build/release/devmemctl
if readelf -d "$binary" | grep -E 'R(UN)?PATH'; then
  echo "$binary has a search path of its own"
  exit 1
fi
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
cp "$binary" "$folder/"
for library in $(readelf -d "$binary" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p'); do
  # No library at all: whatever loads it fails.
  [ "$library" = libc.so.6 ] || echo planted >"$folder/$library"
done
(cd "$folder" && ./devmemctl --help >/dev/null) || {
  echo "$binary loads what lies beside it"
  exit 1
}
