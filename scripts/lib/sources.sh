# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Shared by the checks; sourced from the repository's root.

# The project's files, NUL-separated: what git knows and what is about to be added.
project_files() { git ls-files -z --cached --others --exclude-standard -- "$@" | existing; }

# Deleted but not yet committed files are still listed by git.
existing() {
  local file
  while IFS= read -r -d '' file; do [ ! -f "$file" ] || printf '%s\0' "$file"; done
}

swift_sources() { project_files '*.swift'; }
