"""Nothing grows with the steps: a long run ends with the resident memory that it had early on."""

from lamina_process import LaminaTest, main


class Memory(LaminaTest):
    def expect_flat(self, out, ranks=0):
        # The evaluation and the checkpoint at the end come after the last training step's line.
        self.train(out, "train.epochs=1000", "train.max_steps=2000", "train.eval_every_steps=2000", "train.batch=8",
                   "pipeline.workers=auto" if ranks else "pipeline.workers=2", ranks=ranks)
        resident = {m["step"]: m["rss_mib"] for m in self.metrics(out) if m["kind"] == "train"}
        self.assertLessEqual(abs(resident[1999] - resident[200]), 0.02 * resident[200], (resident[200], resident[1999]))

    def test_threads(self):
        self.expect_flat("threads")

    def test_ranks(self):
        self.expect_flat("ranks", ranks=2)


if __name__ == "__main__":
    main()
