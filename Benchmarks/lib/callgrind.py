# SPDX-License-Identifier: Apache-2.0
"""Instructions of one turn of a loop, counted by valgrind's callgrind."""

import re
import subprocess
import sys


def run(command, case, count):
    result = subprocess.run(
        ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", *command, case, str(count)],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    found = re.search(r"Collected : (\d+)", result.stderr)
    if result.returncode != 0 or not found:
        sys.exit(f"error: valgrind could not run {' '.join(command)} {case}:\n{result.stderr}")
    return int(found.group(1))


def instructions(command, case, few=8192, many=73728):
    """The difference of two loop counts, so that start-up cancels. Both are multiples of every burst
    and window of the benchmarks."""
    return (run(command, case, many) - run(command, case, few)) / (many - few)
