"""Images that cannot be read: named, and either the end or replaced and counted, as data.broken says."""

import pathlib

from lamina_process import DATA, LaminaTest, main

JPEG = (pathlib.Path(__file__).parents[1] / "fuzz/corpus/jpeg/good-baseline").read_bytes()

CONFIG = """
model: {backbone: resnet8}
partition: {modules: 4}
method: {framework: greedy}
pipeline: {stages: 1, workers: 1, threads: 1}
data: {name: imagefolder, folder: images, image: 32, augment: false}
train: {batch: 4, epochs: 1, lr_schedule: step, warmup_epochs: 0}
"""


class BrokenImages(LaminaTest):
    def setUp(self):
        super().setUp()
        for part, count in (("train", 4), ("val", 2)):
            for name in ("ant", "bee"):
                folder = self.folder / "images" / part / name
                folder.mkdir(parents=True)
                for i in range(count):
                    (folder / f"{i}.jpg").write_bytes(JPEG)
        self.truncated = self.folder / "images/train/bee/2.jpg"
        self.truncated.write_bytes(JPEG[:len(JPEG) // 2])
        self.write("images.yaml", CONFIG.replace("folder: images", f"folder: {self.folder / 'images'}"))

    def train_with(self, broken):
        return self.lamina("train", self.folder / "images.yaml", "--out", self.folder / broken, "--set", f"data.broken={broken}")

    def test_one_ends_the_run_and_is_named(self):
        self.assert_refused(self.train_with("fatal"), DATA, str(self.truncated), "data.broken: skip")

    def test_one_is_replaced_named_and_counted_once(self):
        process = self.train_with("skip")
        self.assertEqual(process.returncode, 0, process.stderr)
        self.assertEqual(process.stderr.count(str(self.truncated)), 1, process.stderr)
        self.assertEqual(self.summary("skip")["broken_images"], 1)


if __name__ == "__main__":
    main()
