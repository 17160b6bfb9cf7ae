#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# No file names the folders of whoever wrote it.
set -euo pipefail
. scripts/lib/sources.sh

# Each pattern has a bracket so that it does not match itself.
if project_files . | xargs -0 grep -nIE '(^|[^A-Za-z0-9_.-])/(wor[k]|hom[e]/[a-z]|User[s]/[a-z]|roo[t]/[a-z.]|tm[p]/wt)/' /dev/null; then
  echo "these lines name one machine's folders; write a relative path or a variable"
  exit 1
fi
