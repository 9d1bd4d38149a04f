"""Checkpoints and stops that are asked for while a run is under way: nothing that is computed depends on them."""

import os
import shutil
import signal

from lamina_process import OK, LaminaTest, main

LONG = "train.epochs=4000"


class Stops(LaminaTest):
    def expect_saved_as_straight(self, out, *sets):
        """Every checkpoint of a stopped run is what a run of just so many steps leaves."""
        for path in self.checkpoints(out):
            manifest = self.manifest(path)
            straight = self.train(f"{out}-{path.name}", LONG, f"train.max_steps={manifest['step']}", *sets)
            self.assertEqual(manifest["params_sha256"], straight["params_sha256"], path)

    def save_and_stop(self, out, *sets, ranks=0):
        """SIGUSR1, and a stop once its checkpoint is there."""
        process = self.start(out, *sets, "checkpoint.keep=9", ranks=ranks)
        process.send_signal(signal.SIGUSR1)
        self.wait_for_checkpoint(out)
        self.assertIsNone(process.poll(), "it did not go on")
        process.send_signal(signal.SIGUSR2)
        console = process.communicate(timeout=60)[0]
        self.assertEqual(process.returncode, OK, console)
        self.assertEqual(len(self.checkpoints(out)), 2)
        self.expect_saved_as_straight(out, *sets)

    def test_usr1_saves_and_the_run_goes_on_as_if_nothing_had_been(self):
        self.save_and_stop("run", "pipeline.workers=2")

    def test_usr1_through_mpirun_is_one_checkpoint_of_all_replicas(self):
        self.save_and_stop("run", "pipeline.stages=1", "pipeline.replicas=2", "pipeline.workers=auto", ranks=2)

    def test_usr1_where_steps_stay_open(self):
        self.config = self.write("2bw.yaml", self.config.read_text().replace("framework: dgl, head: mlp_sr", "framework: e2e"))
        self.save_and_stop("run", "pipeline.schedule=2bw", "pipeline.micro_batches=2", "pipeline.workers=2")

    def test_a_signal_to_one_rank_alone_stops_all(self):
        """As where a node is drained. Worker 1 does not feed: worker 0 has to hear of it."""
        process = self.start("run", "pipeline.workers=auto", ranks=2)
        os.kill(self.ranks()[1], signal.SIGTERM)
        console = process.communicate(timeout=60)[0]
        self.assertEqual(process.returncode, OK, console)
        self.assertIn("stopping with a checkpoint: a signal has asked worker 1 to", console)
        self.expect_stopped_whole("run")

    def test_a_file_stops_the_run_and_is_gone(self):
        process = self.start("run", "pipeline.workers=2")
        (self.folder / "run/STOP").touch()
        console = process.communicate(timeout=60)[0]
        self.assertEqual(process.returncode, OK, console)
        self.assertIn("stopping with a checkpoint: found", console)
        self.assertFalse((self.folder / "run/STOP").exists())
        self.expect_stopped_whole("run", by="stop_file")

    def expect_resumed_whole(self, out, *sets):
        end = f"train.max_steps={self.summary(out)['step'] + 3}"
        resumed = self.train(out, LONG, end, *sets, resume=True)
        self.assertEqual((resumed["complete"], resumed["stopped_by"]), (True, None))
        straight = self.train(f"{out}-straight", LONG, end, *sets)
        self.assertEqual(resumed["params_sha256"], straight["params_sha256"])

    def test_the_time_budget_stops_replicas_and_stages_alike(self):
        sets = ("pipeline.replicas=[1,2]", "pipeline.workers=3")
        for limit in ("0s", "4s"):
            with self.subTest(limit):
                process = self.start_to_end(f"run-{limit}", f"train.stop_before={limit}", *sets)
                self.assertIn(f"stopping with a checkpoint: train.stop_before: {limit} is over", process.stderr)
                stopped = self.summary(f"run-{limit}")
                self.assertEqual((stopped["complete"], stopped["stopped_by"]), (False, "stop_before"))
                self.expect_resumed_whole(f"run-{limit}", *sets)

    def start_to_end(self, out, *sets):
        words = [word for assignment in (LONG, *sets) for word in ("--set", assignment)]
        process = self.lamina("train", self.config, "--out", self.folder / out, *words, timeout=60)
        self.assertEqual(process.returncode, OK, process.stderr)
        return process


class EarlyStop(LaminaTest):
    SETS = (LONG, "train.eval_every_steps=2", "train.early_stop.patience=2", "checkpoint.every_steps=3", "checkpoint.keep=999")

    def expected_step(self, out, patience=2):
        """The evaluation behind the one at which the best was `patience` evaluations ago."""
        evals = [record for record in self.metrics(out) if record["kind"] == "eval"]
        best, stale = -1, 0
        for record, following in zip(evals, evals[1:]):
            stale = 0 if record["test_accuracy"] > best else stale + 1
            best = max(best, record["test_accuracy"])
            if stale == patience:
                return following["step"]
        self.fail(f"nothing was stopped: {evals}")

    def test_stops_at_one_step_on_any_workers_and_however_often_it_is_resumed(self):
        whole = self.train("whole", *self.SETS)
        self.assertEqual(whole["step"], self.expected_step("whole"))
        self.assertEqual((whole["complete"], whole["stopped_by"]), (False, "early_stop"))
        for out, ranks in (("threads", 0), ("mpi", 2)):
            again = self.train(out, *self.SETS, f"pipeline.workers={2 if not ranks else 'auto'}", ranks=ranks)
            self.assertEqual(again["params_sha256"], whole["params_sha256"])
        for path in self.checkpoints("whole"):
            with self.subTest(path.name):
                out = f"from-{path.name}"
                shutil.copytree(self.folder / "whole", self.folder / out)
                for later in self.checkpoints(out):
                    if later.name > path.name:
                        shutil.rmtree(later)
                resumed = self.train(out, *self.SETS, "pipeline.workers=2", resume=True)
                self.assertEqual((resumed["step"], resumed["params_sha256"]), (whole["step"], whole["params_sha256"]))

    def test_replicas_stop_together(self):
        stopped = self.train("run", *self.SETS, "pipeline.stages=1", "pipeline.replicas=2", "pipeline.workers=auto", ranks=2)
        self.assertEqual(stopped["step"], self.expected_step("run"))


if __name__ == "__main__":
    main()
