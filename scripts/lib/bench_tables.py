#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the tables of docs/performance.md from what `devmem-bench` says.

  python3 scripts/lib/bench_tables.py LIST JSON

LIST is a file with the output of `devmem-bench --list`, JSON one with that of `--instructions --json`. Each table
stands between <!-- bench: GROUP --> and <!-- bench: end -->; all that stands there is replaced.
"""

import datetime
import json
import re
import sys

ARTICLE = "docs/performance.md"
# Cases with several threads, and those that make memory; every other one is `one thread`.
SEVERAL = re.compile(r"^(shared_)?cross_thread_|^many_returners_|^pools_of_one_binding_")
MAKING = re.compile(r"^(create|populate)_")


def group(case):
    return "several threads" if SEVERAL.match(case) else "making" if MAKING.match(case) else "one thread"


def number(value):
    """Three digits that count."""
    return f"{value:.3g}" if value < 1000 else f"{value:,.0f}"


def table(name, results, operations):
    counted = name == "one thread"
    scale, unit = (1e6, "ms") if name == "making" else (1, "ns")
    lines = [f"| case | an operation | {unit} | fastest |" + (" instructions |" if counted else "")]
    lines.append("|---|---|---|---|" + ("---|" if counted else ""))
    for one in results:
        cells = [f"`{one['case']}`", operations[one["case"]], number(one["nsPerOp"] / scale), number(one["nsMin"] / scale)]
        if counted:
            count = one.get("instructionsPerOp")
            cells.append("" if count is None else f"{count:g}")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main():
    pairs = (line.split(None, 1) for line in open(sys.argv[1], encoding="utf-8"))
    operations = {case: text.strip() for case, text in pairs}
    # The array is the last line.
    results = json.loads(open(sys.argv[2], encoding="utf-8").read().strip().split("\n")[-1])
    text = open(ARTICLE, encoding="utf-8").read()
    places = re.findall(r"<!-- bench: (?!end)(.*?) -->", text)
    lost = {group(one["case"]) for one in results} - set(places)
    if lost:
        sys.exit(f"error: {ARTICLE} has no place for: {', '.join(sorted(lost))}")
    for name in places:
        mine = [one for one in results if group(one["case"]) == name]
        if not mine:
            sys.exit(f"error: nothing was measured for the table {name} of {ARTICLE}")
        block = f"<!-- bench: {name} -->\n{table(name, mine, operations)}\n<!-- bench: end -->"
        text = re.sub(f"<!-- bench: {name} -->.*?<!-- bench: end -->", lambda _: block, text, flags=re.DOTALL)
    day = datetime.date.today()
    text = re.sub(r"(?<=<!-- bench date -->)\d.*?(?=<!-- end -->)", f"{day.day} {day:%B %Y}", text)
    with open(ARTICLE, "w", encoding="utf-8") as file:
        file.write(text)


main()
