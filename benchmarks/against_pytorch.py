#!/usr/bin/env python3
"""Plain end-to-end training, Lamina beside Python: the same network, batch, memory format, threads and allocator.

    benchmarks/against_pytorch.py [--backbone resnet32] [--batch 128] [--threads 2] [--pairs 7] [--steps 12]

Runs the two by turns, each in a process of its own with jemalloc told to keep its pages, and prints every pair's
ratio and their median. Run it with the virtual environment's Python.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
JEMALLOC = "/usr/lib/x86_64-linux-gnu/libjemalloc.so.2"
KEEP_PAGES = "dirty_decay_ms:-1,muzzy_decay_ms:-1"


def python_images_per_s(options):
    """Steady training throughput of plain PyTorch: SGD with Nesterov momentum, fused, channels-last."""
    sys.path.insert(0, str(ROOT / "tests" / "app"))
    import torch
    from torch_resnet import CifarResNet

    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    network = CifarResNet(int(options.backbone.removeprefix("resnet"))).to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9, nesterov=True, weight_decay=1e-4, fused=True)
    loss_of = torch.nn.CrossEntropyLoss()
    images = torch.randn(options.batch, 3, 32, 32).contiguous(memory_format=torch.channels_last)
    labels = torch.randint(10, (options.batch,))
    seconds = []
    for _ in range(options.steps + 3):
        start = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        loss = loss_of(network(images), labels)
        loss.backward()
        optimizer.step()
        loss.item()
        seconds.append(time.perf_counter() - start)
    return options.batch / statistics.mean(seconds[3:])


def lamina_images_per_s(options, folder):
    config = folder / "e2e.yaml"
    config.write_text(f"""
model: {{backbone: {options.backbone}}}
method: {{framework: e2e}}
pipeline: {{workers: 1, threads: {options.threads}}}
data: {{name: synthetic}}
train: {{batch: {options.batch}}}
""")
    subprocess.run([ROOT / "build/lamina", "bench", config, "--rounds", "1", "--steps", str(options.steps), "--out", folder],
                   check=True, stdout=subprocess.DEVNULL)
    return json.loads((folder / "summary.json").read_text())["images_per_s"]


def child_images_per_s():
    """The same script in a child process, with jemalloc in front of Python's malloc as Lamina has it built in."""
    environment = os.environ | {"LD_PRELOAD": JEMALLOC, "MALLOC_CONF": KEEP_PAGES}
    child = subprocess.run([sys.executable, __file__, "--python-only", *sys.argv[1:]], env=environment, check=True,
                           capture_output=True, text=True)
    return float(child.stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backbone", default="resnet32")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--python-only", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.python_only:
        print(python_images_per_s(options))
        return
    ratios = []
    with tempfile.TemporaryDirectory() as folder:
        for pair in range(options.pairs):
            lamina = lamina_images_per_s(options, pathlib.Path(folder))
            python = child_images_per_s()
            ratios.append(lamina / python)
            print(f"pair {pair}: Lamina {lamina:.1f} images/s, PyTorch {python:.1f} images/s, ratio {ratios[-1]:.3f}", flush=True)
    print(f"median ratio {statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})")


if __name__ == "__main__":
    main()
