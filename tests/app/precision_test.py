"""bfloat16: the same bits wherever the stages are dealt to and over MPI, also after a resume; and what it refuses."""

import json
import random
import struct

from lamina_process import CHECKPOINT, CONFIG, MLAAN, OK, LaminaTest, main

BF16 = ("pipeline.precision=bf16", "pipeline.transfer=bf16")


def losses(metrics):
    return [line["loss"] for line in metrics if line["kind"] == "train"]


class BFloat16(LaminaTest):
    def setUp(self):
        super().setUp()
        self.mlaan = self.write("mlaan.yaml", MLAAN)

    def run_mlaan(self, out, *sets, **how):
        return self.train(out, *sets, config=self.mlaan, **how)

    def test_the_same_bits_on_any_workers_and_after_a_resume(self):
        for name, sets in (("mixed", BF16), ("layers", BF16[:1]), ("transfer", BF16[1:])):
            with self.subTest(name):
                one = self.run_mlaan(f"{name}-one", *sets, "pipeline.workers=1")
                two = self.run_mlaan(f"{name}-two", *sets, "pipeline.workers=2")
                ranks = self.run_mlaan(f"{name}-ranks", *sets, ranks=2)
                self.run_mlaan(f"{name}-cut", *sets, "pipeline.workers=1", "train.max_steps=6")
                resumed = self.run_mlaan(f"{name}-cut", *sets, ranks=2, resume=True)
                for other in (two, ranks, resumed):
                    self.assertEqual(other["params_sha256"], one["params_sha256"])
                    self.assertEqual(other["test_loss"], one["test_loss"])

    def test_the_first_losses_are_close_to_those_of_float32(self):
        self.run_mlaan("fp32", "pipeline.workers=1")
        self.run_mlaan("bf16", "pipeline.workers=1", *BF16)
        exact, found = losses(self.metrics("fp32"))[0], losses(self.metrics("bf16"))[0]
        self.assertNotEqual(found, exact)
        for a, b in zip(found, exact):
            self.assertLess(abs(a - b), 0.02 * b)

    def test_a_checkpoint_is_evaluated_as_it_was_trained_and_resumed_in_nothing_else(self):
        summary = self.run_mlaan("run", "pipeline.workers=1", *BF16)
        process = self.lamina("eval", self.folder / "run")
        self.assertEqual(process.returncode, OK, process.stderr)
        self.assertIn(f"{100 * summary['test_accuracy']:.2f} %", process.stdout)
        process = self.lamina("train", self.mlaan, "--out", self.folder / "run", "--resume",
                              "--set", "pipeline.precision=fp32", "--set", "pipeline.transfer=bf16")
        self.assert_refused(process, CHECKPOINT, "pipeline.precision", "bf16", "fp32")


class Refusals(LaminaTest):
    def test_tf32_on_a_cpu(self):
        process = self.train("out", "pipeline.precision=tf32", expect=CONFIG)
        self.assert_refused(process, CONFIG, "pipeline.precision", "GPU", "tf32")

    def test_an_unknown_precision(self):
        process = self.train("out", "pipeline.precision=fp16", expect=CONFIG)
        self.assert_refused(process, CONFIG, "pipeline.precision", "fp32", "bf16", "fp16")

    def test_a_step_in_double_precision(self):
        batch = self.folder / "batch.safetensors"
        size = 2 * 3 * 32 * 32
        header = json.dumps({"x": {"dtype": "F64", "shape": [2, 3, 32, 32], "data_offsets": [0, 8 * size]},
                             "y": {"dtype": "I64", "shape": [2], "data_offsets": [8 * size, 8 * size + 16]}}).encode()
        draw = random.Random(1)
        batch.write_bytes(struct.pack("<Q", len(header)) + header +
                          struct.pack(f"<{size}d", *(draw.gauss(0, 1) for _ in range(size))) + struct.pack("<2q", 1, 2))
        for key in ("precision", "transfer"):
            process = self.lamina("step", self.config, "--double", "--batch", batch, "--out", self.folder / "out",
                                  "--set", f"pipeline.{key}=bf16")
            self.assert_refused(process, CONFIG, "double", "pipeline.precision", "pipeline.transfer", "bf16")


if __name__ == "__main__":
    main()
