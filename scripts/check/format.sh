#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
set -euo pipefail
. scripts/lib/sources.sh

swift_sources | xargs -0 swift format lint --strict --parallel || {
  echo "most of it is repaired by: make fmt"
  exit 1
}
