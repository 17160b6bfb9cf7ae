#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The SPIR-V that is committed is what the shaders give.
set -euo pipefail
scripts/shaders.sh --check
