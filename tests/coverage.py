#!/usr/bin/env python3
"""Builds with counters in src, runs the tests, and says which share of the lines of each layer they execute. Fails
below 90 %. Needs gcovr (launch/setup --tools).

    tests/coverage.py                     every test, 20 minutes
    tests/coverage.py -LE 'app|launch'    as ctest selects them
    tests/coverage.py --report            of the runs so far
    tests/coverage.py --lines             also the lines that none executes
"""

import collections
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / "build-coverage"
LEAST_PERCENT = 90


def run_tests(selection):
    """Whether all passed."""
    for counters in BUILD.rglob("*.gcda"):
        counters.unlink()
    jobs = str(os.cpu_count())
    command = ["ctest", "--test-dir", str(BUILD), "-j", jobs, "--output-on-failure", "--no-tests=error", *selection]
    return subprocess.run(command, check=False).returncode == 0


def counted():
    """By source file: by line, how often it was executed."""
    gcovr = shutil.which("gcovr", path=f"{ROOT}/.venv/bin:{os.environ['PATH']}")
    command = [gcovr, "--root", ROOT, "--filter", "src/", "--filter", "include/",
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
    arguments = [a for a in sys.argv[1:] if a not in ("--report", "--lines")]
    passed = True
    if "--report" not in sys.argv:
        subprocess.run(["cmake", "--preset", "coverage"], cwd=ROOT, check=True)
        subprocess.run(["cmake", "--build", "--preset", "coverage"], cwd=ROOT, check=True)
        passed = run_tests(arguments)
    percent = report(counted(), "--lines" in sys.argv)
    if percent < LEAST_PERCENT:
        sys.exit(f"expected at least {LEAST_PERCENT} %, found {percent:.1f} %")
    sys.exit(0 if passed else "not all tests passed")


if __name__ == "__main__":
    main()
