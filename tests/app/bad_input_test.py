"""Bad input ends with one line (expected, found, where), an exit code of its own, and nothing lost or half-written."""

import gzip
import os
import pathlib
import shutil
import struct
import subprocess

from lamina_process import BINARY, CHECKPOINT, CONFIG, DATA, OK, STORAGE, LaminaTest, main


class Configuration(LaminaTest):
    def refuse(self, *fragments, text=None, sets=(), ranks=0):
        config = self.write("bad.yaml", text) if text else self.config
        arguments = ["train", config, "--out", self.folder / "out"]
        for assignment in sets:
            arguments += ["--set", assignment]
        process = self.lamina(*arguments, ranks=ranks)
        self.assertEqual(process.returncode, CONFIG, process.stdout + process.stderr)
        for fragment in fragments:
            self.assertIn(fragment, process.stderr)
        self.assertFalse((self.folder / "out").exists(), "something was written")
        return process

    def test_what_no_json_can_hold_is_refused_before_anything_runs(self):
        for arguments in (["--out", b"o\xe9"], ["--set", b"data.root=o\xe9"], ["--out", b""]):
            process = subprocess.run([BINARY, "train", self.config, *arguments], capture_output=True, cwd=self.folder)
            self.assertEqual(process.returncode, CONFIG, process.stderr)
            self.assertRegex(process.stderr, rb"^\S+ \[error\] --(out|set): expected (UTF-8, found other bytes|a path, found nothing)[^\n]*\n$")
        (self.folder / "bad.yaml").write_bytes(b"train: {batch: 4}\nmodel: {init: '\xe9'}\n")
        self.assertIn("bad.yaml:2: expected UTF-8", self.lamina("show", "bad.yaml").stderr)

    def test_every_problem_of_a_file_is_reported_at_once_with_its_line(self):
        text = "train:\n  epoch: 3\n  batch: many\npipline:\n  stages: 2\ndata: {name: synthetic, validation: -1}\n"
        self.refuse('bad.yaml:2: train.epoch', '"epochs"', "bad.yaml:3: train.batch", "many", "bad.yaml:4: pipline",
                    '"pipeline"', "bad.yaml:6: data.validation", text=text)

    def test_a_file_that_is_missing_or_no_yaml(self):
        process = self.lamina("train", self.folder / "none.yaml")
        self.assert_refused(process, CONFIG, "none.yaml")
        self.refuse("bad.yaml:2", text="train: {epochs: 3\nmodel: x")

    def test_what_cannot_be(self):
        for sets, fragments in [
            (["partition.modules=5"], ["at most 4 modules", "found 5"]),
            (["partition.modules=auto", "partition.ends=[[2,0],[1,0]]"], ["[1,0] after [2,0]"]),
            (["partition.modules=auto", "partition.ends=[[7,0]]"], ["no block [7,0]"]),
            (["pipeline.workers=3"], ["1 to 2", "found 3"]),
            (["pipeline.stages=5"], ["1 to 4", "found 5"]),
            (["pipeline.stages=[2,1]"], ["1 after 2"]),
            (["model.backbone=resnet9"], ["6n+2", "resnet9"]),
            (["method.head=mlp_rs"], ["mlp_sr"]),
            (["data.name=cifar11"], ["cifar10"]),
            (["train.batch=1"], ["batch", "mlp_sr"]),
            (["train.batch=199"], ["batch of 1 remains"]),
            (["train.early_stop.metric=beauty"], ["train.early_stop.metric", "accuracy", "beauty"]),
            (["train.stop_before=soon"], ["train.stop_before", "3h50m", "found soon"]),
            (["method.mlaan.window=0"], ["method.mlaan.window", "at least 1", "found '0'"]),
            (["method.mlaan.momentum=1.01"], ["method.mlaan.momentum", "between 0 and 1", "1.01"]),
            (["method.mlaan.momentum=-0.01"], ["method.mlaan.momentum", "between 0 and 1", "-0.01"]),
            (["method.compat=release", "method.mlaan.window=2"], ["method.compat", "one stage", "found 2"]),
            (["method.compat=release", "method.mlaan.window=2", "pipeline.stages=1", "train.on_nonfinite=skip"],
             ["train.on_nonfinite", "expected stop, found skip"]),
            (["method.compat=release", "method.mlaan.window=2", "pipeline.stages=1", "pipeline.workers=2",
              "pipeline.replicas=2"], ["method.compat", "needs one worker, found 2"]),
            (["train.stop_before=90"], ["train.stop_before", "3h50m", "found 90"]),
        ]:
            with self.subTest(sets):
                process = self.refuse(*fragments, sets=sets)
                self.assertEqual(len(process.stderr.strip().splitlines()), 1, process.stderr)

    def test_one_rank_speaks_for_all(self):
        process = self.refuse("expected 2 as mpirun started, found 1", ranks=2)
        self.assertEqual(process.stderr.count("pipeline.workers"), 1, process.stderr)

    def test_nothing_can_be_measured_no_times(self):
        for command, option in (("bench", "--rounds"), ("bench", "--steps"), ("plan", "--repeats")):
            for number in ("0", "-1"):
                with self.subTest(f"{command} {option} {number}"):
                    process = self.lamina(command, self.config, option, number)
                    self.assertEqual(process.returncode, CONFIG)
                    self.assertIn(option, process.stderr)

    def test_what_changes_nothing_is_told_and_goes_on(self):
        shown = self.lamina("show", self.config, "--set", "snapshots.policy=latest", "--set", "snapshots.lag=3")
        self.assertEqual(shown.returncode, OK, shown.stderr)
        self.assertEqual(shown.stderr.count("snapshots.lag: says nothing, as snapshots.policy is latest"), 1)

    def test_a_path_that_no_file_system_takes(self):
        nowhere = self.folder / ("x" * 300) / "y"
        for arguments in (["train", self.config, "--out", nowhere], ["verify", nowhere]):
            with self.subTest(arguments[0]):
                self.assert_refused(self.lamina(*arguments), STORAGE, "File name too long")

    def test_an_unknown_option(self):
        self.assertEqual(self.lamina("train", self.config, "--bogus").returncode, CONFIG)


class DataSets(LaminaTest):
    def refuse(self, name, root, *fragments, ranks=0):
        sets = [f"data.name={name}", f"data.root={root}", "pipeline.workers=auto"]
        arguments = ["train", self.config, "--out", self.folder / "out"]
        for assignment in sets:
            arguments += ["--set", assignment]
        process = self.lamina(*arguments, ranks=ranks)
        if not ranks:
            self.assert_refused(process, DATA, *fragments)
        return process

    def cifar(self, records=3, label=1, cut=0):
        """Made-up CIFAR-10 files with so many records each."""
        folder = self.folder / "data" / "cifar-10-batches-bin"
        folder.mkdir(parents=True, exist_ok=True)
        batch = (bytes([label]) + bytes(3072)) * records
        for name in [*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"]:
            (folder / name).write_bytes(batch)
        if cut:
            (folder / "data_batch_3.bin").write_bytes(batch[:-cut])
        return self.folder / "data"

    def test_missing_files(self):
        self.refuse("cifar10", self.folder / "nowhere", "data_batch_1.bin", "nowhere", "launch/fetch_data cifar10")

    def test_a_truncated_file(self):
        self.refuse("cifar10", self.cifar(records=10000, cut=100), "data_batch_3.bin", "expected", "found")

    def test_a_label_out_of_range(self):
        self.refuse("cifar10", self.cifar(records=10000, label=10), "label", "10", "data_batch_1.bin")

    def test_idx_that_is_none(self):
        folder = self.folder / "data" / "fashion-mnist"
        folder.mkdir(parents=True)
        for part, count in (("train", 60000), ("t10k", 10000)):
            with gzip.open(folder / f"{part}-images-idx3-ubyte.gz", "wb") as file:
                file.write(struct.pack(">IIII", 0x0803, count, 28, 28) + bytes(100))
            with gzip.open(folder / f"{part}-labels-idx1-ubyte.gz", "wb") as file:
                file.write(struct.pack(">II", 0x0801, count) + bytes(count))
        self.refuse("fashion-mnist", self.folder / "data", "train-images-idx3-ubyte.gz", "expected", "found")

    def test_under_mpirun_the_job_ends_with_the_code(self):
        process = self.refuse("cifar10", self.folder / "nowhere", ranks=2)
        self.assertEqual(process.returncode, DATA, process.stderr)
        self.assertEqual(process.stderr.count("data_batch_1.bin"), 1, process.stderr)


class Checkpoints(LaminaTest):
    def setUp(self):
        super().setUp()
        self.train("run", "train.max_steps=3")
        self.checkpoint = self.checkpoints("run")[-1]

    def resume(self, *sets):
        arguments = ["train", self.config, "--out", self.folder / "run", "--resume"]
        for assignment in sets:
            arguments += ["--set", assignment]
        return self.lamina(*arguments)

    def test_of_another_model(self):
        self.assert_refused(self.resume("model.backbone=resnet14", "partition.modules=auto"), CHECKPOINT,
                            "model.backbone", "resnet8", "resnet14")

    def test_a_flipped_byte(self):
        file = self.checkpoint / "module-002.safetensors"
        data = bytearray(file.read_bytes())
        data[len(data) // 2] ^= 1
        file.write_bytes(data)
        self.assert_refused(self.resume(), CHECKPOINT, "module-002.safetensors", "SHA-256")
        self.assert_refused(self.lamina("eval", self.folder / "run"), CHECKPOINT, "module-002.safetensors")

    def test_a_missing_file(self):
        (self.checkpoint / "module-001.safetensors").unlink()
        self.assert_refused(self.resume(), CHECKPOINT, "module-001.safetensors", "found none")

    def test_eval_of_no_checkpoint(self):
        self.assert_refused(self.lamina("eval", self.folder), CHECKPOINT, "expected a checkpoint")

    def test_eval_finds_what_training_found(self):
        process = self.lamina("eval", self.folder / "run")
        self.assertEqual(process.returncode, OK, process.stderr)
        self.assertIn(f"{100 * self.summary('run')['test_accuracy']:.2f} %", process.stdout)


class Storage(LaminaTest):
    def test_an_existing_directory_without_resume(self):
        (self.folder / "mine").mkdir()
        (self.folder / "mine" / "thesis.txt").write_text("precious")
        process = self.train("mine", expect=STORAGE)
        self.assert_refused(process, STORAGE, "mine", "--resume")
        self.assertEqual([p.name for p in (self.folder / "mine").iterdir()], ["thesis.txt"])

    def test_a_directory_that_cannot_be_made(self):
        self.write("file", "in the way")
        process = self.lamina("train", self.config, "--out", self.folder / "file" / "out")
        self.assert_refused(process, STORAGE, "file/out")

    def test_a_full_disk_keeps_the_last_whole_checkpoint(self):
        """A file system of 1 MiB: the first checkpoint fits, the second does not."""
        disk = self.folder / "disk"
        disk.mkdir()
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1600k", "tmpfs", disk], capture_output=True).returncode:
            self.skipTest("mounting a small file system needs root")
        self.addCleanup(subprocess.run, ["umount", "-l", disk])
        for workers in (1, 2):
            with self.subTest(workers):
                process = self.lamina("train", self.config, "--out", disk / "run", "--set", "checkpoint.every_steps=4",
                                      "--set", "method.framework=greedy", "--set", "method.head=linear",
                                      "--set", f"pipeline.workers={workers}")
                self.assert_refused(process, STORAGE, "worker ", "No space left", str(disk))
                whole = [p for p in (disk / "run" / "checkpoints").iterdir() if not p.suffix]
                self.assertTrue(whole)
                for checkpoint in whole:
                    self.assertEqual(self.lamina("eval", checkpoint).returncode, OK)
                shutil.rmtree(disk / "run")


if __name__ == "__main__":
    main()
