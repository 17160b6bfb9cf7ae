#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Random operations of everything on several threads against a holder map, optimised.
#
#   MINUTES=10 scripts/soak.sh
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib/common.sh
. "$(dirname "$0")/lib/common.sh"
cd "$(repo_root)"
scripts/install-deps.sh build
say "swift build -c release --product DevmemStorm"
swift build -c release --product DevmemStorm >&2
exec "$(swift build -c release --show-bin-path)/DevmemStorm" soak "$((${MINUTES:-1} * 60))"
