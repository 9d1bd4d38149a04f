#!/usr/bin/env python3
"""What strangers at its ports cost a run: throughput with nobody there, with attackers at it, and with the same attackers
busy elsewhere, at the same CPU rate, by turns. The last is the control: what they cost as any other process would.

    benchmarks/strangers.py --pairs 5                       # on one and the same cores
    benchmarks/strangers.py --pairs 5 --apart               # the run on core 0; attackers, and what else they attack, on core 1
    benchmarks/strangers.py --quick                         # measures nothing: does one run withstand them? It is a test

Attackers: a crowd that wants to be 10,000 idle connections, random bytes at full speed, halves of messages, handshakes with
a wrong token, handshakes that were overheard. They begin before the run, look for its open ports, and attack all of them:
the exchanges' while workers meet, the metrics endpoint's to the end. Beside throughput it is checked that the parameters
are the same, that nobody is admitted, and how many lines the log spends on it. Exit code 1 if parameters differ or
somebody was admitted; 77, a skip to ctest, where --quick cannot have a network of its own.
"""

import argparse
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
HERE = Path(__file__).resolve().parent
sys.path += [str(ROOT / each) for each in ("launch", "tests/chaos")]

import meetings  # noqa: E402
import sandbox  # noqa: E402
from attackers import num_idle  # noqa: E402
from run_child import child_setup  # noqa: E402

SKIPPED = 77
WRONG_TOKEN, REPLAYED = "wrong token, refused", "replayed, refused"
MOST_LINES = 6 * 8 + 3  # 2 workers at 3 meetings with 7 kinds of refusals, the endpoint with 2, and what each comes to
ATTACK_LIMIT_S = 90
SIDES = ("nobody", "elsewhere", "attacked")
CONFIG = """
model: {backbone: resnet8}
partition: {modules: 4}
method: {framework: dgl, mlaan: {window: 2}}
pipeline: {stages: 2, workers: 2, threads: 1}
data: {name: synthetic, train_limit: 2048, test_limit: 2}
train: {batch: 32, epochs: 1000, lr_schedule: step, warmup_epochs: 0}
metrics: {listen: "0"}
"""
ENVIRONMENT = os.environ | {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=5, help="rounds of the three sides")
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--share", type=float, default=1.0, help="of a core, for the attackers at most")
    parser.add_argument("--apart", action="store_true", help="attackers do not compute where the run does")
    parser.add_argument("--quick", action="store_true", help="one run, attacked until all idle connections are there")
    parser.add_argument("--out", type=Path, metavar="FILE", help="append what was found, a line a round")
    parser.add_argument("--found", type=Path, nargs="+", metavar="FILE", help="only show what was found before")
    parser.add_argument("--lamina", type=Path, default=ROOT / "build/lamina")
    return parser.parse_args()


def on(core, options):
    return ["taskset", "-c", str(core)] if options.apart else []


def ended(process):
    """The JSON that a process says at its end; nothing if it had hardly begun."""
    process.terminate()
    said = process.communicate(timeout=60)[0].splitlines()
    return json.loads(said[-1]) if said else {}


def start(options, *command):
    return subprocess.Popen([*on(1, options), sys.executable, *map(str, command)], stdout=subprocess.PIPE, text=True,
                            preexec_fn=child_setup(signal.SIGTERM))


def launch(options, folder, steps, *sets):
    (folder / "run.yaml").write_text(CONFIG)
    command = ["mpirun", "--oversubscribe", "--bind-to", "none", "-n", "2", options.lamina, "train", folder / "run.yaml",
               "--set", f"train.max_steps={steps}", *sets, "--out", folder / "run"]
    with open(folder / "console", "w", encoding="utf-8") as console:
        return subprocess.Popen([*on(0, options), *command], stdout=subprocess.DEVNULL, stderr=console, env=ENVIRONMENT,
                                preexec_fn=child_setup(signal.SIGTERM))


def outcome(process, folder):
    """What an ended run came to."""
    code, console = process.wait(), (folder / "console").read_text()
    if code:
        sys.exit(f"the run ended with {code}:\n{console[-3000:]}")
    summary = json.loads((folder / "run/summary.json").read_text())
    lines = [line for line in console.splitlines() if "turned away" in line]
    return {"images_per_s": summary["images_per_s"], "seconds": summary["seconds"], "params": summary["params_sha256"],
            "step": summary["step"], "lines": len(lines), "said": lines}


def train(options, folder, steps):
    before = os.times()
    found = outcome(launch(options, folder, steps), folder)
    after = os.times()
    return found | {"cpu_s": after.children_user + after.children_system - before.children_user - before.children_system}


def cores(found):
    return found["cpu_s"] / found["seconds"]


def play(side, options, share):
    """What a run came to; the attackers have this share of a core, at most."""
    with tempfile.TemporaryDirectory(prefix="strangers-") as folder:
        sink = attackers = None
        if side == "elsewhere":
            sink = start(options, HERE / "sink.py")
            port = int(sink.stdout.readline())
            attackers = start(options, HERE / "attackers.py", "--share", share, "--port", port)
        if side == "attacked":
            attackers = start(options, HERE / "attackers.py", "--share", share)
        found = train(options, Path(folder), options.steps)
        found["attackers"] = ended(attackers) if attackers else None
        found["sink"] = ended(sink) if sink else None
        return found


def ratio(rounds, over, under):
    found = [each[over]["images_per_s"] / each[under]["images_per_s"] for each in rounds]
    return f"{statistics.median(found):.3f} ({min(found):.3f} to {max(found):.3f})"


def per_s(rounds, side, who):
    """Cores that somebody used, while it was there."""
    return statistics.median(each[side][who]["cpu_s"] / each[side]["attackers"]["seconds"] for each in rounds)


def show(rounds):
    params = {each[side]["params"] for each in rounds for side in SIDES}
    attackers = [each["attacked"]["attackers"] for each in rounds]
    print(f"{len(rounds)} rounds; {statistics.median(each['nobody']['images_per_s'] for each in rounds):.0f} images/s with nobody")
    print(f"attacked beside nobody      {ratio(rounds, 'attacked', 'nobody')}")
    print(f"elsewhere beside nobody     {ratio(rounds, 'elsewhere', 'nobody')}")
    print(f"attacked beside elsewhere   {ratio(rounds, 'attacked', 'elsewhere')}")
    print(f"cores of the attackers      {per_s(rounds, 'attacked', 'attackers'):.2f} at the run, "
          f"{per_s(rounds, 'elsewhere', 'attackers'):.2f} elsewhere, and of what they attack there "
          f"{per_s(rounds, 'elsewhere', 'sink'):.2f}")
    for side in SIDES[1:]:
        kinds = sorted({kind for each in rounds for kind in each[side]["attackers"]} - {"cpu_s", "seconds"})
        means = {kind: statistics.mean(each[side]["attackers"].get(kind, 0) for each in rounds) for kind in kinds}
        print(f"a run, {side}: " + ", ".join(f"{kind} {mean:.0f}" for kind, mean in means.items()))
    print(f"lines in the log of a run   {max(each['attacked']['lines'] for each in rounds)} at most")
    for line in rounds[-1]["attacked"]["said"]:
        print("  " + re.sub(r"^\[\S+\] ", "", line))
    num_admitted = sum(each.get("ADMITTED", 0) for each in attackers)
    print(f"admitted                    {num_admitted}")
    print("parameters                  " + ("the same in all runs" if len(params) == 1 else f"DIFFER: {params}"))
    return 1 if num_admitted or len(params) > 1 else 0


# Whether a run withstands them.

def quick_in_sandbox(options):
    why_not = sandbox.why_impossible("net")
    if not why_not:
        sandbox.enter("net")
        try:
            meetings.build()
        except OSError as error:
            why_not = error
    if why_not:
        print(f"skipped: expected namespaces, iproute2 and a kernel with veth pairs, found: {why_not}")
        return SKIPPED
    return quick(options)


def wait_until_told(run, attackers, kind, number):
    """Until they have done something so often, or the time is over."""
    end_s = time.monotonic() + ATTACK_LIMIT_S
    while run.poll() is None and time.monotonic() < end_s:
        if json.loads(attackers.stdout.readline()).get(kind, 0) >= number:
            break


def attack_meetings(options, run):
    """What attackers did while workers met."""
    attackers = start(options, HERE / "attackers.py", "--share", options.share, "--at", meetings.ADDRESS, "--tell")
    wait_until_told(run, attackers, WRONG_TOKEN, 1)
    time.sleep(meetings.GIVES_UP_S)  # by itself the system no longer calls
    meetings.open_one()
    wait_until_told(run, attackers, REPLAYED, 1)  # at the next meeting, what they have overheard at this one
    meetings.open_all()
    return ended(attackers)


def attack_endpoint(options, run):
    """What attackers did until all idle connections were there."""
    attackers = start(options, HERE / "attackers.py", "--share", options.share, "--tell")
    wait_until_told(run, attackers, "idle", num_idle())
    return ended(attackers)


def quick(options):
    with tempfile.TemporaryDirectory(prefix="strangers-") as one, tempfile.TemporaryDirectory(prefix="strangers-") as other:
        run = launch(options, Path(one), 10**6, "--set", f"snapshots.interface={meetings.NETWORK}")
        met, crowded = attack_meetings(options, run), attack_endpoint(options, run)
        (Path(one) / "run/STOP").touch()
        attacked = outcome(run, Path(one))
        alone = train(options, Path(other), attacked["step"])
    for where, did in {"meetings": met, "the endpoint": crowded}.items():
        print(f"at {where}: " + ", ".join(f"{kind} {count:.0f}" for kind, count in did.items()))
    print("\n".join(attacked["said"]))
    counted = sum(int(each) for each in re.findall(r"turned away (\d+) strangers in all", "\n".join(attacked["said"])))
    holds = {
        f"{num_idle()} idle connections were there": crowded.get("idle", 0) >= num_idle(),
        "every other kind was tried": all(met.get(kind) for kind in ("random KiB", "half-sent", WRONG_TOKEN, REPLAYED)),
        "nobody was admitted": "ADMITTED" not in met | crowded,
        "the log has a line for each kind, and counts the others": attacked["lines"] <= MOST_LINES < counted,
        f"after {attacked['step']} steps the parameters are those of a run that nobody attacks":
            attacked["params"] == alone["params"],
    }
    for what, is_so in holds.items():
        print(f"{'yes' if is_so else 'NO':4} {what}")
    return 0 if all(holds.values()) else 1


def main():
    options = parse()
    if options.quick:
        return quick_in_sandbox(options)
    if options.found:
        return show([json.loads(line) for path in options.found for line in path.read_text().splitlines()])
    rounds = []
    for number in range(options.pairs):
        # Elsewhere the attackers get as much of the processor as they took at the run, so that goes first.
        found = {"nobody": play("nobody", options, 0)} if number % 2 == 0 else {}
        found["attacked"] = play("attacked", options, options.share)
        found["elsewhere"] = play("elsewhere", options, cores(found["attacked"]["attackers"]))
        if number % 2:
            found["nobody"] = play("nobody", options, 0)
        rounds.append({side: found[side] for side in SIDES})
        if options.out:
            with open(options.out, "a", encoding="utf-8") as file:
                file.write(json.dumps(rounds[-1]) + "\n")
    return show(rounds)


if __name__ == "__main__":
    sys.exit(main())
