#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# What runs on real dma-bufs, as root: the examples, the tests, and, where all of these are run, the tool in some
# environments. The status is the tests' unless that is 0.
#
#   scripts/lib/device-tier.sh RESULTS TEST_COMMAND...
set -uo pipefail
results="$1"
shift

examples=0
scripts/examples.sh run "$results/device-examples.counts" || examples=$?
"$@" || exit
[ "$examples" -eq 0 ] || exit "$examples"
[ -z "${DEVICE_TESTS_FILTER:-}" ] || exit 0
# Those in which a real exporter, a card or a control group of version 2 makes a difference.
exec Tests/KernelModules/devmemsim.sh run python3 -B Tests/Environments/environments.py "$PWD/.build/release/devmemctl" \
  --counts "$results/device-environments.counts" --commands doctor,demo,huge,recv,send \
  --only plain,unprivileged,no-proc,no-sys,seccomp-docker,seccomp-podman,no-ipv6,little-memory,little-hugetlb,little-reserved
