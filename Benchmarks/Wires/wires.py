#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs this library and the same loop in C on liburing turn by turn; see scripts/bench-wires.sh.

  wires.py C OURS [--json] [--instructions] [--rounds N] [--bytes MIB]

Each turn is a process and a connection over loopback. Each pair of turns gives one ratio of throughputs; the
table has the medians.
"""

import argparse
import json
import re
import statistics
import subprocess
import sys

SIZES = [4 << 10, 64 << 10, 256 << 10]
# What this library sets out to reach: at least so much of C's throughput, at most so many times its
# instructions.
BAR = {"ratio": 0.97, "instructionRatio": 1.3}
PAYLOAD = 4096


def turn(c, program, wire, count, size, prefix=()):
    """One transfer: nanoseconds, and what the program said on standard error."""
    side = subprocess.Popen([*prefix, program, wire, str(count), str(size)], stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True)
    port = side.stdout.readline().strip()
    if not port:
        sys.exit(f"error: {program} {wire}: {side.stderr.read()}")
    peer = subprocess.run([c, "peer", wire, port, str(count), str(size)], check=False)
    out, err = side.communicate()
    if side.returncode != 0 or peer.returncode != 0:
        sys.exit(f"error: {program} {wire} {count} {size}: {err}")
    return int(out), err


def instructions(c, program, wire, size):
    """User instructions for each PAYLOAD bytes: two counts, so that start-up cancels."""
    few = max(16 << 20, 1024 * size)
    many = 3 * few
    counts = []
    for count in (few, many):
        _, err = turn(c, program, wire, count, size,
                      ("valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"))
        counts.append(int(re.search(r"Collected : (\d+)", err).group(1)))
    return (counts[1] - counts[0]) / ((many - few) / PAYLOAD)


def main():
    parser = argparse.ArgumentParser(usage="make bench-wires ARGS=...", description=__doc__.split("\n", 1)[0])
    parser.add_argument("c")
    parser.add_argument("ours")
    parser.add_argument("--json", action="store_true", help="the last line is an array")
    parser.add_argument("--instructions", action="store_true", help="callgrind counts too")
    parser.add_argument("--rounds", type=int, default=15, metavar="N", help="pairs of turns")
    parser.add_argument("--bytes", type=int, default=256, metavar="MIB", help="MiB of a turn")
    options = parser.parse_args()

    results = []
    print(f"{'wire':6}{'size':>8}{'ours MiB/s':>12}{'C MiB/s':>10}{'ratio':>8}{'low':>8}{'high':>8}"
          f"{'ours i/4K':>11}{'C i/4K':>9}{'ratio':>8}")
    for wire in ("recv", "send"):
        for size in SIZES:
            count = options.bytes << 20
            ours, theirs, ratios = [], [], []
            for index in range(options.rounds):
                order = [(options.ours, ours), (options.c, theirs)]
                for program, times in order if index % 2 else reversed(order):
                    times.append(turn(options.c, program, wire, count, size)[0])
                ratios.append(theirs[-1] / ours[-1])
            result = {
                "wire": wire, "size": size, "ratio": statistics.median(ratios),
                "oursMiBPerSecond": options.bytes * 1e9 / statistics.median(ours),
                "cMiBPerSecond": options.bytes * 1e9 / statistics.median(theirs),
            }
            quarter = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else [ratios[0]] * 3
            line = (f"{wire:6}{size >> 10:>5}KiB{result['oursMiBPerSecond']:>12.0f}{result['cMiBPerSecond']:>10.0f}"
                    f"{result['ratio']:>8.3f}{quarter[0]:>8.3f}{quarter[2]:>8.3f}")
            if options.instructions:
                result["oursInstructions"] = instructions(options.c, options.ours, wire, size)
                result["cInstructions"] = instructions(options.c, options.c, wire, size)
                result["instructionRatio"] = result["oursInstructions"] / result["cInstructions"]
                line += (f"{result['oursInstructions']:>11.1f}{result['cInstructions']:>9.1f}"
                         f"{result['instructionRatio']:>8.2f}")
            print(line, flush=True)
            results.append(result)
    missed = [result for result in results if result["ratio"] < BAR["ratio"]
              or result.get("instructionRatio", 0) > BAR["instructionRatio"]]
    for result in missed:
        print(f"short of {BAR['ratio']} of the throughput or above {BAR['instructionRatio']} times the"
              f" instructions: {result['wire']} {result['size']}")
    if options.json:
        print(json.dumps(results))


main()
