#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compiles the programs of Tests/Misuse, which must not compile, and compares what the compiler says.

  misuse.py COUNTS

A comment `// expected-error: TEXT` at the end of a line, or of those right above it, says what the compiler must say of that
line: an error with that text in it. Every error must be expected and every expected one must come. Notes are not
looked at.
"""

import glob
import re
import sys

import compiling


def expected(path):
    result, waiting = [], []
    for number, line in enumerate(open(path, encoding="utf-8"), 1):
        match = re.search(r"^(.*?)//\s*expected-error:\s*(.*?)\s*$", line)
        if match and not match[1].strip():
            waiting.append(match[2])
            continue
        texts, waiting = waiting + ([match[2]] if match else []), []
        result += [(number, text) for text in texts]
    return result


def faults(path):
    """What is wrong with a program, one line each."""
    wanted = expected(path)
    if not wanted:
        return [f"{path}: says of no line what the compiler is to say (// expected-error: TEXT)"]
    foreign = compiling.foreign_imports(open(path, encoding="utf-8").read())
    result = [f"{path}: imports {module}, which users cannot" for module in foreign]
    found, _ = compiling.diagnostics([path])
    for number, text in wanted:
        match = next((one for one in found if one.line == number and text in one.text), None)
        if match:
            found.remove(match)
        else:
            result.append(f"{path}:{number}: compiles, or with another error than: {text}")
    return result + [f"{one} (not expected)" for one in found]


def main():
    paths = sorted(glob.glob("Tests/Misuse/*.swift"))
    if not paths:
        sys.exit("error: no programs in Tests/Misuse")
    results = compiling.side_by_side(faults, paths)
    failed = sum(1 for result in results if result)
    for result in results:
        for line in result:
            print(f"error: {line}", file=sys.stderr)
    with open(sys.argv[1], "w", encoding="utf-8") as file:
        file.write(f"{len(paths) - failed} {failed}\n")
    print(f"misuse: {len(paths) - failed} programs are refused as they should be, {failed} are not")
    sys.exit(1 if failed else 0)


main()
