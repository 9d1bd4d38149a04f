"""Checks that includes point down the layers, that no library leaks into public headers, and that headers and
sources mirror each other. Run with the root of the checkout; prints file:line of each violation."""

import re
import sys
import tempfile
from pathlib import Path

# Which other layers a layer may include. Tests may include anything.
MAY_INCLUDE = {
    "core": set(),
    "control": {"core"},
    "data": {"core"},
    "comm": {"core"},
    "nn": {"core"},
    "pipeline": {"core", "comm", "nn"},
    "train": {"core", "comm", "nn", "pipeline", "data", "control"},
    "study": {"core", "comm", "nn", "pipeline", "data", "control", "train"},
    "app": {"core", "comm", "nn", "pipeline", "data", "control", "train", "study"},
}

# Whoever includes a public header would compile these, or need them installed.
NOT_IN_PUBLIC_HEADERS = re.compile(r"mpi\.h|nccl\.h|cuda\w*\.h|boost/asio\b.*|torch/torch\.h")

# Public headers that are all inline or pure interface, so that no source stands behind them.
WITHOUT_SOURCE = {
    "core/clock.hpp",
    "core/mailbox.hpp",
    "core/shape.hpp",
    "core/within.hpp",
    "comm/snapshot.hpp",
    "comm/transport.hpp",
    "data/dataset.hpp",
}

INCLUDE = re.compile(r'^\s*#\s*include\s*[<"]([^">]+)[">]')


def included_layer(path, includer_folder):
    """The layer that an include reaches into, and whether by a public header; (None, False) for outside libraries."""
    parts = path.split("/")
    if parts[0] == "lamina":
        return parts[1], True
    if len(parts) > 1 and parts[0] in MAY_INCLUDE:
        return parts[0], False
    if "/" not in path and (includer_folder / path).exists():
        return includer_folder.name, False
    return None, False


def include_problem(layer, is_public, path, folder):
    target, by_public_header = included_layer(path, folder)
    if is_public and NOT_IN_PUBLIC_HEADERS.fullmatch(path):
        return f"a public header must not include {path}"
    if target is None:
        return None
    if target not in MAY_INCLUDE:
        return f"expected one of the layers {', '.join(MAY_INCLUDE)}, found {path}"
    if is_public and not by_public_header:
        return f"a public header must not include the private {path}"
    if target == layer:
        return None
    if target not in MAY_INCLUDE[layer]:
        return f"{layer} must not include {target}: {path}"
    if not by_public_header:
        return f"{layer} must not include {target}'s private header {path}"
    return None


def include_problems(root):
    for top in (root / "include" / "lamina", root / "src"):
        for layer in MAY_INCLUDE:
            for file in sorted((top / layer).rglob("*.?pp")):
                for number, line in enumerate(file.read_text().splitlines(), start=1):
                    match = INCLUDE.match(line)
                    problem = match and include_problem(layer, top.name == "lamina", match[1], file.parent)
                    if problem:
                        yield f"{file.relative_to(root)}:{number}: {problem}"


def mirror_problems(root):
    public = root / "include" / "lamina"
    for header in sorted(public.rglob("*.hpp")):
        name = header.relative_to(public)
        if str(name.parent) not in MAY_INCLUDE:
            yield f"{header.relative_to(root)}:1: expected a folder named as a layer, found {name.parent}"
        elif str(name) not in WITHOUT_SOURCE and not list((root / "src" / name.parent).glob(f"{name.stem}*.cpp")):
            yield f"{header.relative_to(root)}:1: expected src/{name.parent}/{name.stem}*.cpp, found none"


def problems(root):
    return [*include_problems(root), *mirror_problems(root)]


# Each made-up file breaks one rule on one line, or none where no words are given.
MADE_UP = {
    "include/lamina/core/clock.hpp": ("#include <vector>\n", None),
    "include/lamina/comm/transport.hpp": ('#pragma once\n#include "lamina/nn/x.hpp"\n', ":2: comm must not include nn"),
    "include/lamina/data/dataset.hpp": ("\n\n# include <torch/torch.h>\n", ":3: a public header must not include"),
    "include/lamina/nn/layer.hpp": ("", ":1: expected src/nn/layer*.cpp"),
    "include/lamina/nn/module.hpp": ('#include "nn/private.hpp"\n', ":1: a public header must not include the private"),
    "include/lamina/utilities/x.hpp": ("", ":1: expected a folder named as a layer"),
    "src/nn/module_parts.cpp": ('#include "lamina/core/clock.hpp"\n#include "nn/private.hpp"\n', None),
    "src/comm/mpi.cpp": ('#include <mpi.h>\n#include "lamina/core/clock.hpp"\n', None),
    "src/core/log.cpp": ('#include "nn/private.hpp"\n', ":1: core must not include nn"),
    "src/data/loader.cpp": ('#include "lamina/comm/transport.hpp"\n', ":1: data must not include comm"),
    "src/train/engine.cpp": ('#include "nn/private.hpp"\n', ":1: train must not include nn's private header"),
    "src/pipeline/stage.cpp": ('#include "lamina/nm/layer.hpp"\n', ":1: expected one of the layers"),
    "tests/core/x_test.cpp": ('#include "lamina/train/x.hpp"\n', None),
}


def self_check():
    """The checker must find each violation of a made-up tree, at its line, and nothing else."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for name, (text, _) in MADE_UP.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)
        found = problems(root)
    expected = [name + words for name, (_, words) in MADE_UP.items() if words]
    missed = [words for words in expected if not any(problem.startswith(words) for problem in found)]
    unasked = [problem for problem in found if not any(problem.startswith(words) for words in expected)]
    return [f"the checker missed {m}" for m in missed] + [f"the checker found without reason {u}" for u in unasked]


def main():
    root = Path(sys.argv[1])
    if not (root / "include" / "lamina" / "core").is_dir():
        sys.exit(f"expected the root of the checkout, found {root}")
    failures = self_check() + problems(root)
    print("\n".join(failures) or "every include points down")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
