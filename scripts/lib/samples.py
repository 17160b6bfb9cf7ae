#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compiles every ```swift block of README.md, docs/, the DocC articles and the documentation comments of Sources/, from their
own text.

A block is compiled as it is printed, as a program of its own, with nothing but what users can import. A comment in the line
above it says what else it is:

  <!-- sample: Examples/Sources/NAME/main.swift -->   the program in that file, word for word after its licence (and
                                                     compiled and run there by `make examples`)
  <!-- sample: after FILE -->                        goes on where FILE ends
  <!-- sample: manifest -->                          a whole Package.swift; its products have to be this package's

No block is left out, and neither is one of an unknown language that looks like Swift.
"""

import dataclasses
import glob
import os
import re
import subprocess
import sys
import tempfile

import compiling


@dataclasses.dataclass(frozen=True)
class Block:
    file: str
    line: int  # of the first line of code
    language: str
    text: str
    marker: str

    def fault(self, text):
        return f"{self.file}:{self.line}: {text}"


def articles():
    names = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"] + glob.glob("docs/**/*.md", recursive=True)
    names += glob.glob("Sources/*/*.docc/**/*.md", recursive=True)
    return sorted(names + glob.glob("Sources/**/*.swift", recursive=True))


def lines_of(path):
    """An article's lines; of a source those of its documentation comments, the others empty."""
    lines = open(path, encoding="utf-8").read().split("\n")
    if not path.endswith(".swift"):
        return lines
    comments = (re.match(r"^\s*/// ?(.*)$", line) for line in lines)
    return [comment[1] if comment else "" for comment in comments]


def blocks(path):
    """The fenced blocks of an article."""
    lines = lines_of(path)
    result, index = [], 0
    while index < len(lines):
        opening = re.match(r"^(\s*)(```+)\s*(\S*)\s*$", lines[index])
        if not opening:
            index += 1
            continue
        indent, fence, language = opening.groups()
        above = lines[index - 1] if index > 0 else ""
        marker = re.match(r"^\s*<!--\s*sample:\s*(.*?)\s*-->\s*$", above)
        end = index + 1
        while end < len(lines) and lines[end].strip() != fence:
            end += 1
        if end == len(lines):
            sys.exit(f"error: {path}:{index + 1}: the block does not end")
        text = "".join(line.removeprefix(indent) + "\n" for line in lines[index + 1 : end])
        result.append(Block(path, index + 2, language, text, marker[1] if marker else ""))
        index = end + 1
    return result


def compiled(block, before=""):
    result = [block.fault(f"imports {module}, which users cannot") for module in compiling.foreign_imports(block.text)]
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "main.swift")
        with open(path, "w", encoding="utf-8") as file:
            file.write(before)
            file.write(f'#sourceLocation(file: "{block.file}", line: {block.line})\n{block.text}')
        return result + [str(one) for one in compiling.diagnostics([path])[0]]


def same(block, path):
    if not os.path.isfile(path):
        return [block.fault(f"there is no {path}")]
    text = re.sub(r"\A// SPDX.*\n", "", open(path, encoding="utf-8").read())
    if text != block.text:
        return [block.fault(f"is not what {path} says after its licence: copy one over the other")]
    return compiled(block)


def manifest(block):
    """By the package manager's own module; then the names."""
    known = compiling.products() | set(re.findall(r'\.executable\(name: "(\w+)"', open("Package.swift").read()))
    used = re.findall(r'\.product\(name: "(\w+)", package: "swift-devmem"\)', block.text)
    result = [block.fault(f"{name} is no product of this package") for name in used if name not in known]
    if not used:
        result.append(block.fault("uses no product of this package"))
    if not block.text.startswith("// swift-tools-version:"):
        result.append(block.fault("does not begin as a manifest has to"))
    info = subprocess.run(["swiftc", "-print-target-info"], capture_output=True, text=True).stdout
    resources = re.search(r'"runtimeResourcePath"\s*:\s*"(.*?)"', info)
    if not resources:
        return result + [block.fault("swiftc does not say where it keeps its modules")]
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "Package.swift")
        with open(path, "w", encoding="utf-8") as file:
            file.write(block.text)
        options = ["-package-description-version", "6.2", "-I", f"{resources[1]}/pm/ManifestAPI"]
        found, _ = compiling.diagnostics([path], options)
        return result + [block.fault(one.text) for one in found]


def faults(block):
    """What is wrong with a block, one line each."""
    kind, _, rest = block.marker.partition(" ")
    if block.language != "swift":
        if block.marker:
            return [block.fault("is marked as a sample but not as swift")]
        # Prose in a drawing may say "let"; what imports a module of ours is a program.
        looks = re.search(r"^\s*import (Devmem\w*|PackageDescription)\b", block.text, re.MULTILINE)
        return [block.fault("is Swift: begin it with ```swift")] if looks else []
    if not block.marker:
        return compiled(block)
    if block.marker == "manifest":
        return manifest(block)
    if kind == "after":
        if not os.path.isfile(rest):
            return [block.fault(f"there is no {rest}")]
        return compiled(block, open(rest, encoding="utf-8").read())
    if kind.endswith(".swift") and not rest:
        return same(block, kind)
    return [block.fault(f"unknown kind of sample: {block.marker}")]


def main():
    every = [block for path in articles() for block in blocks(path)]
    swift = [block for block in every if block.language == "swift"]
    if not swift:
        sys.exit("error: no ```swift block was found in any article")
    results = compiling.side_by_side(faults, every)
    for result in results:
        for line in result:
            print(line)
    sys.exit(1 if any(results) else 0)


if __name__ == "__main__":
    main()
