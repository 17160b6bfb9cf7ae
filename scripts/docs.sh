#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# The modules' documentation as one site in .build/docs, which any web server can show; the last line is the command
# of one that is there. Needs no network once the packages are resolved.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib/common.sh
. "$(dirname "$0")/lib/common.sh"
cd "$(repo_root)"
scripts/build.sh debug
say "docc convert, docc merge"
bash scripts/check/docs.sh >&2 || die "the documentation has mistakes; see above"
echo "the documentation is in .build/docs; to read it at http://localhost:8000/ run:"
echo "  python3 -m http.server --bind 127.0.0.1 --directory .build/docs 8000"
