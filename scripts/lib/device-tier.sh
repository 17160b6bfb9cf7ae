#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# What runs on real dma-bufs, as root: the examples, then the tests. The status is the tests' unless that is 0.
#
#   scripts/lib/device-tier.sh RESULTS TEST_COMMAND...
set -uo pipefail
results="$1"
shift

examples=0
scripts/examples.sh run "$results/device-examples.counts" || examples=$?
"$@" || exit
exit "$examples"
