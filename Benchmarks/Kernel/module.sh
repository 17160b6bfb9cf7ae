#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Prints the path of the kernel's own page pool benchmark (tools/testing/selftests/net/bench/page_pool,
# unmodified) as a module for the kernel that the virtual machine boots, building it when there is
# none. Its source comes from Debian's package of the kernel's source; see
# scripts/lib/kernel_build.sh for how it is built. All of it stays in the cache.
#
#   Benchmarks/Kernel/module.sh
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd -P)"
# shellcheck source-path=SCRIPTDIR source=../../scripts/lib/common.sh
. "$here/../../scripts/lib/common.sh"
# shellcheck source-path=SCRIPTDIR source=../../scripts/lib/debian.sh
. "$here/../../scripts/lib/debian.sh"
# shellcheck source-path=SCRIPTDIR source=../../scripts/lib/kernel_build.sh
. "$here/../../scripts/lib/kernel_build.sh"

# It came with Linux 6.17.
benchmark=tools/testing/selftests/net/bench/page_pool

# As root, while the caller holds the lock.
build() {
  local kernel="$1" into="$2"
  open_debian "$kernel"
  take_source "$benchmark/*"
  say "building the module"
  logged "building the module" inside make -C "/lib/modules/$kernel/build" \
    "M=/mnt/$source/$benchmark" modules
  keep "$into" "$work/$source/$benchmark/bench_page_pool.ko"
}

if [ "${1:-}" = --build ]; then
  build "$2" "$3"
  exit 0
fi
kernel="$(booted_kernel)"
into="$(cache_dir)/kernel-bench/$kernel"
build_once "$into/bench_page_pool.ko" "$here/module.sh" "$kernel" "$into"
echo "$into/bench_page_pool.ko"
