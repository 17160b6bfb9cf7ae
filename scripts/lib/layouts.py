#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures the record layouts and prints the tables; called by scripts/bench-layouts.sh.

Times: interleaved rounds of every loop in several processes, median, least and most. Instructions, conditional branches
and mispredictions: callgrind's inclusive counts of each loop's function, as the difference of two
numbers of turns, so that neither start-up nor the first turns are in them.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile

import layouts_plot

LAYOUTS = {
    "A": "tagged word, `if` at each use",
    "B": "one common record, union inside",
    "C": "two records, same offsets, cast",
    "D": "hybrid, as Linux has it",
    "E": "ours: record + area",
    "P": "the real PagePool",
}
WORKS = {
    "recycle": "allocate + return",
    "look": "allocate + read node, offset, address + return",
    "share": "as before, and a second reference comes and goes",
    "provider": "allocate + return past the cache, to the provider",
}
MIXES = ["host", "device", "runs", "alternating", "rare", "random", "control"]
# Processes, each with its own placement of records and pools in memory.
PLACEMENTS = 11
FEW, MANY = 8192, 8192 + 65536


def times(program, rounds):
    found = {}
    for seed in range(1, PLACEMENTS + 1):
        output = subprocess.run(
            [program, "time", str(seed), str(max(rounds // PLACEMENTS, 1))],
            check=True, capture_output=True, text=True).stdout
        for line in output.splitlines():
            _, mix, work, layout, ns = line.split()
            found.setdefault((layout, work, mix), []).append(float(ns))
    return found


def sizes(program):
    output = subprocess.run([program, "sizes"], check=True, capture_output=True, text=True).stdout
    return {line.split()[1]: tuple(map(int, line.split()[2:])) for line in output.splitlines()}


def totals(program, mix, turns, folder):
    """Inclusive (instructions, branches, mispredictions) of each loop."""
    profile = os.path.join(folder, "profile")
    subprocess.run(
        ["valgrind", "-q", "--tool=callgrind", "--branch-sim=yes",
         f"--callgrind-out-file={profile}", program, "count", mix, str(turns)],
        check=True, stdout=subprocess.DEVNULL)
    listing = subprocess.run(
        ["callgrind_annotate", "--inclusive=yes", "--threshold=100", profile],
        check=True, capture_output=True, text=True).stdout
    events = re.search(r"^Events shown:\s*(.*)$", listing, re.M).group(1).split()
    cell = r"\s*([\d,]+|\.)(?:\s*\(\s*[\d.]+%\))?"
    found = {}
    for line in listing.splitlines():
        name = re.search(rf"loop_([A-Z])_({'|'.join(WORKS)})", line)
        row = re.match(cell * len(events), line)
        if not name or not row:
            continue
        value = {
            event: 0 if text == "." else int(text.replace(",", ""))
            for event, text in zip(events, row.groups())}
        counts = (value["Ir"], value["Bc"] + value["Bi"], value["Bcm"] + value["Bim"])
        found[name.groups()] = max(found.get(name.groups(), (0, 0, 0)), counts)
    return found


def counts(program):
    found = {}
    with tempfile.TemporaryDirectory(prefix="layouts-") as folder:
        bare = os.path.join(folder, "program")
        # Valgrind reads debug information first, and older ones stumble over it.
        subprocess.run(["strip", "--strip-debug", "-o", bare, program], check=True)
        for mix in MIXES:
            print(f"==> counting {mix}", file=sys.stderr)
            few, many = (totals(bare, mix, turns, folder) for turns in (FEW, MANY))
            for (layout, work), most in many.items():
                least = few[layout, work]
                found[layout, work, mix] = tuple(
                    (b - a) / (MANY - FEW) for a, b in zip(least, most))
    return found


def table(rows, value):
    by = {(row["layout"], row["work"], row["mix"]): row for row in rows}
    for work, summary in WORKS.items():
        layouts = [name for name in LAYOUTS if (name, work, MIXES[0]) in by]
        print(f"\n{summary}\n")
        print("| | " + " | ".join(MIXES) + " |")
        print("|---" * (len(MIXES) + 1) + "|")
        for name in layouts:
            cells = [value(by[name, work, mix]) for mix in MIXES]
            print(f"| {name} {LAYOUTS[name]} | " + " | ".join(cells) + " |")


def main():
    parser = argparse.ArgumentParser(prog="bench-layouts.sh")
    parser.add_argument("program", nargs="?" if "--help" in sys.argv else None,
                        help=argparse.SUPPRESS)
    parser.add_argument("--json", action="store_true", help="the last line is the JSON array")
    parser.add_argument("--rounds", type=int, default=121, help="interleaved rounds (121)")
    parser.add_argument("--svg", metavar="FILE", help="draw the figure")
    options = parser.parse_args()

    bytes_of = sizes(options.program)
    exact = counts(options.program)
    print("==> timing", file=sys.stderr)
    rows = []
    for (layout, work, mix), runs in times(options.program, options.rounds).items():
        instructions, branches, mispredicts = exact[layout, work, mix]
        rows.append({
            "layout": layout, "work": work, "mix": mix,
            "nsPerOp": round(statistics.median(runs), 3),
            "nsMin": round(min(runs), 3), "nsMax": round(max(runs), 3),
            "instructionsPerOp": round(instructions, 2), "branchesPerOp": round(branches, 2),
            "mispredictsPerOp": abs(round(mispredicts, 3)),
            "hostBytes": bytes_of[layout][0], "deviceBytes": bytes_of[layout][1]})

    print("## ns per operation: median (least, most) of interleaved rounds")
    table(rows, lambda row: f"{row['nsPerOp']:.2f} ({row['nsMin']:.2f}, {row['nsMax']:.0f})")
    print("\n## Instructions / branches / mispredictions per operation (callgrind)")
    table(rows, lambda row: "{:.1f} / {:.1f} / {:.2f}".format(
        row["instructionsPerOp"], row["branchesPerOp"], row["mispredictsPerOp"]))
    # All layouts have the same cache, ring and list of free buffers: a word for each place.
    print("\n## Bytes of record per buffer, and with its word in the provider's list\n")
    print("| | host | device | host + list | device + list |\n|---|---|---|---|---|")
    for name, (host, device) in bytes_of.items():
        print(f"| {name} {LAYOUTS[name]} | {host} | {device} | {host + 8} | {device + 8} |")
    if options.svg:
        with open(options.svg, "w", encoding="utf-8") as file:
            file.write(layouts_plot.figure(rows, LAYOUTS, WORKS))
    if options.json:
        print(json.dumps(rows))


if __name__ == "__main__":
    main()
