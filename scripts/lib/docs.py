#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes one site of the modules' documentation, from the debug build's modules and without network.

  python3 scripts/lib/docs.py FOLDER

Each module that has a catalogue (Sources/MODULE/MODULE.docc) becomes an archive, docs/swift-devmem.docc the page to
begin with; they are merged into FOLDER. It fails

  - for every warning of DocC's;
  - if a library product has no catalogue;
  - if something public is in no topic of its module's page: DocC would list it by kind below the topics;
  - if a sample is wider than the page;
  - if the pages do not come when they are fetched from the server that `make docs` names.
"""

import glob
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.request

import compiling
import samples

LANDING = "docs/swift-devmem.docc"
# A listing has 820 pixels in a window of 1251 to 1499 (the renderer's style sheet), 792 without its padding; a
# character of its 15 pixels high monospaced type has 9.03.
SAMPLE_COLUMNS = 80


def modules():
    """Those with a catalogue, each behind the ones that it imports (scripts/check/imports.txt)."""
    lines = [line.split() for line in open("scripts/check/imports.txt", encoding="utf-8") if not line.startswith("#")]
    imports = {words[0]: set(words[1:]) for words in lines if words}
    left = [name for name in imports if os.path.isdir(f"Sources/{name}/{name}.docc")]
    result = []
    while left:
        free = [name for name in left if not imports[name] & (set(left) - {name})]
        if not free:
            sys.exit(f"error: scripts/check/imports.txt has a circle among {', '.join(left)}")
        result += free
        left = [name for name in left if name not in free]
    return result


def run(command):
    """Runs a command; returns what it said if it failed or warned, else nothing."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode == 0 and "warning:" not in done.stdout:
        return ""
    return done.stdout.strip() or f"failed with status {done.returncode}: {' '.join(command)}"


def archive(name, catalogue, symbols, folder, others):
    """Converts one catalogue; links into the archives `others` are looked up there."""
    command = ["docc", "convert", catalogue, "--output-path", f"{folder}/{name}.doccarchive", "--warnings-as-errors"]
    command += ["--fallback-display-name", name, "--fallback-bundle-identifier", f"swift-devmem.{name}"]
    # Without it no archive could be linked into.
    command += ["--enable-experimental-external-link-support"]
    for other in others:
        command += ["--dependency", f"{folder}/{other}.doccarchive"]
    if symbols:
        command += ["--additional-symbol-graph-dir", symbols]
    return run(command)


def extracted(module, folder):
    os.makedirs(folder)
    command = ["swift", "symbolgraph-extract", "-module-name", module, "-output-dir", folder]
    command += ["-target", "x86_64-unknown-linux-gnu", "-minimum-access-level", "public"]
    # Extensions of the standard library's types are of the module, too.
    command += ["-skip-synthesized-members", "-emit-extension-block-symbols"]
    return run(command + compiling.module_options())


def uncurated(module, folder):
    """Groups that DocC had to make for what the module's page does not name."""
    path = f"{folder}/{module}.doccarchive/data/documentation/{module.lower()}.json"
    page = json.load(open(path, encoding="utf-8"))
    return [
        f"Sources/{module}/{module}.docc: in no topic: {identifier.split('/documentation/')[1]}"
        for group in page.get("topicSections", [])
        if group.get("generated")
        for identifier in group["identifiers"]
    ]


def wide_samples():
    paths = glob.glob("Sources/**/*.swift", recursive=True) + glob.glob("**/*.docc/**/*.md", recursive=True)
    return [
        f"{path}:{block.line + number}: a sample of {len(line)} columns; the page has {SAMPLE_COLUMNS}"
        for path in sorted(paths)
        for block in samples.blocks(path)
        for number, line in enumerate(block.text.split("\n"))
        if len(line) > SAMPLE_COLUMNS
    ]


def fetched(site, names):
    """Serves the site by the command that `make docs` prints, but for the port, and gets every page's shell and text."""
    server = subprocess.Popen(
        [sys.executable, "-u", "-m", "http.server", "--bind", "127.0.0.1", "--directory", site, "0"],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        address = re.search(r"http://[0-9.]+:\d+", server.stdout.readline())
        if not address:
            return ["python3 -m http.server does not say where it serves"]
        paths = ["/", "/documentation/"]
        for name in names:
            paths += [f"/documentation/{name.lower()}/", f"/data/documentation/{name.lower()}.json"]
        result = []
        for path in paths:
            try:
                with urllib.request.urlopen(address[0] + path, timeout=30) as answer:
                    if not answer.read():
                        result.append(f"{path} is empty")
            except OSError as error:
                result.append(f"{path}: {error}")
        return result
    finally:
        server.kill()
        server.wait()


def main():
    site = sys.argv[1]
    names = modules()
    faults = [
        f"Package.swift: the product {product} has no Sources/{product}/{product}.docc"
        for product in sorted(compiling.products() - set(names))
    ]
    landing = os.path.basename(LANDING).removesuffix(".docc")
    with tempfile.TemporaryDirectory() as folder:
        # What an archive links into has to be there before it, so one after the other.
        for number, name in enumerate(names):
            symbols = f"{folder}/{name}"
            said = extracted(name, symbols) or archive(
                name, f"Sources/{name}/{name}.docc", symbols, folder, names[:number])
            faults += [said] if said else uncurated(name, folder)
            if said:
                break  # what links into it would fail as well
        else:
            said = archive(landing, LANDING, "", folder, names)
            faults += [said] if said else []
        faults += wide_samples()
        if not faults:
            shutil.rmtree(site, ignore_errors=True)
            command = ["docc", "merge", "--output-path", site, "--synthesized-landing-page-name", landing]
            said = run(command + [f"{folder}/{name}.doccarchive" for name in [landing] + names])
            if said:
                faults.append(said)
            else:
                with open(f"{site}/index.html", "w", encoding="utf-8") as file:
                    file.write(f'<meta http-equiv="refresh" content="0; url=documentation/{landing}/">\n')
                faults += fetched(site, [landing] + names)
    print(*faults, sep="\n", end="\n" if faults else "")
    sys.exit(1 if faults else 0)


main()
