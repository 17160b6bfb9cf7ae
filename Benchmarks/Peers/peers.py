#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs this library and its peers side by side; see scripts/bench-peers.sh.

  peers.py FOLDER OURS [--json] [--markdown] [--instructions] [--rounds N] [--case NAME]...

Each side is a process of its own (general-purpose allocators replace malloc in theirs) that waits for
work. A machine changes its speed from one second to the next, so this library and a peer take turns of
some milliseconds, and each pair of turns gives one ratio; the table has the medians, and beside them the
best turn of each.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import callgrind

CASES = [
    "fast_path", "shared_fast_path", "shared_bulk_64", "fast_path_window_64", "bulk_32", "bulk_64", "bulk_64_constant",
    "share_and_two_returns", "cross_thread_single", "cross_thread_single_at_once",
    "cross_thread_single_queued", "cross_thread_burst32",
]
# "handover" is no pool: the time that changing threads takes by itself, which nobody can be below. The same
# with the least that a return needs, but the way back, is "handover-looks".
PEERS = ["dpdk-mempool", "dpdk-pktmbuf", "jemalloc", "mimalloc", "glibc", "handover", "handover-looks"]
# Only packet buffers have reference counts, and only DPDK has calls that know the size of a burst.
LACKING = {("share_and_two_returns", peer) for peer in PEERS if peer != "dpdk-pktmbuf"}
LACKING |= {("bulk_64_constant", peer) for peer in PEERS if not peer.startswith("dpdk")}
LACKING |= {(case, peer) for peer in PEERS[-2:] for case in CASES if not case.startswith("cross_thread")}
# Peers have one kind of pool, and one way to return; it stands beside all of ours.
PEERS_NAME = {
    "cross_thread_single_at_once": "cross_thread_single",
    "cross_thread_single_queued": "cross_thread_single",
    "shared_fast_path": "fast_path",
    "shared_bulk_64": "bulk_64",
}
# What this library sets out to reach: at most so many times the peer's time.
BARS = {
    ("fast_path", "dpdk-mempool"): 0.5,
    ("bulk_64", "dpdk-mempool"): 1.0,
    ("bulk_64", "dpdk-pktmbuf"): 0.2,
    ("bulk_64_constant", "dpdk-mempool"): 1.0,
    ("bulk_64_constant", "dpdk-pktmbuf"): 0.2,
    ("shared_fast_path", "dpdk-mempool"): 1.0,
    ("cross_thread_single", "handover"): 1.4,
    ("cross_thread_single_at_once", "dpdk-mempool"): 1.1,
    ("cross_thread_burst32", "dpdk-mempool"): 1.0,
}
# Two threads need both processors at once: shorter and more turns find the quiet moments. With one
# thread what else runs on the machine is not in the clock.
TURN_NS = 10e6
CROSSING_TURN_NS = 3e6
CROSSING_ROUNDS = 3


def is_crossing(case):
    return case.startswith("cross_thread")


class Side:
    """One process; its answers are nanoseconds per object."""

    def __init__(self, command):
        self.command = command
        self.counts = {}
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)

    def ask(self, case, count):
        try:
            self.process.stdin.write(f"{case} {count}\n")
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            sys.exit(f"error: {' '.join(self.command)} ended with status {self.process.wait()} in {case}")
        return float(line)

    def turn(self, case):
        if case not in self.counts:
            # Warms up as well: the first answers are of cold caches and untouched pages.
            turn_ns = CROSSING_TURN_NS if is_crossing(case) else TURN_NS
            count = 4096
            while True:
                each = max(self.ask(case, count), 0.01)
                if each * count > turn_ns / 8:
                    break
                count *= 4
            self.counts[case] = max(4096, int(turn_ns / each))
        return self.ask(case, self.counts[case])

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def side_by_side(case, ours, peer, rounds):
    if is_crossing(case):
        rounds *= CROSSING_ROUNDS
    its = PEERS_NAME.get(case, case)
    pairs = [(ours.turn(case), peer.turn(its)) for _ in range(rounds)]
    ratios = sorted(a / b for a, b in pairs)
    return {
        "oursNs": round(statistics.median(a for a, _ in pairs), 3),
        "peerNs": round(statistics.median(b for _, b in pairs), 3),
        "ratio": round(statistics.median(ratios), 3),
        "ratioLow": round(ratios[len(ratios) // 4], 3),
        "ratioHigh": round(ratios[3 * len(ratios) // 4], 3),
        "oursBestNs": round(min(a for a, _ in pairs), 3),
        "peerBestNs": round(min(b for _, b in pairs), 3),
    }


def print_table(rows, with_instructions):
    heads = ["case", "peer", "ours ns", "peer ns", "ratio", "middle half", "best turns", "bar"]
    if with_instructions:
        heads += ["ours instr", "peer instr"]
    lines = [heads]
    for row in rows:
        bar = row.get("bar")
        verdict = "" if bar is None else f"{bar:g} {'met' if row['ratio'] <= bar else 'missed'}"
        line = [
            row["case"], row["peer"], f"{row['oursNs']:.2f}", f"{row['peerNs']:.2f}",
            f"{row['ratio']:.2f}", f"{row['ratioLow']:.2f}-{row['ratioHigh']:.2f}",
            f"{row['oursBestNs']:.2f}/{row['peerBestNs']:.2f}", verdict,
        ]
        if with_instructions:
            for key in ("oursInstructions", "peerInstructions"):
                line.append(f"{row[key]:.1f}" if key in row else "")
        lines.append(line)
    widths = [max(len(line[column]) for line in lines) for column in range(len(heads))]
    for line in lines:
        cells = [
            cell.ljust(width) if column in (0, 1, 7) else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths))
        ]
        print("  ".join(cells).rstrip())


def print_markdown(rows):
    """The tables of docs/performance-peers.md."""
    def cell(row, side):
        count = row.get(f"{side}Instructions")
        return f"{row[side + 'Ns']:.3g}" + (f" [{count:.3g}]" if count is not None else "")

    cases = list(dict.fromkeys(row["case"] for row in rows))
    peers = list(dict.fromkeys(row["peer"] for row in rows))
    print(f"\n| case | ours | {' | '.join(peers)} |\n|{'---|' * (len(peers) + 2)}")
    for case in cases:
        its = {row["peer"]: row for row in rows if row["case"] == case}
        ours = min(its.values(), key=lambda row: row["oursNs"])
        cells = [cell(its[peer], "peer") if peer in its else "" for peer in peers]
        print(f"| `{case}` | {cell(ours, 'ours')} | {' | '.join(cells)} |")
    print("\n| bar | ratio | middle half | |\n|---|---|---|---|")
    for row in rows:
        if "bar" in row:
            print(f"| `{row['case']}` ≤ {row['bar']:g} × {row['peer']} | {row['ratio']:.2f} |"
                  f" {row['ratioLow']:.2f} to {row['ratioHigh']:.2f} |"
                  f" {'met' if row['ratio'] <= row['bar'] else 'missed'} |")


def main():
    parser = argparse.ArgumentParser(prog="scripts/bench-peers.sh")
    parser.add_argument("folder", help=argparse.SUPPRESS)
    parser.add_argument("ours", help=argparse.SUPPRESS)
    parser.add_argument("--json", action="store_true", help="an array of results as the last line")
    parser.add_argument(
        "--instructions", action="store_true", help="callgrind counts of the cases with one thread")
    parser.add_argument("--markdown", action="store_true", help="the tables of docs/performance-peers.md")
    parser.add_argument("--rounds", type=int, default=15, help="pairs of turns (default 15)")
    parser.add_argument(
        "--case", action="append", choices=CASES, metavar="NAME", help="only this; may be repeated")
    arguments = parser.parse_args()
    if arguments.rounds < 1:
        parser.error("--rounds must be at least 1")

    dpdk = os.path.join(arguments.folder, "dpdk")
    commands = {
        "dpdk-mempool": [dpdk, "mempool"],
        "dpdk-pktmbuf": [dpdk, "pktmbuf"],
        **{name: [os.path.join(arguments.folder, name)] for name in PEERS[2:]},
    }
    ours = Side([arguments.ours])
    peers = {name: Side(command) for name, command in commands.items()}
    rows = []
    for case in arguments.case or CASES:
        for name, peer in peers.items():
            if (case, name) in LACKING:
                continue
            print(f"==> {case} beside {name}", file=sys.stderr)
            row = {"case": case, "peer": name, **side_by_side(case, ours, peer, arguments.rounds)}
            if (case, name) in BARS:
                row["bar"] = BARS[case, name]
            rows.append(row)
    for side in (ours, *peers.values()):
        side.close()

    if arguments.instructions:
        known = {}
        for row in rows:
            if is_crossing(row["case"]):
                continue
            sides = (("oursInstructions", ours, row["case"]),
                     ("peerInstructions", peers[row["peer"]], PEERS_NAME.get(row["case"], row["case"])))
            for key, side, its in sides:
                question = (tuple(side.command), its)
                if question not in known:
                    print(f"==> counting {' '.join(side.command[1:]) or os.path.basename(side.command[0])}"
                          f" {its}", file=sys.stderr)
                    known[question] = round(callgrind.instructions(side.command, its), 2)
                row[key] = known[question]
    print_table(rows, arguments.instructions)
    if arguments.markdown:
        print_markdown(rows)
    if arguments.json:
        print(json.dumps(rows))


main()
