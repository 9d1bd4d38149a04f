"""The CIFAR ResNet in plain PyTorch, for comparisons: same layers, same names as Lamina's checkpoints."""

import gzip

import numpy
import torch
from torch import nn


class BasicBlock(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x):
        shortcut = x if self.downsample is None else self.downsample(x)
        y = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        y += shortcut
        return self.relu(y)


class CifarResNet(nn.Module):
    """6n+2 layers for 32x32 images."""

    def __init__(self, layers, classes=10):
        super().__init__()
        n = (layers - 2) // 6
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.relu = nn.ReLU(inplace=True)
        width = 16
        for stage, channels in enumerate((16, 32, 64), start=1):
            blocks = []
            for block in range(n):
                blocks.append(BasicBlock(width, channels, 2 if stage > 1 and block == 0 else 1))
                width = channels
            setattr(self, f"layer{stage}", nn.Sequential(*blocks))
        self.fc = nn.Linear(64, classes)

    def forward(self, x):
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.fc(torch.flatten(nn.functional.adaptive_avg_pool2d(x, 1), 1))


def load_fashion_mnist_test(count, root="/usr/share/datasets/fashion-mnist", mean=0.2190, std=0.3318):
    """The first test images as Lamina presents them: padded to 32x32, three equal channels, normalised by the padded images' own mean and
    deviation."""
    with gzip.open(f"{root}/t10k-images-idx3-ubyte.gz") as file:
        pixels = numpy.frombuffer(file.read(), numpy.uint8, offset=16).reshape(-1, 28, 28)[:count]
    with gzip.open(f"{root}/t10k-labels-idx1-ubyte.gz") as file:
        labels = numpy.frombuffer(file.read(), numpy.uint8, offset=8)[:count]
    padded = numpy.pad(pixels, ((0, 0), (2, 2), (2, 2)))
    images = (torch.tensor(padded, dtype=torch.float32) / 255 - mean) / std
    return images[:, None].repeat(1, 3, 1, 1), torch.tensor(labels, dtype=torch.long)
