"""A rank that does not come is named by those that wait for it, within the limit; what has no way there, too."""

import os
import signal
import subprocess

from lamina_process import BINARY, DEVICE, MPI_ENVIRONMENT, OK, TIMEOUT, LaminaTest, main

MPIRUN = ["mpirun", "--oversubscribe"]


class MissingWorker(LaminaTest):
    def run_job(self, command, **environment):
        return subprocess.run(command, capture_output=True, text=True, timeout=60,
                              env=os.environ | MPI_ENVIRONMENT | environment)

    def train_command(self, *sets, out="run"):
        command = [BINARY, "train", self.config, "--out", self.folder / out]
        for assignment in ("pipeline.workers=2", "pipeline.timeout_s=2", *sets):
            command += ["--set", assignment]
        return command

    def spoken(self, process, code):
        self.assertEqual(process.returncode, code, process.stdout + process.stderr)
        self.assertNotRegex(process.stderr, r"worker (\d+): worker \1")
        return [line.partition("] [error] ")[2] for line in process.stderr.splitlines() if "] [error] " in line]

    def test_one_that_is_stuck_before_the_run_begins(self):
        """The first worker opens weights that nobody will ever write."""
        os.mkfifo(self.folder / "weights")
        command = self.train_command(f"model.init={self.folder / 'weights'}")
        (line,) = self.spoken(self.run_job([*MPIRUN, "-n", "2", *command]), TIMEOUT)
        self.assertRegex(line, rf"^worker 1 waited 2 s for all of 2 workers, but worker 0 \(pid \d+ on {os.uname().nodename}\)")

    def test_one_that_never_starts_mpi(self):
        job = [*MPIRUN, "-n", "1", "sh", "-c", "kill -STOP $$", ":", "-n", "1", *self.train_command()]
        (line,) = self.spoken(self.run_job(job), TIMEOUT)
        self.assertRegex(line, r"^worker 1 waited 2 s for MPI to start")

    def test_one_that_is_stuck_when_all_is_done(self):
        """Nobody waits for it any more, but to leave MPI together; it may also be stopped a moment too late for that."""
        for attempt in range(20):
            out = f"run-{attempt}"
            job = [*MPIRUN, "-n", "2", *self.train_command("train.max_steps=2", out=out)]
            process = subprocess.Popen(job, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                       env=os.environ | MPI_ENVIRONMENT)
            while not (self.folder / out / "summary.json").exists():
                self.assertIsNone(process.poll())
            pid = self.summary(out)["workers"][1]["pid"]  # who wrote it is the last to leave
            try:
                os.kill(pid, signal.SIGSTOP)
                stderr = process.communicate(timeout=10)[1]
            except (ProcessLookupError, subprocess.TimeoutExpired):
                self.send(pid, signal.SIGCONT)
                stderr = process.communicate(timeout=60)[1]
            if process.returncode != OK:
                break
        self.assertEqual(process.returncode, TIMEOUT, stderr)
        self.assertIn("worker 0 has done its work, and waited 2 s for all of 2 workers to leave MPI", stderr)

    @staticmethod
    def send(pid, what):
        try:
            os.kill(pid, what)
        except ProcessLookupError:
            pass

    def test_an_interface_that_is_missing(self):
        command = self.train_command("snapshots.interface=no-such-interface", "method.mlaan.window=2", "pipeline.timeout_s=20")
        lines = self.spoken(self.run_job([*MPIRUN, "-n", "2", *command]), DEVICE)
        for line in lines:
            self.assertRegex(line, r"^worker \d: snapshots.interface: expected an interface of .*, found 'no-such-interface'")
        self.assertTrue(lines)

    def test_an_interface_of_mpi_that_is_missing(self):
        job = [*MPIRUN, "-n", "2", *self.train_command()]
        (line,) = self.spoken(self.run_job(job, OMPI_MCA_btl_tcp_if_include="no-such-interface"), DEVICE)
        self.assertIn("OMPI_MCA_btl_tcp_if_include: expected an interface of", line)


if __name__ == "__main__":
    main()
