"""Configurations of several files, and what `lamina show` says of them."""

import json
import pathlib
import re

from lamina_process import CONFIG, OK, LaminaTest, main

CONFIGS = pathlib.Path(__file__).resolve().parents[2] / "configs"


class Files(LaminaTest):
    def show(self, *arguments):
        process = self.lamina("show", *arguments)
        self.assertEqual(process.returncode, OK, process.stderr)
        return process.stdout

    def test_a_later_file_wins_and_overrides_win_over_all(self):
        over = self.write("over.yaml", "method: {framework: greedy}\ntrain: {batch: 32}\n")
        text = self.show(self.config, over, "--set", "train.batch=64")
        self.assertRegex(text, r"method\.framework +greedy .*over\.yaml:1")
        self.assertRegex(text, r"train\.batch +64 .*--set")
        self.assertRegex(text, r"train\.epochs +2 .*small\.yaml:7")

    def test_none_takes_a_section_away(self):
        text = self.show(self.config, CONFIGS / "method/mlaan.yaml", "--set", "method.mlaan=none")
        self.assertRegex(text, r"method\.mlaan +none .*--set")

    def test_a_missing_include_is_one_line(self):
        config = self.write("c.yaml", "data: {name: synthetic}\ninclude: [small.yaml, nowhere.yaml]\n")
        for command in ("show", "train", "plan", "bench"):
            self.assert_refused(self.lamina(command, config), CONFIG, "c.yaml:2: include", "nowhere.yaml")

    def test_names_are_listed_module_by_module_with_their_shapes(self):
        text = self.show(self.config, CONFIGS / "method/mlaan.yaml", "--set", "method.head=auto", "--set",
                         "method.framework=infopro", "--names")
        tensors = text[text.index("# tensors"):]
        modules = [dict(re.findall(r"^(\S+) +(\[.*\]) +\w+$", part, re.MULTILINE))
                   for part in re.split(r"^# module \d+\n", tensors, flags=re.MULTILINE)[1:]]
        self.assertEqual(len(modules), 4)
        self.assertEqual(modules[0]["conv1.weight"], "[16,3,3,3]")
        self.assertEqual(modules[0]["bn1.num_batches_tracked"], "[]")
        self.assertTrue(any(name.startswith("lam.0.aug.0.") for name in modules[0]))
        self.assertTrue(any(name.startswith("head.0.cascaded.decoder.") for name in modules[0]))
        self.assertTrue(any(name.startswith("ema.layer3.0.") for name in modules[3]))
        self.assertEqual(modules[3]["fc.weight"], "[10,64]")
        everything = [name for module in modules for name in module]
        self.assertEqual(len(everything), len(set(everything)))

    def test_names_are_those_of_a_checkpoint(self):
        tensors = self.show(self.config, "--names").partition("# tensors")[2]
        self.train("run", "train.max_steps=1")
        for i, part in enumerate(re.split(r"^# module \d+\n", tensors, flags=re.MULTILINE)[1:]):
            listed = {line.split()[0]: line.split()[1] for line in part.splitlines()}
            data = (self.checkpoints("run")[-1] / f"module-{i:03}.safetensors").read_bytes()
            held = json.loads(data[8:8 + int.from_bytes(data[:8], "little")])
            held.pop("__metadata__", None)
            self.assertEqual(listed, {name: str(entry["shape"]).replace(" ", "") for name, entry in held.items()
                                      if not name.startswith("sgd.momentum.")})


if __name__ == "__main__":
    main()
