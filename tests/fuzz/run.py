#!/usr/bin/env python3
"""Feeds the readers of what others wrote with bytes that libFuzzer makes up, from those in corpus/ on. Needs
build-asan (cmake --preset asan && cmake --build --preset asan --target lamina_fuzz).

    tests/fuzz/run.py                      a minute in all
    tests/fuzz/run.py --each 600 mat png   ten minutes each of these
"""

import argparse
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
BUILD = HERE.parents[1] / "build-asan"
BINARY = BUILD / "tests" / "fuzz" / "lamina_fuzz"


def environment():
    suppressions = HERE.parent / "sanitizers" / "lsan.supp"
    return {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "LSAN_OPTIONS": f"suppressions={suppressions}:print_suppressions=0",
        "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1",
    }


def figure(pattern, output):
    found = re.findall(pattern, output)
    return int(found[-1]) if found else 0


def fuzz(target, seconds, found):
    """Whether nothing was found; what libFuzzer came upon stays in found/<target> and is gone on from next time."""
    inputs, findings = found / target, found / "findings"
    inputs.mkdir(parents=True, exist_ok=True)
    findings.mkdir(exist_ok=True)
    command = [BINARY, f"--target={target}", f"-max_total_time={seconds}", "-print_final_stats=1",
               f"-artifact_prefix={findings}/{target}-", inputs, HERE / "corpus" / target]
    done = subprocess.run(command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    output = done.stdout.decode(errors="replace")
    executed = figure(r"stat::number_of_executed_units:\s*(\d+)", output)
    verdict = "ok" if done.returncode == 0 and executed > 0 else f"failed ({done.returncode})"
    print(f"{target:12} {seconds:5} s {executed:10} inputs {figure(r'cov: ([0-9]+)', output):6} edges  {verdict}", flush=True)
    if verdict != "ok":
        print(output[-6000:], flush=True)
    return verdict == "ok"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", nargs="*", help="default: all")
    parser.add_argument("--each", type=int, help="seconds of each target")
    parser.add_argument("--in-all", type=int, default=60, help="seconds in all, if --each is not given")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="targets at a time")
    parser.add_argument("--found", type=Path, default=BUILD / "fuzz", help="where inputs and findings are kept")
    arguments = parser.parse_args()
    if not BINARY.exists():
        sys.exit(f"{BINARY}: expected libFuzzer's build, found none: cmake --preset asan && cmake --build --preset asan")
    known = subprocess.run([BINARY, "--list"], stdout=subprocess.PIPE, check=True, env=environment()).stdout.decode().split()
    targets = arguments.targets or known
    if unknown := set(targets) - set(known):
        sys.exit(f"expected targets among {', '.join(known)}, found {', '.join(sorted(unknown))}")
    each = arguments.each or max(1, arguments.in_all * arguments.jobs // len(targets))
    with ThreadPoolExecutor(arguments.jobs) as pool:
        fine = list(pool.map(lambda target: fuzz(target, each, arguments.found), targets))
    sys.exit(0 if all(fine) else 1)


if __name__ == "__main__":
    main()
