#!/usr/bin/env python3
"""A long run of four processes whose memory, descriptors and threads may not grow: short steps over MPI, watched.

    tests/chaos/soak.py --seconds 90                  # stopped by then, cleanly
    tests/chaos/soak.py --steps 100000 --out FILE     # to the end; the samples go to FILE, a JSON line each

Every process is looked at once a second, from its first step on. The first 5,000 steps, 5 % of 100,000, are dropped; in these
every worker is stopped a few times for a moment, so that all buffers have once been as full as a disturbed rhythm makes them:
what is freed is kept, and a machine that is busy elsewhere would do the same to a later step. Of the rest

* the least number of descriptors, and of threads, in each tenth is the same: what is open for a moment does not count;
* what is resident of a process's own memory does not rise (of pages that lie in files, such as libraries, the kernel takes back
  and reads again what it likes): neither does the median slope of samples a tenth or more apart (Theil and Sen) add more than
  0.5 %, or 1 MiB, over this time, nor is any sample that much above the greatest of the first tenth.
"""

import argparse
import contextlib
import itertools
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
os.environ.setdefault("LAMINA_BINARY", str(ROOT / "build/lamina"))
sys.path += [str(ROOT / "tests" / each) for each in ("app", "launch")]

from lamina_process import BINARY, OK  # noqa: E402
from run_process import RUN, SCHEDULERS, processes_with  # noqa: E402

NUM_WORKERS = 4
SAMPLE_S = 1.0
DROPPED_STEPS = 5_000  # 5 % of 100,000
STALL_EVERY_STEPS, STALL_S = 400, 2.0
PARTS = 10
RISE_MIB, RISE = 1.0, 0.005
STOP_LIMIT_S = 120

# All that a run has while it goes on: windows over the edges, snapshots, evaluations, checkpoints, and an endpoint.
CONFIG = """
model: {backbone: resnet8}
partition: {modules: 4}
method: {framework: dgl, head: mlp_sr, mlaan: {window: 2, lam_on: none}}
pipeline: {stages: 4, workers: 4, threads: 1, timeout_s: 3600}
data: {name: synthetic, train_limit: 400, test_limit: 8}
train: {batch: 2, epochs: 100000, eval_every_steps: 1000, lr_schedule: step, warmup_epochs: 0, lr: 0.001}
checkpoint: {every_steps: 500}
metrics: {listen: "0", spike_factor: 0}
"""


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="of training")
    parser.add_argument("--steps", type=int, default=100_000, help="at most so many")
    parser.add_argument("--out", type=Path, metavar="FILE", help="the samples, a line each")
    return parser.parse_args()


def start(folder, steps):
    (folder / "soak.yaml").write_text(CONFIG)
    kept = {key: value for key, value in os.environ.items() if not SCHEDULERS.match(key)}
    with open(folder / "console", "wb") as console:
        return subprocess.Popen([RUN, folder / "soak.yaml", "--out", folder / "run", "--set", f"train.max_steps={steps}"],
                                stdout=console, stderr=subprocess.STDOUT, env=kept, cwd=folder)


def sample(pid):
    """What a process has, or nothing if it is gone."""
    try:
        status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
        own = sum(int(status[key].split()[0]) for key in ("RssAnon", "RssShmem"))
        return {"own_mib": own / 1024, "descriptors": len(os.listdir(f"/proc/{pid}/fd")),
                "threads": int(status["Threads"])}
    except (OSError, KeyError):
        return None


def newest_step(metrics):
    try:
        with open(metrics, "rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 4096))
            lines = file.read().rpartition(b"\n")[0].splitlines()
        return json.loads(lines[-1])["step"] if lines else -1
    except (OSError, ValueError):
        return -1


def workers(folder):
    """The pids of the workers; none is replaced while a run goes on."""
    found = processes_with(folder / "run", f"{BINARY} train")
    return sorted(pid for pid, command in found.items() if command.startswith(BINARY))


def stall(pid):
    """Stops a worker for a moment; its neighbours wait for it with all that they may have under way."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGSTOP)
        try:
            time.sleep(STALL_S)
        finally:
            os.kill(pid, signal.SIGCONT)


def watch(process, folder, seconds, steps):
    """{pid: its samples} of its training; ends the run when the time is over."""
    samples, began_s, is_told, num_stalls = {}, None, False, 0
    while process.poll() is None:
        time.sleep(SAMPLE_S)
        step = newest_step(folder / "run/metrics.jsonl")
        if step < 0:
            continue
        began_s = began_s or time.monotonic()
        pids = workers(folder)
        if pids and num_stalls < min(step, DROPPED_STEPS - 1) // STALL_EVERY_STEPS:
            stall(pids[num_stalls % len(pids)])
            num_stalls += 1
        for pid in pids if not is_told and step + 1 < steps else ():
            if found := sample(pid):
                samples.setdefault(pid, []).append(found | {"s": round(time.monotonic() - began_s, 2), "step": step})
        if time.monotonic() - began_s > seconds and not is_told:
            is_told = True
            process.terminate()
    return samples


def parts(values):
    """The values cut into equal stretches."""
    bounds = [len(values) * i // PARTS for i in range(PARTS + 1)]
    return [values[a:b] for a, b in itertools.pairwise(bounds)]


def rise(values):
    """What the median slope adds from the first value to the last."""
    points = list(enumerate(values))[::max(1, len(values) // 300)]
    slopes = [(b[1] - a[1]) / (b[0] - a[0]) for a, b in itertools.combinations(points, 2) if b[0] - a[0] >= len(values) / PARTS]
    return statistics.median(slopes) * len(values)


def judge(samples):
    """(line, problems) of one process."""
    later = [one for one in samples if one["step"] >= DROPPED_STEPS][:-1]  # the last may be of a process that ends
    if len(later) < 3 * PARTS:
        return f"{len(later)} samples", [f"expected {3 * PARTS} samples from step {DROPPED_STEPS} on, found {len(later)}"]
    problems = []
    for key in ("descriptors", "threads"):
        least = [min(one[key] for one in part) for part in parts(later)]
        if len(set(least)) > 1:
            problems.append(f"{key} by tenths, at least: {least}")
    memory = [one["own_mib"] for one in later]
    middle, risen = statistics.median(memory), rise(memory)
    above = max(memory) - max(parts(memory)[0])
    allowed = max(RISE_MIB, RISE * middle)
    if max(risen, above) > allowed:
        problems.append(f"its own memory rises by {risen:.2f} MiB, its greatest by {above:.2f} MiB; {allowed:.2f} are allowed")
    line = (f"{middle:.1f} MiB of its own ({min(memory):.1f} to {max(memory):.1f}, rise {risen:+.2f}), "
            f"{later[-1]['descriptors']} descriptors, {later[-1]['threads']} threads, {len(later)} samples")
    return line, problems


def main():
    options = parse()
    with tempfile.TemporaryDirectory(prefix="soak-") as name:
        folder = Path(name)
        process = start(folder, options.steps)
        try:
            samples = watch(process, folder, options.seconds, options.steps)
            step = newest_step(folder / "run/metrics.jsonl") + 1
        finally:
            process.terminate()
            process.wait(STOP_LIMIT_S)
        console = (folder / "console").read_text()
    if options.out:
        lines = (json.dumps({"worker": worker} | one) for worker, pid in enumerate(samples) for one in samples[pid])
        options.out.write_text("\n".join(lines) + "\n")
    problems = [] if process.returncode == OK else [f"the run ended with {process.returncode}:\n{console[-4000:]}"]
    if len(samples) != NUM_WORKERS:
        problems.append(f"expected {NUM_WORKERS} processes, found {len(samples)}")
    else:
        print(f"{step} steps in {samples[min(samples)][-1]['s']:.0f} s")
        for worker, pid in enumerate(sorted(samples)):
            line, found = judge(samples[pid])
            print(f"worker {worker}: {line}")
            problems += [f"worker {worker}: {each}" for each in found]
    print("\n".join(problems) or "nothing grows")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
