"""MLAAN over a pipeline: the same bits on any workers and after a resume, and `latest`, which never waits."""

import hashlib
import json
import statistics
import sys
import unittest

from lamina_process import LaminaTest, main

try:
    from safetensors.numpy import load_file, save_file
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(77)

CONFIG = """
model: {backbone: resnet32}
partition: {modules: 8}
method: {framework: dgl, mlaan: {window: 3}}
pipeline: {stages: 4, threads: 1}
snapshots: {lag: 6}
data: {name: fashion-mnist, test_limit: 64}
train: {batch: 8, max_steps: 12, epochs: 1, lr: 0.02, eval_every_steps: 6, lr_schedule: step, warmup_epochs: 0}
"""
LAG, STEPS, STOP = 6, 12, 9


class MlaanBits(LaminaTest):
    def setUp(self):
        super().setUp()
        self.run_config = self.write("run.yaml", CONFIG)

    def start(self, out, *sets, **more):
        return self.train(out, *sets, config=self.run_config, **more)

    def test_on_any_workers_and_after_a_resume(self):
        one = self.start("one", "pipeline.workers=1")
        for workers in (2, 4):
            with self.subTest(workers=workers):
                self.assertEqual(self.start(f"threads{workers}", f"pipeline.workers={workers}")["params_sha256"],
                                 one["params_sha256"])
                self.assertEqual(self.start(f"ranks{workers}", ranks=workers)["params_sha256"], one["params_sha256"])
        for name in ("cut", "forged"):
            self.start(name, f"train.max_steps={STOP}", "pipeline.workers=2")
        self.assertEqual(self.start("cut", ranks=4, resume=True)["params_sha256"], one["params_sha256"])
        self.forge_versions("forged")
        self.assertNotEqual(self.start("forged", "pipeline.workers=1", resume=True)["params_sha256"],
                            one["params_sha256"])

    def forge_versions(self, out):
        """Puts the newest state in the place of every saved version, as if none had been saved."""
        checkpoint = self.checkpoints(out)[-1]
        sealed = json.loads((checkpoint / "manifest.json").read_text())
        num_versions = 0
        for entry in sealed["body"]["modules"]:
            path = checkpoint / entry["file"]
            tensors = load_file(path)
            versions = {n.split(".", 2)[2]: n for n in sorted(tensors) if n.startswith(f"version.{STOP - 1}.")}
            for name in [n for n in tensors if n.startswith("version.")]:
                tensors[name] = tensors[versions[name.split(".", 2)[2]]]
                num_versions += 1
            save_file(tensors, path)
            entry["num_bytes"] = path.stat().st_size
            entry["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
        self.assertGreaterEqual(num_versions, LAG)
        text = json.dumps(sealed["body"], sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        sealed["sha256"] = hashlib.sha256(text.encode()).hexdigest()
        (checkpoint / "manifest.json").write_text(json.dumps(sealed))

    def test_another_lag_gives_other_bits(self):
        six = self.start("six", "train.max_steps=8", "pipeline.workers=1")
        five = self.start("five", "train.max_steps=8", "pipeline.workers=1", "snapshots.lag=5")
        self.assertNotEqual(six["params_sha256"], five["params_sha256"])


class Latest(LaminaTest):
    STEPS, WORKERS = 60, 3

    def expect_fresh(self, out):
        """Only what the lanes hold is between a stage and the owner of what it shadows."""
        steps = [m for m in self.metrics(out) if m["kind"] == "train"]
        self.assertEqual(len(steps), self.STEPS)
        for step in steps:
            self.assertEqual(sum(step["snapshot_wait_s"]), 0)
        self.assertEqual(steps[-1]["snapshot_age"][-1], 0)  # the last stage shadows nobody
        for step in steps[50:]:  # no longer the first version
            self.assertTrue(all(age < step["step"] for age in step["snapshot_age"]), step)
        ages = [max(step["snapshot_age"]) for step in steps]
        self.assertLessEqual(statistics.median(ages), 2 * (self.WORKERS - 1) + 2, ages)

    def test_never_waits_and_never_keeps_the_first_version(self):
        config = self.write("latest.yaml", """
model: {backbone: resnet14}
partition: {modules: 6}
method: {framework: greedy, mlaan: {window: 3}}
pipeline: {stages: 3, threads: 1}
snapshots: {policy: latest}
data: {name: synthetic, test_limit: 16}
train: {batch: 4, max_steps: 60, epochs: 1, lr: 0.02, lr_schedule: step, warmup_epochs: 0}
""")
        self.train("threads", "pipeline.workers=3", config=config)
        self.expect_fresh("threads")
        self.train("ranks", config=config, ranks=self.WORKERS)
        self.expect_fresh("ranks")


if __name__ == "__main__":
    main()
