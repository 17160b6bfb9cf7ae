#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Runs COMMAND as root in a virtual machine with a current Debian kernel on this machine's own
# files: /dev/udmabuf, dma-heap, vgem, two NUMA nodes and 2 MiB huge pages are there. The command's
# output and exit status are passed through; neither a terminal nor standard input is needed.
#
#   scripts/vm-run.sh [OPTIONS] -- COMMAND [ARGUMENTS...]
#
#   --rw DIR          what is written below DIR stays; elsewhere writes are lost or refused
#                     (may be repeated)
#   --near FILE       a copy of it in the machine's memory lies over it: for what many processes load, to which the
#                     files of this machine are far away (may be repeated)
#   --hugepages N     2 MiB huge pages to reserve, half on each node        (default 320)
#   --memory MIB      memory of the machine, half on each node              (default 4096)
#   --cpus N          processors, half on each node                         (default 2)
#   --timeout SECONDS end the machine when COMMAND takes longer             (default 900)
#   --icount          a clock that ticks one nanosecond for each instruction of the guest: exact and
#                     repeatable counts where times would mean nothing; always emulated, slower
#   --append OPTIONS  for the kernel's command line
#   --verbose         show the kernel's messages
#
# Exit status: COMMAND's own; 124 when it took too long; 125 when the machine failed. The
# environment of COMMAND is the caller's PATH, HOME and LANG; for more: -- env NAME=VALUE COMMAND.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib/common.sh
. "$(dirname "$0")/lib/common.sh"
scripts="$(cd "$(dirname "$0")" && pwd -P)"
here="$PWD"

usage() { sed -n '3,/^set -e/{/^set -e/d;s/^# \{0,1\}//;p}' "$0"; }

fail() {
  printf 'error: %s\n' "$*" >&2
  exit 125
}

rw=() near=() hugepages=320 memory=4096 cpus=2 limit=900 verbose=0 icount=0 kernel_options=()
# Software emulation on a loaded machine; a healthy boot takes 10 s.
boot_limit=300
while [ $# -gt 0 ]; do
  case "$1" in
    --rw | --near | --hugepages | --memory | --cpus | --timeout | --append)
      [ $# -ge 2 ] || fail "$1 needs a value"
      case "$1" in
        --rw) rw+=("$(cd "$2" && pwd -P)") || fail "--rw: no folder $2" ;;
        --near)
          [ -f "$2" ] || fail "--near: no file $2"
          near+=("$(realpath "$2")")
          ;;
        --append) kernel_options=(--append "$2") ;;
        *)
          [[ "$2" =~ ^[0-9]+$ ]] || fail "$1 needs a number, not '$2'"
          case "$1" in
            --hugepages) hugepages="$2" ;;
            --memory) memory="$2" ;;
            --cpus) cpus="$2" ;;
            --timeout) limit="$2" ;;
          esac
          ;;
      esac
      shift 2
      ;;
    --icount) icount=1 && shift ;;
    --verbose) verbose=1 && shift ;;
    --help | -h) usage && exit 0 ;;
    --) shift && break ;;
    *) fail "unknown option $1; see $0 --help" ;;
  esac
done
[ $# -gt 0 ] || fail "no command given; see $0 --help"
[ "$cpus" -ge 2 ] || fail "--cpus must be at least 2, one for each node"

for tool in qemu-system-x86_64 busybox modprobe python3 file; do
  PATH="$PATH:/usr/sbin:/sbin" command -v "$tool" >/dev/null ||
    fail "$tool is missing: $scripts/install-deps.sh vm"
done
kernel="$("$scripts/vm-kernel.sh")" || exit 125
tools="$("$scripts/vm-tools.sh")" || exit 125
cache="$(cache_dir)"

# virtme-ng splits what it is given at blanks, and the kernel's command line is ASCII: it sees only paths in
# here, which are links to the real ones.
plain_tmp="${TMPDIR:-/tmp}"
[[ "$plain_tmp" =~ ^[A-Za-z0-9/._-]+$ ]] || plain_tmp=/tmp
share="$(mktemp -d "$plain_tmp/devmem-vm.XXXXXX")" || fail "cannot make a folder in $plain_tmp"
links="$(mktemp -d "$plain_tmp/devmem-vm.XXXXXX")" || fail "cannot make a folder in $plain_tmp"
ln -s "$kernel" "$links/kernel"
ln -s "$tools" "$links/tools"
# Where it finds its own files, whose paths the kernel gets as well.
ln -s "$(echo "$tools"/../lib/python3*/site-packages)" "$links/modules"
log="$share/kernel.log"
machine=""

stop_machine() {
  [ -n "$machine" ] || return 0
  # The machine has a session, and so a process group, of its own.
  kill -TERM -- "-$machine" 2>/dev/null || true
  for _ in 1 2 3 4 5 6 7 8 9 10; do
    kill -0 -- "-$machine" 2>/dev/null || break
    sleep 0.1
  done
  kill -KILL -- "-$machine" 2>/dev/null || true
  wait "$machine" 2>/dev/null || true
  machine=""
}

# shellcheck disable=SC2317  # reached by the trap
cleanup() {
  stop_machine
  rm -rf "$share" "$links"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# Keeps the kernel's messages where they survive this run, and says where.
keep_log() {
  if ! mkdir -p "$cache/logs" 2>/dev/null || [ ! -w "$cache/logs" ]; then
    say "the virtual machine's kernel messages cannot be kept in $cache/logs; their end:"
    tail -n 40 "$log" >&2 || true
    return 0
  fi
  # The ten newest are enough.
  keep_newest 9 "$cache/logs" '*.log'
  local kept
  kept="$cache/logs/$(date +%Y%m%d-%H%M%S)-$$.log"
  cp "$log" "$kept" 2>/dev/null || return 0
  say "the virtual machine's kernel messages are in $kept"
}

# boot FOLDER SECONDS VNG_OPTIONS...: starts the machine, which runs FOLDER/command.
boot() {
  local folder="$1" seconds="$2" half_memory=$((memory / 2)) half_cpus=$((cpus / 2)) options=() dir
  shift 2
  # Mounted in the guest, where a shell can quote; see vm-guest.sh.
  for dir in "${rw[@]}"; do
    ln -sfn "$dir" "$links/rw${#options[@]}"
    options+=("--rwdir=/run/devmem-rw${#options[@]}=$links/rw${#options[@]}")
  done
  # `timeout` ends the machine even when this script dies without a chance to clean up.
  cd "$share"
  PYTHONPATH="$links/modules" PATH="$links/tools:$PATH:/usr/sbin:/sbin" setsid timeout --kill-after=5 "$seconds" \
    vng --run "$links/kernel/vmlinuz" --user root --verbose --disable-microvm --force-9p "$@" \
    --append "tsc=unstable" --cpus "$cpus" --memory "$((half_memory * 2))M" \
    --numa "${half_memory}M,cpus=0-$((half_cpus - 1))" \
    --numa "${half_memory}M,cpus=${half_cpus}-$((cpus - 1))" "${kernel_options[@]}" \
    --rwdir "/run/devmem=$folder" "${options[@]}" \
    -- "exec /run/devmem/guest.sh /run/devmem" </dev/null >"$folder/kernel.log" 2>&1 &
  machine=$!
  cd "$here"
}

# write_job FOLDER COMMAND...: everything that the guest reads.
write_job() {
  local folder="$1" name
  shift
  cp "$scripts/vm-guest.sh" "$folder/guest.sh"
  chmod +x "$folder/guest.sh"
  : >"$folder/stdout"
  : >"$folder/stderr"
  {
    echo "hugepages=$hugepages"
    printf 'rw=('
    [ "${#rw[@]}" -eq 0 ] || printf ' %q' "${rw[@]}"
    printf ' )\nnear=('
    [ "${#near[@]}" -eq 0 ] || printf ' %q' "${near[@]}"
    echo ' )'
  } >"$folder/settings"
  {
    for name in PATH HOME LANG; do
      [ -z "${!name:-}" ] || printf 'export %s=%q\n' "$name" "${!name}"
    done
    printf 'cd %q || exit 125\n' "$PWD"
    printf 'exec env --'
    printf ' %q' "$@"
    echo
  } >"$folder/command"
}

# A /dev/kvm can be there and still not run a stock kernel, so it is tried once for each pair of
# host and guest kernel, and the answer is remembered. Sets `accelerator`.
accelerator="--disable-kvm" emulation=()
kvm_answer="$cache/kvm-$(uname -r)-$(cat "$kernel/version")"
kvm_failed_now=0
choose_accelerator() {
  local trial="$share/trial" options=("${rw[@]}")
  [ "$icount" = 0 ] || return 0
  [ -r /dev/kvm ] && [ -w /dev/kvm ] || return 0
  if [ ! -e "$kvm_answer" ]; then
    say "trying /dev/kvm with a short boot"
    mkdir "$trial"
    rw=()
    hugepages=0 write_job "$trial" true
    boot "$trial" 25
    wait "$machine" 2>/dev/null || true
    stop_machine
    rw=("${options[@]}")
    if [ "$(cat "$trial/status" 2>/dev/null)" = 0 ]; then
      remember_kvm works
    else
      kvm_failed_now=1
      say "/dev/kvm does not run this kernel; using software emulation"
      return 0
    fi
  fi
  [ "$(cat "$kvm_answer" 2>/dev/null)" != works ] || accelerator=""
}

# A cache that cannot be written costs a trial boot each time, and no more.
remember_kvm() {
  { echo "$1" >"$kvm_answer.$$" && mv "$kvm_answer.$$" "$kvm_answer"; } 2>/dev/null ||
    say "cannot note in $cache what became of the trial"
}

# Up to 8.0, QEMU lets one emulated processor translate code while another writes to it, and keeps what was
# translated: a breakpoint that the kernel sets while it patches its own text, and that is long gone, ends in a panic
# ("int3"). Where all processors take turns in one thread, none of them writes meanwhile; see docs/testing.md. It takes
# twice the time where both are busy; scripts/install-deps.sh brings a newer one where there is one.
choose_emulation() {
  if [ "$icount" = 1 ]; then
    emulation=(--qemu-opts="-icount shift=0")
  elif [ -n "$accelerator" ] && ! printf '%s\n' 8.1 "$(qemu_version)" | sort -V -C; then
    emulation=(--qemu-opts="-accel tcg,thread=single")
  fi
}

choose_accelerator
choose_emulation
write_job "$share" "$@"

# Boots the machine and follows it until COMMAND has ended, or the time is up. Sets `verdict`.
verdict="" verdict_status=124
run_machine() {
  local begin=$SECONDS booted=0 follow_stdout follow_stderr
  # shellcheck disable=SC2086
  boot "$share" "$((limit + boot_limit))" $accelerator "${emulation[@]}"

  # The guest appends to plain files in the shared folder; these follow them until the machine is
  # gone.
  tail -q -c +1 -s 0.1 -f --pid="$machine" "$share/stdout" &
  follow_stdout=$!
  tail -q -c +1 -s 0.1 -f --pid="$machine" "$share/stderr" >&2 &
  follow_stderr=$!
  if [ "$verbose" = 1 ]; then tail -q -c +1 -s 0.1 -f --pid="$machine" "$log" >&2 & fi

  # The clock starts when the machine is switched on and again when it has booted.
  while kill -0 "$machine" 2>/dev/null && [ ! -e "$share/status" ]; do
    if [ "$booted" = 0 ] && [ -e "$share/started" ]; then
      booted=1 begin=$SECONDS
    elif [ "$booted" = 0 ] && [ $((SECONDS - begin)) -ge "$boot_limit" ]; then
      verdict="the virtual machine did not boot within $boot_limit s" verdict_status=125
      break
    elif [ "$booted" = 1 ] && [ $((SECONDS - begin)) -ge "$limit" ]; then
      verdict="the command did not end within $limit s (more: $0 --timeout SECONDS)"
      break
    fi
    sleep 0.1
  done
  # With the status written only the power-off is left, which must not be waited for.
  sleep 0.2
  stop_machine
  wait "$follow_stdout" "$follow_stderr" 2>/dev/null || true
}

run_machine
# An emulated kernel panics now and then while it boots, before it has run anything of ours.
if [ -z "$verdict" ] && [ ! -e "$share/started" ] && [ ! -e "$share/status" ]; then
  keep_log
  say "the virtual machine ended while booting; trying once more"
  write_job "$share" "$@"
  run_machine
fi

# Only a boot without it shows that it was /dev/kvm's fault.
if [ "$kvm_failed_now" = 1 ] && [ -e "$share/started" ]; then remember_kvm fails; fi

if [ -n "$verdict" ]; then
  keep_log
  printf 'error: %s\n' "$verdict" >&2
  exit "$verdict_status"
elif [ ! -e "$share/status" ]; then
  tail -n 20 "$log" >&2
  keep_log
  fail "the virtual machine ended without running the command; its last messages are above"
fi
status="$(cat "$share/status")"
[ "$status" -eq 0 ] || keep_log
exit "$status"
