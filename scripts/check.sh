#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Runs every rule of scripts/check/, or only those named, and counts what failed.
#
#   scripts/check.sh [RULE...]
set -uo pipefail
# shellcheck source-path=SCRIPTDIR source=lib/common.sh
. "$(dirname "$0")/lib/common.sh"
cd "$(repo_root)" || exit 1
scripts/install-deps.sh build check || exit 1

# From quick to slow, so that a mistake shows early.
rules=("$@")
[ "${#rules[@]}" -gt 0 ] || rules=(licences words glossary format shaders scripts headers imports manifest build surface samples docs articles runpath hotpath)
failed=()
for rule in "${rules[@]}"; do
  if bash "scripts/check/$rule.sh"; then
    printf 'check %-9s ok\n' "$rule"
  else
    printf 'check %-9s FAILED\n' "$rule"
    failed+=("$rule")
  fi
done
if [ "${#failed[@]}" -gt 0 ]; then
  printf 'error: failed: %s; one alone: scripts/check.sh %s\n' "${failed[*]}" "${failed[0]}" >&2
  exit 1
fi
