#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compares the names in the sources with the glossary of the page pool (scripts/check/glossary.sh).

  - No name has a word of the last column in it, in any spelling of camel case; `return…` there means that no
    function begins with it. The allocator below is left out: its words are about granules and bits.
  - Every verb of the second table is used: some function of the page pool begins with it.
"""

import glob
import re
import sys

GLOSSARY = "Sources/DevmemPagePool/DevmemPagePool.docc/Glossary.md"
LEFT_OUT = ("Sources/DevmemGenpool/",)
DECLARED = re.compile(r"\b(func|let|var|case|struct|class|enum|protocol|typealias)\s+`?([A-Za-z_]\w*)")


def words(name):
    """giveBackQueued: give, back, queued."""
    return [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)]


def rows(text):
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if line.startswith("| ") and len(cells) == 4 and cells[0] != "Word":
            yield cells


def contains(name, phrase):
    return any(name[start:start + len(phrase)] == phrase for start in range(len(name) - len(phrase) + 1))


def main():
    things, events = open(GLOSSARY, encoding="utf-8").read().split("## What happens to it")
    wrong = []
    never = []
    for right, _, _, others in [*rows(things), *rows(events)]:
        for other in filter(None, (other.strip() for other in others.split(","))):
            never.append((right, words(other), other.endswith("…")))

    functions = set()
    for path in sorted(glob.glob("Sources/**/*.swift", recursive=True)):
        if path.startswith(LEFT_OUT):
            continue
        for number, line in enumerate(open(path, encoding="utf-8"), 1):
            if line.lstrip().startswith("//"):
                continue
            for kind, name in DECLARED.findall(line):
                # Cases of the benchmark have names in the kernel's way (fast_path).
                its = [] if "_" in name.strip("_") else words(name)
                if kind == "func" and path.startswith("Sources/DevmemPagePool/"):
                    functions.add(its[0] if its else "")
                for right, phrase, begins in never:
                    if begins and not (kind == "func" and its[:len(phrase)] == phrase):
                        continue
                    if not begins and not contains(its, phrase):
                        continue
                    wrong.append(f"{path}:{number}: {name}: the glossary's word is {right!r} ({GLOSSARY})")
    for cells in rows(events):
        for verb in cells[0].split(","):
            if words(verb)[0] not in functions:
                wrong.append(f"{GLOSSARY}: no function of the page pool begins with {verb.strip()!r}")
    if len(functions) < 50 or not never:
        wrong.append("the check itself finds no names: look at it")
    print("\n".join(wrong), end="\n" if wrong else "")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
