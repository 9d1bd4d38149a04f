"""Numbers gone wrong: a run stops with a line and a code of its own, or skips such steps, the same on any workers."""

import json
import math
import struct

from lamina_process import CONFIG, END_TO_END, NONFINITE, OK, LaminaTest, main

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
        lines = process.stderr.strip().splitlines()
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


if __name__ == "__main__":
    main()
