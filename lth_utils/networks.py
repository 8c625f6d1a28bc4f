"""The paper's networks as plain functions of their weights: sizes, initial distribution, forward pass.

A network is a dict of named float32 tensors in torch layout ([out, in], convolutions [out, in, 3, 3]); every
hidden layer is followed by ReLU, and every second convolution by 2x2 max-pooling (Figure 2).
"""

import math
from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from lth_utils import paper

IMAGE_SHAPES = {"lenet": (1, 28, 28), "conv2": (3, 32, 32), "conv4": (3, 32, 32), "conv6": (3, 32, 32)}
HIDDEN_UNITS = {"lenet": (300, 100), "conv2": (256, 256), "conv4": (256, 256), "conv6": (256, 256)}
CHANNELS = {  # Conv-6 as plotted; the paper's table says 256 in its last two layers
    "lenet": (),
    "conv2": (64, 64),
    "conv4": (64, 64, 128, 128),
    "conv6": (64, 64, 128, 128, 192, 192),
}
CLASSES = 10


def weight_shapes(network: str, variant: str = "") -> dict[str, tuple[int, ...]]:
    """Shape of every prunable weight, from input to output; counts are asserted against the paper's Figure 2.

    Variants: "channels_256" is Conv-6 with 256 channels in its third module; others leave the shapes alone.
    """
    counts = paper.weight_counts(network, variant)
    channels = CHANNELS[network]
    if network == "conv6" and variant == "channels_256":
        channels = (*channels[:4], 256, 256)
    depth, height, width = IMAGE_SHAPES[network]
    shapes = {}
    for number, out_channels in enumerate(channels, start=1):
        shapes[f"conv{number}.weight"] = (out_channels, depth, 3, 3)
        depth = out_channels
    side_reduction = 2 ** (len(channels) // 2)
    features = depth * (height // side_reduction) * (width // side_reduction)
    for number, units in enumerate(HIDDEN_UNITS[network], start=1):
        shapes[f"fc{number}.weight"] = (units, features)
        features = units
    shapes["output.weight"] = (CLASSES, features)
    assert {name: math.prod(shape) for name, shape in shapes.items()} == counts
    return shapes


def multiplications(network: str, variant: str = "") -> dict[str, int]:
    """Multiplications of each dense layer for one image: a convolution uses its weights at every position."""
    side, work = IMAGE_SHAPES[network][1], {}
    for name, count in paper.weight_counts(network, variant).items():
        poolings = (int(name[4]) - 1) // 2 if name.startswith("conv") else None
        work[name] = count if poolings is None else count * (side // 2**poolings) ** 2
    return work


def initial_weights(network: str, seed: int, variant: str = "") -> dict[str, Tensor]:
    """Draw all weights and biases, in order from input to output; a seed gives the same bytes on every machine.

    Glorot normal, sigma = sqrt(2 / (fan_in + fan_out)), cut at two sigma and not rescaled (so the standard
    deviation is 0.88 sigma), read off the hard edges in Figure 15; biases zero (not stated in the paper).
    """
    generator = np.random.Generator(np.random.PCG64(seed))
    weights = {}
    for name, shape in weight_shapes(network, variant).items():
        receptive_field = math.prod(shape[2:])
        sigma = math.sqrt(2 / ((shape[0] + shape[1]) * receptive_field))
        draw = sigma * _truncated_normal(generator, math.prod(shape))
        weights[name] = torch.from_numpy(draw.astype(np.float32).reshape(shape))
        weights[name.replace(".weight", ".bias")] = torch.zeros(shape[0])
    return weights


def _truncated_normal(generator, count):
    values = generator.standard_normal(count)
    while (outside := np.flatnonzero(np.abs(values) >= 2)).size:
        values[outside] = generator.standard_normal(outside.size)
    return values


def forward(network: str, weights: Mapping[str, Tensor], images: Tensor) -> Tensor:
    """Logits [batch, 10] of one network for scaled float images [batch, channels, height, width]."""
    activations = images
    for number in range(1, len(CHANNELS[network]) + 1):
        name = f"conv{number}"
        activations = F.conv2d(activations, weights[f"{name}.weight"], weights[f"{name}.bias"], padding=1)
        activations = F.relu(activations)
        if number % 2 == 0:
            activations = F.max_pool2d(activations, 2)
    activations = activations.flatten(1)
    for name in ("fc1", "fc2"):
        activations = F.relu(F.linear(activations, weights[f"{name}.weight"], weights[f"{name}.bias"]))
    return F.linear(activations, weights["output.weight"], weights["output.bias"])


@torch.no_grad()
def most_confident_errors(
    network: str, weights: Mapping[str, Tensor], images: Tensor, pixels: Tensor, labels: Tensor, count: int
) -> dict[str, np.ndarray]:
    """The `count` misclassified images on which the network is surest: "pixels", "label", "prediction", "confidence".

    images: scaled floats that the network sees; pixels: the same images as uint8, returned as they are.
    """
    batches = images.split(250)  # the activations of all images at once would take gigabytes
    logits = torch.cat([forward(network, weights, batch) for batch in batches])
    confidence, prediction = logits.softmax(1).max(1)
    wrong = (prediction != labels).nonzero().squeeze(1)
    order = wrong[confidence[wrong].argsort(descending=True, stable=True)][:count]
    found = {"pixels": pixels, "label": labels, "prediction": prediction, "confidence": confidence}
    return {name: values[order].cpu().numpy() for name, values in found.items()}
