#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs devmemctl and the examples in a matrix of environments and compares with the table beside this file.

usage: environments.py DEVMEMCTL [--examples FOLDER] [--only ENVIRONMENT,...] [--commands COMMAND,...] [--counts FILE]

Every cell has an expectation. A crash, a hang, or exit status 0 without the result is wrong whatever the
table says. An environment that this machine cannot make is printed as such and counts as wrong, unless the
table says which privilege it takes ("root", "userns", "cgroup", "cgroup2") and that is not there: then it is
listed at the end.

Where the software NIC is up (Tests/KernelModules/devmemsim.sh), recv and send move bytes over it, with a plain
TCP program at its other end; elsewhere they are refused.
"""
import argparse
import ctypes
import hashlib
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

# Whether this is a machine with everything: a software NIC, and so real exporters as well.
CARD = "dmsim0" if os.path.exists("/sys/class/net/dmsim0") else "lo"
IS_COMPLETE = CARD != "lo"
PEER_NAMESPACE = ["ip", "netns", "exec", "dmsim-peer"]
PATTERN = (bytes(range(1, 7)) + b"\n") * ((1 << 20) // 7 + 1)
PATTERN = PATTERN[:1 << 20]
DIGEST = hashlib.sha256(PATTERN).hexdigest()

# Commands of the columns, and what standard output has to be where they end with 0.
COMMANDS = {
    "doctor": (["doctor", "--json"], "json"),
    # As large as the default one's buffer, about which the doctor speaks.
    "demo": (["demo", "--bytes", "64M", "--json"], "digest"),
    "stand-in": (["demo", "--exporter", "memory-file", "--bytes", "4M", "--json"], "digest"),
    "large": (["demo", "--exporter", "memory-file", "--bytes", "64M", "--json"], "digest"),
    "huge": (["demo", "--exporter", "memory-file", "--page-size", "2M", "--bytes", "8M", "--json"], "digest"),
    "list": (["netdev", "list"], "text"),
    "version": (["--version"], "text"),
    "recv": (["recv", "--interface", CARD, "--validate", "--fail-on-linear", "--json"], "transfer"),
    "send": (["send", "10.45.0.2", "--interface", CARD, "--bytes", "1M", "--json", "--connect-timeout", "10"],
             "transfer"),
    "examples": ([], "lines"),
}

# What is at the other end of the wire: a program that knows nothing of device memory.
PEERS = {
    "recv": """
import socket, sys, time
while True:
    try:
        connection = socket.create_connection(("10.45.0.1", 5201))
        break
    except OSError:
        time.sleep(0.05)
connection.sendall(((bytes(range(1, 7)) + b"\\n") * 149797)[:1 << 20])
connection.shutdown(socket.SHUT_WR)
connection.recv(1)
""",
    "send": """
import hashlib, socket
listener = socket.create_server(("10.45.0.2", 5201))
print("listening", flush=True)
connection = listener.accept()[0]
digest = hashlib.sha256()
while piece := connection.recv(65536):
    digest.update(piece)
print(digest.hexdigest(), flush=True)
""",
}


def install_filter(program):
    """A filter of system calls for this process and what it starts (seccomp(2))."""
    code = b"".join(struct.pack("HBBI", *line) for line in program)
    buffer = ctypes.create_string_buffer(code, len(code))
    head = struct.pack("HxxxxxxQ", len(program), ctypes.addressof(buffer))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(38, 1, 0, 0, 0) != 0 or libc.prctl(22, 2, head, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


def refuse_calls(numbers, error):
    program = [(0x20, 0, 0, 0)]
    for number in numbers:
        program += [(0x15, 0, 1, number), (0x06, 0, 0, 0x00050000 | error)]
    install_filter(program + [(0x06, 0, 0, 0x7FFF0000)])


def refuse_ipv6():
    """What a kernel with ipv6.disable=1 answers: socket(AF_INET6, …) is EAFNOSUPPORT."""
    install_filter([(0x20, 0, 0, 0), (0x15, 0, 3, 41), (0x20, 0, 0, 16), (0x15, 0, 1, 10),
                    (0x06, 0, 0, 0x00050000 | 97), (0x06, 0, 0, 0x7FFF0000)])


def filtered(numbers, error=1):
    return lambda: refuse_calls(numbers, error)


NUMA_CALLS = [239, 238, 237, 279]  # get_mempolicy, set_mempolicy, mbind, move_pages
# What Docker's default profile refuses to a container without capabilities, of the calls that depend on
# nothing but their number: those for NUMA, and migrate_pages, process_vm_readv, process_vm_writev, kcmp,
# add_key, request_key, keyctl, bpf, userfaultfd, perf_event_open, io_uring_setup, io_uring_enter,
# io_uring_register, setns, unshare, mount, umount2, pivot_root, fsopen, fsmount, move_mount, open_tree,
# name_to_handle_at, open_by_handle_at, fanotify_init, quotactl, acct, syslog, sethostname, setdomainname,
# clock_settime, settimeofday, init_module, finit_module, delete_module, kexec_load, reboot, swapon, swapoff,
# iopl, ioperm, vhangup.
DOCKER_CALLS = NUMA_CALLS + [
    256, 310, 311, 312, 248, 249, 250, 321, 323, 298, 425, 426, 427, 308, 272, 165, 166, 155, 430, 432, 429, 428,
    303, 304, 300, 179, 163, 103, 170, 171, 227, 164, 175, 313, 176, 246, 169, 167, 168, 172, 173, 153]


def shell(text):
    """A command line of a shell around the tool, which is "$@"."""
    return lambda tool, arguments: ["sh", "-c", text, "sh", tool, *arguments]


def control_group(controller, limits, older=""):
    """A control group with limits around the tool, gone afterwards: of version 2, or what `older` says."""
    lines = " && ".join(f"echo {value} >$group/{name}" for name, value in limits.items())
    return shell(f"""
root=/sys/fs/cgroup limits='{lines}'
if [ -f $root/cgroup.controllers ]; then echo +{controller} >$root/cgroup.subtree_control || exit 99
else root=$root/{controller} limits='{older}'; fi
group=$root/devmem-$$
mkdir $group && eval "$limits" && echo $$ >$group/cgroup.procs || exit 99
"$@"
status=$?
echo $$ >$root/cgroup.procs && rmdir $group
exit $status
""")


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
    "seccomp-numa": (None, filtered(NUMA_CALLS), ""),
    # As Docker has it, and as Podman: to a call that it does not know, it says ENOSYS.
    "seccomp-docker": (None, filtered(DOCKER_CALLS), ""),
    "seccomp-podman": (None, filtered(DOCKER_CALLS, 38), ""),
    "no-ipv6": (None, refuse_ipv6, ""),
    "seccomp-membarrier": (None, filtered([324]), ""),
    "few-files": (shell('ulimit -n 15; exec "$@"'), None, ""),
    "no-files": (shell('ulimit -n 6; exec "$@"'), None, ""),
    "small-files": (shell('ulimit -f 2048; exec "$@"'), None, ""),
    "little-address-space": (shell('ulimit -v 400000; exec "$@"'), None, ""),
    "little-memory": (
        control_group("memory", {"memory.max": 32 << 20}, f"echo {32 << 20} >$group/memory.limit_in_bytes"),
        None, "cgroup"),
    # Kubernetes sets the first alone or both.
    "little-hugetlb": (control_group("hugetlb", {"hugetlb.2MB.max": 2 << 20}), None, "cgroup2"),
    "little-reserved": (
        control_group("hugetlb", {"hugetlb.2MB.max": 2 << 20, "hugetlb.2MB.rsvd.max": 2 << 20}), None, "cgroup2"),
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
    if privilege == "cgroup2":
        controllers = pathlib.Path("/sys/fs/cgroup/cgroup.controllers")
        return os.geteuid() == 0 and controllers.exists() and "hugetlb" in controllers.read_text().split()
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
        assert environment == "*" or environment in ENVIRONMENTS, line
        assert command.removesuffix("@all") in COMMANDS, line
        assert (environment, command) not in table, line
        table[environment, command] = (status, pattern)
    return table


def expectation(table, environment, command):
    """What the table says of a cell: its own line before that of all environments, and on a machine with
    everything the line for such a one before the other."""
    names = [command + "@all", command] if IS_COMPLETE else [command]
    for name in (environment, "*"):
        for column in names:
            if (name, column) in table:
                return table[name, column]
    return None


def command_line(tool, start, arguments, folder):
    if start == "copy":
        shutil.copy(tool, folder / "devmem ctl")
        return [str(folder / "devmem ctl"), *arguments]
    return [tool, *arguments] if start is None else start(tool, arguments)


class Peer:
    """The other end of a transfer, where there is a card."""

    def __init__(self, command):
        self.process = None
        if IS_COMPLETE and command in PEERS:
            self.process = subprocess.Popen(
                [*PEER_NAMESPACE, sys.executable, "-c", PEERS[command]], stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE, text=True)
            if command == "send":
                assert self.process.stdout.readline() == "listening\n"

    def end(self, is_success):
        """Waits for it if it has something to say, ends it otherwise, and returns what it said."""
        if self.process is None:
            return ""
        if not is_success:
            self.process.kill()
        return self.process.communicate(timeout=LIMIT)[0].strip()


def check_result(kind, command, lines, said):
    if kind == "digest":
        found = json.loads(lines[-1])
        assert found["sha256Sent"] == found["sha256SeenByImporter"]
    elif kind == "transfer":
        found = json.loads(lines[-1])
        assert found["sha256"] == DIGEST and found["deviceByteCount"] == len(PATTERN)
        assert command != "send" or said == DIGEST
    elif kind == "json":
        json.loads(lines[-1])
    elif kind == "lines":
        assert len(lines) == 1
    else:
        assert lines


def run(tool, name, command, folder):
    """Runs one program in an environment. Returns the status, and what it said."""
    start, before, _ = ENVIRONMENTS[name]
    arguments, kind = COMMANDS[command]
    cwd = None
    if start == "copy":
        cwd = folder / "a folder with blänks"
        cwd.mkdir(exist_ok=True)
    line = command_line(tool, start, arguments, cwd)
    peer = Peer(command)
    # What became of an example is on its last line; the registers of its thread are of no use.
    os.environ["SWIFT_BACKTRACE"] = "enable=no"
    try:
        done = subprocess.run(line, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LIMIT,
                              preexec_fn=before, cwd=cwd, check=False)
    except subprocess.TimeoutExpired:
        peer.end(False)
        return "hang", f"no end within {LIMIT} s: {shlex.join(line)}"
    said = peer.end(done.returncode == 0)
    text = done.stdout + done.stderr
    # An example lets its errors out of its main file, and the runtime ends it; 128 and more are a shell's.
    if kind == "lines" and done.returncode in (-4, -5, 132, 133) and "Error raised at top level" in text:
        return "1", text
    if done.returncode < 0 or done.returncode >= 128:
        return f"signal {abs(done.returncode)}", done.stderr
    if done.returncode == 0 and not (kind == "lines" and name in UNSEEN):
        try:
            check_result(kind, command, done.stdout.splitlines(), said)
        except (AssertionError, IndexError, KeyError, ValueError):
            return "0 without the result", text
    return str(done.returncode), text


# Where nobody sees what an example prints, which does not ask.
UNSEEN = ("full-disk",)


def run_all(tools, name, command, folder):
    """One status for several programs: the first that is not 0."""
    texts = []
    for tool in tools:
        status, text = run(tool, name, command, folder)
        texts.append(f"{pathlib.Path(tool).name}: {text}")
        if status != "0":
            return status, texts[-1]
    return "0", "".join(texts)


def is_good(expected, status, text):
    """Whether a cell is as the table says; "0=" asks for the pattern where the status is 0 as well."""
    if expected is None:
        return False
    wanted, pattern = expected
    if status == "0" and "0=" not in wanted.split("|"):
        return "0" in wanted.split("|")
    return status in wanted.replace("=", "").split("|") and (
        pattern == "-" or re.search(pattern, text) is not None)


def main():
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("tool")
    parser.add_argument("--examples")
    parser.add_argument("--only", type=lambda text: text.split(","), default=list(ENVIRONMENTS))
    parser.add_argument("--commands", type=lambda text: text.split(","), default=list(COMMANDS))
    parser.add_argument("--counts", help="a file for the cells that are as they should be, and those that are not")
    options = parser.parse_args()
    tool = str(pathlib.Path(options.tool).resolve())
    examples = []
    if options.examples:
        sources = HERE.parent.parent / "Examples/Sources"
        examples = [str(pathlib.Path(options.examples).resolve() / path.name) for path in sorted(sources.iterdir())]
    for name in options.only:
        assert name in ENVIRONMENTS, f"no environment {name}"
    commands = [name for name in COMMANDS if name in options.commands and (examples or name != "examples")]
    table = read_table()
    wrong, left_out, count = [], [], 0
    width = max(map(len, ENVIRONMENTS))
    print(" " * width + "  " + "  ".join(f"{command:8}" for command in commands))
    with tempfile.TemporaryDirectory(prefix="devmem-environments.") as name:
        os.chmod(name, 0o755)
        for environment, (_, _, privilege) in ENVIRONMENTS.items():
            if environment not in options.only:
                continue
            if not may(privilege):
                left_out.append(f"{environment} takes {privilege}")
                continue
            cells, verdicts = [], {}
            for command in commands:
                expected = expectation(table, environment, command)
                if expected is not None and expected[0] == "none":
                    cells.append(f"{'-':8}")
                    continue
                status, text = run_all(
                    examples if command == "examples" else [tool], environment, command, pathlib.Path(name))
                verdicts[command] = status
                count += 1
                good = is_good(expected, status, text)
                cells.append(f"{status + ('' if good else ' WRONG'):8}")
                if not good:
                    wrong.append(f"{environment} {command}: {status}, expected {expected}:\n{text[-900:]}")
            if "doctor" in verdicts and "demo" in verdicts and verdicts["doctor"] != verdicts["demo"]:
                wrong.append(f"{environment}: the doctor says {verdicts['doctor']}, the demo {verdicts['demo']}")
            print(f"{environment:{width}}  " + "  ".join(cells), flush=True)
    for line in left_out:
        print(f"left out: {line}")
    for line in wrong:
        print(f"wrong: {line}")
    print(f"environments: {count} cells, {len(wrong)} wrong")
    if options.counts:
        pathlib.Path(options.counts).write_text(f"{max(count - len(wrong), 0)} {len(wrong)}\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
