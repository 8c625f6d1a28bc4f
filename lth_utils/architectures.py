"""The paper's architectures as torch modules: fully connected, convolutional, residual and VGG networks.

Knows sizes and forward passes only; `networks` gives each of the paper's networks a line, a name and initial weights.
"""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn


class Mlp(nn.Module):
    """Fully connected layers with ReLU between them: Lenet-300-100 of Figure 2 and every size of Appendix G."""

    def __init__(self, inputs: int, *hidden: int):
        super().__init__()
        for number, units in enumerate(hidden, start=1):
            self.add_module(f"fc{number}", nn.Linear(inputs, units))
            inputs = units
        self.output = nn.Linear(inputs, 10)

    def forward(self, images: Tensor, noise: Sequence[Tensor] = ()) -> Tensor:
        """Logits [batch, 10]. noise: what dropout multiplies each hidden layer's activations [batch, units] with."""
        return _classify(list(self.children()), images.flatten(1), noise)


class Conv(nn.Module):
    """3x3 convolutions, 2x2 max-pooling after every second one, and 256, 256 and 10 units: Conv-2, Conv-4, Conv-6."""

    def __init__(self, *channels: int):
        super().__init__()
        depth = 3
        for number, width in enumerate(channels, start=1):
            self.add_module(f"conv{number}", nn.Conv2d(depth, width, 3, padding=1))
            depth = width
        side = 32 // 2 ** (len(channels) // 2)
        self.fc1, self.fc2 = nn.Linear(depth * side**2, 256), nn.Linear(256, 256)
        self.output = nn.Linear(256, 10)

    def forward(self, images: Tensor, noise: Sequence[Tensor] = ()) -> Tensor:
        """Logits [batch, 10]; noise as in `Mlp`. Pools before ReLU, which then has a quarter of the work: same values."""
        activations, layers = images, list(self.children())
        for number, convolution in enumerate(layers[:-3], start=1):
            activations = convolution(activations)
            if number % 2 == 0:
                activations = F.max_pool2d(activations, 2)
            activations = activations.relu_()
        return _classify(layers[-3:], activations.flatten(1), noise)


def _classify(layers, activations, noise):
    for number, layer in enumerate(layers[:-1]):
        activations = layer(activations).relu_()
        if noise:
            activations = activations * noise[number]
    return layers[-1](activations)


def _convolution(inputs, outputs, stride=1, size=3):
    return nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False)  # batch norm has the bias


class Block(nn.Module):
    """Two convolutions beside a shortcut, which is a 1x1 convolution where the size changes."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        stride = 1 if inputs == outputs else 2
        self.conv1, self.norm1 = _convolution(inputs, outputs, stride), nn.BatchNorm2d(outputs)
        self.conv2, self.norm2 = _convolution(outputs, outputs), nn.BatchNorm2d(outputs)
        self.shortcut = nn.Identity() if stride == 1 else _convolution(inputs, outputs, stride, size=1)

    def forward(self, images: Tensor) -> Tensor:
        activations = self.norm2(self.conv2(self.norm1(self.conv1(images)).relu()))
        return (activations + self.shortcut(images)).relu()


class Resnet(nn.Module):
    """The paper's Resnet-18: 20 layers of 16, 32 and 64 channels, average pooling, one linear layer (Appendix I)."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = _convolution(3, 16), nn.BatchNorm2d(16)
        widths = [16] * 4 + [32] * 3 + [64] * 3
        self.blocks = nn.Sequential(*(Block(*pair) for pair in zip(widths, widths[1:])))
        self.output = nn.Linear(64, 10)

    def forward(self, images: Tensor) -> Tensor:
        activations = self.blocks(self.norm(self.conv(images)).relu())
        return self.output(activations.mean((2, 3)))


class Vgg(nn.Module):
    """The paper's VGG-19: sixteen convolutions in five groups with pooling between them, one linear layer (Appendix I)."""

    def __init__(self):
        super().__init__()
        layers, depth = [], 3
        for count, width in ((2, 64), (2, 128), (4, 256), (4, 512), (4, 512)):
            for _ in range(count):
                layers += [_convolution(depth, width), nn.BatchNorm2d(width), nn.ReLU()]
                depth = width
            layers.append(nn.MaxPool2d(2))
        self.features, self.output = nn.Sequential(*layers[:-1]), nn.Linear(depth, 10)

    def forward(self, images: Tensor) -> Tensor:
        return self.output(self.features(images).mean((2, 3)))
