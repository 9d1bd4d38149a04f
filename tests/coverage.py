#!/usr/bin/env python3
"""Says which share of the lines of each layer the tests have executed that ran in build-asan since the counters were
cleared. Fails below 90 %. Needs gcovr and llvm-cov (launch/setup --tools).

    tests/coverage.py            the shares
    tests/coverage.py --lines    also the lines that no test executes
    tests/coverage.py --clear    begin to count anew, as is needed behind a change
"""

import argparse
import collections
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / "build-asan"
LEAST_PERCENT = 90


def clear():
    for counters in BUILD.rglob("*.gcda"):
        counters.unlink()


def counted():
    """By source file: by line, how often it was executed."""
    gcovr = shutil.which("gcovr", path=f"{ROOT}/.venv/bin:{os.environ['PATH']}")
    command = [gcovr, "--root", ROOT, "--filter", "src/", "--filter", "include/",
               "--gcov-executable", "llvm-cov-19 gcov",
               "--gcov-ignore-parse-errors=all", "--merge-mode-functions=merge-use-line-0", "-j", str(os.cpu_count()),
               "--json", "-", BUILD]
    report = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return {file["file"]: {line["line_number"]: line["count"] for line in file["lines"]} for file in report["files"]}


def layer_of(file):
    parts = Path(file).parts
    return parts[1] if parts[0] == "src" else parts[2]


def spans(numbers):
    """[3, 4, 5, 9] as "3-5 9"."""
    groups = []
    for number in numbers:
        if groups and groups[-1][-1] == number - 1:
            groups[-1].append(number)
        else:
            groups.append([number])
    return " ".join(str(g[0]) if len(g) == 1 else f"{g[0]}-{g[-1]}" for g in groups)


def report(files, with_lines):
    layers = collections.defaultdict(lambda: [0, 0])
    for file, lines in sorted(files.items()):
        executed = sum(1 for count in lines.values() if count > 0)
        for name in (layer_of(file), "all"):
            layers[name][0] += executed
            layers[name][1] += len(lines)
        if with_lines and executed < len(lines):
            print(f"{file}: {spans(sorted(n for n, count in lines.items() if count == 0))}")
    for name, (executed, lines) in sorted(layers.items(), key=lambda item: item[0] == "all"):
        print(f"{name:10} {executed:6} of {lines:6} lines  {100 * executed / lines:5.1f} %")
    executed, lines = layers["all"]
    return 100 * executed / lines


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", action="store_true")
    parser.add_argument("--clear", action="store_true")
    options = parser.parse_args()
    if options.clear:
        return clear()
    percent = report(counted(), options.lines)
    return None if percent >= LEAST_PERCENT else f"expected at least {LEAST_PERCENT} %, found {percent:.1f} %"


if __name__ == "__main__":
    sys.exit(main())
