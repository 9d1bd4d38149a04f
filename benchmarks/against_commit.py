#!/usr/bin/env python3
"""The working tree beside another commit, in one run: has something become slower?

    benchmarks/against_commit.py [COMMIT] [--rounds 5] [--steps 10] [--micro REGEX] [--bench FILE] [--bound 1.05]

Builds COMMIT (the one before HEAD by default) in a git worktree of its own, and the working tree in build/; then both run
the micro-benchmarks whose names match and `lamina bench` of the configurations, by turns. Prints times as parts of the
other commit's, and exits with 1 if a median is above the bound. What the other commit does not have yet is left out.
"""

import argparse
import contextlib
import json
import os
import pathlib
import signal
import statistics
import subprocess
import sys
import tempfile

from sides import ROOT, by_turns, lamina_images_per_s, ratios, spread

MICRO = pathlib.Path("build/benchmarks/micro_benchmarks")


@contextlib.contextmanager
def checked_out(commit):
    """The commit in a folder of its own, with this checkout's LibTorch."""
    with tempfile.TemporaryDirectory() as folder:
        tree = pathlib.Path(folder) / "tree"
        subprocess.run(["git", "-C", ROOT, "worktree", "add", "--quiet", "--detach", tree, commit], check=True)
        try:
            (tree / ".venv").symlink_to((ROOT / ".venv").resolve())
            yield tree
        finally:
            subprocess.run(["git", "-C", ROOT, "worktree", "remove", "--force", tree], check=True)


def build(tree):
    """With paths relative to the tree in the compiler's cache: what is equal in both is compiled once."""
    environment = os.environ | {"CCACHE_BASEDIR": str(tree), "CCACHE_NOHASHDIR": "1"}
    has_micro = MICRO.name in (tree / "benchmarks" / "CMakeLists.txt").read_text()
    targets = ["lamina", *([MICRO.name] if has_micro else [])]
    for command in (["cmake", "--preset", "cpu"], ["cmake", "--build", "--preset", "cpu", "--target", *targets]):
        subprocess.run(command, cwd=tree, env=environment, check=True, stdout=sys.stderr)
    return has_micro


def micro_seconds(tree, options):
    """By benchmark."""
    text = subprocess.run([tree / MICRO, f"--benchmark_filter={options.micro}", "--benchmark_format=json",
                           f"--benchmark_min_time={options.min_time_s}"], check=True, stdout=subprocess.PIPE).stdout
    return {one["name"]: one["real_time"] for one in json.loads(text)["benchmarks"] if "error_occurred" not in one}


def bench_seconds(tree, options):
    """An image's, by configuration."""
    with tempfile.TemporaryDirectory() as folder:
        return {f"lamina bench {file}": 1 / lamina_images_per_s(ROOT / file, options.steps, pathlib.Path(folder),
                                                                tree / "build" / "lamina") for file in options.bench}


def compare(trees, options):
    """Time now by time then, a round each, by benchmark."""

    def side(tree, has_micro):
        return lambda: (micro_seconds(tree, options) if has_micro else {}) | bench_seconds(tree, options)

    seconds = by_turns({name: side(*tree) for name, tree in trees.items()}, options.rounds)
    names = [name for name in seconds["now"][0] if name in seconds["then"][0]]
    return {name: ratios(*[[one[name] for one in seconds[side]] for side in ("now", "then")]) for name in names}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("commit", nargs="?", default="HEAD~1")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=10, help="of lamina bench in a round, after its warm-up")
    parser.add_argument("--micro", default=".", metavar="REGEX", help="the micro-benchmarks to run; '^$': none")
    parser.add_argument("--min-time-s", type=float, default=0.2, help="of a micro-benchmark in a round")
    parser.add_argument("--bench", nargs="*", default=["configs/bench-resnet32-greedy.yaml"], metavar="FILE")
    parser.add_argument("--bound", type=float, default=1.05, help="the largest time that will do, of the other commit's")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # by which the worktree is removed again
    with checked_out(options.commit) as tree:
        trees = {"now": (ROOT, build(ROOT)), "then": (tree, build(tree))}
        found = compare(trees, options)
    slower = 0
    print(f"time, of that at {options.commit}: the median, and the range")
    for name, times in found.items():
        is_slower = statistics.median(times) > options.bound
        slower += is_slower
        print(f"{name:52} {spread(times)}{'  slower' if is_slower else ''}")
    sys.exit(slower > 0)


if __name__ == "__main__":
    main()
