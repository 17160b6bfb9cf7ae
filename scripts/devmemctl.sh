#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Builds devmemctl and runs it where it can work: a subcommand that needs a real dma-buf goes into
# the virtual machine when this machine has no /dev/udmabuf. Standard output is devmemctl's alone.
#
#   scripts/devmemctl.sh SUBCOMMAND [ARGUMENTS...]
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib/common.sh
. "$(dirname "$0")/lib/common.sh"
root="$(repo_root)"
subcommand="${1:?name a subcommand: demo, doctor, ...}"

"$root/scripts/build.sh" release
binary="$root/.build/release/devmemctl"

# What asks for no device: looking at this machine, reading the help, the memory-file stand-in.
needs_device() {
  case "$subcommand" in
    demo) ;;
    *) return 1 ;;
  esac
  local previous=""
  for argument in "$@"; do
    case "$previous $argument" in
      *" --help" | *" -h" | "--exporter memory-file" | *" --exporter=memory-file") return 1 ;;
    esac
    previous="$argument"
  done
  return 0
}

if ! needs_device "$@"; then
  exec "$binary" "$@"
elif [ -c /dev/udmabuf ]; then
  if [ -r /dev/udmabuf ] && [ -w /dev/udmabuf ]; then exec "$binary" "$@"; fi
  prefix="$(root_prefix)" ||
    die "/dev/udmabuf is not open to you; run: sudo $binary $*" \
      "(or join its group: sudo usermod -aG kvm \$USER)"
  # shellcheck disable=SC2086
  exec $prefix "$binary" "$@"
else
  say "no /dev/udmabuf on Linux $(uname -r): running in a virtual machine"
  "$root/scripts/install-deps.sh" vm
  exec "$root/scripts/vm-run.sh" --timeout 3600 -- "$binary" "$@"
fi
