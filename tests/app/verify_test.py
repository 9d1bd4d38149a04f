"""lamina verify: what it says of whole and of damaged checkpoints."""

import hashlib
import json
import shutil

from lamina_process import CHECKPOINT, MLAAN, OK, LaminaTest, main


class Verify(LaminaTest):
    def setUp(self):
        super().setUp()
        config = self.write("mlaan.yaml", MLAAN)
        self.train("run", "pipeline.workers=2", "checkpoint.keep=9", config=config)
        self.names = [path.name for path in self.checkpoints("run")]

    def verify(self, path="run", expect=OK):
        process = self.lamina("verify", path)
        self.assertEqual(process.returncode, expect, process.stdout + process.stderr)
        return process

    def flip(self, path):
        text = bytearray(path.read_bytes())
        text[len(text) // 2] ^= 1
        path.write_bytes(text)

    def test_a_line_for_each_and_the_newest(self):
        self.assertGreater(len(self.names), 2)
        lines = self.verify().stdout.splitlines()
        for name, line in zip(self.names, lines, strict=False):
            self.assertRegex(line, rf"^run/checkpoints/{name}: whole: step {int(name[5:])}, 4 modules, [\d.]+ MiB$")
        self.assertEqual(lines[len(self.names):], [f"the newest whole one is run/checkpoints/{self.names[-1]}"])

    def test_one_alone(self):
        lines = self.verify(f"run/checkpoints/{self.names[0]}").stdout.splitlines()
        self.assertEqual(len(lines), 1)
        self.assertIn(f"{self.names[0]}: whole", lines[0])

    def test_what_was_not_finished_is_no_fault(self):
        (self.folder / "run/checkpoints/step-00000099.partial").mkdir()
        lines = self.verify().stdout.splitlines()
        self.assertIn("run/checkpoints/step-00000099.partial: not finished: --resume deletes it", lines)
        self.assertEqual(lines[-1], f"the newest whole one is run/checkpoints/{self.names[-1]}")

    def test_a_changed_bit_of_any_file_is_found_and_an_older_one_named(self):
        newest = self.checkpoints("run")[-1]
        for file in sorted(newest.iterdir()):
            with self.subTest(file.name):
                whole = file.read_bytes()
                self.flip(file)
                process = self.verify(expect=CHECKPOINT)
                self.assertIn(f"found 1 bad of {len(self.names)}; the newest whole one is run/checkpoints/{self.names[-2]}",
                              process.stderr)
                (bad,) = [line for line in process.stdout.splitlines() if ": bad: " in line]
                self.assertIn(file.name, bad)
                file.write_bytes(whole)

    def test_tensors_that_do_not_fit_the_configuration_are_found_though_every_digest_agrees(self):
        """The other network has the same tensors, for two more classes."""
        other = self.write("other.yaml", MLAAN.replace("backbone: resnet8", "backbone: resnet8, classes: 12"))
        self.train("other", config=other)
        newest = self.checkpoints("run")[-1]
        config = self.manifest(newest)["config"]
        shutil.rmtree(newest)
        shutil.copytree(self.checkpoints("other")[-1], newest)
        self.verify()  # it is whole: the manifest says what network it is of
        body = self.manifest(newest) | {"config": config}
        dumped = json.dumps(body, sort_keys=True, separators=(",", ":"))
        sealed = {"body": body, "sha256": hashlib.sha256(dumped.encode()).hexdigest()}
        (newest / "manifest.json").write_text(json.dumps(sealed))
        process = self.verify(expect=CHECKPOINT)
        (bad,) = [line for line in process.stdout.splitlines() if ": bad: " in line]
        self.assertRegex(bad, r"module-000.safetensors: .*expected")

    def test_none_is_whole(self):
        for path in self.checkpoints("run"):
            (path / "module-001.safetensors").unlink()
        process = self.verify(expect=CHECKPOINT)
        self.assertIn("none is whole", process.stderr)
        self.assertEqual(process.stdout.count("expected the file of module 1, found none"), len(self.names))

    def test_where_nothing_is(self):
        self.assert_refused(self.verify("nowhere", expect=CHECKPOINT), CHECKPOINT, "nowhere: expected a checkpoint")


if __name__ == "__main__":
    main()
