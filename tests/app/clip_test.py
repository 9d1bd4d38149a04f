"""Clipped gradients of a step of the binary are those that torch.nn.utils.clip_grad_norm_ leaves of the unclipped."""

import sys
import unittest

from lamina_process import OK, LaminaTest, main

try:
    import torch
    from safetensors.torch import load_file, save_file
except ImportError as error:  # a CUDA build's libraries alone cannot be imported
    print(f"skipped: {error}")
    sys.exit(77)

# What each of the four modules trains, by the beginnings of the names.
MODULES = [("conv1.", "bn1.", "head.0."), ("layer1.", "head.1."), ("layer2.", "head.2."), ("layer3.", "fc.")]


class Clip(LaminaTest):
    def gradients(self, clip, batch):
        out = self.folder / f"clip-{clip}"
        process = self.lamina("step", self.config, "--double", "--batch", batch, "--out", out,
                              "--set", f"train.clip_grad_norm={clip}")
        self.assertEqual(process.returncode, OK, process.stderr)
        return {name[5:]: value for name, value in load_file(out).items() if name.startswith("grad.")}

    def test_each_module_is_clipped_by_itself_as_torch_does(self):
        batch = self.folder / "batch"
        generator = torch.Generator().manual_seed(1)
        save_file({"x": torch.randn((4, 3, 32, 32), generator=generator, dtype=torch.float64),
                   "y": torch.tensor([1, 7, 1, 4])}, batch)
        whole = self.gradients(0, batch)
        for clip in (0.01, 1e6):
            found = self.gradients(clip, batch)
            self.assertEqual(found.keys(), whole.keys())
            seen = 0
            for beginnings in MODULES:
                names = [name for name in whole if name.startswith(beginnings)]
                parameters = [torch.nn.Parameter(torch.zeros_like(whole[name])) for name in names]
                for parameter, name in zip(parameters, names):
                    parameter.grad = whole[name].clone()
                norm = torch.nn.utils.clip_grad_norm_(parameters, clip)
                self.assertGreater(norm, 0.01, f"nothing to clip in {beginnings}")
                for parameter, name in zip(parameters, names):
                    torch.testing.assert_close(found[name], parameter.grad, rtol=1e-14, atol=0)
                seen += len(names)
            self.assertEqual(seen, len(whole))


if __name__ == "__main__":
    main()
