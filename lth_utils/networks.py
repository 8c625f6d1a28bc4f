"""The networks, one line each; their initial weights and their forward pass.

A network is a torch module without values of its own, and a dict name -> tensor that holds them: float32, in torch
layout ([out, in], convolutions [out, in, 3, 3]), from input to output. To add a network, add a line to `NETWORKS`.
"""

import math
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call

from lth_utils.architectures import Conv, Mlp, Resnet, Vgg

IMAGE_SHAPES = {"mnist": (1, 28, 28), "cifar10": (3, 32, 32)}  # of each data set


@dataclass(frozen=True)
class Network:
    """One line of the table. per_stack, lanes: how many train side by side at most on a CPU and on a GPU (see `stacks`)."""

    label: str
    data: str  # the data set that it sees
    build: Callable[[], nn.Module]
    weights: int  # how many may be pruned, asserted when it is built
    spared: tuple[str, ...] = ()  # layers that are never pruned, by a part of their names
    per_stack: int = 1
    lanes: int = 8  # more do not fill a GPU better
    evaluation_batch: int = 125  # larger ones leave a CPU's cache and are allocated anew each time

    @property
    def image_shape(self) -> tuple[int, int, int]:
        return IMAGE_SHAPES[self.data]


NETWORKS = {  # Figure 2, Section 4, Appendix I
    "lenet": Network("Lenet", "mnist", lambda: Mlp(784, 300, 100), 266_200, (), 40, 100, 1000),
    "conv2": Network("Conv-2", "cifar10", lambda: Conv(64, 64), 4_300_992),
    "conv4": Network("Conv-4", "cifar10", lambda: Conv(64, 64, 128, 128), 2_425_024),
    "conv6": Network("Conv-6", "cifar10", lambda: Conv(64, 64, 128, 128, 192, 192), 1_667_264),  # as plotted
    "conv6_256": Network("Conv-6 (256)", "cifar10", lambda: Conv(64, 64, 128, 128, 256, 256), 2_261_184),
    "resnet18": Network("Resnet-18", "cifar10", Resnet, 267_696, ("shortcut", "output")),
    "vgg19": Network("VGG-19", "cifar10", Vgg, 20_018_880, ("output",)),
}


def module(network: str) -> nn.Module:
    """The network's structure, for evaluation and to be left as it is; ValueError names the networks there are."""
    if network not in NETWORKS:
        raise ValueError(f"network must be one of {', '.join(NETWORKS)}; got {network!r}")
    return _built(network, threading.get_ident())


@cache
def _built(network, thread):
    """Every thread has a module of its own: `functional_call` puts the weights into it while it runs."""
    line = NETWORKS[network]
    with torch.device("meta"):
        built = line.build().eval()
    found = sum(math.prod(shape) for shape in _prunable(built, line.spared).values())
    assert found == line.weights, f"{network} has {found} prunable weights, not {line.weights}"
    return built


def _prunable(built, spared):
    named = built.named_parameters()
    return {n: tuple(p.shape) for n, p in named if p.dim() > 1 and not set(spared) & set(n.split("."))}


def weight_shapes(network: str) -> dict[str, tuple[int, ...]]:
    """Shape of every prunable weight, from input to output: matrices and filters that are not spared."""
    return _prunable(module(network), NETWORKS[network].spared)


def values(network: str) -> int:
    """How many numbers a network is made of: weights, biases and what batch norm keeps."""
    return sum(value.numel() for value in module(network).state_dict().values())


def hidden_units(network: str) -> tuple[int, ...]:
    """Units of every hidden linear layer, on which dropout acts."""
    linear = [part.out_features for part in module(network).modules() if isinstance(part, nn.Linear)]
    return tuple(linear[:-1])


@cache
def multiplications(network: str) -> Mapping[str, int]:
    """Multiplications of each dense layer for one image: a convolution uses its weights at every position."""
    work, built = {}, module(network)

    def count(name):
        return lambda layer, _, output: work.update({name: layer.weight.numel() * output[0, 0].numel()})

    layers = {name: part for name, part in built.named_modules() if isinstance(part, nn.Linear | nn.Conv2d)}
    hooks = [layer.register_forward_hook(count(f"{name}.weight")) for name, layer in layers.items()]
    nothing = {name: torch.zeros(value.shape) for name, value in built.state_dict().items()}
    forward(network, nothing, torch.zeros(1, *NETWORKS[network].image_shape))
    for hook in hooks:
        hook.remove()
    return MappingProxyType(work)


def initial_weights(network: str, seed: int) -> dict[str, Tensor]:
    """Draw all weights, in order from input to output; a seed gives the same bytes on every machine.

    Glorot normal, sigma = sqrt(2 / (fan_in + fan_out)), cut at two sigma and not rescaled (so the standard
    deviation is 0.88 sigma), read off the hard edges in Figure 15. Not stated in the paper: biases are zero, batch norm
    starts as the identity.
    """
    generator = np.random.Generator(np.random.PCG64(seed))
    weights = {}
    for name, value in module(network).state_dict().items():
        shape = tuple(value.shape)
        if len(shape) > 1:
            sigma = math.sqrt(2 / ((shape[0] + shape[1]) * math.prod(shape[2:])))
            draw = sigma * _truncated_normal(generator, math.prod(shape))
            weights[name] = torch.from_numpy(draw.astype(np.float32).reshape(shape))
        else:
            start = float(name.endswith((".weight", ".running_var")))
            weights[name] = torch.full(shape, start, dtype=value.dtype)
    return weights


def _truncated_normal(generator, count):
    values = generator.standard_normal(count)
    while (outside := np.flatnonzero(np.abs(values) >= 2)).size:
        values[outside] = generator.standard_normal(outside.size)
    return values


def forward(network: str, weights: Mapping[str, Tensor], images: Tensor) -> Tensor:
    """Logits [batch, 10] of one network for scaled float images [batch, channels, height, width]."""
    return functional_call(module(network), dict(weights), (images,), strict=True)
