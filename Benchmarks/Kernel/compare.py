#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Puts the kernel's page pool benchmark beside this library's counts; see scripts/bench-kernel.sh.

  compare.py VERSION MESSAGES OURS [--json]

MESSAGES is the kernel's log after the benchmark's module was loaded, in a machine whose clock ticks one
nanosecond for each instruction: its nanoseconds are instructions.
"""

import json
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import callgrind

# The kernel's names, and ours for the same.
CASES = [
    ("for_loop", "for_loop"),
    ("atomic_inc", "atomic_inc"),
    ("lock", "lock"),
    ("no-softirq-page_pool01", "fast_path"),
    ("no-softirq-page_pool02", "return_queue"),
    ("no-softirq-page_pool03", "slow"),
]
LINE = re.compile(
    r"bench_page_pool: Type:(\S+) Per elem: (\d+) cycles\(tsc\) (\d+\.\d+) ns .*"
    r"\(invoke count:(\d+) tsc_interval:(\d+)\)")


def parse(path):
    results = {}
    with open(path, encoding="utf-8", errors="replace") as file:
        for line in file:
            found = LINE.search(line)
            if not found:
                continue
            name, each, ticks, count = found[1], float(found[3]), int(found[5]), int(found[4])
            # Both clocks must tell the same, or they do not count instructions.
            if abs(ticks / count - each) > 0.01 * each + 0.01:
                sys.exit(f"error: {name}: {each} ns but {ticks / count:.3f} ticks: no instruction clock")
            results[name] = each
    missing = [name for name, _ in CASES if name not in results]
    if missing:
        sys.exit(f"error: the kernel's log has no result of {', '.join(missing)}")
    return results


def main():
    version, messages, ours = sys.argv[1:4]
    kernel = parse(messages)
    rows = []
    for theirs, case in CASES:
        print(f"==> counting {case}", file=sys.stderr)
        mine = callgrind.instructions([ours], case)
        rows.append({
            "case": case,
            "peer": f"linux-{version}",
            "peerCase": theirs,
            "oursInstructions": round(mine, 2),
            "peerInstructions": round(kernel[theirs], 2),
            "ratio": round(mine / kernel[theirs], 3),
        })
    heads = ("case", "the kernel's name for it", "ours", "kernel", "ratio")
    lines = [heads] + [
        (row["case"], row["peerCase"], f"{row['oursInstructions']:.1f}",
         f"{row['peerInstructions']:.1f}", f"{row['ratio']:.2f}") for row in rows
    ]
    widths = [max(len(line[column]) for line in lines) for column in range(len(heads))]
    print(f"instructions for each buffer, loop included; Linux {version}")
    for line in lines:
        cells = (cell.ljust(width) if column < 2 else cell.rjust(width)
                 for column, (cell, width) in enumerate(zip(line, widths)))
        print("  ".join(cells).rstrip())
    if "--json" in sys.argv[4:]:
        print(json.dumps(rows))


main()
