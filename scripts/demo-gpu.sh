#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Receives by device memory TCP into a dma-buf that a Vulkan device reads, in the virtual machine: a network card in
# software (devmemsim), a Vulkan driver in software (lavapipe). Standard output is the demo's alone.
#
#   scripts/demo-gpu.sh [--bytes N] [--memory udmabuf|vulkan] [--wire devmem|zcrx|tcp]
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
exec scripts/vm-run.sh --timeout 3600 -- env "PATH=$PATH:/usr/sbin:/sbin" "DEVMEMSIM_MODULE=$module" \
  "VK_DRIVER_FILES=$driver" MESA_SHADER_CACHE_DISABLE=true \
  Tests/KernelModules/devmemsim.sh run scripts/lib/demo-gpu.sh .build/release/devmemctl "$@"
