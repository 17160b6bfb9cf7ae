#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Counts the tests of one run from Swift Testing's event stream and says whether it may pass.

  summary.py TIER EVENTS EXIT_STATUS COUNTS [LINUX]

Prints `TIER tests: N passed, N failed, N skipped [on linux LINUX]`, writes `passed failed` to COUNTS and
exits 0 only when something ran and all of it passed. A skipped or cancelled test is no pass, and a test
that began and never ended (a crash) has failed.
"""

import json
import sys


def read(path):
    planned, started, ended, failed, skipped = set(), set(), set(), set(), set()
    finished = False
    try:
        lines = open(path, encoding="utf-8").read().splitlines()
    except OSError:
        lines = []
    for line in lines:
        try:
            record = json.loads(line)
        except ValueError:
            continue  # The half-written last line of a run that crashed.
        payload = record.get("payload", {})
        if record.get("kind") == "test":
            if payload.get("kind") == "function":
                planned.add(payload["id"])
            continue
        kind, test = payload.get("kind"), payload.get("testID")
        if kind == "testStarted":
            started.add(test)
        elif kind == "testEnded":
            ended.add(test)
        elif kind in ("testSkipped", "testCancelled", "testCaseCancelled"):
            skipped.add(test)
        elif kind == "issueRecorded":
            issue = payload.get("issue", {})
            if issue.get("isFailure", not issue.get("isKnown", False)):
                failed.add(test)
        elif kind == "runEnded":
            finished = True
    functions = planned & (started | skipped)
    if not finished:
        functions = planned
    failed_functions = {test for test in functions if test in failed}
    skipped_functions = (skipped & functions) - failed_functions
    unended = functions - ended - skipped_functions - failed_functions
    passed = functions - failed_functions - skipped_functions - unended
    # An issue outside any test (a suite's own, say) fails the run as well.
    stray = failed - functions
    return len(passed), len(failed_functions | unended) + len(stray), len(skipped_functions), finished


def main():
    tier, events, status, counts = sys.argv[1:5]
    linux = sys.argv[5] if len(sys.argv) > 5 else ""
    passed, failed, skipped, finished = read(events)
    problems = []
    if passed + failed + skipped == 0:
        problems.append("no test ran")
    if not finished:
        problems.append("the run did not reach its end")
    if skipped:
        problems.append("skipped tests count as failures")
    if int(status) != 0 and not failed and not problems:
        problems.append(f"the test process ended with status {status}")
    for problem in problems:
        print(f"error: {tier} tests: {problem}", file=sys.stderr)
    with open(counts, "w", encoding="utf-8") as file:
        file.write(f"{passed} {failed + skipped + (1 if problems and not failed + skipped else 0)}\n")
    on = f" on linux {linux}" if linux else ""
    print(f"{tier} tests: {passed} passed, {failed} failed, {skipped} skipped{on}", flush=True)
    sys.exit(1 if problems or failed or int(status) != 0 else 0)


main()
