#!/usr/bin/env python3
"""What `lamina plan` promises right before and right behind a `lamina bench`, and what that finds of their mean.

    benchmarks/promises.py [--backbone resnet32 resnet110] [--stages 2 4] [--rounds 3] [--only dgl] [--neighbours N]

A worker a stage, of one thread. Where there are more stages than processors no pipeline can show what they would reach
on processors of their own: there the slowest stage by itself stands for it, modules are measured without neighbours, too, and
end-to-end schedules are left out. The cells take turns; a machine whose speed changes shows in how far the two promises of a round differ.
"""

import argparse
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

from sides import LAMINA, ratios, spread

BLOCKS = {"resnet32": 15, "resnet110": 54}  # each of them a module
METHODS = {
    "greedy": "method: {framework: greedy}",
    "dgl": "method: {framework: dgl, head: mlp_sr}",
    "1f1b": "method: {framework: e2e}\npipeline: {schedule: 1f1b, micro_batches: 4}",
    "gpipe": "method: {framework: e2e}\npipeline: {schedule: gpipe, micro_batches: 4}",
}
LOCAL = ("greedy", "dgl")


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", nargs="+", choices=BLOCKS, default=list(BLOCKS))
    parser.add_argument("--stages", type=int, nargs="+", default=[2, 4])
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=12, help="of a bench, after its warm-up")
    parser.add_argument("--repeats", type=int, default=5, help="steps that a module, or a stage by itself, is measured by")
    parser.add_argument("--only", action="append", help="cells whose names have this in them; may be given again")
    parser.add_argument("--neighbours", help="as of `lamina plan`; by default its own")
    parser.add_argument("--lamina", type=pathlib.Path, default=LAMINA)
    return parser.parse_args()


def base(backbone, stages, options):
    return f"""
model: {{backbone: {backbone}}}
partition: {{modules: {BLOCKS[backbone]}}}
pipeline: {{stages: {stages}, threads: 1}}
data: {{name: synthetic}}
train: {{batch: {options.batch}}}
"""


class Cell:
    def __init__(self, backbone, stages, method, options, folder):
        self.options, self.stages, self.folder = options, stages, folder
        self.is_real = stages <= len(os.sched_getaffinity(0))
        self.files = [folder / "base.yaml", folder / "method.yaml"]
        self.cut = folder / "cut.yaml"
        folder.mkdir()
        for file, text in zip(self.files, (base(backbone, stages, options), METHODS[method] + "\n"), strict=True):
            file.write_text(text)

    def promise(self):
        neighbours = self.options.neighbours if self.is_real else "0"
        told = ["--neighbours", neighbours] if neighbours else []
        plan = subprocess.run([self.options.lamina, "plan", *self.files, "--repeats", str(self.options.repeats), "--write", self.cut,
                               *told], check=True, capture_output=True, text=True).stdout
        return float(re.search(r"promises ([\d.]+) images/s", plan)[1])

    def find(self):
        """With the cut of the last promise."""
        workers = self.stages if self.is_real else 1
        steps = self.options.steps if self.is_real else 1
        subprocess.run([self.options.lamina, "bench", self.cut, "--set", f"pipeline.workers={workers}", "--rounds", "1", "--steps",
                        str(steps), "--alone", str(self.options.repeats), "--pipeline-only", "--out", self.folder / "out"],
                       check=True, stdout=subprocess.DEVNULL)
        summary = json.loads((self.folder / "out/summary.json").read_text())
        if self.is_real:
            return summary["images_per_s"]
        return self.options.batch / max(summary["stage_seconds"])


def cells(options, folder):
    found = {}
    for backbone in options.backbone:
        for stages in options.stages:
            for method in METHODS:
                name = f"{backbone}, {stages} stages, {method}"
                if options.only and not any(part in name for part in options.only):
                    continue
                cell = Cell(backbone, stages, method, options, folder / name.replace(", ", "-").replace(" ", "-"))
                if cell.is_real or method in LOCAL:
                    found[name] = cell
    return found


def main():
    options = parse()
    with tempfile.TemporaryDirectory() as name:
        tried = cells(options, pathlib.Path(name))
        rounds = {cell: [] for cell in tried}
        for number in range(options.rounds):
            for cell, run in tried.items():
                before, found, after = run.promise(), run.find(), run.promise()
                rounds[cell].append((before, found, after))
                print(f"round {number + 1}: {cell}: {before:.1f}, found {found:.1f}, {after:.1f}", file=sys.stderr, flush=True)
    print("images/s promised, found, found of promised, and the second promise of the first: median and range")
    for cell, run in tried.items():
        promised = [(before + after) / 2 for before, _, after in rounds[cell]]
        found = [found for _, found, _ in rounds[cell]]
        drifts = [after / before for before, _, after in rounds[cell]]
        print(f"{cell:30} {spread(promised, 1):24} {spread(found, 1):24} {spread(ratios(found, promised)):24} {spread(drifts):24}"
              f"{'' if run.is_real else '  its slowest stage by itself'}")


if __name__ == "__main__":
    main()
