#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Examples/Weights in the virtual machine: a file of tensors from another network namespace, by device memory TCP over
# devmemsim, into memory of a Vulkan device in software (lavapipe).
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib/common.sh
. "$(dirname "$0")/lib/common.sh"
cd "$(repo_root)"

groups=(vm nic vulkan)
Tests/KernelModules/build.sh --cached || groups+=(kernel)
scripts/install-deps.sh "${groups[@]}"
module="$(Tests/KernelModules/build.sh devmemsim)"
driver="$(scripts/vm-mesa.sh)"
scripts/build.sh release
say "swift build --product Weights"
swift build --quiet --product Weights >&2
exec scripts/vm-run.sh -- env "PATH=$PATH:/usr/sbin:/sbin" "DEVMEMSIM_MODULE=$module" \
  "VK_DRIVER_FILES=$driver" MESA_SHADER_CACHE_DISABLE=true \
  Tests/KernelModules/devmemsim.sh run scripts/lib/demo-weights.sh .build/debug/Weights .build/release/devmemctl
