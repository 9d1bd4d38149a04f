"""Stopped anywhere, in any way, and resumed on any number of workers, a run ends as if it had never stopped."""

import signal

from lamina_process import OK, LaminaTest, main


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

    def test_only_the_newest_checkpoints_are_kept(self):
        self.train("kept", "checkpoint.every_steps=5", "checkpoint.keep=2")
        self.assertEqual([p.name for p in self.checkpoints("kept")], ["step-00000025", "step-00000026"])


class Signals(LaminaTest):
    def test_each_stop_signal_checkpoints_and_exits_0(self):
        for sent in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR2):
            with self.subTest(sent):
                out = f"stopped-{sent}"
                self.assertEqual(self.interrupt(out, sent, "pipeline.workers=2").returncode, OK)
                self.expect_stopped_whole(out)

    def test_usr2_through_mpirun(self):
        self.assertEqual(self.interrupt("mpi", signal.SIGUSR2, "pipeline.workers=auto", ranks=2).returncode, OK)
        self.expect_stopped_whole("mpi")


if __name__ == "__main__":
    main()
