#!/usr/bin/env python3
"""What it costs a pipeline that the network of its snapshots is full: four hosts in network namespaces, by turns throttled.

    benchmarks/throttled_snapshots.py --turns 8 --seconds 10 --rate 1mbit [--sleep-ms 50]

One run goes on (`snapshots.policy: latest`), while its snapshots' links are throttled by `tc tbf` and free by turns. Of every
turn the first third is dropped. Four workers that compute want four processors, or the machine's other work is all one sees;
with --sleep-ms stages sleep so long a step instead. Needs root, or namespaces without it, and iproute2.
"""

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
os.environ.setdefault("LAMINA_BINARY", str(ROOT / "build/lamina"))
sys.path += [str(ROOT / "tests" / each) for each in ("app", "launch", "chaos")]

import hosts  # noqa: E402
import sandbox  # noqa: E402
from run_process import RUN, SCHEDULERS  # noqa: E402

SKIPPED = 77  # as ctest is told

CONFIG = """
model: {backbone: resnet8}
partition: {modules: 4}
method: {framework: dgl, head: mlp_sr, mlaan: {window: 2}}
pipeline: {stages: 4, threads: 1}
data: {name: synthetic, train_limit: 2048, test_limit: 2}
train: {batch: 16, epochs: 100000, lr_schedule: step, warmup_epochs: 0, lr: 0.001, eval_every_steps: 1000000}
snapshots: {policy: latest, interface: 10.78.0.0/24}
"""


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=8, help="of both kinds")
    parser.add_argument("--seconds", type=float, default=10, help="a turn")
    parser.add_argument("--rate", default="1mbit", help="of each host's link, as tc has it")
    parser.add_argument("--sleep-ms", type=float, default=0, help="stages sleep so long a step; 0: they compute")
    return parser.parse_args()


LAMINA = Path(os.environ["LAMINA_BINARY"])
# What launch/run takes for it.
SLEEPER = """#!/bin/bash
[ "$1" = train ] && exec "{lamina.parent}/benchmarks/sleeping_run" --sleep-ms {sleep_ms} "${{@:2}}"
exec "{lamina}" "$@"
"""


def program(options, folder):
    """Words for launch/run."""
    if not options.sleep_ms:
        return []
    sleeper = folder / "sleeper"
    sleeper.write_text(SLEEPER.format(lamina=LAMINA, sleep_ms=options.sleep_ms))
    sleeper.chmod(0o755)
    return ["--lamina", sleeper]


def records(metrics, start):
    """What metrics.jsonl tells from this byte on, and the byte behind it."""
    with open(metrics, "rb") as file:
        file.seek(start)
        whole, newline, _ = file.read().rpartition(b"\n")
    return [json.loads(line) for line in whole.splitlines()], start + len(whole) + len(newline)


def turn(metrics, seconds):
    """(steps a second, greatest age) of the later two thirds of a turn."""
    time.sleep(seconds / 3)
    _, begin = records(metrics, 0)
    time.sleep(2 * seconds / 3)
    found, _ = records(metrics, begin)
    return len(found) / sum(each["step_s"] for each in found), max(max(each["snapshot_age"]) for each in found)


def measure(options, folder):
    four = hosts.Hosts(("anna", "berta", "clara", "dora"))
    (folder / "run.yaml").write_text(CONFIG)
    kept = {key: value for key, value in os.environ.items() if not SCHEDULERS.match(key)}
    metrics = folder / "run/metrics.jsonl"
    with open(folder / "console", "wb") as console:
        process = subprocess.Popen([RUN, folder / "run.yaml", "--out", folder / "run", *four.words(),
                                    *program(options, folder)], stdout=console, stderr=subprocess.STDOUT, env=kept, cwd=folder)
    try:
        while not metrics.exists() or not records(metrics, 0)[0]:
            if process.poll() is not None:
                sys.exit((folder / "console").read_text())
            time.sleep(0.2)
        turn(metrics, options.seconds)  # warm-up
        free, throttled = [], []
        for _ in range(options.turns):
            free.append(turn(metrics, options.seconds))
            four.throttle("snap0", options.rate)
            throttled.append(turn(metrics, options.seconds))
            four.calm("snap0")
        free.append(turn(metrics, options.seconds))
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)
    return free, throttled


def main():
    options = parse()
    why_not = sandbox.why_impossible("net", "uts")
    if not why_not:
        sandbox.enter("net", "uts")
        why_not = hosts.why_no_links()
    if why_not:
        print(f"SKIPPED: needs namespaces with links between them: {why_not}")
        sys.exit(SKIPPED)
    with tempfile.TemporaryDirectory(prefix="throttled-") as folder:
        free, throttled = measure(options, Path(folder))
    # Each throttled turn beside the mean of the free ones before and behind it.
    ratios = [rate / statistics.mean((before[0], behind[0])) for (rate, _), before, behind in zip(throttled, free, free[1:])]
    print(f"{statistics.median(rate for rate, _ in free):.1f} steps/s with free links, age {max(age for _, age in free)} at most")
    print(f"at {options.rate}: {statistics.median(ratios):.3f} of that ({min(ratios):.3f} to {max(ratios):.3f}), "
          f"age {max(age for _, age in throttled)} at most; {options.turns} turns of {options.seconds:.0f} s")


if __name__ == "__main__":
    main()
