#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# One word for one thing: what the glossary says against the names in the sources.
set -euo pipefail
exec python3 -B scripts/lib/glossary.py
