#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs devmemctl and the examples in a matrix of environments and compares with the table beside this file.

usage: environments.py DEVMEMCTL [--examples FOLDER] [--device] [--only ENVIRONMENT,...] [--commands COMMAND,...]
                       [--counts FILE]

Every cell has an expectation. A crash, a hang, a process left behind, or exit status 0 without the result is
wrong whatever the table says. What hangs is killed with all that it has started.

--device runs the cells of DEVICE_CELLS: those in which a real exporter, a card or a limit of the kernel makes
a difference, which the device tier has time for.

An environment that this machine cannot make is printed as such and counts as wrong, unless the
table says which privilege it takes ("root", "userns", "cgroup", "cgroup2", "devices") and that is not there: then it is
listed at the end.

Where the software NIC is up (Tests/KernelModules/devmemsim.sh), recv and send move bytes over it, with a plain
TCP program at its other end; elsewhere they are refused.
"""
import argparse
import contextlib
import ctypes
import hashlib
import json
import os
import pathlib
import re
import shlex
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent

# Whether this is a machine with everything: a software NIC, and so real exporters as well.
CARD = "dmsim0" if os.path.exists("/sys/class/net/dmsim0") else "lo"
IS_COMPLETE = CARD != "lo"
# Seconds. That machine is emulated, on one that may have much else to do.
LIMIT = 300 if IS_COMPLETE else 120
PEER_NAMESPACE = ["ip", "netns", "exec", "dmsim-peer"]
PATTERN = (bytes(range(1, 7)) + b"\n") * ((1 << 20) // 7 + 1)
PATTERN = PATTERN[:1 << 20]
DIGEST = hashlib.sha256(PATTERN).hexdigest()

# Commands of the columns, and what standard output has to be where they end with 0.
COMMANDS = {
    "doctor": (["doctor", "--json"], "json"),
    "demo": (["demo", "--bytes", "4M", "--json"], "digest"),
    # As large as the default one's buffer, about which the doctor speaks; run where its size matters.
    "64M": (["demo", "--bytes", "64M", "--json"], "digest"),
    "stand-in": (["demo", "--exporter", "memory-file", "--bytes", "4M", "--json"], "digest"),
    "large": (["demo", "--exporter", "memory-file", "--bytes", "64M", "--json"], "digest"),
    "huge": (["demo", "--exporter", "memory-file", "--page-size", "2M", "--bytes", "8M", "--json"], "digest"),
    # Run where a limit or a refused node makes a difference.
    "default": (["demo", "--json"], "digest"),
    "heap": (["demo", "--exporter", "heap", "--bytes", "4M", "--json"], "digest"),
    "dumb": (["demo", "--exporter", "drm", "--bytes", "4M", "--json"], "digest"),
    "dumb-64M": (["demo", "--exporter", "drm", "--bytes", "64M", "--json"], "digest"),
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


def control_group(controller, limits, older="", inner=""):
    """A control group with limits around the tool, gone afterwards: of version 2, or what `older` says. The tool
    runs in the group `inner` below it, which has no limit of its own."""
    lines = " && ".join(f"echo {value} >$group/{name}" for name, value in limits.items())
    return shell(f"""
root=/sys/fs/cgroup limits='{lines}'
if [ -f $root/cgroup.controllers ]; then echo +{controller} >$root/cgroup.subtree_control || exit 99
else root=$root/{controller} limits='{older}'; fi
group=$root/devmem-$$
mkdir -p $group/{inner} && eval "$limits" && echo $$ >$group/{inner}/cgroup.procs || exit 99
"$@"
status=$?
echo $$ >$root/cgroup.procs && rmdir $group/{inner} && {{ [ ! -d $group ] || rmdir $group; }} || exit 98
exit $status
""")


NODES = "udmabuf dma_heap/system dri/card0"
# A /dev as a container has it, with copies of some nodes.
OWN_DEV = """
new=$(mktemp -d) && mount -t tmpfs -o mode=755 none $new || exit 99
for node in null zero full random urandom tty {nodes}; do
  [ -e /dev/$node ] || continue
  mkdir -p $(dirname $new/$node) && cp -a /dev/$node $new/$node && chmod 666 $new/$node || exit 99
done
ln -s /proc/self/fd $new/fd && mkdir $new/shm && mount --move $new /dev || exit 99
exec {start} "$@"
"""
# The nodes are there, and on a mount on which nobody can open any.
NODEV = f"""
new=$(mktemp -d) && mount -t tmpfs -o mode=755,nodev none $new || exit 99
for node in {NODES}; do
  [ -e /dev/$node ] || continue
  mkdir -p $(dirname $new/$node) && cp -a /dev/$node $new/$node && mount --bind $new/$node /dev/$node || exit 99
done
exec "$@"
"""
NOBODY = "setpriv --reuid 65534 --regid 65534 --clear-groups --"


def own_mounts(script, **words):
    """A shell's script in a mount namespace of its own, which ends with the tool."""
    return lambda tool, arguments: ["unshare", "-m", "sh", "-c", script.format(**words), "sh", tool, *arguments]


DEVICE_GROUP = pathlib.Path("/sys/fs/cgroup/devmem-devices")


def refuse_devices():
    """Puts this process into a control group whose program lets it open what Docker's does: memory devices,
    terminals, no others (BPF_PROG_TYPE_CGROUP_DEVICE)."""
    code = [(0x61, 0x12, 4, 0), (0xB7, 0, 0, 1)]  # r2 = major, r0 = 1
    code += [(0x15, 2, 3, 1), (0x15, 2, 2, 5), (0x15, 2, 1, 136)]  # to the end for these
    code += [(0xB7, 0, 0, 0), (0x95, 0, 0, 0)]
    text = ctypes.create_string_buffer(b"".join(struct.pack("<BBhi", *line) for line in code))
    licence = ctypes.create_string_buffer(b"Apache-2.0")
    libc = ctypes.CDLL(None, use_errno=True)

    def bpf(command, attributes):
        buffer = ctypes.create_string_buffer(attributes.ljust(72, b"\0"), 72)
        result = libc.syscall(321, command, buffer, 72)
        if result < 0:
            raise OSError(ctypes.get_errno(), f"bpf {command}")
        return result

    program = bpf(5, struct.pack("<IIQQ", 15, len(code), ctypes.addressof(text), ctypes.addressof(licence))
                  + bytes(44) + struct.pack("<I", 6))
    DEVICE_GROUP.mkdir(exist_ok=True)
    group = os.open(DEVICE_GROUP, os.O_RDONLY)
    bpf(8, struct.pack("<IIII", group, program, 6, 0))
    (DEVICE_GROUP / "cgroup.procs").write_text(f"{os.getpid()}\n")
    os.close(group)
    os.close(program)


# name: (how to start it, what to do in the child first, privilege that it takes)
ENVIRONMENTS = {
    "plain": (None, None, ""),
    "unprivileged": (
        lambda tool, arguments: [*NOBODY.split(), tool, *arguments], None, "root"),
    # As containers have them: without the nodes, with those that no container may open, for a user who may.
    "no-nodes": (own_mounts(OWN_DEV, nodes="", start=""), None, "root"),
    "nodev": (own_mounts(NODEV), None, "root"),
    "device-group": (None, refuse_devices, "devices"),
    "nodes-for-all": (own_mounts(OWN_DEV, nodes=NODES, start=NOBODY), None, "root"),
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
        control_group("memory", {"memory.max": 64 << 20}, f"echo {64 << 20} >$group/memory.limit_in_bytes"),
        None, "cgroup"),
    "little-outside": (
        control_group("memory", {"memory.max": 64 << 20}, f"echo {64 << 20} >$group/memory.limit_in_bytes", "inner"),
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

# What a virtual machine alone can show, and what differs there: real exporters, nodes that refuse, limits of
# control groups, a card.
DEVICE_CELLS = {
    "plain": ("doctor", "demo", "heap", "dumb", "huge", "recv", "send"),
    "unprivileged": ("doctor", "demo", "recv"),
    "no-nodes": ("doctor", "demo", "heap", "dumb"),
    "nodev": ("doctor", "demo"),
    "device-group": ("doctor", "demo"),
    "nodes-for-all": ("doctor", "demo"),
    "no-proc": ("doctor", "demo"),
    "no-sys": ("doctor", "demo"),
    "seccomp-docker": ("doctor", "demo", "recv"),
    "seccomp-podman": ("doctor", "demo"),
    "no-ipv6": ("recv",),
    "little-memory": ("doctor", "demo", "64M", "large", "default", "dumb-64M", "recv"),
    "little-outside": ("doctor", "64M"),
    "little-hugetlb": ("huge",),
    "little-reserved": ("huge",),
}


def may(privilege):
    if privilege == "root":
        return os.geteuid() == 0 and shutil.which("setpriv") is not None
    if privilege == "devices":
        return os.geteuid() == 0 and os.path.exists("/sys/fs/cgroup/cgroup.controllers")
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

    @property
    def number(self):
        return None if self.process is None else self.process.pid

    def end(self, is_success):
        """Waits for it if it has something to say, ends it otherwise, and returns what it said."""
        if self.process is None:
            return ""
        if not is_success:
            self.process.kill()
        try:
            return self.process.communicate(timeout=LIMIT)[0].strip()
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate()
            return "(no end of the stream)"


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
    status, output, errors = run_to_the_end(line, before, cwd, peer.number)
    said = peer.end(status == 0)
    text = output + errors
    if isinstance(status, str):
        return status, text
    # An example lets its errors out of its main file, and the runtime ends it; 128 and more are a shell's.
    if kind == "lines" and status in (-4, -5, 132, 133) and "Error raised at top level" in text:
        return "1", text
    if status < 0 or status >= 128:
        return f"signal {abs(status)}", errors
    if status == 0 and not (kind == "lines" and name in UNSEEN):
        try:
            check_result(kind, command, output.splitlines(), said)
        except (AssertionError, IndexError, KeyError, ValueError):
            return "0 without the result", text
    return str(status), text


def adopt_orphans():
    """Processes whose parent has ended become children of this one, also those with a session of their own."""
    if ctypes.CDLL(None, use_errno=True).prctl(36, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


def descendants(ours):
    """The processes that run below this one, but for those of `ours`, its peers."""
    children = {}
    for entry in pathlib.Path("/proc").glob("[1-9]*"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            # Behind the name, which may have blanks and parentheses: state and parent.
            state, parent = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
            children.setdefault(int(parent), []).append((int(entry.name), state))
    found, wanted = [], [os.getpid()]
    while wanted:
        for member, state in children.get(wanted.pop(), []):
            if member in ours:
                continue
            wanted.append(member)
            if state not in "ZX":
                found.append(member)
    return found


def run_to_the_end(line, before, cwd, peer):
    """Runs a command. Returns its exit status, or what is wrong whatever that is, and what it wrote. What does
    not end is killed, and so is whatever the command has left running."""
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        # Into files: the end of a pipe is not seen while anybody still holds it.
        process = subprocess.Popen(line, stdin=subprocess.DEVNULL, stdout=output, stderr=errors, preexec_fn=before,
                                   cwd=cwd, start_new_session=True)
        try:
            status = process.wait(timeout=LIMIT)
        except subprocess.TimeoutExpired:
            status = f"hang, no end within {LIMIT} s: {shlex.join(line)}"
        # A helper sees the end of its parent and takes a moment for its own.
        deadline = time.monotonic() + 10
        while left := descendants({peer}):
            if not isinstance(status, str):
                if time.monotonic() < deadline:
                    time.sleep(0.02)
                    continue
                status = f"{status}, left processes: {shlex.join(line)}"
            for member in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(member, signal.SIGKILL)
            time.sleep(0.02)
        process.wait()
        output.seek(0)
        errors.seek(0)
        return status, output.read(), errors.read()


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
    parser.add_argument("--device", action="store_true")
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
    wrong, left_out, count = 0, [], 0
    adopt_orphans()
    width = max(map(len, ENVIRONMENTS))
    print(" " * width + "  " + "  ".join(f"{command:8}" for command in commands), flush=True)
    with tempfile.TemporaryDirectory(prefix="devmem-environments.") as name:
        os.chmod(name, 0o755)
        # A virtual machine's own memory is much nearer to it than the files of the machine below.
        tool = shutil.copy(tool, name)
        for environment, (_, _, privilege) in ENVIRONMENTS.items():
            if environment not in options.only or (options.device and environment not in DEVICE_CELLS):
                continue
            if not may(privilege):
                left_out.append(f"{environment} takes {privilege}")
                continue
            cells, verdicts, errors, begin = [], {}, [], time.monotonic()
            for command in commands:
                expected = expectation(table, environment, command)
                is_asked = not options.device or command in DEVICE_CELLS[environment]
                if not is_asked or (expected is not None and expected[0] == "none"):
                    cells.append(f"{'-':8}")
                    continue
                status, text = run_all(
                    examples if command == "examples" else [tool], environment, command, pathlib.Path(name))
                verdicts[command] = status
                count += 1
                good = is_good(expected, status, text)
                cells.append(f"{status + ('' if good else ' WRONG'):8}")
                if not good:
                    errors.append(f"{environment} {command}: {status}, expected {expected}:\n{text[-900:]}")
            demo = verdicts.get("64M", verdicts.get("demo"))
            if None not in (demo, verdicts.get("doctor")) and verdicts["doctor"] != demo:
                errors.append(f"{environment}: the doctor says {verdicts['doctor']}, the demo {demo}")
            print(f"{environment:{width}}  " + "  ".join(cells) + f"  {time.monotonic() - begin:.0f} s")
            for line in errors:
                print(f"wrong: {line}")
            sys.stdout.flush()
            wrong += len(errors)
    for line in left_out:
        print(f"left out: {line}")
    print(f"environments: {count} cells, {wrong} wrong")
    if options.counts:
        pathlib.Path(options.counts).write_text(f"{max(count - wrong, 0)} {wrong}\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
