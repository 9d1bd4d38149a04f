"""What this folder's comparisons share: Lamina's figures, PyTorch's with the same allocator, sides that take turns."""

import json
import os
import pathlib
import re
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
LAMINA = ROOT / "build" / "lamina"
JEMALLOC = "/usr/lib/x86_64-linux-gnu/libjemalloc.so.2"


def allocator_settings():
    """As Lamina has them built in."""
    source = (ROOT / "src" / "app" / "allocator.cpp").read_text()
    return re.search(r'malloc_conf = "([^"]+)"', source)[1]


def lamina_images_per_s(configuration, steps, folder, binary=LAMINA):
    """Steady training throughput of a configuration: its file, or a list of files."""
    files = configuration if isinstance(configuration, list) else [configuration]
    subprocess.run([binary, "bench", *files, "--rounds", "1", "--steps", str(steps), "--alone", "1", "--pipeline-only",
                    "--out", folder], check=True, stdout=subprocess.DEVNULL)
    return json.loads((folder / "summary.json").read_text())["images_per_s"]


def ask_pytorch(request, preload=True):
    """What pytorch_sides.py answers, from a process of its own; by default with Lamina's allocator before Python's, and with huge
    pages as Lamina asks for them."""
    environment = dict(os.environ, OMP_NUM_THREADS=str(request["threads"]))
    if preload:
        environment |= {"LD_PRELOAD": JEMALLOC, "MALLOC_CONF": allocator_settings(), "THP_MEM_ALLOC_ENABLE": "1"}
    child = subprocess.run([sys.executable, ROOT / "benchmarks" / "pytorch_sides.py", json.dumps(request)],
                           env=environment, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(child.stdout.splitlines()[-1])


def by_turns(sides, rounds):
    """Every side's figures, one a round; every other round goes backwards, so that nobody always follows the same one.

    sides  by name, functions without arguments
    """
    figures = {name: [] for name in sides}
    for number in range(rounds):
        names = list(sides) if number % 2 == 0 else list(reversed(sides))
        for name in names:
            figure = sides[name]()
            figures[name].append(figure)
            shown = f", {figure:.1f}" if isinstance(figure, float) else ""
            print(f"round {number + 1}: {name}{shown}", file=sys.stderr, flush=True)
    return figures


def ratios(figures, others):
    """Round by round."""
    return [one / other for one, other in zip(figures, others, strict=True)]


def spread(values, digits=3):
    """The median, and the range."""
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"
