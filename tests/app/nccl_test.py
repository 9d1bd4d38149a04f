"""The program over NCCL, whose part a stand-in plays: the workers are MPI processes, and no bit changes."""

import os
import shutil
import subprocess

import lamina_process
from lamina_process import CONFIG, DEVICE, END_TO_END, MLAAN, TIMEOUT, LaminaTest, main

PROGRAM = lamina_process.BINARY
STANDIN = os.environ["LAMINA_OVER_NCCL_STANDIN"]


class OverNccl(LaminaTest):
    def setUp(self):
        super().setUp()
        self.config = self.write("nccl.yaml", MLAAN)
        lamina_process.BINARY = STANDIN

    def expect_same_bits(self, *sets, workers, config=None):
        config = config or self.config
        threads = self.train("threads", "pipeline.transport=inprocess", f"pipeline.workers={workers}", *sets, config=config)
        ranks = self.train("ranks", "pipeline.transport=nccl", *sets, ranks=workers, config=config)
        self.assertEqual(threads["step"], 14)
        for figure in ("params_sha256", "test_accuracy", "test_loss"):
            self.assertEqual(ranks[figure], threads[figure])

    def test_a_chain_trains_the_same_bits(self):
        self.expect_same_bits("pipeline.stages=4", workers=4)

    def test_a_chain_at_lag_zero(self):
        self.expect_same_bits("pipeline.stages=4", "snapshots.lag=0", workers=4)

    def test_replicas_train_the_same_bits(self):
        self.expect_same_bits("pipeline.stages=2", "pipeline.replicas=2", workers=4)

    def test_replicas_at_lag_zero(self):
        self.expect_same_bits("pipeline.stages=3", "pipeline.replicas=[1,2,2]", "snapshots.lag=0", workers=5)

    def test_gradients_flow_back(self):
        config = self.write("end-to-end.yaml", END_TO_END)
        for schedule, workers in (("gpipe", 3), ("1f1b", 4), ("1f1b", 2), ("2bw", 4)):
            for buffers in (2, 4):
                with self.subTest(schedule=schedule, workers=workers, buffers=buffers):
                    self.expect_same_bits(f"pipeline.schedule={schedule}", f"pipeline.buffers={buffers}", workers=workers,
                                          config=config)
                    shutil.rmtree(self.folder / "threads")
                    shutil.rmtree(self.folder / "ranks")

    def test_interleaved_stages_are_refused(self):
        process = self.train("refused", "pipeline.transport=nccl", "pipeline.schedule=interleaved_1f1b",
                             config=self.write("end-to-end.yaml", END_TO_END), expect=CONFIG)
        self.assert_refused(process, CONFIG, "expected 1f1b, gpipe or 2bw over nccl")

    def test_replicas_add_up_micro_batches(self):
        self.expect_same_bits("pipeline.schedule=data_parallel", "pipeline.stages=1", "pipeline.micro_batches=2", workers=2,
                              config=self.write("end-to-end.yaml", END_TO_END))

    def test_a_stall_ends_by_the_limit(self):
        process = subprocess.run(
            ["mpirun", "--oversubscribe", "-n", "2", STANDIN, "train", self.config, "--out", self.folder / "stalled",
             "--set", "pipeline.transport=nccl", "--set", "pipeline.stages=2", "--set", "pipeline.timeout_s=3"],
            capture_output=True, text=True, timeout=60,
            env=os.environ | lamina_process.MPI_ENVIRONMENT | {"NCCL_STANDIN_FAULT": "stall 0 4"})
        self.assertEqual(process.returncode, TIMEOUT, process.stdout + process.stderr)
        for worker, waits in ((0, "send to stage 1"), (1, "recv from stage 0")):
            self.assertRegex(process.stderr, rf"worker {worker}: stopped at step \d+ in {waits}: all workers wait for one another")

    def test_a_build_without_nccl_says_so(self):
        lamina_process.BINARY = PROGRAM
        if "NCCL none" not in self.lamina("--version").stdout:
            self.skipTest("this build has NCCL")
        process = self.lamina("train", self.config, "--out", self.folder / "none", "--set", "pipeline.transport=nccl",
                              "--set", "pipeline.stages=1")
        self.assert_refused(process, DEVICE, "this build of Lamina has no NCCL")


if __name__ == "__main__":
    main()
