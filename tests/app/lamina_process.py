"""Runs the lamina binary for the tests of this folder: real processes, real MPI, real files."""

import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

BINARY = os.environ["LAMINA_BINARY"]
MPI_ENVIRONMENT = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}

# Exit codes, as the README lists them.
OK, CONFIG, DATA, CHECKPOINT, STORAGE, PEER_LOST, TIMEOUT, DEVICE, NONFINITE = 0, 2, 3, 4, 5, 7, 8, 9, 10

SMALL = """
model: {backbone: resnet8}
partition: {modules: 4}
method: {framework: dgl, head: mlp_sr}
pipeline: {stages: 2, workers: 1, threads: 1}
data: {name: synthetic, train_limit: 200, test_limit: 60}
train: {batch: 16, epochs: 2, lr_schedule: step, warmup_epochs: 0.2}
"""

# Windows, evaluation and checkpoints on the way, and short batches: 14 steps.
MLAAN = """
model: {backbone: resnet8}
partition: {modules: 4}
method: {framework: dgl, head: mlp_sr, mlaan: {window: 2}}
pipeline: {stages: 2, threads: 1}
data: {name: synthetic, train_limit: 103, test_limit: 41}
train: {batch: 16, epochs: 2, eval_every_steps: 5, lr_schedule: step, warmup_epochs: 0}
checkpoint: {every_steps: 4}
"""

# The same stream, trained end to end: the last batch of an epoch has 7 samples.
END_TO_END = """
model: {backbone: resnet8}
partition: {modules: 4}
method: {framework: e2e}
pipeline: {stages: 4, threads: 1, micro_batches: 4}
data: {name: synthetic, train_limit: 103, test_limit: 41}
train: {batch: 16, epochs: 2, eval_every_steps: 5, lr_schedule: step, warmup_epochs: 0}
checkpoint: {every_steps: 4}
"""


class LaminaTest(unittest.TestCase):
    """A test with a folder of its own that holds `small.yaml`."""

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="lamina-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.config = self.write("small.yaml", SMALL)

    def write(self, name, text):
        path = self.folder / name
        path.write_text(text)
        return path

    def lamina(self, *arguments, ranks=0, timeout=300):
        """The finished process; over MPI with that many ranks."""
        command = [BINARY, *map(str, arguments)]
        if ranks:
            command = ["mpirun", "--oversubscribe", "-n", str(ranks), *command]
        return subprocess.run(command, capture_output=True, text=True, timeout=timeout, cwd=self.folder,
                              env=os.environ | MPI_ENVIRONMENT)

    def train(self, out, *sets, config=None, ranks=0, resume=False, expect=OK):
        """Trains into folder/out and returns the summary, or the process where another code is expected."""
        arguments = ["train", config or self.config, "--out", self.folder / out]
        for assignment in sets:
            arguments += ["--set", assignment]
        if resume:
            arguments.append("--resume")
        process = self.lamina(*arguments, ranks=ranks)
        self.assertEqual(process.returncode, expect, process.stdout + process.stderr)
        return self.summary(out) if expect == OK else process

    def start(self, out, *sets, ranks=0):
        """A long run that trains; what it says goes to its standard output."""
        command = [BINARY, "train", str(self.config), "--out", str(self.folder / out)]
        for assignment in ("train.epochs=4000", *sets):
            command += ["--set", assignment]
        if ranks:
            command = ["mpirun", "--oversubscribe", "-n", str(ranks), *command]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                   env=os.environ | MPI_ENVIRONMENT)
        deadline = time.time() + 60
        while " step " not in process.stdout.readline():
            self.assertLess(time.time(), deadline)
            self.assertIsNone(process.poll())
        return process

    def ranks(self):
        """{rank: pid} of the workers that run for this test."""
        found = {}
        for path in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                if (path / "cmdline").read_bytes().startswith(f"{BINARY}\0train\0{self.config}\0".encode()):
                    found[int(re.search(rb"OMPI_COMM_WORLD_RANK=(\d+)", (path / "environ").read_bytes())[1])] = int(path.name)
            except OSError:
                continue
        return found

    def interrupt(self, out, sent, *sets, ranks=0):
        """Starts a long run and signals it once it trains; returns the finished process."""
        process = self.start(out, *sets, ranks=ranks)
        process.send_signal(sent)
        process.communicate(timeout=60)
        return process

    def wait_for_checkpoint(self, out):
        """Until a run under way has completed one."""
        deadline = time.time() + 60
        while not any("." not in path.name for path in (self.folder / out / "checkpoints").glob("step-*")):
            self.assertLess(time.time(), deadline)
            time.sleep(0.02)

    def manifest(self, checkpoint):
        return json.loads((checkpoint / "manifest.json").read_text())["body"]

    def alter_manifest(self, checkpoint, **changes):
        """As if the run had written it so."""
        body = self.manifest(checkpoint) | changes
        text = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        sealed = {"body": body, "sha256": hashlib.sha256(text.encode()).hexdigest()}
        (checkpoint / "manifest.json").write_text(json.dumps(sealed))

    def expect_stopped_whole(self, out, *sets, by="signal"):
        """What an interrupted run left is what one of just so many steps leaves."""
        stopped = self.summary(out)
        self.assertEqual((stopped["complete"], stopped["stopped_by"]), (False, by))
        self.assertGreater(stopped["step"], 0)
        step = stopped["step"]
        straight = self.train(out + "-straight", "train.epochs=4000", f"train.max_steps={step}", *sets)
        self.assertEqual(stopped["params_sha256"], straight["params_sha256"])
        self.assertEqual([p.name for p in self.checkpoints(out)], [f"step-{step:08}"])

    def summary(self, out):
        return json.loads((self.folder / out / "summary.json").read_text())

    def metrics(self, out):
        return [json.loads(line) for line in (self.folder / out / "metrics.jsonl").read_text().splitlines()]

    def checkpoints(self, out):
        return sorted((self.folder / out / "checkpoints").iterdir())

    def assert_refused(self, process, code, *fragments):
        """One line on standard error with every fragment, and the exit code."""
        self.assertEqual(process.returncode, code, process.stdout + process.stderr)
        lines = process.stderr.strip().splitlines()
        self.assertEqual(len(lines), 1, process.stderr)
        for fragment in fragments:
            self.assertIn(fragment, lines[0])


def main():
    """Exits with 77, a skip to ctest, if nothing could run."""
    result = unittest.main(argv=[sys.argv[0], "-v", *sys.argv[1:]], exit=False).result
    num_run = max(0, result.testsRun - len(result.skipped))  # of a module that is skipped none has begun
    sys.exit(1 if not result.wasSuccessful() else 77 if result.skipped and not num_run else 0)
