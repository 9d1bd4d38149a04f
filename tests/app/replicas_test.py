"""Replicas of a stage split every batch; which workers they are, and how they are connected, changes no bit."""

import signal

from lamina_process import CONFIG, MLAAN, OK, LaminaTest, main


class Replicas(LaminaTest):
    def setUp(self):
        super().setUp()
        self.config = self.write("mlaan.yaml", MLAAN)

    def test_threads_and_ranks_train_the_same_bits_every_time(self):
        for replicas, workers in (("2", 4), ("[1,3]", 4), ("[2,1]", 3)):
            with self.subTest(replicas):
                sets = (f"pipeline.replicas={replicas}", f"pipeline.workers={workers}")
                threads = self.train(f"threads{replicas}", *sets)
                again = self.train(f"again{replicas}", *sets)
                ranks = self.train(f"ranks{replicas}", *sets, ranks=workers)
                self.assertEqual(threads["step"], 14)
                for other in (again, ranks):
                    for figure in ("params_sha256", "test_accuracy", "test_loss"):
                        self.assertEqual(other[figure], threads[figure])
                evaluations = [m for m in self.metrics(f"ranks{replicas}") if m["kind"] == "eval"]
                self.assertEqual({m["images"] for m in evaluations}, {41})

    def test_data_parallel_alone_is_one_stage(self):
        one = self.train("one", "pipeline.stages=1", "pipeline.workers=1", "model.norm=none")
        two = self.train("two", "pipeline.stages=1", "pipeline.replicas=2", "model.norm=none", ranks=2)
        self.assertNotEqual(one["params_sha256"], two["params_sha256"], "sums are taken in another order")
        for a, b in zip(self.metrics("one"), self.metrics("two")):
            if a["kind"] == "train" and a["step"] < 3:
                for mine, other in zip(a["loss"], b["loss"]):
                    self.assertAlmostEqual(mine, other, delta=1e-4 * abs(mine))

    def test_a_resumed_run_ends_as_if_it_had_never_stopped(self):
        sets = ("pipeline.replicas=2", "pipeline.workers=4")
        whole = self.train("whole", *sets)
        self.train("cut", *sets, "train.max_steps=6")
        resumed = self.train("cut", *sets, ranks=4, resume=True)
        self.assertEqual(resumed["params_sha256"], whole["params_sha256"])

    def test_replicas_stop_at_the_same_step(self):
        sets = ("pipeline.stages=1", "pipeline.replicas=2", "pipeline.workers=2", "snapshots.lag=1")
        self.assertEqual(self.interrupt("stopped", signal.SIGUSR2, *sets, ranks=2).returncode, OK)
        self.expect_stopped_whole("stopped", *sets)

    def test_replicas_that_cannot_be(self):
        for sets, expected in (
            (("pipeline.replicas=[1,2,3]",), "each of the 2 stages"),
            (("pipeline.replicas=[0,1]",), "positive"),
            (("pipeline.replicas=[1,2]", "pipeline.workers=4"), "expected 3, the sum of pipeline.replicas, found 4"),
            (("pipeline.replicas=3", "pipeline.workers=4"), "expected a divisor of the 4 worker(s), found 3"),
            (("pipeline.replicas=2", "pipeline.workers=4", "train.batch=1"), "found 2 for a batch of 1"),
        ):
            with self.subTest(sets):
                process = self.train("bad", *sets, expect=CONFIG)
                self.assert_refused(process, CONFIG, expected)


if __name__ == "__main__":
    main()
