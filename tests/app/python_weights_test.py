"""A checkpoint's backbone loads in Python by torchvision's names and gives the same logits."""

import json
import unittest

from lamina_process import MLAAN, OK, LaminaTest, main

try:
    import safetensors.torch
    import torch

    WHEELS = ""
except ImportError as error:  # no virtual environment, or a CUDA build of torch without CUDA's own wheels
    WHEELS = str(error)


@unittest.skipIf(WHEELS, f"Python cannot import the torch and safetensors wheels: {WHEELS}")
class PythonWeights(LaminaTest):
    def test_pytorch_finds_the_same_accuracy_and_loss(self):
        from torch_resnet import CifarResNet, load_fashion_mnist_test

        summary = self.train("run", "data.name=fashion-mnist", "data.train_limit=2048", "data.test_limit=512",
                             "train.epochs=1", "model.backbone=resnet14", "partition.modules=6")
        checkpoint = self.checkpoints("run")[-1]
        network = CifarResNet(14)
        state = self.backbone_state(checkpoint)
        network.load_state_dict(state, strict=True)
        network.eval()
        images, labels = load_fashion_mnist_test(512)
        with torch.no_grad():
            logits = network(images)
        accuracy = (logits.argmax(1) == labels).double().mean().item()
        loss = torch.nn.functional.cross_entropy(logits, labels).item()
        self.assertAlmostEqual(accuracy, summary["test_accuracy"], delta=1.01 / 512)
        self.assertAlmostEqual(loss, summary["test_loss"], delta=1e-4 * max(1, loss))

    def test_an_exported_network_is_pythons_and_begins_another_run(self):
        from torch_resnet import CifarResNet

        config = self.write("mlaan.yaml", MLAAN)
        self.train("run", "train.max_steps=3", config=config)
        plain, whole = self.export("run", "plain"), self.export("run", "whole", "--auxiliary")
        CifarResNet(8).load_state_dict(plain, strict=True)
        self.assertEqual({name.split(".")[0] for name in whole.keys() - plain.keys()}, {"head", "lam", "ema"})
        for name, tensor in plain.items():
            self.assertTrue(torch.equal(tensor, whole[name]), name)

        # Nothing learned, another seed: what is not from the file is another's.
        self.train("again", f"model.init={self.folder / 'plain.safetensors'}", "train.seed=9", "train.lr=0",
                   "train.max_steps=1", config=config)
        again = self.export("again", "again", "--auxiliary")
        for name, tensor in plain.items():
            if not name.endswith(("running_mean", "running_var", "num_batches_tracked")):
                self.assertTrue(torch.equal(tensor, again[name]), name)
        self.assertFalse(torch.equal(whole["head.0.independent.fc.weight"], again["head.0.independent.fc.weight"]))

    def export(self, run, name, *options):
        file = self.folder / f"{name}.safetensors"
        self.assertEqual(self.lamina("export", self.folder / run, file, *options).returncode, OK)
        return safetensors.torch.load_file(file)

    def backbone_state(self, checkpoint):
        """All tensors that are neither of an auxiliary head nor the optimizer's."""
        state = {}
        for module in json.loads((checkpoint / "manifest.json").read_text())["body"]["modules"]:
            for name, tensor in safetensors.torch.load_file(checkpoint / module["file"]).items():
                if not name.startswith(("head.", "sgd.")):
                    state[name] = tensor
        return state


if __name__ == "__main__":
    main()
