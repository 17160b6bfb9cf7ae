#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Builds this library's side of the comparisons, as another package's optimised build has it, and
# prints the program's path.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=../../scripts/lib/common.sh
. "$(dirname "$0")/../../scripts/lib/common.sh"
cd "$(repo_root)"
package=Benchmarks/Peers/Ours
scratch=.build/peers
say "building $package"
forget_plan "$scratch"
# Static, so that a run under valgrind starts in half a second; without debug information, which
# older valgrinds cannot read.
output="$(swift build --quiet -c release --static-swift-stdlib -debug-info-format none \
  --package-path "$package" --scratch-path "$scratch" --product ours 2>&1)" || {
  printf '%s\n' "$output" >&2
  die "$package does not build; see above"
}
realpath "$scratch/release/ours"
