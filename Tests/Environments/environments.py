#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs devmemctl in a matrix of environments and compares with the table beside this file.

usage: environments.py DEVMEMCTL [--only ENVIRONMENT]

Every cell has an expectation. A crash, a hang, or exit status 0 without the result is wrong whatever the
table says. An environment that this machine cannot make is printed as such and counts as wrong, unless the
table says which privilege it takes ("root", "userns", "cgroup") and that is not there: then it is listed at the end.
"""
import ctypes
import json
import os
import pathlib
import re
import shlex
import shutil
import struct
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
LIMIT = 120

# Commands of the columns, and what standard output has to be where they end with 0.
COMMANDS = {
    "doctor": (["doctor", "--json"], "json"),
    # As large as the default one's buffer, about which the doctor speaks.
    "demo": (["demo", "--bytes", "64M", "--json"], "digest"),
    "stand-in": (["demo", "--exporter", "memory-file", "--bytes", "4M", "--json"], "digest"),
    "large": (["demo", "--exporter", "memory-file", "--bytes", "64M", "--json"], "digest"),
    "list": (["netdev", "list"], "text"),
    "cases": (["--version"], "text"),
}


def refuse_calls(numbers, error):
    """A filter of system calls for this process and what it starts (seccomp(2))."""
    program = [(0x20, 0, 0, 0)]
    for number in numbers:
        program += [(0x15, 0, 1, number), (0x06, 0, 0, 0x00050000 | error)]
    program.append((0x06, 0, 0, 0x7FFF0000))
    code = b"".join(struct.pack("HBBI", *line) for line in program)
    buffer = ctypes.create_string_buffer(code, len(code))
    head = struct.pack("HxxxxxxQ", len(program), ctypes.addressof(buffer))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(38, 1, 0, 0, 0) != 0 or libc.prctl(22, 2, head, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


def filtered(numbers):
    return lambda: refuse_calls(numbers, 1)


def shell(text):
    """A command line of a shell around the tool, which is "$@"."""
    return lambda tool, arguments: ["sh", "-c", text, "sh", tool, *arguments]


# A control group with 32 MiB of memory, of either version; gone afterwards.
LITTLE_MEMORY = """
root=/sys/fs/cgroup limit=memory.max
if [ -f $root/cgroup.controllers ]; then echo +memory >$root/cgroup.subtree_control
else root=$root/memory limit=memory.limit_in_bytes; fi
group=$root/devmem-$$
mkdir $group && echo 33554432 >$group/$limit && echo $$ >$group/cgroup.procs || exit 99
"$@"
status=$?
echo $$ >$root/cgroup.procs && rmdir $group
exit $status
"""

# name: (how to start it, what to do in the child first, privilege that it takes)
ENVIRONMENTS = {
    "plain": (None, None, ""),
    "unprivileged": (
        lambda tool, arguments: [
            "setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "--", tool, *arguments],
        None, "root"),
    "no-network": (shell('exec unshare -rn "$@"'), None, "userns"),
    "no-proc": (shell('exec unshare -rm sh -c \'mount -t tmpfs none /proc && exec "$@"\' sh "$@"'), None,
                "userns"),
    "no-sys": (shell('exec unshare -rm sh -c \'mount -t tmpfs none /sys && exec "$@"\' sh "$@"'), None,
               "userns"),
    # get_mempolicy, set_mempolicy, mbind, move_pages, as container runtimes have it.
    "seccomp-numa": (None, filtered([239, 238, 237, 279]), ""),
    "seccomp-membarrier": (None, filtered([324]), ""),
    "few-files": (shell('ulimit -n 15; exec "$@"'), None, ""),
    "no-files": (shell('ulimit -n 6; exec "$@"'), None, ""),
    "small-files": (shell('ulimit -f 2048; exec "$@"'), None, ""),
    "little-address-space": (shell('ulimit -v 400000; exec "$@"'), None, ""),
    "little-memory": (shell(LITTLE_MEMORY), None, "cgroup"),
    "no-locked-memory": (shell('ulimit -l 0; exec "$@"'), None, ""),
    "read-only-home": (shell('HOME=/proc exec "$@"'), None, ""),
    "no-environment": (lambda tool, arguments: ["env", "-i", tool, *arguments], None, ""),
    "turkish": (shell('LC_ALL=tr_TR.UTF-8 LANG=tr_TR.UTF-8 exec "$@"'), None, ""),
    "unknown-locale": (shell('LC_ALL=xx_YY.ISO-8859-99 exec "$@"'), None, ""),
    "full-disk": (shell('exec "$@" >/dev/full'), None, ""),
    "closed-input": (shell('exec "$@" <&-'), None, ""),
    "closed-output": (shell('exec "$@" >&-'), None, ""),
    "closed-error": (shell('exec "$@" 2>&-'), None, ""),
    "closed-all": (shell('exec "$@" <&- >&- 2>&-'), None, ""),
    "blanks": ("copy", None, ""),
}


def may(privilege):
    if privilege == "root":
        return os.geteuid() == 0 and shutil.which("setpriv") is not None
    if privilege == "cgroup":
        root = pathlib.Path("/sys/fs/cgroup")
        return os.geteuid() == 0 and any(
            (path / name).exists() and os.access(path, os.W_OK)
            for path, name in ((root, "cgroup.controllers"), (root / "memory", "memory.usage_in_bytes")))
    if privilege == "userns":
        return subprocess.run(["unshare", "-rnm", "true"], capture_output=True, check=False).returncode == 0
    return True


def read_table():
    table = {}
    for line in (HERE / "expected.txt").read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        environment, command, status, pattern = re.split(r"\s+", line, maxsplit=3)
        table[environment, command] = (status, pattern)
    return table


def run(tool, name, command, folder):
    start, before, _ = ENVIRONMENTS[name]
    arguments, kind = COMMANDS[command]
    cwd = None
    if start == "copy":
        cwd = folder / "a folder with blänks"
        cwd.mkdir(exist_ok=True)
        shutil.copy(tool, cwd / "devmem ctl")
        line = [str(cwd / "devmem ctl"), *arguments]
    elif start is None:
        line = [tool, *arguments]
    else:
        line = start(tool, arguments)
    try:
        done = subprocess.run(line, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LIMIT,
                              preexec_fn=before, cwd=cwd, check=False)
    except subprocess.TimeoutExpired:
        return "hang", f"no end within {LIMIT} s: {shlex.join(line)}"
    if done.returncode < 0 or done.returncode >= 128:
        return f"signal {abs(done.returncode)}", done.stderr
    if done.returncode == 0:
        try:
            lines = done.stdout.splitlines()
            if kind == "digest":
                found = json.loads(lines[-1])
                assert found["sha256Sent"] == found["sha256SeenByImporter"]
            elif kind == "json":
                json.loads(lines[-1])
            else:
                assert lines
        except (AssertionError, IndexError, KeyError, ValueError):
            return "0 without the result", done.stdout + done.stderr
    return str(done.returncode), done.stdout + done.stderr


def main():
    tool = str(pathlib.Path(sys.argv[1]).resolve())
    only = sys.argv[3] if len(sys.argv) > 3 and sys.argv[2] == "--only" else None
    table = read_table()
    wrong, left_out = [], []
    width = max(map(len, ENVIRONMENTS))
    print(" " * width + "  " + "  ".join(f"{command:10}" for command in COMMANDS))
    with tempfile.TemporaryDirectory(prefix="devmem-environments.") as name:
        os.chmod(name, 0o755)
        for environment, (_, _, privilege) in ENVIRONMENTS.items():
            if only not in (None, environment):
                continue
            if not may(privilege):
                left_out.append(f"{environment} takes {privilege}")
                continue
            cells, verdicts = [], {}
            for command in COMMANDS:
                expected = table.get((environment, command))
                status, text = run(tool, environment, command, pathlib.Path(name))
                verdicts[command] = status
                good = expected is not None and status in expected[0].split("|") and (
                    status == "0" or expected[1] == "-" or re.search(expected[1], text) is not None)
                cells.append(f"{status + ('' if good else ' WRONG'):10}")
                if not good:
                    wrong.append(f"{environment} {command}: {status}, expected {expected}:\n{text[-600:]}")
            if verdicts.get("doctor") != verdicts.get("demo"):
                wrong.append(f"{environment}: the doctor says {verdicts['doctor']}, the demo {verdicts['demo']}")
            print(f"{environment:{width}}  " + "  ".join(cells), flush=True)
    for line in left_out:
        print(f"left out: {line}")
    for line in wrong:
        print(f"wrong: {line}")
    print(f"{len(wrong)} wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
