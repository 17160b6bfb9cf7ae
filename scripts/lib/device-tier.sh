#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# What runs on real dma-bufs, as root: the examples, the tests, and, where all of these are run, the tool in
# environments in which a real exporter, a card or a limit makes a difference. The status is the tests' unless that
# is 0.
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
exec Tests/KernelModules/devmemsim.sh run python3 -B Tests/Environments/environments.py --device \
  "$PWD/.build/release/devmemctl" --counts "$results/device-environments.counts"
