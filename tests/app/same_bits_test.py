"""The headline: the same stages on any number of workers, in-process or over MPI, train the same bits."""

import os
import pathlib
import unittest

from lamina_process import LaminaTest, main

CONFIG = """
model: {backbone: resnet32}
partition: {modules: 8}
method: {framework: dgl, head: mlp_sr}
pipeline: {stages: 4, threads: 1}
data: {name: DATA, test_limit: 96}
train: {batch: 16, max_steps: 30, epochs: 1, eval_every_steps: 15, lr_schedule: step, warmup_epochs: 0}
checkpoint: {every_steps: 10}
"""

CIFAR_ROOTS = [os.environ.get("LAMINA_DATA"), pathlib.Path.home() / ".cache/lamina/data"]


def has_cifar10():
    return any(root and (pathlib.Path(root) / "cifar-10-batches-bin").is_dir() for root in CIFAR_ROOTS)


class SameBits(LaminaTest):
    def expect_same_bits(self, data):
        config = self.write("run.yaml", CONFIG.replace("DATA", data))
        one = self.train("one", "pipeline.workers=1", config=config)
        self.assertEqual(one["step"], 30)
        for workers in (2, 4):
            threads = self.train(f"threads{workers}", f"pipeline.workers={workers}", config=config)
            ranks = self.train(f"ranks{workers}", config=config, ranks=workers)
            for many in (threads, ranks):
                self.assertEqual(many["params_sha256"], one["params_sha256"])
                self.assertEqual(many["test_accuracy"], one["test_accuracy"])
                self.assertEqual(many["test_loss"], one["test_loss"])
            self.expect_shared_out(ranks, one)

    def expect_shared_out(self, ranks, one):
        """No rank has allocated another stage's parameters: together they have those of one worker."""
        whole = one["workers"][0]["parameters_made"]
        shares = [worker["parameters_made"] for worker in ranks["workers"]]
        self.assertEqual(sum(shares), whole)
        self.assertTrue(all(0 < share < whole for share in shares), shares)

    def test_on_fashion_mnist(self):
        self.expect_same_bits("fashion-mnist")

    @unittest.skipUnless(has_cifar10(), "CIFAR-10 is not under LAMINA_DATA or ~/.cache/lamina/data")
    def test_on_cifar10(self):
        self.expect_same_bits("cifar10")

    def test_another_seed_gives_other_bits(self):
        a = self.train("a", "train.max_steps=2")
        b = self.train("b", "train.max_steps=2", "train.seed=5")
        self.assertNotEqual(a["params_sha256"], b["params_sha256"])


if __name__ == "__main__":
    main()
