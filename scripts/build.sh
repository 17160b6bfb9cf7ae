#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Builds; everything it says goes to standard error.
#
#   scripts/build.sh debug     all targets and the tests, with the import check of `make check`
#   scripts/build.sh release   devmemctl with the Swift runtime linked in: it starts faster in the
#                              virtual machine, whose files arrive over a slow protocol
#   scripts/build.sh bench     devmem-bench, optimised
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib/common.sh
. "$(dirname "$0")/lib/common.sh"
cd "$(repo_root)"
scripts/install-deps.sh build

case "${1:-debug}" in
  debug) options=(--build-tests --explicit-target-dependency-import-check error) ;;
  # Run as root, it must not load what somebody has put beside it: no RUNPATH.
  release) options=(-c release --static-swift-stdlib --disable-local-rpath --product devmemctl) ;;
  bench) options=(-c release --static-swift-stdlib --product devmem-bench) ;;
  *) die "unknown configuration $1; there are: debug release bench" ;;
esac
say "swift build ${options[*]}"
if [ -t 2 ]; then
  swift build "${options[@]}" >&2
else
  # A log gets only what went wrong: with warnings as errors, a build that succeeded has nothing to
  # say.
  output="$(swift build --quiet "${options[@]}" 2>&1)" || {
    printf '%s\n' "$output" >&2
    die "the build failed; see above"
  }
fi
