"""End-to-end training by schedules with backward signals: workers and transports change no bit, resumed or not."""

import signal

from lamina_process import CONFIG, END_TO_END, OK, LaminaTest, main


class Schedules(LaminaTest):
    def setUp(self):
        super().setUp()
        self.config = self.write("end-to-end.yaml", END_TO_END)

    def expect_same(self, found, expected):
        for figure in ("step", "params_sha256", "test_accuracy", "test_loss"):
            self.assertEqual(found[figure], expected[figure])

    def test_threads_and_ranks_train_the_same_bits_whatever_the_order(self):
        one = self.train("one", "pipeline.schedule=gpipe", "pipeline.workers=1")
        self.assertEqual(one["step"], 14)
        for schedule, workers in (("gpipe", 2), ("1f1b", 4), ("interleaved_1f1b", 2)):
            with self.subTest(schedule):
                sets = (f"pipeline.schedule={schedule}", "pipeline.recompute=true")
                self.expect_same(self.train(f"threads-{schedule}", *sets, f"pipeline.workers={workers}"), one)
                self.expect_same(self.train(f"ranks-{schedule}", *sets, ranks=workers), one)
        losses = [m["loss"] for m in self.metrics("threads-1f1b") if m["kind"] == "train"]
        self.assertTrue(all(loss[:-1] == [None] * 3 and loss[-1] > 0 for loss in losses))
        self.assertEqual({m["images"] for m in self.metrics("ranks-1f1b") if m["kind"] == "eval"}, {41})

    def test_two_versions_train_the_same_bits_without_draining(self):
        sets = ("pipeline.schedule=2bw",)
        one = self.train("one", *sets, "pipeline.workers=1")
        for workers in (2, 4):
            self.expect_same(self.train(f"threads{workers}", *sets, f"pipeline.workers={workers}"), one)
            self.expect_same(self.train(f"ranks{workers}", *sets, ranks=workers), one)
        self.expect_same(self.train("unmarked", *sets, "pipeline.workers=2", "checkpoint.every_steps=0"), one)
        other = self.train("1f1b", "pipeline.schedule=1f1b", "pipeline.workers=2")
        self.assertNotEqual(other["params_sha256"], one["params_sha256"])

    def test_a_resumed_run_ends_as_if_it_had_never_stopped(self):
        for schedule in ("2bw", "interleaved_1f1b"):
            with self.subTest(schedule):
                sets = (f"pipeline.schedule={schedule}",)
                whole = self.train(f"whole-{schedule}", *sets, "pipeline.workers=2")
                self.train(f"cut-{schedule}", *sets, "pipeline.workers=4", "train.max_steps=6")
                self.expect_same(self.train(f"cut-{schedule}", *sets, ranks=2, resume=True), whole)

    def test_a_stop_ends_the_step_that_is_open(self):
        sets = ("pipeline.schedule=2bw", "pipeline.workers=2")
        self.assertEqual(self.interrupt("stopped", signal.SIGUSR2, *sets).returncode, OK)
        self.expect_stopped_whole("stopped", *sets)

    def test_replicas_add_up_micro_batches(self):
        sets = ("pipeline.schedule=data_parallel", "pipeline.stages=1", "pipeline.micro_batches=2")
        threads = self.train("threads", *sets, "pipeline.workers=2")
        self.expect_same(self.train("ranks", *sets, ranks=2), threads)

    def test_the_finished_checkpoint_is_evaluated_and_exported(self):
        summary = self.train("run", "pipeline.schedule=2bw", "pipeline.workers=2")
        process = self.lamina("eval", self.folder / "run")
        self.assertEqual(process.returncode, OK, process.stderr)
        self.assertIn(f"{100 * summary['test_accuracy']:.2f}", process.stdout)
        self.assertEqual(self.lamina("export", self.folder / "run", self.folder / "net.safetensors").returncode, OK)

    def test_what_cannot_be(self):
        for sets, expected in (
            (("pipeline.schedule=1f1b", "method.framework=dgl"), "1f1b trains end to end and expects method.framework e2e, found dgl"),
            (("pipeline.micro_batches=2", "pipeline.stages=1"), "pipeline.micro_batches: expected 1 with schedule streaming"),
            (("pipeline.micro_batches=1", "pipeline.recompute=true", "pipeline.stages=1"), "pipeline.recompute: expected false"),
            (("pipeline.schedule=gpipe", "pipeline.micro_batches=17"), "found 17 for a batch of 16"),
            (("pipeline.schedule=gpipe", "pipeline.micro_batches=8"), "found 8 on each of 1 replica(s) for a batch of 7, an epoch's last"),
            (("pipeline.schedule=gpipe", "pipeline.replicas=2"), "pipeline.replicas: expected 1 with schedule gpipe"),
            (("pipeline.schedule=data_parallel",), "pipeline.stages: expected 1 with schedule data_parallel, found 4"),
            (("pipeline.schedule=interleaved_1f1b", "pipeline.workers=3"), "pipeline.stages: expected a multiple of the 3 workers"),
            (("pipeline.schedule=2bw", "pipeline.workers=4", "pipeline.micro_batches=2"), "expected at least 3"),
            (("pipeline.schedule=1f2b",), 'did you mean "1f1b"?'),
        ):
            with self.subTest(sets):
                self.assert_refused(self.train("bad", *sets, expect=CONFIG), CONFIG, expected)


if __name__ == "__main__":
    main()
