#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source-path=SCRIPTDIR source=lib/sources.sh
. scripts/lib/sources.sh
swift_sources | xargs -0 swift format format --in-place --parallel
