"""cluster/slurm/train.sbatch in a real Slurm of two nodes: warned or out of time, requeued and resumed; failed; a worker
lost; cancelled."""

import json
import os
import re
import signal
import unittest
from pathlib import Path

from lamina_process import BINARY, LaminaTest, main
from private_slurm import PrivateSlurm, missing_programs

PROJECT = Path(__file__).resolve().parents[2]
ENDLESS = 10**9


@unittest.skipIf(missing_programs(), f"not installed: {', '.join(missing_programs())}; launch/setup --tools installs them")
class Slurm(LaminaTest):
    def setUp(self):
        super().setUp()
        self.config = self.write("run.yaml", self.config.read_text().replace("workers: 1", "workers: 2"))
        self.limit = self.limit_steps(ENDLESS)
        (self.folder / "slurm").mkdir()
        self.slurm = PrivateSlurm(self.folder / "slurm")
        self.addCleanup(self.slurm.stop)
        self.slurm.start()

    def limit_steps(self, num_steps):
        return self.write("limit.yaml", f"train: {{epochs: 100000, max_steps: {num_steps}}}\n")

    def submit(self, *options, arguments=""):
        """The number of a new job. One CPU a task: the nodes have no more."""
        variables = {"LAMINA_CONFIGS": f"{self.config} {self.limit}", "LAMINA_OUT": str(self.folder / "run"),
                     "LAMINA_ARGUMENTS": arguments}
        return self.slurm.command("sbatch", "--parsable", "--cpus-per-task=1", f"--output={self.folder}/job.log", *options,
                                  PROJECT / "cluster/slurm/train.sbatch", variables=variables, cwd=PROJECT)

    def log(self):
        path = self.folder / "job.log"
        return path.read_text() if path.exists() else ""

    def wait_for(self, job, state, limit_s, **more):
        expected = {"JobState": state, **more}
        self.slurm.wait_until(lambda: expected.items() <= self.slurm.job(job).items(), limit_s)

    def wait_until_it_trains(self):
        self.slurm.wait_until(lambda: " step " in self.log(), 60)

    def expect_requeued_and_ended_as_if_never_stopped(self, job):
        # Holds the job in the queue until the last step is known: how many the first launch makes depends on the machine.
        self.slurm.command("scontrol", "update", "NodeName=n2", "State=DRAIN", "Reason=test")
        self.wait_for(job, "PENDING", 90, Restarts="1")
        stopped = self.summary("run")
        self.assertFalse(stopped["complete"])
        self.assertEqual([path.name for path in self.checkpoints("run")], [f"step-{stopped['step']:08}"])
        self.limit_steps(stopped["step"] + 20)
        self.slurm.command("scontrol", "update", "NodeName=n2", "State=RESUME")
        self.wait_for(job, "COMPLETED", 90, Restarts="1", ExitCode="0:0")
        self.assertEqual(self.log().count("rank host slot"), 2)
        self.assertTrue(self.summary("run")["complete"])
        self.expect_bits_of_a_straight_run()

    def expect_bits_of_a_straight_run(self):
        self.limit_steps(self.summary("run")["step"])
        straight = self.lamina("train", self.config, self.limit, "--out", "straight")
        self.assertEqual(straight.returncode, 0, straight.stderr)
        self.assertEqual(self.summary("run")["params_sha256"], self.summary("straight")["params_sha256"])

    def test_warned_before_its_limit_it_goes_back_to_the_queue_and_ends_as_if_never_stopped(self):
        job = self.submit("--time=1", "--signal=B:USR1@45")
        self.wait_until_it_trains()
        self.assertIn("   0 n1 0\n   1 n2 0\n", self.log())
        self.expect_requeued_and_ended_as_if_never_stopped(job)
        self.assertIn("the time is nearly up", self.log())

    def test_its_own_budget_of_time_over_it_goes_back_to_the_queue_and_ends_as_if_never_stopped(self):
        job = self.submit(arguments="--set train.stop_before=30s")
        self.wait_until_it_trains()
        self.expect_requeued_and_ended_as_if_never_stopped(job)
        self.assertIn("train.stop_before is over: scontrol requeue", self.log())

    def test_a_wrong_configuration_fails_the_job_with_its_code_and_once(self):
        self.write("limit.yaml", "train: {epoch: 1}\n")
        self.wait_for(self.submit(), "FAILED", 60, Restarts="0", ExitCode="2:0")
        self.assertIn("train.epoch", self.log())

    def test_a_termination_sent_to_the_script_stops_it_at_a_checkpoint_for_good(self):
        job = self.submit()
        self.wait_until_it_trains()
        self.slurm.command("scancel", "--batch", "--signal=TERM", job)
        self.wait_for(job, "COMPLETED", 60, Restarts="0", ExitCode="0:0")
        self.assertFalse(self.summary("run")["complete"])
        self.assertEqual(len(self.checkpoints("run")), 1)

    def test_a_study_submits_its_cells_and_gathers_what_they_leave(self):
        study = self.write("study.yaml", f"""
            base: run.yaml
            axes: {{method: {{greedy: {{method: {{framework: greedy, head: auto}}}}, dgl: {{}}}}}}
            run: bench --steps 2 --alone 1
            submit: sbatch --parsable --cpus-per-task=1 --output={self.folder}/%j.log cluster/slurm/train.sbatch
            """)
        command = (BINARY, "study", study, "--out", self.folder / "study")
        told = self.slurm.command(*command, cwd=PROJECT)
        jobs = re.findall(r"submitted: (\d+)", told)
        self.assertEqual(len(jobs), 2, told)
        for job in jobs:
            self.wait_for(job, "COMPLETED", 90, ExitCode="0:0")
        told = self.slurm.command(*command, cwd=PROJECT)
        self.assertRegex(told, r"\| greedy \| 1 \| [\d.]+ \|")
        self.assertRegex(told, r"\| dgl \| 1 \| [\d.]+ \|")

    def kill_a_worker(self):
        began = json.loads((self.folder / "run.logs/rank-001.jsonl").read_text())
        os.kill(began["pid"], signal.SIGKILL)
        return f"worker 1 on n2 (pid {began['pid']}) was killed by SIGKILL"

    def test_a_lost_worker_costs_the_steps_since_the_last_checkpoint_and_not_the_job(self):
        job = self.submit(arguments="--set checkpoint.every_steps=3")
        self.wait_until_it_trains()
        self.wait_for_checkpoint("run")
        killed = self.kill_a_worker()
        self.slurm.wait_until(lambda: re.search(r"restart 1 of 3, from \S+/step-.* step ", self.log(), re.DOTALL), 120)
        self.assertIn(killed, self.log())
        self.slurm.command("scancel", "--batch", "--signal=TERM", job)
        self.wait_for(job, "COMPLETED", 60, Restarts="0", ExitCode="0:0")
        self.expect_bits_of_a_straight_run()

    def test_a_lost_worker_fails_the_job_as_a_lost_peer_once_no_restart_is_left(self):
        job = self.submit(arguments="--restarts 0")
        self.wait_until_it_trains()
        killed = self.kill_a_worker()
        self.wait_for(job, "FAILED", 60, Restarts="0", ExitCode="7:0")
        self.assertIn(killed, self.log())


if __name__ == "__main__":
    main()
