#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# No file names the folders of whoever wrote it, and no text of the library and the tool a file or a
# target of this repository: who gets to read it has neither.
set -euo pipefail
. scripts/lib/sources.sh

# Each pattern has a bracket so that it does not match itself.
if project_files . | xargs -0 grep -nIE '(^|[^A-Za-z0-9_.-])/(wor[k]|hom[e]/[a-z]|User[s]/[a-z]|roo[t]/[a-z.]|tm[p]/wt)/' /dev/null; then
  echo "these lines name one machine's folders; write a relative path or a variable"
  exit 1
fi

# What stands in quotes, outside of comments.
if project_files 'Sources/*.swift' | xargs -0 grep -nE '^[^/]*"[^"]*((make (demo|test|build|bench|doctor|docs|check|fmt)[^a-z])|(make (demo|test|build|bench|doctor|docs|check|fmt)")|scripts/|Tests/|Examples/|Benchmarks/|docs/)' /dev/null; then
  echo "these texts name files or targets of this repository, which their readers do not have"
  exit 1
fi
