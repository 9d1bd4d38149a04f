"""Numbers gone wrong: a run stops with a line and a code of its own, or skips such steps, the same on any workers."""

import json
import math
import os
import shutil
import signal
import struct

from lamina_process import CONFIG, END_TO_END, MLAAN, NONFINITE, OK, LaminaTest, main

STEPS = 6


class SafetensorsFile:
    """Its tensors as bytes, by name."""

    def __init__(self, path):
        self.bytes = bytearray(path.read_bytes())
        self.data = 8 + struct.unpack("<Q", self.bytes[:8])[0]
        self.header = json.loads(self.bytes[8:self.data])

    def place(self, name):
        begin, end = self.header[name]["data_offsets"]
        return slice(self.data + begin, self.data + end)

    def __getitem__(self, name):
        return bytes(self.bytes[self.place(name)])

    def set_first(self, name, number):
        begin = self.place(name).start
        self.bytes[begin:begin + 4] = struct.pack("<f", number)


class Stop(LaminaTest):
    def setUp(self):
        super().setUp()
        self.train("run", f"train.max_steps={STEPS}", "checkpoint.every_steps=3", "checkpoint.keep=9")

    def files(self):
        return {path: path.read_bytes() for path in (self.folder / "run" / "checkpoints").rglob("*") if path.is_file()}

    def diverge(self, *sets, ranks=0):
        return self.train("run", "pipeline.workers=auto", "train.lr=1e20", f"train.max_steps={10 * STEPS}", *sets,
                          resume=True, expect=NONFINITE, ranks=ranks)

    def test_one_line_and_the_last_checkpoint_stays(self):
        before = self.files()
        process = self.diverge()
        begun, *lines = process.stderr.strip().splitlines()
        self.assertIn("resuming from ", begun)
        self.assertEqual(len(lines), 1, process.stderr)
        self.assertRegex(lines[0], r"step \d+, stage \d: expected finite (losses|gradients), found .* of module \d")
        self.assertIn("head mlp_sr (independent)", lines[0])
        self.assertEqual(self.files(), before)
        self.assertEqual(self.lamina("eval", self.folder / "run").returncode, OK)
        self.assertEqual(self.train("run", f"train.max_steps={2 * STEPS}", resume=True)["step"], 2 * STEPS)

    def test_over_mpi_the_job_ends_with_the_code(self):
        before = self.files()
        self.assertIn("expected finite", self.diverge(ranks=2).stderr)
        self.assertEqual(self.files(), before)

    def test_what_skip_cannot_be_joined_with(self):
        end_to_end = self.write("e2e.yaml", END_TO_END)
        process = self.lamina("train", end_to_end, "--set", "train.on_nonfinite=skip",
                              "--set", "pipeline.schedule=gpipe")
        self.assert_refused(process, CONFIG, "train.on_nonfinite: expected stop with schedule gpipe", "found skip")


class StopWhileTheDiskHangs(LaminaTest):
    """A checkpoint's files are pipes that nobody reads, so that no worker that has saved comes to its end by itself."""

    # The rate is 0.01 for the first 1000 steps, and then absurd.
    SETS = ("data.train_limit=2000", "train.batch=2", "train.lr_schedule=epoch", "train.warmup_epochs=1", "train.lr=1e30",
            "checkpoint.every_steps=900", "pipeline.timeout_s=8")

    def test_the_error_is_told_and_the_code_is_its(self):
        for workers, ranks in ((2, 0), ("auto", 2)):
            with self.subTest(ranks=ranks):
                process = self.start(f"run-{ranks}", *self.SETS, f"pipeline.workers={workers}", ranks=ranks)
                partial = self.folder / f"run-{ranks}/checkpoints/step-00000900.partial"
                partial.mkdir()
                for module in (0, 2):
                    os.mkfifo(partial / f"module-{module:03}.safetensors")
                console = process.communicate(timeout=120)[0]
                self.assertEqual(process.returncode, NONFINITE, console)
                (line,) = [line for line in console.splitlines() if "[error]" in line]
                self.assertFalse(partial.with_suffix("").exists(), "the disk did not hang")
                self.assertRegex(line, r"step 100\d, stage \d: expected finite (losses|gradients)")


class Skip(LaminaTest):
    """The second of two stages begins with an infinity; the first does not depend on it."""

    def setUp(self):
        super().setUp()
        self.train("first", "train.max_steps=1")
        self.sound = self.folder / "sound.safetensors"
        self.assertEqual(self.lamina("export", self.folder / "first", self.sound).returncode, OK)
        tensors = SafetensorsFile(self.sound)
        tensors.set_first("layer3.0.conv1.weight", math.inf)
        self.poisoned = self.folder / "poisoned.safetensors"
        self.poisoned.write_bytes(tensors.bytes)

    def skip(self, out, init, *sets, ranks=0):
        if not ranks and not any(assignment.startswith("pipeline.workers") for assignment in sets):
            sets += ("pipeline.workers=1",)
        return self.train(out, f"model.init={init}", f"train.max_steps={STEPS}", "train.on_nonfinite=skip",
                          "train.eval_every_steps=100", *sets, ranks=ranks)

    def steps(self, out):
        return [record for record in self.metrics(out) if record["kind"] == "train"]

    def modules(self, out):
        checkpoint = self.checkpoints(out)[-1]
        return [SafetensorsFile(checkpoint / f"module-{i:03}.safetensors") for i in range(4)]

    def test_the_stage_that_sees_it_stays_and_the_one_before_trains_on(self):
        self.skip("healthy", self.sound)
        self.skip("one", self.poisoned)
        healthy, one, init = self.modules("healthy"), self.modules("one"), SafetensorsFile(self.poisoned)
        for module in (0, 1):
            self.assertEqual(one[module].bytes, healthy[module].bytes)
        for name in init.header:
            for module in one[2:]:
                if name in module.header:
                    self.assertEqual(module[name], init[name], name)
        steps = self.steps("one")
        self.assertEqual([record["skipped"] for record in steps], [[0, 1]] * STEPS)
        self.assertEqual([record["loss"][3] for record in steps], [None] * STEPS)
        self.assertTrue(all(record["loss"][0] > 0 for record in steps))

    def test_the_same_bits_on_any_workers(self):
        one = self.skip("one", self.poisoned)
        threads = self.skip("threads", self.poisoned, "pipeline.workers=2")
        ranks = self.skip("ranks", self.poisoned, "pipeline.workers=auto", ranks=2)
        for many in (threads, ranks):
            self.assertEqual(many["params_sha256"], one["params_sha256"])
        self.assertEqual([record["skipped"] for record in self.steps("ranks")], [[0, 1]] * STEPS)

    def test_more_than_are_allowed_end_the_run(self):
        process = self.train("run", f"model.init={self.poisoned}", f"train.max_steps={STEPS}", "train.on_nonfinite=skip",
                             "train.max_skips=3", "pipeline.workers=2", expect=NONFINITE)
        (line,) = [line for line in process.stderr.splitlines() if "[error]" in line]
        self.assertRegex(line, r"step 3, stage 1: expected finite .* module [23].*train.max_skips: 3 steps in a row")


class Rollback(LaminaTest):
    """A head that calls one class impossible: a batch with it has an infinite loss, and one without trains on. Whether
    there is one among the next few steps is a matter of the data's order alone."""

    STEPS = 6
    SETS = ("train.batch=4", f"train.max_steps={STEPS}", "train.eval_every_steps=100", "train.sgd.weight_decay=0",
            "train.on_nonfinite=rollback", "train.max_rollbacks=99", "checkpoint.every_steps=2", "checkpoint.keep=9")

    def poisoned(self, config):
        first = config.stem
        sound, poisoned = self.folder / f"{first}.safetensors", self.folder / f"{first}-poisoned.safetensors"
        self.train(first, "train.max_steps=1", "train.lr=0", config=config)
        self.assertEqual(self.lamina("export", self.folder / first, sound).returncode, OK)
        tensors = SafetensorsFile(sound)
        tensors.set_first("fc.bias", -math.inf)
        poisoned.write_bytes(tensors.bytes)
        return poisoned

    def setUp(self):
        super().setUp()
        self.init = self.poisoned(self.config)

    def roll(self, out, *sets, config=None, ranks=0, **more):
        sets = (*self.SETS, f"model.init={self.init}", "pipeline.workers=" + ("auto" if ranks else "1"), *sets)
        return self.train(out, *sets, config=config, ranks=ranks, **more)

    def expect_alike(self, config):
        one = self.roll("one", config=config)
        self.assertGreater(one["rollbacks"], 0)
        self.assertEqual(one["step"], self.STEPS)
        losses = [record["loss"] for record in self.metrics("one") if record["kind"] == "train"]
        self.assertEqual(len(losses), self.STEPS)
        self.assertTrue(all(all(step) for step in losses), "no step that was given up is left")
        for out, sets, ranks in (("threads", ("pipeline.workers=2",), 0), ("ranks", (), 2)):
            many = self.roll(out, *sets, config=config, ranks=ranks)
            self.assertEqual((many["params_sha256"], many["rollbacks"]), (one["params_sha256"], one["rollbacks"]))
            self.assertEqual([path.name for path in self.checkpoints(out)], [path.name for path in self.checkpoints("one")])
        return one

    def test_another_order_gets_past_it_with_the_same_bits_on_any_workers(self):
        one = self.expect_alike(self.config)
        for step in (2, 4):
            shutil.copytree(self.folder / "one", self.folder / f"from-{step}")
            for path in self.checkpoints(f"from-{step}"):
                if int(path.name[5:]) > step:
                    shutil.rmtree(path)
            resumed = self.roll(f"from-{step}", "pipeline.workers=2", resume=True)
            self.assertEqual(resumed["params_sha256"], one["params_sha256"], "a resume repeats it")
            self.assertEqual(resumed["rollbacks"], one["rollbacks"])

    def test_with_snapshots_those_of_the_abandoned_line_are_never_used(self):
        config = self.write("mlaan.yaml", MLAAN)
        self.init = self.poisoned(config)
        self.expect_alike(config)

    def test_replicas_go_back_together(self):
        replicas = ("pipeline.stages=1", "pipeline.replicas=2")
        threads = self.roll("threads", *replicas, "pipeline.workers=2")
        self.assertGreater(threads["rollbacks"], 0)
        self.assertEqual(self.roll("ranks", *replicas, ranks=2)["params_sha256"], threads["params_sha256"])

    def test_no_more_often_than_it_may(self):
        often = "train.batch=8"  # it then takes several
        needed = self.roll("free", often)["rollbacks"]
        self.assertGreater(needed, 1)
        for ranks in (0, 2):
            with self.subTest(ranks):
                process = self.roll(f"run-{ranks}", often, f"train.max_rollbacks={needed - 1}", ranks=ranks, expect=NONFINITE)
                (line,) = [line for line in process.stderr.splitlines() if "[error]" in line]
                self.assertRegex(line, r"step \d+, stage 1: expected finite losses, found inf from head \w+ \(\w+\) of module 3")
                self.assertIn(f"train.max_rollbacks: {needed - 1} have been made", line)

    def test_a_mirror_that_hangs_holds_nothing_up(self):
        """With its evaluation still to make, a checkpoint is saved and copied once more; a pipe in it holds the copy up."""
        often = "train.batch=8"
        before = self.roll("run", often, "train.max_steps=2")["rollbacks"]
        checkpoint = self.checkpoints("run")[-1]
        self.alter_manifest(checkpoint, evaluated=False)
        os.mkfifo(checkpoint / "pipe")
        summary = self.roll("run", often, "train.max_steps=8", f"checkpoint.mirror={self.folder / 'mirror'}",
                            "pipeline.timeout_s=16", ranks=2, resume=True)
        self.assertGreater(summary["rollbacks"], before)
        self.assertEqual(summary["workers"][1]["checkpoints"]["mirror_failures"], 1)

    def test_a_stop_is_heeded_however_often_it_goes_back(self):
        process = self.start("run", f"model.init={self.init}", "train.on_nonfinite=rollback", "train.max_rollbacks=999999",
                             "pipeline.workers=2", "checkpoint.every_steps=1", "train.sgd.weight_decay=0")
        process.send_signal(signal.SIGTERM)
        console = process.communicate(timeout=60)[0]
        self.assertEqual(process.returncode, OK, console)
        self.assertFalse(self.summary("run")["complete"])


if __name__ == "__main__":
    main()
