"""Runs under launch/run: their logs, how they are stopped, and how they end when a worker fails."""

import json
import os
import signal
import subprocess
import time
import unittest

from lamina_process import BINARY, CONFIG, DEVICE, OK, PEER_LOST, STORAGE
from run_process import LONG, RUN, RunTest

INTERRUPTED = 130


class Run(RunTest):
    def setUp(self):
        super().setUp()
        self.config = self.write("run.yaml", self.config.read_text().replace("workers: 1", "workers: 2"))

    def test_trains_and_keeps_a_log_a_rank_with_ranks_before_the_consoles_lines(self):
        threads = self.train("threads")
        code, console = self.ended(self.launch(self.config, "--out", "run"))
        self.assertEqual(code, OK, console)
        self.assertTrue(self.summary("run")["complete"])
        self.assertEqual(self.summary("run")["params_sha256"], threads["params_sha256"])
        from_the_last = [line.removeprefix("[1] ") for line in console.splitlines() if line.startswith("[1] ")]
        self.assertTrue(any(" step " in line for line in from_the_last), console)
        self.assertEqual(from_the_last, self.log("rank-001.log").splitlines()[1:])
        self.assertNotIn(" step ", self.log("rank-000.log"))

    def test_another_directory_for_the_logs_which_grow_over_restarts(self):
        for resume in ([], ["--resume"]):
            self.ended(self.launch(self.config, "--out", "run", "--set", "train.max_steps=3", "--log-dir", "logs", *resume))
        self.assertEqual((self.folder / "logs/rank-000.log").read_text().count("launch "), 2)
        self.assertFalse((self.folder / "run.logs").exists())

    def test_resumes_on_another_number_of_workers_with_the_same_result(self):
        straight = self.train("straight")
        self.ended(self.launch(self.config, "--out", "run", "--set", "train.max_steps=3"))
        code, console = self.ended(self.launch(self.config, "--out", "run", "--resume", "--workers", 1))
        self.assertEqual(code, OK, console)
        self.assertEqual([worker["stages"] for worker in self.summary("run")["workers"]], [[0, 1]])
        self.assertEqual(self.summary("run")["params_sha256"], straight["params_sha256"])

    def test_the_printed_command_is_what_it_starts(self):
        _, console = self.finished("--dry-run", self.config, "--out", "run")
        code = self.in_shell(console.splitlines()[-1])
        self.assertEqual(code, OK)
        self.assertTrue(self.summary("run")["complete"])

    def test_a_benchmark_runs_as_ranks_too_and_has_nothing_to_resume(self):
        words = ("--command", "bench", "--argument=--steps", "--argument=3", "--argument=--alone", "--argument=1")
        code, console = self.ended(self.launch(*words, self.config, "--out", "run", "--resume"))
        self.assertEqual(code, OK, console)
        summary = self.summary("run")
        self.assertGreater(summary["images_per_s"], 0)
        self.assertEqual([worker["stages"] for worker in summary["workers"]], [[0], [1]])

    def test_a_study_goes_through_it(self):
        self.write("study.yaml", f"""
            base: run.yaml
            axes: {{pipeline.workers: [2, 9]}}
            run: bench --steps 2 --alone 1
            through: {RUN}
            """)
        process = self.lamina("study", "study.yaml", "--out", "study")
        self.assertEqual(process.returncode, CONFIG, process.stdout + process.stderr)
        self.assertIn("1 of 2 cells could not run; the first, workers=9: pipeline.workers: expected", process.stderr)
        rows = [json.loads(line) for line in (self.folder / "study/results.jsonl").read_text().splitlines()]
        self.assertEqual([row["state"] for row in rows], ["done", "failed"])
        self.assertEqual(rows[0]["num_workers"], 2)
        self.assertNotEqual(*[worker["peak_rss_mib"] for worker in rows[0]["workers"]])  # processes of their own

    def in_shell(self, command):
        return os.waitstatus_to_exitcode(os.system(f"cd {self.folder} && {command} > /dev/null 2>&1"))

    def test_sigterm_stops_with_a_checkpoint_and_resume_ends_as_if_never_stopped(self):
        process, console = self.training("run")
        process.terminate()
        code, console = self.ended(process, console)
        self.assertEqual(code, OK, console)
        stopped = self.summary("run")
        self.assertFalse(stopped["complete"])
        end = f"train.max_steps={stopped['step'] + 10}"
        code, console = self.ended(self.launch(self.config, "--out", "run", "--resume", *LONG, "--set", end))
        self.assertEqual(code, OK, console)
        straight = self.train("straight", "train.epochs=4000", end)
        self.assertEqual(self.summary("run")["params_sha256"], straight["params_sha256"])

    def test_every_stop_signal_leaves_a_checkpoint(self):
        for sent in (signal.SIGINT, signal.SIGHUP, signal.SIGUSR2):
            with self.subTest(sent):
                out = f"run-{sent.name}"
                process, console = self.training(out)
                process.send_signal(sent)
                code, console = self.ended(process, console)
                self.assertEqual(code, OK, console)
                self.assertIn(sent.name, console)
                self.assertFalse(self.summary(out)["complete"])
                self.assertEqual(len(self.checkpoints(out)), 1)

    def test_usr1_writes_a_checkpoint_and_the_run_goes_on(self):
        process, console = self.training("run")
        process.send_signal(signal.SIGUSR1)
        self.wait_for_checkpoint("run")
        saved = self.checkpoints("run")[0].name
        process.terminate()
        code, console = self.ended(process, console)
        self.assertEqual(code, OK, console)
        self.assertIn("SIGUSR1: the workers write a checkpoint and go on", console)
        self.assertEqual([path.name for path in self.checkpoints("run")], [saved, f"step-{self.summary('run')['step']:08}"])

    def test_a_signal_while_the_workers_start_is_not_lost(self):
        process = self.launch(self.config, "--out", "run", *LONG)
        while not self.processes("run_worker.py"):
            self.assertIsNone(process.poll())
        process.terminate()
        code, console = self.ended(process)
        self.assertEqual(code, OK, console)
        self.assertFalse(self.summary("run")["complete"])

    def placing(self, *arguments):
        """A launch/run, leader of its process group, that reads the configuration until there is a file `go`."""
        shows, go = self.folder / "shows", self.folder / "go"
        shows.unlink(missing_ok=True)
        program = self.write("program", f"""#!/bin/bash
[[ $1 != show ]] || {{ touch {shows}; until [[ -e {go} ]]; do kill -0 $PPID || exit 1; sleep 0.05; done; }}
exec {BINARY} "$@"
""")
        program.chmod(0o755)
        command = [RUN, self.config, "--out", "run", "--lamina", program, *arguments]
        process = subprocess.Popen(command, cwd=self.folder, env=self.environment, text=True, stdout=subprocess.PIPE,
                                   stderr=subprocess.STDOUT, start_new_session=True)
        while not shows.exists():
            self.assertIsNone(process.poll())
        return process

    def test_a_stop_before_there_is_a_worker_ends_it_cleanly_in_one_line(self):
        for sent in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR2):
            with self.subTest(sent):
                process = self.placing()
                os.killpg(process.pid, sent)
                code, console = self.ended(process)
                self.assertEqual((code, console), (OK, f"run: {sent.name}: stopped before any worker was started\n"))
                self.assertEqual(list(self.folder.glob("run*/")), [])

    def test_usr1_before_there_is_a_worker_ends_nobody(self):
        process = self.placing("--dry-run")
        os.killpg(process.pid, signal.SIGUSR1)
        console = process.stdout.readline()
        self.assertEqual(console, "run: SIGUSR1: no worker is there yet, so there is nothing to save\n")
        (self.folder / "go").touch()
        code, console = self.ended(process, console)
        self.assertEqual(code, OK, console)
        self.assertIn("rank host slot", console)

    def test_stopped_for_a_while_itself_it_goes_on(self):
        process, console = self.training("run")
        process.send_signal(signal.SIGSTOP)
        time.sleep(3)  # longer than it ever waits for a signal
        process.send_signal(signal.SIGCONT)
        console += process.stdout.readline()
        process.terminate()
        code, console = self.ended(process, console)
        self.assertEqual(code, OK, console)
        self.assertFalse(self.summary("run")["complete"])

    def test_a_second_interrupt_ends_it_and_leaves_no_process(self):
        deaf = self.other_program("trap '' TERM USR2; echo ' step '; sleep 1000 & wait")
        process, console = self.training("run", "--lamina", deaf)
        process.send_signal(signal.SIGINT)
        while "stopping" not in console:
            console += process.stdout.readline()
        process.send_signal(signal.SIGINT)
        code, console = self.ended(process, console)
        self.assertEqual(code, INTERRUPTED, console)

    def test_a_killed_worker_ends_the_run_as_a_lost_peer_in_one_line(self):
        process, console = self.training("run")
        worker = int(self.log("rank-001.log").partition("pid ")[2].partition(",")[0])
        os.kill(worker, signal.SIGKILL)
        code, console = self.ended(process, console)
        self.assertEqual(code, PEER_LOST, console)
        self.assertRegex(self.verdict(console), rf"worker 1 on localhost \(pid {worker}\) was killed by SIGKILL at step \d+ in .*run\.logs")
        self.assertRegex(self.log("rank-000.log"), rf"stopped at step \d+ in .*: worker 1 \(pid {worker} on .*\) lost at step")
        self.assertEqual(sum(line.startswith("run: ") for line in console.splitlines()), 1, console)
        self.assertNotIn("mpirun detected", console)

    def test_the_code_is_that_of_the_worker_that_failed(self):
        """Rank 1 may write files of 1 KiB only, so that its metrics fail; rank 0 merely loses its peer."""
        program = self.other_program("""trap '' XFSZ; [[ $OMPI_COMM_WORLD_RANK == 0 ]] || ulimit -f 1; exec "$@" """)
        code, console = self.ended(self.launch(self.config, "--out", "run", "--lamina", program, *LONG))
        self.assertEqual(code, STORAGE, console)
        self.assertIn("worker 1 on localhost ended with code 5 (storage): cannot append to run/metrics.jsonl", self.verdict(console))

    def without_room(self, out):
        """Logs find no room, as on a full disk, and neither do records, which launch/run does not find either."""
        logs = self.folder / f"{out}.logs"
        logs.mkdir()
        for rank in range(2):
            (logs / f"rank-{rank:03}.log").symlink_to("/dev/full")
            (logs / f"rank-{rank:03}.jsonl").symlink_to("/nonexistent/record")

    def test_a_full_disk_under_the_logs_ends_nobody(self):
        self.without_room("run")
        code, console = self.ended(self.launch(self.config, "--out", "run", "--restarts", 3))
        self.assertEqual(code, OK, console)
        self.assertTrue(self.summary("run")["complete"])
        self.assertEqual(console.count("rank host slot"), 1)
        for rank in range(2):
            self.assertEqual(console.count(f"[{rank}] run_worker: expected to write to"), 1, console)
        self.assertIn(" step ", console)

    def test_a_record_that_cannot_be_read_any_more_ends_nobody(self):
        process, console = self.training("run")
        process.send_signal(signal.SIGUSR1)
        self.wait_for_checkpoint("run")  # so it has read that all workers are there
        record = self.folder / "run.logs/rank-001.jsonl"
        record.unlink()
        record.mkdir()
        process.send_signal(signal.SIGUSR1)
        while len(self.checkpoints("run")) < 2:  # the run goes on
            self.assertIsNone(process.poll())
        process.terminate()
        code, console = self.ended(process, console)
        self.assertEqual(code, OK, console)
        self.assertFalse(self.summary("run")["complete"])

    def test_a_failure_without_room_for_its_record_keeps_its_code(self):
        self.without_room("run")
        program = self.other_program(f"[[ $OMPI_COMM_WORLD_RANK == 0 ]] || exit {STORAGE}; exec sleep 1000")
        code, console = self.ended(self.launch(self.config, "--out", "run", "--restarts", 3, "--lamina", program))
        self.assertEqual(code, STORAGE, console)
        self.assertIn("mpirun: one ended with code 5 (storage)", self.verdict(console))
        self.assertEqual(console.count("rank host slot"), 1)

    def test_workers_without_room_for_their_records_can_be_stopped(self):
        self.without_room("run")
        program = self.other_program("""exec python3 -c '
import signal, sys
signal.signal(signal.SIGUSR2, lambda *_: sys.exit())
print(" step ", flush=True)
while True:
    signal.pause()'
""")
        process, console = self.training("run", "--lamina", program, "--set", "pipeline.timeout_s=1")
        process.terminate()
        code, console = self.ended(process, console)
        self.assertEqual(code, OK, console)

    def test_a_console_on_a_full_disk_ends_nobody(self):
        with open("/dev/full", "w", encoding="utf-8") as full:
            ended = subprocess.run([RUN, self.config, "--out", "run"], cwd=self.folder, env=self.environment, stdout=full,
                                   stderr=full, timeout=120, check=False)
        self.assertEqual(ended.returncode, OK)
        self.assertTrue(self.summary("run")["complete"])

    def test_a_worker_that_stays_when_the_others_have_ended_is_ended(self):
        program = self.other_program("[[ $OMPI_COMM_WORLD_RANK != 0 ]] || exit 0\nexec sleep 1000")
        code, console = self.ended(self.launch(self.config, "--out", "run", "--lamina", program, "--set", "pipeline.timeout_s=1"))
        self.assertEqual(code, PEER_LOST, console)
        self.assertIn("a worker has ended, and not all others have in time: ending them", console)
        self.assertIn("worker 1 on localhost", self.verdict(console))

    def test_a_program_that_is_missing_where_the_worker_starts_is_named(self):
        program = self.write("program", f"""#!/bin/bash\nrm "$0"; exec {BINARY} "$@"\n""")
        program.chmod(0o755)
        code, console = self.ended(self.launch(self.config, "--out", "run", "--workers", 2, "--lamina", program))
        self.assertEqual(code, DEVICE, console)
        self.assertIn(f"{program}: No such file", self.verdict(console))

    def test_when_mpirun_starts_nobody_its_own_words_are_told(self):
        code, console = self.ended(self.launch(self.config, "--out", "run", "--mpirun", "--no-such-option"))
        self.assertEqual(code, DEVICE, console)
        self.assertIn("started no worker", self.verdict(console))
        self.assertIn("no-such-option", self.log("mpirun.log"))

    def test_no_process_outlives_a_killed_launch_or_a_killed_mpirun(self):
        process, console = self.training("run")
        process.kill()
        self.ended(process, console)
        process, console = self.training("again")
        (mpirun,) = [pid for pid, command in self.processes().items() if command.startswith("mpirun")]
        os.kill(mpirun, signal.SIGKILL)
        code, console = self.ended(process, console)
        self.assertEqual(code, PEER_LOST, console)
        self.assertIn("worker 0 on localhost, 1 on localhost", self.verdict(console))


if __name__ == "__main__":
    unittest.main()
