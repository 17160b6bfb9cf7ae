#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The headers of the C targets are C for C++ too: who builds with C++ interoperability gets every module's
# headers compiled as C++, and would look for functions with mangled names.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=../lib/common.sh
. scripts/lib/common.sh
folder="$(mktemp -d "${TMPDIR:-/tmp}/headers.XXXXXX")"
trap 'rm -rf "$folder"' EXIT
# Beside swift there is a clang.
compiler="$(dirname "$(command -v swift)")/clang++"
[ -x "$compiler" ] || compiler="$(command -v clang++ || command -v c++)" || die "no C++ compiler"
status=0
for header in CSystemShims/include/*.h Sources/*/include/*.h; do
  # Every function's address is taken; what they are called tells.
  {
    printf '#include "%s"\n' "$PWD/$header"
    echo 'void *used[] = {'
    sed -nE 's/^(extern )?[a-z].*[ *](c[a-z]+_[a-z0-9_]+)\(.*/  (void *)\2,/p' "$header" | grep -v 'static' || true
    echo '};'
  } >"$folder/header.cpp"
  if ! "$compiler" -std=c++17 -c -ICSystemShims/include "$folder/header.cpp" -o "$folder/header.o"; then
    echo "$header does not compile as C++"
    status=1
  elif nm -u "$folder/header.o" | grep '_Z'; then
    echo "$header declares functions that C++ mangles"
    status=1
  fi
done
exit "$status"
