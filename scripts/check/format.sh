#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
set -euo pipefail
. scripts/lib/sources.sh

# Comments and strings, too, which the formatter leaves as they are; in characters, not bytes.
long="$(project_files '*.swift' '*.c' '*.h' |
  LC_ALL=C.UTF-8 xargs -0 grep -nE '^.{101}' /dev/null)" && {
  echo "$long"
  echo "longer than 100 columns: see above"
  exit 1
}

swift_sources | xargs -0 swift format lint --strict --parallel || {
  echo "most of it is repaired by: make fmt"
  exit 1
}
