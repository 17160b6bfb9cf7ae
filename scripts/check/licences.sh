#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Every source file and script says its licence: in line 1, after the line that must come first
# where there is one (#!, swift-tools-version). A kernel module is under the kernel's.
set -euo pipefail
. scripts/lib/sources.sh

status=0
while IFS= read -r -d '' file; do
  licence=Apache-2.0
  case "$file" in Tests/KernelModules/*/*) licence=GPL-2.0 ;; esac
  if ! head -n 2 "$file" | grep -q "SPDX-License-Identifier: $licence"; then
    echo "$file: no licence header; line 1 should be: SPDX-License-Identifier: $licence (as a comment)"
    status=1
  fi
done < <(project_files '*.swift' '*.c' '*.h' '*.modulemap' '*.sh' '*.py' '*.yml' '*.yaml' '*Kbuild' Makefile .ci/run)
exit "$status"
