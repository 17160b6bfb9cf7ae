#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Both ends of Examples/Weights, between the two ends of devmemsim; see scripts/demo-weights.sh.
#
#   scripts/lib/demo-weights.sh WEIGHTS DEVMEMCTL
set -euo pipefail
weights="$1" devmemctl="$2"
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT

"$weights" make "$folder/model.safetensors"
"$weights" load dmsim0 &
loader=$!
ip netns exec dmsim-peer "$devmemctl" send --interface dmsim1 --input "$folder/model.safetensors" \
  --connect-timeout 300 10.45.0.1 >&2
wait "$loader"
