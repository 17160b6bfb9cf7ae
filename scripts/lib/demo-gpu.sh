#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Both ends of the demo, between the two ends of devmemsim; see scripts/demo-gpu.sh.
#
#   scripts/lib/demo-gpu.sh DEVMEMCTL [--bytes N] [--memory udmabuf|vulkan] [--wire devmem|zcrx|tcp]
set -euo pipefail
binary="$1" bytes=64M memory=udmabuf wire=devmem
shift
while [ $# -gt 0 ]; do
  case "$1" in
    --bytes) bytes="${2:?--bytes needs a number}" ;;
    --memory) memory="${2:?--memory needs udmabuf or vulkan}" ;;
    --wire) wire="${2:?--wire needs devmem, zcrx or tcp}" ;;
    *) echo "error: unknown option $1; see scripts/demo-gpu.sh" >&2 && exit 2 ;;
  esac
  shift 2
done
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT

"$binary" recv --interface dmsim0 --wire "$wire" --into vulkan --memory "$memory" >"$folder/recv" &
receiver=$!
sent=0
ip netns exec dmsim-peer "$binary" send --interface dmsim1 --bytes "$bytes" --crc32 --connect-timeout 300 \
  10.45.0.1 >"$folder/send" || sent=$?
received=0
wait "$receiver" || received=$?
echo "sender"
sed 's/^/  /' "$folder/send"
echo "receiver"
sed 's/^/  /' "$folder/recv"
[ "$sent" = 0 ] && [ "$received" = 0 ] || exit 1
first="$(sed -n 's/^crc32  *//p' "$folder/send")"
second="$(sed -n 's/^crc32  *//p' "$folder/recv")"
if [ -n "$first" ] && [ "$first" = "$second" ]; then
  echo "digests  $first (equal)"
else
  echo "digests  $first and $second (DIFFERENT)"
  exit 1
fi
