#!/usr/bin/env python3
"""Strikes runs at random and sees that nothing is lost: rounds until so many seconds or rounds are over.

    tests/chaos/chaos.py --seconds 180                # as many rounds as begin in 3 minutes, from a fresh seed
    tests/chaos/chaos.py --seed 1234 --rounds 1       # the round of this seed again
    tests/chaos/chaos.py --rounds 20 --record tests/chaos/rounds.jsonl

A round's seed decides what happens, and is printed; each following one is greater by 1. Exit code 1 if
something did not hold; the folder of that round stays. Without namespaces no disk is filled, and it says so; exit
code 77, a skip to ctest, if that left no round to play.
"""

import argparse
import dataclasses
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
os.environ.setdefault("LAMINA_BINARY", str(ROOT / "build/lamina"))
sys.path += [str(ROOT / "tests" / each) for each in ("app", "launch")]

import chaos_round  # noqa: E402
import faults  # noqa: E402
import sandbox  # noqa: E402

SKIPPED = 77


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, help="begin no round after so many")
    parser.add_argument("--rounds", type=int, help="at most so many (1, unless --seconds is given)")
    parser.add_argument("--seed", type=int, help="of the first round")
    parser.add_argument("--jobs", type=int, default=1, help="so many rounds at a time; a struck run mostly waits")
    parser.add_argument("--stride", type=int, default=1, help="from a round's seed to the next one's")
    parser.add_argument("--record", type=Path, metavar="FILE", help="append a line a round")
    parser.add_argument("--fault", choices=faults.KINDS, help="in the place of those that are drawn")
    return parser.parse_args()


def commit():
    described = subprocess.run(["git", "-C", ROOT, "describe", "--always", "--dirty"], capture_output=True, text=True, check=False)
    return described.stdout.strip() or "unknown"


def play(fault, references):
    """The record of a round."""
    print(f"seed {fault.seed}: {fault}", flush=True)
    it = chaos_round.Round(fault, references)
    try:
        with it:
            it.play()
    except chaos_round.Failed as failed:
        print(f"seed {fault.seed} FAILED, {it.folder} stays: {failed}", flush=True)
        return it.record | {"held": False, "why": str(failed).splitlines()[0]}
    finally:
        sandbox.reap_orphans()
    print(f"seed {fault.seed} ended {it.record['ended']} at step {it.record['last_step']}, newest {it.record['newest']}, "
          f"whole in {it.record['seconds']} s", flush=True)
    return it.record | {"held": True}


def drawn(options, seed):
    fault = faults.draw(seed, chaos_round.CONFIGS)
    return dataclasses.replace(fault, kind=options.fault) if options.fault else fault


def play_at_once(options, seed):
    """As many scripts as there are jobs, each with its share of the rounds."""
    words = [f"--{key}={value}" for key in ("seconds", "record", "fault") if (value := getattr(options, key)) is not None]
    if options.rounds:
        words.append(f"--rounds={-(-options.rounds // options.jobs)}")
    jobs = [subprocess.Popen([sys.executable, __file__, f"--seed={seed + job}", f"--stride={options.jobs}", *words])
            for job in range(options.jobs)]
    codes = {job.wait() for job in jobs}
    return 1 if codes - {0, SKIPPED} else min(codes)


def play_in_turn(options, seed, can_fill):
    num_rounds = options.rounds or (10**9 if options.seconds else 1)
    end_s = time.monotonic() + (options.seconds or 10**9)
    told = {"commit": commit()}
    records, num_not_tried = [], 0
    with tempfile.TemporaryDirectory(prefix="chaos-references-") as folder:
        references = chaos_round.References(Path(folder))
        for each in range(seed, seed + options.stride * num_rounds, options.stride):
            if time.monotonic() > end_s:
                break
            fault = drawn(options, each)
            if fault.kind == "disk" and not can_fill:
                num_not_tried += 1
                continue
            records.append(told | play(fault, references))
            if options.record:
                with open(options.record, "a", encoding="utf-8") as file:
                    file.write(json.dumps(records[-1]) + "\n")
    num_failed = sum(not record["held"] for record in records)
    print(f"{len(records)} rounds from seed {seed}, {num_failed} did not hold, {num_not_tried} not tried")
    if not records and num_not_tried:
        return SKIPPED
    return 1 if num_failed or not records else 0


def main():
    options = parse()
    seed = random.SystemRandom().randrange(10**6) * 1000 if options.seed is None else options.seed
    why_no_disk = sandbox.why_impossible()
    if why_no_disk and options.stride == 1:  # whoever has a share of the rounds need not repeat it
        print(f"not tried: the fault disk, since there are no namespaces here: {why_no_disk}", flush=True)
    if why_no_disk and options.fault == "disk":
        return SKIPPED
    if options.jobs > 1:
        return play_at_once(options, seed)
    if not why_no_disk:
        sandbox.enter()
    return play_in_turn(options, seed, can_fill=not why_no_disk)


if __name__ == "__main__":
    sys.exit(main())
