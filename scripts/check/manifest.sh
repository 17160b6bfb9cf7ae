#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A package with unsafe flags cannot be depended upon. Every Swift target is compiled in language mode 6, with strict
# memory safety, and warnings are errors. No library needs another package, nor liburing.
set -euo pipefail
swift package dump-package | python3 scripts/check/manifest.py
