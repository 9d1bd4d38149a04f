"""Ranks that were started otherwise than the first are named before anything is computed."""

import os
import shutil
import subprocess

from lamina_process import BINARY, CONFIG, MPI_ENVIRONMENT, LaminaTest, main


class Agreement(LaminaTest):
    def start(self, first, second):
        """Two ranks of one job, each by a command of its own."""
        command = ["mpirun", "--oversubscribe", "-n", "1", *map(str, first), ":", "-n", "1", *map(str, second)]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, env=os.environ | MPI_ENVIRONMENT)

    def train_command(self, *sets, binary=BINARY):
        command = [binary, "train", self.config, "--out", self.folder / "run", "--set", "pipeline.workers=2"]
        for assignment in sets:
            command += ["--set", assignment]
        return command

    def expect_refused(self, process, *fragments):
        self.assertEqual(process.returncode, CONFIG, process.stdout + process.stderr)
        spoken = [line for line in process.stderr.splitlines() if "was started otherwise" in line]
        self.assertEqual(len(spoken), 1, process.stderr)
        for fragment in ("worker 1 on ", *fragments):
            self.assertIn(fragment, spoken[0])
        self.assertFalse((self.folder / "run").exists())

    def test_another_configuration(self):
        process = self.start(self.train_command(), self.train_command("train.lr=0.3"))
        self.expect_refused(process, "train.lr: expected 0.1 as worker 0 has, found 0.3")

    def test_another_cut(self):
        process = self.start(self.train_command("pipeline.stages=2"), self.train_command("pipeline.stages=3"))
        self.expect_refused(process, "pipeline.stages: expected 2 as worker 0 has, found 3")

    def test_another_build(self):
        other = self.folder / "lamina"
        shutil.copy(BINARY, other)
        with other.open("ab") as file:
            file.write(b"another build")
        self.expect_refused(self.start(self.train_command(), self.train_command(binary=other)), "build: expected")

    def test_threads_may_differ(self):
        process = self.start(self.train_command("train.max_steps=2"),
                             self.train_command("train.max_steps=2", "pipeline.threads=2"))
        self.assertEqual(process.returncode, 0, process.stdout + process.stderr)


if __name__ == "__main__":
    main()
