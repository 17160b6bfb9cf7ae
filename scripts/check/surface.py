#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Lists the public symbols of a folder of symbol graphs, one a line; those that have no documentation fail.

Not listed: what the compiler makes, and cases of enumerations, which are counted apart (they are values).
"""
import json
import pathlib
import sys

lines, undocumented, cases = set(), set(), 0
for path in sorted(pathlib.Path(sys.argv[1]).glob("*.symbols.json")):
    graph = json.loads(path.read_text())
    for symbol in graph["symbols"]:
        name = graph["module"]["name"] + " " + ".".join(symbol["pathComponents"])
        kind = symbol["kind"]["identifier"].removeprefix("swift.")
        if "::SYNTHESIZED::" in symbol["identifier"]["precise"] or "location" not in symbol:
            continue
        if kind == "enum.case":
            cases += 1
            continue
        lines.add((f"{name}  {kind}", symbol["identifier"]["precise"]))
        if not symbol.get("docComment"):
            undocumented.add(f"{name}  {kind}")
print(f"# {len(lines)} declarations and {cases} cases of enumerations; see public-api.md")
for line, _ in sorted(lines):
    print(line)
if undocumented:
    print("public, but without a docstring:", *sorted(undocumented), sep="\n  ", file=sys.stderr)
    sys.exit(1)
