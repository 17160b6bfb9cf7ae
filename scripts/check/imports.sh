#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Import directions: imports.txt says what each target may import. Dependencies that the package
# manager allows but the layering does not (Foundation, Glibc) are caught here.
set -euo pipefail

status=0
declared=" "
while read -r target allowed; do
  case "$target" in '' | '#'*) continue ;; esac
  declared+="$target "
  [ "$allowed" != '*' ] || continue
  while IFS=: read -r file line text; do
    module="$(sed -E 's/^.*import +((typealias|struct|class|enum|protocol|let|var|func) +)?([A-Za-z_0-9]+).*/\3/' <<<"$text")"
    case " $allowed " in
      *" $module "*) ;;
      *)
        echo "$file:$line: $target may not import $module; allowed: $allowed (scripts/check/imports.txt)"
        status=1
        ;;
    esac
  done < <(grep -rnE --include='*.swift' \
    '^[[:space:]]*(@[A-Za-z_]+(\([^)]*\))?[[:space:]]+)*((public|package|internal|fileprivate|private)[[:space:]]+)?import[[:space:]]' \
    "Sources/$target" || true)
done <scripts/check/imports.txt

for folder in Sources/*/; do
  target="$(basename "$folder")"
  if compgen -G "$folder*.swift" >/dev/null && [[ "$declared" != *" $target "* ]]; then
    echo "scripts/check/imports.txt: no line for $target"
    status=1
  fi
done
exit "$status"
