"""launch/run --restarts: what it begins again, from where, and what it leaves ended."""

import os
import re
import signal
import time
import unittest

from lamina_process import CONFIG, OK, PEER_LOST, STORAGE
from run_process import RunTest


class Restarts(RunTest):
    def setUp(self):
        super().setUp()
        self.config = self.write("run.yaml", self.config.read_text().replace("workers: 1", "workers: 2"))

    def num_launches(self, out="run"):
        return self.log("rank-000.log", out).count("launch ")

    def pid_of(self, rank):
        return int(self.log(f"rank-{rank:03}.log").rpartition("launch ")[2].partition("pid ")[2].partition(",")[0])

    def read_until(self, process, word, console):
        while word not in (line := process.stdout.readline()):
            self.assertTrue(line, console)
            console += line
        return console + line

    def test_a_killed_worker_costs_no_more_than_the_steps_since_the_last_checkpoint(self):
        process, console = self.training("run", "--restarts", 2, "--set", "checkpoint.every_steps=3")
        for restart in (1, 2):
            self.wait_for_checkpoint("run")
            killed = self.pid_of(1)
            os.kill(killed, signal.SIGKILL)
            console = self.read_until(process, f"restart {restart} of 2, from run/checkpoints/step-", console)
            self.assertRegex(console, rf"worker 1 on localhost \(pid {killed}\) was killed by SIGKILL.*; restart {restart}")
            console = self.read_until(process, " step ", console)
        process.terminate()
        code, console = self.ended(process, console)
        self.assertEqual(code, OK, console)
        self.assertEqual(self.num_launches(), 3)
        step = self.summary("run")["step"]
        straight = self.train("straight", "train.epochs=4000", f"train.max_steps={step}")
        self.assertEqual(self.summary("run")["params_sha256"], straight["params_sha256"])
        steps = [record["step"] for record in self.metrics("run") if record["kind"] == "train"]
        self.assertEqual(steps, list(range(step)))

    def test_a_host_that_is_gone_is_left_out_and_its_stages_move(self):
        """127.0.0.2 is reached by an agent, as other hosts are by ssh, until that finds it gone."""
        agent = self.write("agent", f"#!/bin/bash\n[[ ! -e {self.folder}/gone ]] || exit 255\nshift; exec bash -c \"$*\"\n")
        agent.chmod(0o755)
        words = ("--hosts", "localhost,127.0.0.2", "--mpirun", "--mca", "--mpirun", "plm_rsh_agent", "--mpirun", agent)
        process, console = self.training("run", "--restarts", 1, *words, "--set", "checkpoint.every_steps=3")
        self.wait_for_checkpoint("run")
        (self.folder / "gone").touch()
        os.kill(self.pid_of(1), signal.SIGKILL)
        console = self.read_until(process, "no answer from 127.0.0.2: going on with 1 workers of 2", console)
        console = self.read_until(process, " step ", console)
        process.terminate()
        code, console = self.ended(process, console)
        self.assertEqual(code, OK, console)
        summary = self.summary("run")
        self.assertEqual([worker["stages"] for worker in summary["workers"]], [[0, 1]])
        straight = self.train("straight", "train.epochs=4000", f"train.max_steps={summary['step']}")
        self.assertEqual(summary["params_sha256"], straight["params_sha256"])

    def test_no_oftener_than_it_is_told(self):
        program = self.other_program("kill -KILL $$")
        code, console = self.finished(self.config, "--out", "run", "--restarts", 2, "--lamina", program)
        self.assertEqual(code, PEER_LOST, console)
        self.assertEqual(self.num_launches(), 3)
        self.assertIn("restart 1 of 2, from step 0, since there is no checkpoint yet", console)
        self.assertIn("after 2 of 2 restarts; more in run.logs", self.verdict(console))

    def test_the_newest_checkpoint_is_that_of_the_largest_number(self):
        for name in ("step-99999999", "step-100000000", "step-100000001.partial", "step-best"):
            (self.folder / "run/checkpoints" / name).mkdir(parents=True)
        program = self.other_program("kill -KILL $$")
        words = ("--restarts", 1, "--lamina", program, "--set", "pipeline.workers=1")
        code, console = self.finished(self.config, "--out", "run", *words)
        self.assertEqual(code, PEER_LOST, console)
        self.assertIn("restart 1 of 1, from run/checkpoints/step-100000000\n", console)

    def test_what_would_fail_again_is_not_begun_again(self):
        for code in (CONFIG, STORAGE):
            with self.subTest(code):
                program = self.other_program(f"exit {code}")
                ended, console = self.finished(self.config, "--out", f"run-{code}", "--restarts", 3, "--lamina", program)
                self.assertEqual(ended, code, console)
                self.assertEqual(self.num_launches(f"run-{code}"), 1)

    def test_who_was_told_to_stop_does_not_begin_again(self):
        """A worker that is lost after the stop: the run is over."""
        lost_at_stop = self.other_program("""exec python3 -c '
import os, signal
signal.signal(signal.SIGUSR2, lambda *_: os.kill(os.getpid(), signal.SIGKILL))
print(" step ", flush=True)
while True:
    signal.pause()'
""")
        process, console = self.training("run", "--restarts", 3, "--lamina", lost_at_stop)
        process.terminate()
        code, console = self.ended(process, console)
        self.assertEqual(code, PEER_LOST, console)
        self.assertEqual(self.num_launches(), 1)

    def began(self, restarts, **variables):
        """What the workers of all launches are told of the beginning, in Unix seconds; one of them is on a host that is
        reached as by ssh, with nothing of our environment."""
        agent = self.write("agent", "#!/bin/bash\nshift; exec env -u LAMINA_BEGAN bash -c \"$*\"\n")
        agent.chmod(0o755)
        program = self.other_program(f"""echo "began $LAMINA_BEGAN."
[[ $OMPI_COMM_WORLD_RANK == 0 ]] || {{ touch {self.folder}/other-spoke; exec sleep 1000; }}
until [[ -e {self.folder}/other-spoke ]]; do sleep 0.1; done
rm {self.folder}/other-spoke; kill -KILL $$""")
        words = ("--hosts", "localhost,127.0.0.2", "--mpirun", "--mca", "--mpirun", "plm_rsh_agent", "--mpirun", agent)
        code, console = self.finished(self.config, "--out", "run", "--restarts", restarts, "--lamina", program, *words,
                                      **variables)
        self.assertEqual(code, PEER_LOST, console)
        found = [re.findall(r"^began (.*)\.$", self.log(f"rank-{rank:03}.log"), re.MULTILINE) for rank in range(2)]
        self.assertEqual([len(of_a_rank) for of_a_rank in found], [restarts + 1] * 2, console)
        return {text for of_a_rank in found for text in of_a_rank}

    def test_every_worker_knows_when_it_all_began_over_restarts(self):
        earliest = int(time.time())
        (began,) = self.began(restarts=1)
        self.assertIn(int(began), range(earliest, earliest + 30))

    def test_a_beginning_that_a_batch_script_has_set_is_kept(self):
        self.assertEqual(self.began(restarts=0, LAMINA_BEGAN="1700000000"), {"1700000000"})

    def test_a_number_that_makes_no_sense_is_refused(self):
        code, console = self.finished(self.config, "--out", "run", "--restarts", "-1")
        self.assertEqual(code, CONFIG, console)
        self.assertIn("--restarts: expected", console)

    def test_a_benchmark_is_not_begun_again(self):
        program = self.other_program("kill -KILL $$")
        words = ("--command", "bench", "--restarts", 3, "--lamina", program)
        code, console = self.finished(self.config, "--out", "run", *words)
        self.assertEqual(code, PEER_LOST, console)
        self.assertEqual(self.num_launches(), 1)


if __name__ == "__main__":
    unittest.main()
