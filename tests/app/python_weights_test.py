"""A checkpoint's backbone loads in Python by torchvision's names and gives the same logits."""

import json
import unittest

from lamina_process import LaminaTest, main

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
