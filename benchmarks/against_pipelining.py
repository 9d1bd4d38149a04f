#!/usr/bin/env python3
"""Two workers of one thread each: Lamina's pipelines beside torch.distributed.pipelining and plain PyTorch.

    benchmarks/against_pipelining.py [--backbone resnet32] [--rounds 5] [--steps 12] [--micro-batches 4 8]
    benchmarks/against_pipelining.py --quick      one short round of the main sides, to see that all of them run

The same network, batch, loss and optimizer on every side, each with the cut that is best for it: for Lamina `lamina plan`'s,
for PyTorch the fastest of some around the balanced one, measured before the rounds, as is whether channels-last is faster.
PyTorch runs with its own allocator and with Lamina's (jemalloc told to keep its pages) in front of it, plain PyTorch on one
process of two threads. Every figure is of processes of its own; the sides take turns, in every other round backwards. Run it
with the virtual environment's Python.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import tempfile

from sides import LAMINA, ROOT, ask_pytorch, by_turns, lamina_images_per_s, ratios, spread

WORKERS = 2
BLOCKS = {"resnet32": 15, "resnet110": 54}  # each of them a module
QUICK = ["1f1b, 4, kept pages", "gpipe, 4, kept pages", "plain, kept pages", "Lamina greedy", "Lamina dgl", "Lamina 1f1b, 4"]


def lamina_methods(micro_batches):
    methods = {
        "greedy": "method: {framework: greedy}",
        "dgl": "method: {framework: dgl, head: mlp_sr}",
        "greedy + MLAAN": f"include: {ROOT}/configs/method/mlaan.yaml\nmethod: {{framework: greedy}}",
    }
    for schedule in ("gpipe", "1f1b", "2bw"):
        for count in micro_batches:
            methods[f"{schedule}, {count}"] = (f"method: {{framework: e2e}}\n"
                                               f"pipeline: {{schedule: {schedule}, micro_batches: {count}}}")
    return {f"Lamina {name}": text for name, text in methods.items()}


def planned(name, method, options, folder):
    """The configuration with the cut that `lamina plan` finds."""
    base, cut = folder / "base.yaml", folder / f"{name}.yaml"
    base.write_text(f"""
model: {{backbone: {options.backbone}}}
partition: {{modules: {options.modules}}}
pipeline: {{stages: {WORKERS}, threads: 1}}
data: {{name: synthetic}}
train: {{batch: {options.batch}}}
""")
    over = folder / "method.yaml"
    over.write_text(method + "\n")
    plan = subprocess.run([options.lamina, "plan", base, over, "--repeats", str(options.repeats), "--write", cut], check=True,
                          stdout=subprocess.PIPE, text=True).stdout
    found = [line for line in plan.splitlines() if line.startswith(("pipeline.stages", "promises"))]
    print(f"{name}: {', '.join(found)}", flush=True)
    return cut


def lamina_sides(options, folder):
    def side(name, method):
        cut = planned(name, method, options, folder)
        return lambda: lamina_images_per_s(cut, options.steps, folder, options.lamina)

    methods = lamina_methods(options.micro_batches)
    return {name: side(name, method) for name, method in methods.items() if wanted(name, options)}


def pytorch_sides(options):
    request = {"backbone": options.backbone, "batch": options.batch, "steps": options.steps, "threads": 1}
    best = ask_pytorch(request | {"side": "best_cut", "schedule": "1f1b", "micro_batches": min(options.micro_batches)})
    tried = ", ".join(f"{cut}: {rate:.1f}" for cut, rate in best["tried"].items())
    print(f"PyTorch: cut before piece {best['cut']} (tried, images/s: {tried}), "
          f"{'channels-last' if best['channels_last'] else 'contiguous'}", flush=True)
    request |= {"channels_last": best["channels_last"], "cut": best["cut"]}

    def side(preload, **more):
        return lambda: ask_pytorch(request | more, preload)["images_per_s"]

    sides = {}
    for preload, allocator in ((False, "own allocator"), (True, "kept pages")):
        for schedule in ("gpipe", "1f1b"):
            for count in options.micro_batches:
                sides[f"{schedule}, {count}, {allocator}"] = side(preload, side="pipelined", schedule=schedule,
                                                                  micro_batches=count)
        sides[f"plain, {allocator}"] = side(preload, side="plain", threads=WORKERS)
    return {name: run for name, run in sides.items() if wanted(name, options)}


def wanted(name, options):
    if any(part in name for part in options.without):
        return False
    return name in QUICK if options.quick else not options.only or any(part in name for part in options.only)


def references(figures):
    """What the sides are held against: with each number of micro-batches the fastest PyTorch schedule, and plain PyTorch."""
    groups = {}
    for name in figures:
        if not name.startswith("Lamina"):
            groups.setdefault("plain" if name.startswith("plain") else name.split(", ")[1], []).append(name)
    return [max(names, key=lambda name: statistics.median(figures[name])) for _, names in sorted(groups.items())]


def print_figures(figures):
    others = references(figures)
    print("\nimages/s: the median, and the range; then, round by round, the ratio to")
    for number, name in enumerate(others, start=1):
        print(f"  [{number}] {name}")
    for name, rates in figures.items():
        columns = [f"[{number}] {spread(ratios(rates, figures[other]))}" for number, other in enumerate(others, start=1)]
        print(f"{name:24} {spread(rates, 1):24} " + "  ".join(columns))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backbone", choices=BLOCKS, default="resnet32")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--modules", type=int, help="of Lamina's local methods and stages; every block by default")
    parser.add_argument("--micro-batches", type=int, nargs="+", default=[4, 8])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=12, help="of every side in a round, after its warm-up")
    parser.add_argument("--repeats", type=int, default=7, help="steps that `lamina plan` measures a module by")
    parser.add_argument("--only", action="append", help="sides whose names have this in them; may be given again")
    parser.add_argument("--without", action="append", default=[], help="sides that are left out; may be given again")
    parser.add_argument("--quick", action="store_true", help="one round of two small steps, of the main sides")
    parser.add_argument("--lamina", type=pathlib.Path, default=LAMINA, help="the program (default: build/lamina)")
    parser.add_argument("--out", type=pathlib.Path, help="a file for all figures, in JSON")
    options = parser.parse_args()
    options.modules = options.modules or BLOCKS[options.backbone]
    if options.quick:
        options.rounds, options.steps, options.repeats, options.micro_batches, options.batch = 1, 2, 1, [4], 32
    with tempfile.TemporaryDirectory() as folder:
        figures = by_turns(pytorch_sides(options) | lamina_sides(options, pathlib.Path(folder)), options.rounds)
    print_figures(figures)
    if options.out:
        options.out.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
