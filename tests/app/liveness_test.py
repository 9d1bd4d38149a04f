"""Workers that are killed, stopped, or do not get on: the others say who and where, and all end."""

import os
import re
import signal
import subprocess
import time

from lamina_process import BINARY, MPI_ENVIRONMENT, PEER_LOST, TIMEOUT, LaminaTest, main

HOST = re.escape(os.uname().nodename)
WORKERS = range(4)
# Each rank's code; who keeps a rank lives on when mpirun wants the job to end.
KEEPER = 'trap : TERM USR2; "$@"; echo "rank $OMPI_COMM_WORLD_RANK: code $?"'


class Liveness(LaminaTest):
    def begin(self, *sets):
        """A long run of 4 ranks that trains, {rank: pid}, and what it has said so far."""
        command = ["mpirun", "--oversubscribe", "--mca", "odls_base_sigkill_timeout", "20", "-n", "4", "sh", "-c", KEEPER, "sh"]
        command += [BINARY, "train", str(self.config), "--out", str(self.folder / "run")]
        for assignment in ("train.epochs=4000", "pipeline.stages=4", "pipeline.workers=4", *sets):
            command += ["--set", assignment]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                   env=os.environ | MPI_ENVIRONMENT)
        console = self.read_until(process, " step ", "")
        return process, self.ranks(), console

    def end(self, process, console):
        """What the run has said, once no process of it is left."""
        console += process.communicate(timeout=120)[0]
        self.assertNotEqual(process.returncode, 0, console)
        deadline = time.time() + 30
        while left := self.ranks():
            self.assertLess(time.time(), deadline, left)
        return console

    def read_until(self, process, word, console):
        while word not in console:
            line = process.stdout.readline()
            self.assertTrue(line, console)
            console += line
        return console

    def expect_end(self, console, lost, code, words):
        """Every survivor says where it was and what `words` match, in one line of the log and in its file. One that was
        stopped may speak, too: mpirun wakes it before it ends it."""
        for rank in WORKERS:
            file = self.folder / f"run/where-they-were/worker-{rank}.txt"
            said = re.findall(rf"^\S+ \[error\] worker {rank}: (.*)", console, re.MULTILINE)
            if rank == lost:
                continue
            self.assertEqual(len(said), 1, console)
            self.assertRegex(said[0], rf"^stopped at step \d+ in .*: {words}$")
            self.assertIn(said[0], file.read_text())
            self.assertIn(f"rank {rank}: code {code}\n", console)

    def lose(self, rank, sent, how, *sets):
        process, pids, console = self.begin(*sets)
        os.kill(pids[rank], sent)
        console = self.end(process, console)
        self.expect_end(console, rank, PEER_LOST, rf"worker {rank} \(pid {pids[rank]} on {HOST}\) lost at step \d+ in .*: {how}")
        return console

    def test_a_killed_worker_is_named_by_all_others(self):
        self.lose(2, signal.SIGKILL, "its connection is gone")

    def test_worker_0_is_missed_as_any_other(self):
        self.lose(0, signal.SIGKILL, "its connection is gone")

    def test_a_stopped_worker_is_slow_and_then_lost(self):
        console = self.lose(1, signal.SIGSTOP, r"no sign of life for \d+ s", "pipeline.timeout_s=8")
        self.assertRegex(console, r"\[warning\] worker 0: worker 1 \(pid \d+ on .*\) is slow: at step \d+ in .*, with nothing new for")

    def test_a_stopped_worker_0_is_lost(self):
        self.lose(0, signal.SIGSTOP, r"no sign of life for \d+ s", "pipeline.timeout_s=8")

    def test_one_that_was_only_slow_gets_on_again(self):
        process, pids, console = self.begin("pipeline.timeout_s=20")
        os.kill(pids[2], signal.SIGSTOP)
        console = self.read_until(process, "is slow", console)
        os.kill(pids[2], signal.SIGCONT)
        console = self.read_until(process, "gets on again", console)
        process.send_signal(signal.SIGUSR2)
        console += process.communicate(timeout=120)[0]
        self.assertEqual(process.returncode, 0, console)
        self.assertFalse((self.folder / "run/where-they-were").exists())

    def test_a_stuck_worker_is_named_and_all_leave_their_stacks(self):
        """A checkpoint's file is a pipe that nobody reads, so the next checkpoint waits for its writer."""
        step = 60
        process, pids, console = self.begin("pipeline.timeout_s=8", f"checkpoint.every_steps={step}")
        partial = self.folder / f"run/checkpoints/step-{step:08}.partial"
        partial.mkdir()
        os.mkfifo(partial / "module-001.safetensors")
        console = self.end(process, console)
        self.expect_end(console, None, TIMEOUT,
                        rf"worker 1 \(pid {pids[1]} on {HOST}\) stuck at step {2 * step} in checkpoint of stage 1 for \d+ s")
        for rank in WORKERS:
            words = (self.folder / f"run/where-they-were/worker-{rank}.txt").read_text()
            self.assertIn("lamina::Worker::run()", words)
            self.assertRegex(words, rf"lane \d to worker {rank + 1}, output of stage {rank}: \d+ messages sent" if rank < 3 else "received")
        self.assertIn("CheckpointWriter::save", (self.folder / "run/where-they-were/worker-1.txt").read_text())

    def test_a_disk_that_hangs_does_not_keep_the_end(self):
        """Nor can it be written then where a worker was."""
        step = 60
        process, pids, console = self.begin("pipeline.timeout_s=8", f"checkpoint.every_steps={step}")
        partial, words = self.folder / f"run/checkpoints/step-{step:08}.partial", self.folder / "run/where-they-were"
        partial.mkdir()
        words.mkdir()
        for pipe in (partial / "module-001.safetensors", words / "worker-1.txt", words / "worker-2.txt"):
            os.mkfifo(pipe)
        console = self.end(process, console)
        for rank in WORKERS:
            self.assertIn(f"rank {rank}: code {TIMEOUT}\n", console)
        self.assertIn("where this worker was could not be written", console)
        self.assertIn("lamina::Worker::run()", (words / "worker-3.txt").read_text())


if __name__ == "__main__":
    main()
