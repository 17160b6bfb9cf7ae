#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A package with unsafe flags cannot be depended upon.
set -euo pipefail

if grep -n 'unsafeFlags' Package.swift; then
  echo "Package.swift: unsafeFlags makes the package unusable as a dependency; use a named setting"
  exit 1
fi
