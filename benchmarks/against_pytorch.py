#!/usr/bin/env python3
"""Plain end-to-end training, Lamina beside Python: the same network, batch, memory format, threads and allocator.

    benchmarks/against_pytorch.py [--backbone resnet32] [--batch 128] [--threads 2] [--pairs 7] [--steps 12]
                                  [--device cpu|cuda] [--precision fp32|tf32|bf16] [--lamina PATH]

Runs the two by turns, each in a process of its own, and prints their rates and the ratio, pair by pair and over all. On the CPU
jemalloc is told to keep its pages in both. Run it with the virtual environment's Python.
"""

import argparse
import pathlib
import tempfile

from sides import LAMINA, ask_pytorch, by_turns, lamina_images_per_s, ratios, spread


def lamina(options, folder):
    config = folder / "e2e.yaml"
    config.write_text(f"""
model: {{backbone: {options.backbone}}}
method: {{framework: e2e}}
pipeline: {{workers: 1, threads: {options.threads}, device: {options.device}, precision: {options.precision}}}
data: {{name: synthetic}}
train: {{batch: {options.batch}}}
""")
    return lamina_images_per_s(config, options.steps, folder, options.lamina)


def pytorch(options):
    asked = ("backbone", "batch", "threads", "steps", "device", "precision")
    return ask_pytorch({"side": "plain"} | {name: getattr(options, name) for name in asked},
                       preload=options.device == "cpu")["images_per_s"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backbone", default="resnet32")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--precision", choices=("fp32", "tf32", "bf16"), default="fp32")
    parser.add_argument("--lamina", type=pathlib.Path, default=LAMINA, help="the program (default: build/lamina)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = by_turns({"Lamina": lambda: lamina(options, pathlib.Path(folder)), "PyTorch": lambda: pytorch(options)},
                           options.pairs)
    for name, rates in figures.items():
        print(f"{name:8} {spread(rates, 1)} images/s")
    print(f"ratio    {spread(ratios(figures['Lamina'], figures['PyTorch']))}")


if __name__ == "__main__":
    main()
