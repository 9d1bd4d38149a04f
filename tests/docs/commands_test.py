"""Runs the commands of the README and of the pages: every line of a block ```sh, in one shell a page, with a network that
trains for few steps of few samples. What a block needs that is not here stands behind its mark:

  ```sh                              is run
  ```sh with the additions           is run by the program that has what docs/adding adds
  ```sh not run: REASON              is not; the test lists them all
"""

import os
import re
import shutil
import subprocess
import tempfile
import time
import unittest
from pathlib import Path

from lamina_process import BINARY, MPI_ENVIRONMENT, main

CHECKOUT = Path(__file__).resolve().parents[2]
PAGES = ["README.md", "configs/README.md", "benchmarks/README.md", "CONTRIBUTING.md", "src/README.md",
         *sorted(str(path.relative_to(CHECKOUT)) for path in CHECKOUT.glob("docs/**/*.md")),
         *sorted(str(path.relative_to(CHECKOUT)) for path in CHECKOUT.glob("cluster/**/*.md"))]
BLOCK = re.compile(r"^```sh(?: ([^\n]+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# What a page's placeholder stands for.
PLACEHOLDERS = {"STUDY.yaml": "configs/studies/tiny.yaml", "CONFIG": "config.yaml", "listen=9464": "listen=0",
                "listen=0.0.0.0:9464": "listen=0"}
# What makes a run short: laid over the configuration by the program in build/ that the pages call.
SHORT = {"data": {"name": "synthetic", "train_limit": 64, "test_limit": 16},
         "train": {"batch": 8, "max_steps": 4, "epochs": 1, "warmup_epochs": 0, "lr_schedule": "step"},
         "pipeline": {"threads": 1}}
PROGRAM = """#!/bin/bash
set -euo pipefail
command=$1 arguments=()
while (($#)); do
  arguments+=("$1")
  case $1 in
    --steps | --rounds | --repeats) shift; arguments+=(2) ;;
  esac
  shift
done
case $command in
  train | show | plan | bench) arguments+=({sets}) ;;
esac
[[ $command != bench || " ${{arguments[*]}} " == *" --rounds "* ]] || arguments+=(--rounds 1)
[[ $command != bench || " ${{arguments[*]}} " =~ " --"(steps|beside)" " ]] || arguments+=(--steps 2)
[[ $command != bench || " ${{arguments[*]}} " =~ " --"(alone|beside|pipeline-only)" " ]] || arguments+=(--alone 1)
[[ $command != plan || " ${{arguments[*]}} " == *" --repeats "* ]] || arguments+=(--repeats 1)
exec {binary} "${{arguments[@]}}"
"""


def blocks(page):
    return BLOCK.findall((CHECKOUT / page).read_text())


class Commands(unittest.TestCase):
    def folder_like_a_checkout(self, binary):
        folder = Path(tempfile.mkdtemp(prefix="lamina-pages-"))
        self.addCleanup(shutil.rmtree, folder)
        for name in ("configs", "launch", "cluster", "docs", "benchmarks", ".venv"):
            (folder / name).symlink_to(CHECKOUT / name)
        (folder / "build").mkdir()
        (folder / "config.yaml").write_text("include: configs/quickstart.yaml\npipeline: {workers: auto}\n")
        sets = " ".join(f"--set {section}.{key}={value}" for section, keys in SHORT.items() for key, value in keys.items())
        program = folder / "build/lamina"
        program.write_text(PROGRAM.format(sets=sets, binary=binary))
        program.chmod(0o755)
        return folder

    def run_block(self, folder, page, text):
        for placeholder, value in PLACEHOLDERS.items():
            text = text.replace(placeholder, value)
        environment = os.environ | MPI_ENVIRONMENT | {"LAMINA_BINARY": str(folder / "build/lamina")}
        run = subprocess.run(["bash", "-e", "-o", "pipefail", "-x", "-c", text], cwd=folder, text=True, capture_output=True,
                             env=environment, stdin=subprocess.DEVNULL, timeout=600)
        self.assertEqual(run.returncode, 0, f"{page}:\n{text}\n{run.stdout[-2000:]}{run.stderr[-4000:]}")

    def test_the_commands_of_every_page(self):
        not_run, seconds = [], []
        for page in PAGES:
            folders = {}
            for mark, text in blocks(page):
                reason = mark.removeprefix("not run: ")
                if mark.startswith("not run: ") and reason:
                    not_run.append(f"{page}: {reason}: {text.strip().splitlines()[0]}")
                    continue
                self.assertIn(mark, ("", "with the additions"), f"{page}: a mark that says nothing")
                binary = os.environ["LAMINA_WITH_ADDITIONS"] if mark else BINARY
                with self.subTest(page, text=text):
                    if binary not in folders:
                        folders[binary] = self.folder_like_a_checkout(binary)
                    start = time.monotonic()
                    self.run_block(folders[binary], page, text)
                    seconds.append((time.monotonic() - start, f"{page}: {text.strip().splitlines()[-1]}"))
        print("not run:", *not_run, sep="\n  ")
        print("longest:", *(f"{of_block:5.1f} s  {block}" for of_block, block in sorted(seconds, reverse=True)[:12]), sep="\n  ")


if __name__ == "__main__":
    main()
