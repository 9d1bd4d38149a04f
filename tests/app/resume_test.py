"""Stopped anywhere, in any way, and resumed on any number of workers, a run ends as if it had never stopped."""

import os
import shutil
import signal

from lamina_process import CHECKPOINT, OK, STORAGE, LaminaTest, main


class Resume(LaminaTest):
    def setUp(self):
        super().setUp()
        self.whole = self.train("whole")

    def expect_whole(self, summary):
        self.assertTrue(summary["complete"])
        self.assertEqual(summary["params_sha256"], self.whole["params_sha256"])
        self.assertEqual(summary["test_accuracy"], self.whole["test_accuracy"])

    def expect_whole_metrics(self, out):
        """Every step's line is there once, with the losses of the uninterrupted run."""
        seen = [(m["kind"], m["step"], m.get("loss"), m.get("test_loss")) for m in self.metrics(out)]
        self.assertEqual(seen, [(m["kind"], m["step"], m.get("loss"), m.get("test_loss")) for m in self.metrics("whole")])

    def test_after_max_steps_on_another_number_of_workers(self):
        first = self.train("cut", "train.max_steps=7")
        self.assertNotEqual(first["params_sha256"], self.whole["params_sha256"])
        self.expect_whole(self.train("cut", "pipeline.workers=2", resume=True))

    def test_from_one_worker_to_mpi(self):
        self.train("cut", "train.max_steps=9")
        self.expect_whole(self.train("cut", "pipeline.workers=auto", ranks=2, resume=True))

    def test_dropping_the_momentum_would_be_noticed(self):
        """The check can fail: training on from the parameters alone ends elsewhere."""
        self.train("cut", "train.max_steps=7", "train.sgd.momentum=0", "train.sgd.nesterov=false")
        other = self.train("cut", resume=True)
        self.assertNotEqual(other["params_sha256"], self.whole["params_sha256"])

    def test_with_nothing_there_starts_at_step_0(self):
        process = self.lamina("train", self.config, "--out", self.folder / "new", "--resume")
        self.assertEqual(process.returncode, OK)
        self.assertIn("starting at step 0", process.stderr)
        self.expect_whole(self.summary("new"))

    def test_a_finished_run_stays_as_it_is(self):
        before = [p.name for p in self.checkpoints("whole")]
        again = self.train("whole", resume=True)
        self.expect_whole(again)
        self.assertEqual(again["test_loss"], self.whole["test_loss"])
        self.assertEqual([p.name for p in self.checkpoints("whole")], before)

    def test_what_checkpoints_cost_is_told(self):
        summary = self.train("told", "checkpoint.every_steps=5", "pipeline.workers=2")
        for worker in summary["workers"]:
            cost = worker["checkpoints"]
            self.assertEqual(cost["written"], 6)  # of steps 5 to 25, and the last
            self.assertGreater(cost["write_s"], 0)
            self.assertLessEqual(cost["waits"], 5)
            self.assertEqual(cost["waits"] > 0, cost["wait_s"] > 0)
        told = [sum(record["checkpoint_wait_s"]) for record in self.metrics("told") if record["kind"] == "train"]
        self.assertLessEqual(sum(told), sum(worker["checkpoints"]["wait_s"] for worker in summary["workers"]) + 1e-9)

    def test_only_the_newest_checkpoints_are_kept(self):
        self.train("kept", "checkpoint.every_steps=5", "checkpoint.keep=2")
        self.assertEqual([p.name for p in self.checkpoints("kept")], ["step-00000025", "step-00000026"])


class Damaged(LaminaTest):
    """The newest checkpoint is not whole: the one before it is taken, and the end is the same."""

    SETS = ("checkpoint.every_steps=4", "checkpoint.keep=9")

    def setUp(self):
        super().setUp()
        self.whole = self.train("whole", *self.SETS)
        self.train("cut", *self.SETS, "train.max_steps=14")
        self.names = [path.name for path in self.checkpoints("cut")]
        self.assertEqual(self.names[-2:], ["step-00000012", "step-00000014"])

    def flip(self, path):
        text = bytearray(path.read_bytes())
        text[len(text) // 2] ^= 1
        path.write_bytes(text)

    def damages(self):
        return {
            "flipped": lambda newest: self.flip(newest / "module-002.safetensors"),
            "truncated": lambda newest: os.truncate(newest / "module-000.safetensors", 1000),
            "missing": lambda newest: (newest / "module-003.safetensors").unlink(),
            "manifest": lambda newest: self.flip(newest / "manifest.json"),
            "no manifest": lambda newest: (newest / "manifest.json").unlink(),
        }

    def resumed(self, out, *sets, ranks=0):
        words = [word for assignment in (*self.SETS, *sets) for word in ("--set", assignment)]
        process = self.lamina("train", self.config, "--out", self.folder / out, "--resume", *words, ranks=ranks)
        self.assertEqual(process.returncode, OK, process.stderr)
        self.assertEqual(self.summary(out)["params_sha256"], self.whole["params_sha256"])
        return process.stderr

    def test_any_damage_costs_one_line_and_the_steps_since(self):
        for number, (name, damage) in enumerate(self.damages().items()):
            with self.subTest(name):
                shutil.copytree(self.folder / "cut", self.folder / name)
                damage(self.checkpoints(name)[-1])
                if number < 4:  # in threads, or with the second of two ranks to find it
                    said = self.resumed(name, "pipeline.workers=2")
                else:
                    said = self.resumed(name, "pipeline.workers=auto", ranks=2)
                (line,) = [line for line in said.splitlines() if "[warning]" in line]
                self.assertIn("step-00000014", line)
                self.assertIn(f"going back to {self.folder / name}/checkpoints/step-00000012", line)
                kept = [path.name for path in self.checkpoints(name)]
                self.assertIn("step-00000014.damaged", kept)
                self.assertEqual(self.lamina("verify", self.folder / name).returncode, OK)

    def test_two_are_damaged(self):
        for path in self.checkpoints("cut")[-2:]:
            self.flip(path / "module-001.safetensors")
        said = self.resumed("cut")
        self.assertEqual(said.count("going back to"), 2, said)

    def test_where_none_is_whole_nothing_is_begun(self):
        for path in self.checkpoints("cut"):
            self.flip(path / "module-001.safetensors")
        process = self.train("cut", resume=True, expect=CHECKPOINT)
        errors = [line for line in process.stderr.splitlines() if "[error]" in line]
        self.assertEqual(len(errors), 1, process.stderr)
        self.assertIn(f"of {len(self.names)} checkpoints none is whole", errors[0])
        self.assertEqual([path.name for path in self.checkpoints("cut")], self.names)


class Mirror(LaminaTest):
    SETS = ("checkpoint.every_steps=4",)

    def setUp(self):
        super().setUp()
        self.whole = self.train("whole")
        self.mirror = self.folder / "far" / "mirror"

    def cut(self, out="cut", mirror=None, steps=14, ranks=0):
        return self.train(out, *self.SETS, f"train.max_steps={steps}", f"checkpoint.mirror={mirror or self.mirror}",
                          "pipeline.workers=" + ("auto" if ranks else "2"), ranks=ranks)

    def files(self, folder):
        return {path.name: path.read_bytes() for path in folder.iterdir()}

    def resume(self, out="cut"):
        return self.train(out, *self.SETS, f"checkpoint.mirror={self.mirror}", resume=True)["params_sha256"]

    def test_has_the_same_files_and_serves_where_the_runs_own_are_lost_or_damaged(self):
        for ranks in (0, 2):
            with self.subTest(ranks):
                out = f"cut-{ranks}"
                self.cut(out, ranks=ranks)
                newest = self.checkpoints(out)[-1]
                self.assertEqual(self.files(self.mirror / newest.name), self.files(newest))
                self.assertEqual(len(list(self.mirror.iterdir())), 2, "as many as are kept")
                if ranks:
                    shutil.rmtree(self.folder / out)
                else:
                    (newest / "module-001.safetensors").unlink()
                self.assertEqual(self.resume(out), self.whole["params_sha256"])
                shutil.rmtree(self.mirror)

    def test_that_fails_costs_a_warning_and_is_counted(self):
        self.mirror.parent.mkdir()
        self.mirror.write_text("in the way")
        summary = self.cut()
        self.assertGreaterEqual(summary["workers"][1]["checkpoints"]["mirror_failures"], 1)
        self.assertEqual(self.lamina("verify", self.folder / "cut").returncode, OK)

    def test_that_hangs_is_given_up_before_the_others_give_up_the_run(self):
        """A checkpoint that is there already is copied again. A pipe in it, that nobody writes to, plays a server that is gone."""
        self.train("cut", "train.max_steps=4")
        os.mkfifo(self.checkpoints("cut")[-1] / "pipe")
        summary = self.train("cut", "train.max_steps=4", f"checkpoint.mirror={self.mirror}", "pipeline.workers=auto",
                             "pipeline.timeout_s=16", ranks=2, resume=True)
        self.assertEqual(summary["workers"][1]["checkpoints"]["mirror_failures"], 1)

    def test_that_cannot_be_read_is_missed_only_where_nothing_else_is(self):
        self.train("cut", *self.SETS, "train.max_steps=14")
        self.mirror.parent.mkdir()
        self.mirror.symlink_to(self.mirror)
        self.assertEqual(self.resume("cut"), self.whole["params_sha256"])
        process = self.train("lost", f"checkpoint.mirror={self.mirror}", resume=True, expect=STORAGE)
        self.assert_refused(process, STORAGE, str(self.mirror))

    def test_of_another_run_is_refused(self):
        self.cut()
        process = self.lamina("train", self.config, "--out", self.folder / "new", "--set",
                              f"checkpoint.mirror={self.mirror}")
        self.assert_refused(process, STORAGE, "checkpoint.mirror", str(self.mirror), "--resume")
        process = self.train("new", f"checkpoint.mirror={self.mirror}", "train.lr=0.01", resume=True, expect=STORAGE)
        self.assert_refused(process, STORAGE, "mirror/step-000000", "found one of another run's")
        kept = {path.name: self.files(path) for path in self.mirror.iterdir()}
        self.train("old", *self.SETS, "train.max_steps=6")
        summary = self.train("old", *self.SETS, "train.max_steps=30", f"checkpoint.mirror={self.mirror}", resume=True)
        self.assertGreaterEqual(summary["workers"][-1]["checkpoints"]["mirror_failures"], 1)
        self.assertEqual({path.name: self.files(path) for path in self.mirror.iterdir()}, kept, "deleted by nobody")


class OneAtATime(LaminaTest):
    def test_a_second_process_leaves_the_runs_files_alone(self):
        first = self.start("run", "checkpoint.every_steps=5")
        before = (self.folder / "run/config.yaml").read_bytes()
        second = self.train("run", "train.epochs=4000", "pipeline.timeout_s=2", resume=True, expect=STORAGE)
        self.assert_refused(second, STORAGE, "run: expected nobody else at work there", ".lock")
        self.assertEqual((self.folder / "run/config.yaml").read_bytes(), before)
        first.terminate()
        first.communicate(timeout=60)
        self.assertEqual(first.returncode, OK)
        summary = self.summary("run")
        steps = [record["step"] for record in self.metrics("run") if record["kind"] == "train"]
        self.assertEqual(steps, list(range(summary["step"])))

    def test_one_that_comes_early_waits_and_goes_on_from_the_others_last_step(self):
        first = self.start("run", "checkpoint.every_steps=1000")
        first.terminate()
        second = self.train("run", "train.epochs=4000", "train.stop_before=1s", resume=True)
        first.communicate(timeout=60)
        self.assertEqual(first.returncode, OK)
        self.assertGreater(second["step"], 0)


class Signals(LaminaTest):
    def test_each_stop_signal_checkpoints_and_exits_0(self):
        for sent in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR2, signal.SIGHUP):
            with self.subTest(sent):
                out = f"stopped-{sent}"
                self.assertEqual(self.interrupt(out, sent, "pipeline.workers=2").returncode, OK)
                self.expect_stopped_whole(out)

    def test_who_stops_reading_its_output_stops_nothing(self):
        process = self.start("unread", "train.max_steps=30")
        process.stdout.close()
        self.assertEqual(process.wait(timeout=60), OK)
        self.assertTrue(self.summary("unread")["complete"])

    def test_usr2_through_mpirun(self):
        self.assertEqual(self.interrupt("mpi", signal.SIGUSR2, "pipeline.workers=auto", ranks=2).returncode, OK)
        self.expect_stopped_whole("mpi")


if __name__ == "__main__":
    main()
