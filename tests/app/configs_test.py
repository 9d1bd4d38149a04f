"""Every run that the files under configs/ can be put together to: `lamina show` works it out, with no data there."""

import concurrent.futures
import json
import os
import pathlib
import re
import subprocess
import tempfile
import unittest

from lamina_process import BINARY, CONFIG, OK, LaminaTest, main

CONFIGS = pathlib.Path(__file__).resolve().parents[2] / "configs"

# What stands behind every module but the last. A framework that is not listed must have something there.
HEADS = {"greedy": "linear", "dgl": "dgl", "infopro": "1c2f and decoder", "predsim": "predsim", "auglocal": "auglocal",
         "man": "1c2f and decoder", "man++": "1c2f and decoder", "hpff": "1c2f and 4 decoders"}
# These have windows and leaps of their own, or no module to train by a head.
NOT_UNDER_MLAAN = {"e2e", "man", "man++", "hpff"}


def names(folder):
    return sorted(path.stem for path in (CONFIGS / folder).glob("*.yaml"))


def goes_with(method, net, nets):
    """A method's file that ends in a net's name is for that net alone."""
    return all(net == other for other in nets if method.endswith(f"-{other}"))


def cells():
    """(data, net, method, with MLAAN or not). Nets for ImageNet are called so."""
    nets = names("net")
    for data in names("data"):
        for net in (n for n in nets if n.startswith("imagenet-") == (data == "imagenet")):
            for method in (m for m in names("method") if m != "mlaan" and goes_with(m, net, nets)):
                yield data, net, method, False
                if framework_of(method) not in NOT_UNDER_MLAAN:
                    yield data, net, method, True


def framework_of(method):
    return next(name for name in sorted([*HEADS, "e2e"], key=len, reverse=True) if method.startswith(name))


def modules_of(net):
    return int(re.search(r"modules: (\d+)", (CONFIGS / "net" / f"{net}.yaml").read_text())[1])


def files(data, net, method, mlaan):
    return [f"data/{data}.yaml", f"net/{net}.yaml", f"method/{method}.yaml", *(["method/mlaan.yaml"] if mlaan else [])]


class Shown:
    """What `lamina show` says of a run."""

    def __init__(self, text):
        self.values = {key: value.strip('"') for key, value in re.findall(r"^(\S+) +(\S+) +# ", text, re.MULTILINE)}
        rows = re.findall(r"^ +\d+ +\d+ +\d+ +(\S+)\.\.(\S+) +\S+ +\d+ +\d+ +\d+  (.*)$", text, re.MULTILINE)
        self.last_block = rows[-1][1]
        self.heads = [row[2] for row in rows]


class Cells(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        """As many processes at a time as there are processors, in a folder with no data."""
        cls.cells = list(cells())
        with tempfile.TemporaryDirectory(prefix="lamina-") as nowhere:
            environment = {k: v for k, v in os.environ.items() if k != "LAMINA_DATA"} | {"HOME": nowhere}

            def show(cell):
                command = [BINARY, "show", *files(*cell)]
                return subprocess.run(command, capture_output=True, text=True, cwd=CONFIGS, env=environment, timeout=300)

            with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
                cls.shown = dict(zip(cls.cells, pool.map(show, cls.cells)))

    def for_each(self, check):
        """Calls check(cell, what is shown of it) for every cell that can be."""
        for cell, process in self.shown.items():
            if not self.cannot_be_quartered(cell):
                with self.subTest(" ".join(files(*cell))):
                    self.assertEqual(process.returncode, OK, process.stderr)
                    check(cell, Shown(process.stdout))

    @staticmethod
    def cannot_be_quartered(cell):
        """HPFF's four decoders behind features of 7x7, where a module ends in ImageNet's last stage."""
        data, net, method, _ = cell
        return data == "imagenet" and method == "hpff" and modules_of(net) > 8

    def test_there_are_all_that_the_papers_list(self):
        for data in ("cifar10", "svhn", "stl10"):
            for net in ("resnet32-k8", "resnet32-k16", "resnet110-k32", "resnet110-k55"):
                for method in ("e2e", *HEADS, "infopro-contrast"):
                    self.assertIn((data, net, method, False), self.cells)
                for method in ("greedy", "dgl", "infopro", "infopro-contrast", "predsim", "auglocal"):
                    self.assertIn((data, net, method, True), self.cells)
        for net in ("resnet34-k16", "resnet101-k2", "resnet152-k2", "resnext101-k2"):
            self.assertIn(("imagenet", f"imagenet-{net}", "greedy", True), self.cells)

    def test_each_has_the_modules_of_its_net_and_the_framework_of_its_method(self):
        def check(cell, shown):
            _, net, method, mlaan = cell
            self.assertEqual(len(shown.heads), 1 if method == "e2e" else modules_of(net))
            self.assertEqual(shown.values["partition.modules"], str(len(shown.heads)))
            self.assertEqual(shown.values["method.framework"], framework_of(method))
            self.assertEqual("method.mlaan.window" in shown.values, mlaan)
            self.assertEqual(shown.heads[-1], "classifier")

        self.for_each(check)

    def test_every_module_but_the_last_has_the_heads_of_its_method(self):
        def check(cell, shown):
            _, _, method, mlaan = cell
            for heads in shown.heads[:-1]:
                head = HEADS[framework_of(method)]
                if mlaan:
                    self.assertRegex(heads, rf"^{head}, (\[\d+,\d+\])*{re.escape(shown.last_block)} {head}$")
                elif method.startswith("man"):
                    self.assertRegex(heads, rf"^\[\d+,\d+\] {head}$")
                elif method == "hpff":
                    self.assertEqual(heads, f"{head}, {head}")
                else:
                    self.assertEqual(heads, head)

        self.for_each(check)

    def test_each_has_the_recipe_of_its_data_set(self):
        recipes = {"cifar10": ("cifar10", "1024", "0.8", "400", "10"), "svhn": ("svhn", "1024", "0.8", "400", "10"),
                   "stl10": ("stl10", "128", "0.1", "400", "10"),
                   "imagenet": ("imagefolder", "128", "0.05", "150", "0")}
        keys = ("data.name", "train.batch", "train.lr", "train.epochs", "train.warmup_epochs")

        def check(cell, shown):
            self.assertEqual(tuple(shown.values[key] for key in keys), recipes[cell[0]])

        self.for_each(check)

    def test_quarters_of_odd_features_are_refused(self):
        refused = [self.shown[cell] for cell in self.cells if self.cannot_be_quartered(cell)]
        self.assertTrue(refused)
        for process in refused:
            self.assertEqual(process.returncode, CONFIG)
            self.assertIn("expected even sides", process.stderr)


class Files(LaminaTest):
    def show(self, *arguments):
        process = self.lamina("show", *arguments)
        self.assertEqual(process.returncode, OK, process.stderr)
        return process.stdout

    def test_files_of_whole_runs_are_sound(self):
        for path in sorted(CONFIGS.glob("*.yaml")):
            with self.subTest(path.name):
                self.show(path)

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
