#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Holds what README.md, CONTRIBUTING.md, docs/ and the documentation comments say against what is there.

In code (spans and blocks) of the articles

  - a make target, a file or folder of this package, an environment variable and a type or suite of tests exists;
  - an option of a command is one that the command knows: devmemctl by its --help, a script by its own text.

Links lead to files and headings that exist. A number of instructions stands with the case of `devmem-bench` that
it is of, "28 instructions (`fast_path`)" or a row of a table that begins with `fast_path`, and is what
Benchmarks/Thresholds/instructions.txt allows, or up to SLACK less.

Decisions are records: names and figures in them may be those of their day. docs/performance-peers.md has figures of
runs of its own.
"""

import glob
import os
import re
import subprocess
import sys

import compiling
import samples

RECORDS = ("docs/decisions/", "docs/performance-peers.md", "CHANGELOG.md")
THRESHOLDS = "Benchmarks/Thresholds/instructions.txt"
# A budget is a little above the count, which differs by parts of an instruction from machine to machine.
SLACK = 0.5
# Whose options these targets take: subcommands of `devmemctl`, and a program of its own.
BENCH = "devmem-bench"
SUBCOMMANDS = {"demo": "demo", "doctor": "doctor", "bench": BENCH}
TOP = ("scripts/", "Sources/", "Tests/", "docs/", "Benchmarks/", "Examples/", "CSystemShims/", ".ci/")
# Made by a build, or the user's own.
MADE = (".build/", "Sources/mine/")
DEVMEMCTL = ".build/debug/devmemctl"
# What may stand before the name of a command.
COMMAND = r"[(\s]*(?:\w+=\S+ |sudo |strace -f |ip netns exec \S+ )*(?:\./|\.build/\w+/)?"


def read(path):
    return open(path, encoding="utf-8", errors="replace").read()


def articles():
    return [path for path in samples.articles() if path.endswith(".md")]


def is_record(path):
    return path.startswith(RECORDS)


def code(path):
    """Line and text of each code span and each line of a fenced block that is no Swift."""
    fence = None
    for number, line in enumerate(read(path).split("\n"), 1):
        opening = re.match(r"\s*```+\s*(\S*)", line)
        if opening:
            fence = None if fence is not None else opening[1]
        elif fence is not None:
            if fence != "swift":
                yield number, line
        else:
            # A span may go over the end of a line; its halves are looked at by themselves.
            yield from ((number, span) for span in re.findall(r"`([^`]+)`", line))


class World:
    """What there is."""

    def __init__(self):
        self.targets = set(re.findall(r"^([a-z-]+):", read("Makefile"), re.MULTILINE))
        listed = subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard"],
                                capture_output=True, text=True, check=True).stdout.split("\n")
        self.files = [path for path in listed if path and os.path.isfile(path)]
        self.words = set()
        self.scripts = ""
        for path in self.files:
            if path.endswith((".swift", ".c", ".h", ".py")):
                self.words |= set(re.findall(r"\w+", read(path)))
            if path.endswith((".sh", ".py", ".swift", "Makefile")) or path.startswith(".ci/"):
                self.scripts += read(path)
        # Suites and modules are named after their folders and files.
        self.words |= {part.removesuffix(".swift").removesuffix(".py") for path in self.files for part in path.split("/")}
        self.help = {}

    def options(self, subcommand):
        """The options that --help of a subcommand shows; its own subcommands are words of `subcommand`."""
        if subcommand not in self.help:
            program = [f".build/debug/{BENCH}"] if subcommand == BENCH else [DEVMEMCTL] + subcommand.split()
            run = subprocess.run(program + ["--help"], capture_output=True, text=True)
            known = set(re.findall(r"(?<!\w)--[a-z][a-z0-9-]*", run.stdout)) | {"--help"}
            # An unknown word shows the help of the command above it.
            usage = BENCH if subcommand == BENCH else f"devmemctl {subcommand}"
            is_there = f"USAGE: {usage} " in run.stdout
            self.help[subcommand] = known if is_there else None
        return self.help[subcommand]


def long_options(text):
    return [option for option in re.findall(r"(?<![\w-])--[a-z][a-z0-9-]*", text)]


def command_faults(text, world):
    """Options of the commands of this package in one line of a shell."""
    result = []
    for part in re.split(r"\||&&|;|\s-- ", text):
        if made := re.match(COMMAND + r"make(?: -\S+(?: \S+)?)? ([a-z][a-z-]*)", part):
            target = made[1]
            if target not in world.targets:
                result.append(f"there is no target {target} in the Makefile")
                continue
            arguments = re.search(r"ARGS=(\"[^\"]*\"|'[^']*'|\S+)", part)
            options = long_options(arguments[1]) if arguments else []
            if target in SUBCOMMANDS:
                result += unknown(options, SUBCOMMANDS[target], world)
            else:
                result += absent(options, f"scripts/{target}.sh", world)
        elif ours := re.match(COMMAND + r"devmemctl((?: [a-z]+)+)", part):
            words = ours[1].split()
            for count in (2, 1):
                if world.options(" ".join(words[:count])) is not None:
                    result += unknown(long_options(part), " ".join(words[:count]), world)
                    break
            else:
                result.append(f"devmemctl has no subcommand {words[0]}")
        elif script := re.search(r"\b(scripts/[a-z/_-]+\.(?:sh|py))", part):
            result += absent(long_options(part), script[1], world)
    return result


def unknown(options, subcommand, world):
    known = world.options(subcommand)
    return [f"devmemctl {subcommand} has no option {option}" for option in options if option not in known]


def absent(options, script, world):
    """A script's options are in its text, or in the text of what it hands them to."""
    text = read(script) if os.path.isfile(script) else ""
    text += "".join(read(other) for other in re.findall(r"Benchmarks/[\w/]+\.py", text) if os.path.isfile(other))
    return [f"{script} does not know {option}" for option in options if option not in text]


def name_faults(text, world):
    result = []
    for path in re.findall(r"(?<![\w/$.-])((?:%s)[\w./+*-]*)" % "|".join(map(re.escape, TOP + MADE)), text):
        path = path.rstrip(".,:")
        if not path.startswith(MADE) and not glob.glob(path):
            result.append(f"there is no {path}")
    for name in re.findall(r"\b((?:DEVMEM|DEVICE|STORM)\w*_\w+|NCDEVMEM)\b(?!-)", text):
        if name.isupper() and name not in world.scripts and name not in world.words:
            result.append(f"nothing reads {name}")
    for name in re.findall(r"(?<![\w./$-])[A-Z][a-z0-9]*(?:[A-Z]\w*)+", text):
        # Two capitals at least, and a small letter: a type, a module or a suite.
        if re.search(r"[a-z]", name) and name not in world.words:
            result.append(f"nothing is called {name}")
    return result


def list_faults(world):
    """Lists that are to be whole."""
    table = set(re.findall(r"`make ([a-z-]+)", read("CONTRIBUTING.md")))
    for target in sorted(world.targets - table):
        yield f"CONTRIBUTING.md: the table of commands lacks make {target}"
    for product in sorted(compiling.products()):
        if f"\n| `{product}` |" not in read("README.md"):
            yield f"README.md: the table of products lacks {product}"
    layout = read("README.md").partition("## Layout")[2]
    named = re.findall(r"^(Sources/[\w*-]+)", layout, re.MULTILINE)
    named += re.findall(r"(?<= with )Sources/[\w-]+", layout)
    patterns = [re.compile(name.replace("*", r"\w*") + "$") for name in named]
    for folder in sorted({"/".join(path.split("/")[:2]) for path in world.files if path.startswith("Sources/")}):
        if not any(pattern.match(folder) for pattern in patterns):
            yield f"README.md: the layout lacks {folder}"


def anchor(heading):
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def link_faults(path):
    for number, line in enumerate(read(path).split("\n"), 1):
        for target in re.findall(r"\]\(([^)\s]+)\)", line):
            if re.match(r"[a-z]+:", target):
                continue
            file, _, place = target.partition("#")
            other = os.path.normpath(os.path.join(os.path.dirname(path), file)) if file else path
            if not os.path.exists(other):
                yield f"{path}:{number}: a link to {target}, which is not there"
            elif place and place not in map(anchor, re.findall(r"^#+ (.*)$", read(other), re.MULTILINE)):
                yield f"{path}:{number}: {other} has no heading #{place}"


def budgets():
    lines = re.findall(r"^([a-z]\w*) +([0-9.]+) +\w+$", read(THRESHOLDS), re.MULTILINE)
    return {case: float(budget) for case, budget in lines}


def is_of(count, case, known):
    cases = [one for one in known if one == case or case.endswith("*") and one.startswith(case[:-1])]
    return bool(cases) and all(known[one] - SLACK <= count <= known[one] for one in cases)


def figure_faults(path, known):
    """Numbers of instructions in one file."""
    lines = samples.lines_of(path) if path.endswith(".swift") else read(path).split("\n")
    column = None
    for number, line in enumerate(lines, 1):
        if not line.startswith("|"):
            column = None
            continue
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        heads = [index for index, cell in enumerate(cells) if cell in ("instructions", "swift-devmem")]
        column = heads[0] if heads else column
        case = re.match(r"`([\w*]+)`", cells[0])
        if column is None or not case or column >= len(cells) or not re.fullmatch(r"[0-9.]+", cells[column]):
            continue
        if case[1] in known and not is_of(float(cells[column]), case[1], known):
            yield f"{path}:{number}: {case[1]} is {known[case[1]]:g} instructions at most by {THRESHOLDS}"
    text = "\n".join(lines)
    for found in re.finditer(r"(?<![\w.^-])([0-9][0-9.]*)(?:\s+more)?\s+instructions\b(?:[^.;|`]*?\(`([\w*]+)`)?", text):
        number = text.count("\n", 0, found.start()) + 1
        if found[2] is None or not is_of(float(found[1]), found[2], known):
            of = f"`{found[2]}`" if found[2] else "no case"
            yield f"{path}:{number}: {found[1]} instructions of {of} are not in {THRESHOLDS}"


def main():
    world, known, result = World(), budgets(), []
    if not known:
        sys.exit(f"error: {THRESHOLDS} has no case")
    if not os.access(DEVMEMCTL, os.X_OK):
        sys.exit(f"error: there is no {DEVMEMCTL}; run: make build")
    for path in articles():
        if path != "CHANGELOG.md":
            result += link_faults(path)
        if is_record(path):
            continue
        for number, text in code(path):
            found = command_faults(text, world) + name_faults(text, world)
            result += [f"{path}:{number}: {one}" for one in found]
    result += list_faults(world)
    for path in samples.articles():
        if not is_record(path):
            result += figure_faults(path, known)
    print(*result, sep="\n", end="\n" if result else "")
    sys.exit(1 if result else 0)


main()
