"""launch/study, in a copy of the project with a stand-in for the binary: which cells it trains, and its table."""

import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

PROJECT = pathlib.Path(__file__).resolve().parents[2]

# Notes its arguments and leaves a summary, complete unless the file `stop` lies beside it.
LAMINA = """#!/usr/bin/env python3
import json, pathlib, sys
here = pathlib.Path(__file__).parent
with open(here / "calls", "a") as calls:
    print(*sys.argv[1:], file=calls)
out = pathlib.Path(sys.argv[sys.argv.index("--out") + 1])
out.mkdir(parents=True, exist_ok=True)
seed = int(sys.argv[-1].rpartition("=")[2])
summary = {"complete": not (here / "stop").exists(), "test_accuracy": 0.5 + seed / 100, "images_per_s": 10}
(out / "summary.json").write_text(json.dumps(summary))
sys.exit(5 if (here / "full").exists() else 0)
"""


class Study(unittest.TestCase):
    def setUp(self):
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="lamina-"))
        self.addCleanup(shutil.rmtree, self.root)
        for folder in ("build", "launch", "configs/study"):
            (self.root / folder).mkdir(parents=True)
        shutil.copy(PROJECT / "launch/study", self.root / "launch")
        for cell in ("base", "e2e", "greedy"):
            (self.root / f"configs/study/{cell}.yaml").touch()
        binary = self.root / "build/lamina"
        binary.write_text(LAMINA)
        os.chmod(binary, 0o755)

    def study(self, *arguments):
        return subprocess.run([self.root / "launch/study", *arguments], capture_output=True, text=True)

    def calls(self):
        path = self.root / "build/calls"
        return path.read_text().splitlines() if path.exists() else []

    def test_trains_every_cell_with_its_seeds_and_prints_the_table(self):
        result = self.study()
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(len(self.calls()), 4)
        self.assertIn("| e2e | 3 | 51.00 (50.00 to 52.00) | 10 |", result.stdout)
        self.assertIn("| greedy | 1 | 50.00 | 10 |", result.stdout)

    def test_what_is_finished_is_not_trained_again(self):
        self.study("greedy")
        self.study("greedy", "e2e@1")
        self.assertEqual([call.split()[-1] for call in self.calls()], ["train.seed=0", "train.seed=1"])

    def test_what_was_stopped_goes_on(self):
        (self.root / "build/stop").touch()
        self.study("greedy")
        self.assertIn("greedy@0 not done", self.study("--list", "greedy").stdout)
        (self.root / "build/stop").unlink()
        self.study("greedy")
        self.assertEqual(len(self.calls()), 2)
        self.assertTrue(all("--resume" in call for call in self.calls()))
        self.assertIn("greedy@0 done", self.study("--list", "greedy").stdout)

    def test_ends_with_the_code_of_the_training_and_names_an_unknown_cell(self):
        (self.root / "build/full").touch()
        self.assertEqual(self.study("greedy", "e2e").returncode, 5)
        self.assertEqual(len(self.calls()), 1)
        for unknown in ("nowhere", "base", "greedy@x"):
            result = self.study(unknown)
            self.assertEqual(result.returncode, 2)
            self.assertIn(unknown, result.stderr)
            self.assertEqual(len(result.stderr.splitlines()), 1)


if __name__ == "__main__":
    unittest.main()
