# SPDX-License-Identifier: Apache-2.0
"""Compiles single Swift files against the modules of the debug build, as a user of the package would: language
mode 6, strict memory safety, warnings as errors, nothing but what is public. No code is generated: the compiler stops
after the passes that look for mistakes (consumed values and data races are found later than types are)."""

import concurrent.futures
import dataclasses
import glob
import os
import re
import subprocess
import sys

BUILD = ".build/debug"


@dataclasses.dataclass(frozen=True)
class Diagnostic:
    file: str
    line: int
    text: str

    def __str__(self):
        return f"{self.file}:{self.line}: {self.text}"


def module_options():
    """What finds the modules of the debug build."""
    if not os.path.isdir(f"{BUILD}/Modules"):
        sys.exit(f"error: no modules in {BUILD}/Modules; run: make build")
    maps = glob.glob(f"{BUILD}/C*.build/module.modulemap") + glob.glob("Sources/CLib*/module.modulemap")
    result = ["-I", f"{BUILD}/Modules"]
    for path in maps:
        result += ["-Xcc", f"-fmodule-map-file={path}"]
    return result


def options():
    result = ["swiftc", "-emit-sil", "-o", os.devnull, "-swift-version", "6", "-strict-memory-safety"]
    result += ["-warnings-as-errors", "-diagnostic-style", "llvm"] + module_options()
    cflags = subprocess.run(["pkg-config", "--cflags-only-I", "libdrm", "libmnl", "numa"], capture_output=True, text=True)
    for flag in cflags.stdout.split():
        result += ["-Xcc", flag]
    return result


def diagnostics(paths, arguments=()):
    """What the compiler says of these files together: its errors, and its whole output."""
    run = subprocess.run(options() + list(arguments) + paths, capture_output=True, text=True)
    found = [
        Diagnostic(match[1], int(match[2]), match[3])
        for match in re.finditer(r"^(.+?):(\d+):\d+: error: (.*)$", run.stderr, re.MULTILINE)
    ]
    # The same mistake may be reported by two passes.
    found = list(dict.fromkeys(found))
    if run.returncode != 0 and not found:
        found = [Diagnostic(paths[0], 0, f"the compiler failed: {run.stderr.strip()}")]
    return found, run.stderr


def side_by_side(function, items):
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(function, items))


def products():
    """The modules that users can import."""
    manifest = open("Package.swift", encoding="utf-8").read()
    return set(re.findall(r'\.library\(name: "(\w+)"', manifest)) - {"_DevmemBench"}


def foreign_imports(text):
    """Modules of this package that a program imports although they are of no product."""
    ours = {os.path.basename(folder) for folder in glob.glob("Sources/*") + glob.glob("Tests/*")} | {"CSystemShims"}
    imported = re.findall(r"^\s*(?:@\w+\s+)?import\s+(?:(?:struct|class|enum|func)\s+)?(\w+)", text, re.MULTILINE)
    return sorted(set(imported) & ours - products())
