"""One training step of the binary against the naive reference, number by number, in double precision."""

import dataclasses
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

try:
    import torch
    from safetensors.torch import load_file, save_file

    import mlaan_reference as reference
except ImportError as error:  # a CUDA build's libraries alone cannot be imported
    print(f"skipped: {error}")
    sys.exit(77)

MEAN, STD = 0.435, 0.18  # of the synthetic images
EVERY_BLOCK = [(1, 0), (1, 1), (2, 0), (2, 1), (3, 0)]
LEAPS = [[(2, 0), (3, 0), (3, 1)], [(2, 0), (3, 0), (3, 1)], [(3, 0), (3, 1)], [(3, 0), (3, 1)], [(3, 1)]]
ODD_ENDS = [(0, 0), (1, 1), (2, 1)]
ODD_LEAPS = [[(2, 0), (3, 0), (3, 1)], [(2, 0), (3, 0)] + [(3, 1)], [(3, 0), (3, 1)]]
TOLERANCE = 1e-9
# The defaults leave the last local module without a loss, and 0/0 says nothing.
INFOPRO = {"l1": (5.0, 0.2), "l2": (0.5, 0.8)}


def blocks(sets):
    return [list(map(list, s)) for s in sets]


def settings(config):
    """The same run as a configuration of the binary."""
    method = {"framework": config.framework, "compat": config.compat, "auglocal_depth": config.auglocal_depth}
    if config.head:
        method["head"] = config.head
    if config.framework in ("infopro", "man", "man++", "hpff"):
        method["infopro"] = {"l1_first": config.l1[0], "l1_last": config.l1[1], "l2_first": config.l2[0],
                             "l2_last": config.l2[1], "task": "contrast" if config.contrast else "softmax"}
    if config.mlaan:
        method["mlaan"] = {"window": config.k, "wx": config.wx, "wy": config.wy, "momentum": config.m,
                           "lam_on": config.lam_on, "ema_depth": config.ema_depth}
        if config.lam_on != "none":
            method["mlaan"]["leaps"] = blocks(config.leaps)
    return {"model": {"backbone": f"resnet{6 * config.n + 2}"}, "partition": {"ends": [list(e) for e in config.ends]},
            "method": method, "pipeline": {"stages": 1, "threads": 1}, "data": {"name": "synthetic"},
            "train": {"batch": 4, "lr": config.lr, "seed": 3}}


def steps_on_late_averages(config, params, momentum, batches):
    """The last of consecutive steps in which every LAM sees the averages of one step before."""
    averages = [name for name in params if name.startswith("ema.")]
    seen = {name: params[name] for name in averages}
    for batch in batches:
        result = reference.step(config, params | seen, momentum, *batch)
        # The averages themselves go on as ever.
        result.params_new.update({name: result.params_new[name] + config.m * (params[name] - seen[name]) for name in averages})
        seen = {name: params[name] for name in averages}
        params, momentum = result.params_new, result.momentum_new
    return result


class Step(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="lamina-step-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def batch(self, seed=1, samples=4):
        generator = torch.Generator().manual_seed(seed)
        image = torch.rand((samples, 3, 32, 32), generator=generator, dtype=torch.float64)
        return (image - MEAN) / STD, torch.tensor([1, 7, 1, 4][:samples]), image

    def run_step(self, config, tensors, x, y, *arguments, expect=0):
        config_file, weights, batch, out = (self.folder / name for name in ("c.yaml", "w", "b", "o"))
        config_file.write_text(json.dumps(settings(config)))
        save_file({name: value.contiguous() for name, value in tensors.items()}, weights)
        save_file({"x": x.contiguous(), "y": y}, batch)
        done = subprocess.run([os.environ["LAMINA_BINARY"], "step", config_file, "--weights", weights, "--batch", batch,
                               "--out", out, *arguments], capture_output=True, text=True, timeout=300)
        self.assertEqual(done.returncode, expect, done.stderr)
        return done.stderr if expect else load_file(out)

    def start(self, config):
        params = reference.make_parameters(config, torch.Generator().manual_seed(2))
        momentum = {name: 0.1 * value.roll(1) for name, value in params.items() if reference.is_trained(name)}
        return params, momentum, params | {f"sgd.momentum.{name}": value for name, value in momentum.items()}

    def distances(self, config, found, expected):
        """|a-b|/|b| of every loss, gradient and new tensor; a gradient that is zero but for rounding is left out."""
        worst = {}
        pairs = [(name, torch.as_tensor(value, dtype=torch.float64)) for name, value in expected.losses.items()]
        pairs += [(f"grad.{name}", value) for name, value in expected.grads.items()
                  if not reference.has_gradient_of_rounding(config, name)]
        pairs += list(expected.params_new.items())
        pairs += [(f"sgd.momentum.{name}", value) for name, value in expected.momentum_new.items()]
        for name, value in pairs:
            self.assertIn(name, found)
            worst[name] = ((found[name].reshape(value.shape) - value).norm() / value.norm().clamp_min(1e-300)).item()
        return worst

    def check(self, config, steps=1, *arguments):
        params, momentum, tensors = self.start(config)
        x, y, image = self.batch()
        found = self.run_step(config, tensors, x, y, "--double", "--steps", str(steps), *arguments)
        expected = reference.steps(config, params, momentum, [(x, y, image)] * steps)[-1]
        worst = self.distances(config, found, expected)
        return max(worst, key=worst.get), max(worst.values())

    def assert_same(self, config, steps=1, *arguments):
        name, distance = self.check(config, steps, *arguments)
        self.assertLessEqual(distance, TOLERANCE, f"{name} of {config}")

    def test_every_framework_plain_and_with_mlaan(self):
        plain = reference.Config(n=2, ends=EVERY_BLOCK, leaps=LEAPS)
        cells = [("greedy", {}), ("dgl", {}), ("greedy", {"head": "mlp_sr"}), ("infopro", INFOPRO),
                 ("infopro", INFOPRO | {"contrast": True}), ("predsim", {}), ("auglocal", {})]
        for framework, more in cells:
            for mlaan in (False, True):
                with self.subTest(framework=framework, mlaan=mlaan, **more):
                    self.assert_same(dataclasses.replace(plain, framework=framework, mlaan=mlaan,
                                                         leaps=LEAPS if mlaan else (), **more))

    def test_siblings(self):
        for framework in ("man", "man++"):
            with self.subTest(framework=framework):
                self.assert_same(reference.Config(n=2, ends=EVERY_BLOCK, framework=framework, **INFOPRO))
        self.assert_same(reference.Config(n=2, ends=EVERY_BLOCK, framework="hpff", wx=1.0, wy=1.0, **INFOPRO))

    def test_windows_of_every_length(self):
        for k in (1, 2, 3, 4, 9):
            with self.subTest(k=k):
                self.assert_same(reference.Config(n=2, ends=EVERY_BLOCK, leaps=LEAPS, mlaan=True, k=k))

    def test_odd_cuts_and_options(self):
        odd = reference.Config(n=2, ends=ODD_ENDS, leaps=ODD_LEAPS, mlaan=True, k=2, framework="dgl", wx=0.3, wy=0.7)
        for more in ({}, {"k": 3}, {"lam_on": "independent"}, {"lam_on": "none"}, {"ema_depth": "all"}):
            with self.subTest(**more):
                self.assert_same(dataclasses.replace(odd, **more))

    def test_the_released_codes_differences(self):
        for k in (2, 3):
            with self.subTest(k=k):
                self.assert_same(reference.Config(n=2, ends=EVERY_BLOCK, leaps=LEAPS, mlaan=True, k=k, compat="release"))
        # A last LAM of two blocks, with an EMA each.
        self.assert_same(reference.Config(n=2, ends=ODD_ENDS, leaps=ODD_LEAPS, mlaan=True, k=2, compat="release",
                                          ema_depth="all"))

    def test_five_steps_over_stages_at_lag_0_and_what_differs(self):
        config = reference.Config(n=2, ends=EVERY_BLOCK, leaps=LEAPS, mlaan=True, k=3, lr=0.5)
        exact = ["--set", "snapshots.lag=0"]
        for stages in ("[2]", "[1,3]", "[0,1,3]"):
            with self.subTest(stages=stages):
                self.assert_same(config, 5, *exact, "--set", f"pipeline.stages={stages}")
        for other in (["--set", "snapshots.lag=1"], [*exact, "--set", "method.mlaan.across_stages=stop"],
                      [*exact, "--set", "method.mlaan.momentum=0.99"]):
            with self.subTest(other=other):
                self.assertGreater(self.check(config, 5, *other, "--set", "pipeline.stages=[1,3]")[1], 1e-4)

    def test_an_ema_one_step_late_is_seen(self):
        config = reference.Config(n=2, ends=EVERY_BLOCK, leaps=LEAPS, mlaan=True, k=3, lr=0.5)
        params, momentum, tensors = self.start(config)
        batch = self.batch()
        found = self.run_step(config, tensors, *batch[:2], "--double", "--steps", "5", "--set", "snapshots.lag=0",
                              "--set", "pipeline.stages=[1,3]")
        late = steps_on_late_averages(config, params, momentum, [batch] * 5)
        distances = self.distances(config, found, late)
        for name in ("lam.0.aug.0.conv1.weight", "conv1.weight", "loss.0.cascaded"):
            self.assertGreater(distances[name], 1e-6, name)

    def test_given_weights_lie_over_those_the_model_begins_with(self):
        config = reference.Config(n=2, ends=EVERY_BLOCK, lr=0.0)
        init = self.start(config)[0]
        given = {"conv1.weight": 2 * init["conv1.weight"]}
        save_file({name: value.contiguous() for name, value in init.items()}, self.folder / "init")
        x, y, _ = self.batch()
        found = self.run_step(config, given, x, y, "--double", "--set", f"model.init={self.folder / 'init'}")
        for name, value in init.items():
            self.assertTrue(torch.equal(found[name], given.get(name, value)), name)

    def test_a_copy_begins_as_the_block_that_it_copies(self):
        config = reference.Config(n=2, ends=EVERY_BLOCK, leaps=LEAPS, mlaan=True, lr=0.0)
        params, _, _ = self.start(config)
        given = {name: value for name, value in params.items() if name.startswith(("layer", "conv1", "bn1", "fc"))}
        x, y, _ = self.batch()
        found = self.run_step(config, given, x, y, "--double", "--set", "method.mlaan.momentum=1")
        for name in params:
            if name.startswith("lam."):
                _, i, _, j, rest = name.split(".", 4)
                stage, block = LEAPS[int(i)][int(j)]
                self.assertTrue(torch.equal(found[name], params[f"layer{stage}.{block}.{rest}"]), name)
            if name.startswith("ema."):
                self.assertTrue(torch.equal(found[name], params[name.removeprefix("ema.")]), name)

    def test_schedules_with_gradients_that_flow_back_step_as_the_whole_batch_does(self):
        """Without batch norm neither stages nor micro-batches matter; the first step of 2bw is like any other's."""
        x, y, _ = self.batch()
        batch, config, out = (self.folder / name for name in ("b", "c.yaml", "o"))
        save_file({"x": x.contiguous(), "y": y}, batch)

        def step(pipeline):
            config.write_text(json.dumps({"model": {"backbone": "resnet8", "norm": "none"}, "partition": {"modules": 4},
                                          "method": {"framework": "e2e"}, "pipeline": pipeline | {"threads": 1},
                                          "data": {"name": "synthetic"}, "train": {"batch": 4, "seed": 3}}))
            done = subprocess.run([os.environ["LAMINA_BINARY"], "step", config, "--batch", batch, "--out", out, "--double"],
                                  capture_output=True, text=True, timeout=300)
            self.assertEqual(done.returncode, 0, done.stderr)
            return load_file(out)

        whole = step({})
        for pipeline in ({"schedule": "gpipe", "stages": 3, "micro_batches": 3, "workers": 1},
                         {"schedule": "interleaved_1f1b", "stages": 4, "micro_batches": 4, "workers": 2, "recompute": True},
                         {"schedule": "2bw", "stages": 2, "micro_batches": 2, "workers": 2}):
            pieces = step(pipeline)
            names = [name for name in whole if not name.startswith("loss.")]
            self.assertTrue(any(name.startswith("grad.layer1.0") for name in names))
            for name in names:
                distance = (pieces[name] - whole[name]).norm() / whole[name].norm().clamp_min(1e-300)
                self.assertLessEqual(distance.item(), TOLERANCE, f"{name} of {pipeline}")
            self.assertAlmostEqual(pieces["loss.3.independent"].item(), whole["loss.0.independent"].item(), delta=1e-9)

    def test_bad_weights_and_batches(self):
        config = reference.Config(n=2, ends=EVERY_BLOCK, leaps=LEAPS, mlaan=True)
        x, y, _ = self.batch()
        weight = torch.zeros((16, 16, 3, 3), dtype=torch.float64)
        cases = [({"layer1.0.conv1.weight": weight[:8]}, x, y, 4, "expected Double of [16,16,3,3], found Double of [8,"),
                 ({"layer1.0.conv1.weight": weight.float()}, x, y, 4, "expected Double of [16,16,3,3], found Float"),
                 ({"layer1.0.conv3.weight": weight}, x, y, 4, "did you mean layer1.0.conv"),
                 ({}, x[:, :2], y, 3, "batch: x: expected Double of [B,3,32,32]"),
                 ({}, x, y[:2], 3, "batch: y: expected Long of [4]"),
                 ({}, x, y + 9, 3, "labels in 0..9")]
        for tensors, bad_x, bad_y, code, text in cases:
            with self.subTest(text=text):
                self.assertIn(text, self.run_step(config, tensors, bad_x, bad_y, "--double", expect=code))


if __name__ == "__main__":
    unittest.main()
