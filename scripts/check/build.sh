#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Builds everything with the package manager's own check that a target imports only what it
# declares. The tests use the same build.
set -euo pipefail
scripts/build.sh debug
