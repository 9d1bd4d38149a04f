"""launch/check-gpu, rehearsed over MPI on the CPU: its checks run, hold, and can fail."""

import os
import pathlib
import subprocess
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = os.environ["LAMINA_BINARY"]
DEVICE = 9


def check_gpu(*arguments):
    return subprocess.run([ROOT / "launch" / "check-gpu", *arguments], capture_output=True, text=True, timeout=500)


class Rehearsal(unittest.TestCase):
    def setUp(self):
        self.process = check_gpu("--device", "cpu", "--lamina", BINARY)
        self.lines = self.process.stdout.splitlines()

    def verdict(self, name):
        found = [line.split()[-1] for line in self.lines if line.startswith(name)]
        self.assertEqual(len(found), 1, self.process.stdout + self.process.stderr)
        return found[0]

    def test_every_check_but_the_throughput_holds_on_the_cpu(self):
        self.assertIn("A rehearsal on the CPU", self.process.stdout)
        for name in ("one step in double", "stages of one process", "the same in bf16", "2 stages, a rank each: losses",
                     "2 stages, a rank each, again", "2 stages, a rank each, in bf16", "2 replicas of modules",
                     "gpipe, 2 stages", "1f1b, 2 stages", "2bw, 2 stages", "data_parallel, 2 replicas",
                     "two workers on one device", "memory of stage 0", "memory of stage 1"):
            self.assertEqual(self.verdict(name), "ok")
        for name in ("the same in tf32", "timeline"):
            self.assertEqual(self.verdict(name), "skipped")
        self.assertIn(self.verdict("throughput"), ("ok", "FAILED"))  # five steps on shared cores: only that it runs


class Refusals(unittest.TestCase):
    def test_a_program_that_is_not_there(self):
        process = check_gpu("--lamina", "/nonexistent/lamina")
        self.assertEqual(process.returncode, DEVICE)
        self.assertIn("launch/setup --gpu", process.stderr)

    def test_a_program_that_fails_is_a_failed_line(self):
        process = check_gpu("--device", "cpu", "--lamina", "/bin/false")
        self.assertEqual(process.returncode, 1)
        self.assertIn("FAILED", process.stdout)


if __name__ == "__main__":
    unittest.main()
