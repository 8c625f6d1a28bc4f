"""Networks that train together: `StackedMlp` for fully connected ones, all at once; `Lanes` for any other, in turn.

Nothing here mixes networks: what becomes of one depends on its own tensors alone. Pruned weights stay exactly zero.
Knows nothing of schedules, data sets or early stopping.
"""

import copy
from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call
from torch.optim import Optimizer

from lth_utils import layers, networks
from lth_utils.architectures import Mlp
from lth_utils.masks import Masks, Weights


class Stack:
    """K networks. Every kind of stack has

    groups(): the trained tensors, one list for each optimizer that `step` wants;
    step(optimizers, images, labels, noise): one update of each network on the mean cross-entropy of its own batch;
    images [K, batch, channels, height, width], labels [K, batch], noise [K, units, batch] for each hidden linear layer,
    by which dropout multiplies its activations;
    logits(images): of every network in evaluation on the same images [batch, ...] -> [K, 10, batch];
    unstacked(): per network, a dict of copies on the CPU: weights with zeros where pruned, and all else;
    owned(): what training changes, as (tensor, number of the network that owns each entry, to be broadcast).
    """

    def snapshot(self) -> list[Tensor]:
        """Copies of everything that training changes."""
        return [tensor.detach().clone() for tensor, _ in self.owned()]

    @torch.no_grad()
    def snapshot_where(self, chosen: Tensor, snapshot: list[Tensor]) -> None:
        """Refresh a snapshot in place for the networks where `chosen` (bool [K]) is True."""
        for saved, (tensor, owner) in zip(snapshot, self.owned(), strict=True):
            saved.copy_(torch.where(chosen[owner], tensor, saved))

    @torch.no_grad()
    def restore(self, snapshot: list[Tensor]) -> None:
        """Back to a snapshot."""
        for saved, (tensor, _) in zip(snapshot, self.owned(), strict=True):
            tensor.copy_(saved)


def stack(
    network: str, weights: list[Weights], masks: list[Masks], device: str = "cpu", precision: str = "float32"
) -> Stack:
    """The fastest stack for these networks; weights, masks: one dict per network, as in `networks` and `masks`.

    precision: that of the products, "float32" or "bfloat16"; weights keep their own.
    """
    return kind(network)(network, weights, masks, device, precision)


def kind(network: str) -> type[Stack]:
    """`StackedMlp` for fully connected networks, `Lanes` for all others."""
    return StackedMlp if isinstance(networks.module(network), Mlp) else Lanes


def _products_in(precision, device):
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")


def _descend(loss, optimizer, masked):
    """Gradient, mask, optimizer. Pruned weights start at zero: without a gradient every optimizer leaves them there."""
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    for weight, mask in masked:
        weight.grad.mul_(mask)
    optimizer.step()


# ---------------------------------------------------------------- any module


def update(
    module: nn.Module,
    weights: Mapping[str, Tensor],
    masks: Mapping[str, Tensor],
    optimizer: Optimizer,
    images: Tensor,
    labels: Tensor,
    noise: Sequence[Tensor] = (),
    precision: str = "float32",
) -> None:
    """One update of one network, as a function of its tensors: gradient, mask, optimizer."""
    logits = _logits(module, weights, images, noise, precision)
    loss = F.cross_entropy(logits, labels, reduction="sum") / len(labels)
    _descend(loss, optimizer, [(weights[name], mask) for name, mask in masks.items()])


def _logits(module, weights, images, noise, precision):
    images = images.contiguous(memory_format=torch.channels_last)
    with _products_in(precision, images.device):
        logits = functional_call(module, weights, (images, noise) if noise else (images,))
    return logits.to(images.dtype)


class Lanes(Stack):
    """K networks of any module, one after the other: each alone already fills a CPU."""

    def __init__(self, network: str, weights: list[Weights], masks: list[Masks], device: str, precision: str):
        self.module, self.precision = copy.deepcopy(networks.module(network)), precision
        self.trained = [name for name, _ in self.module.named_parameters()]
        self.weights, self.masks = [], []
        for values, alive in zip(weights, masks, strict=True):
            lane = {name: value.to(device, copy=True) for name, value in values.items()}
            # As a float a mask multiplies several times faster than as bool.
            pruned = {n: mask.to(lane[n]) for n, mask in alive.items() if not bool(mask.all())}
            for name, mask in pruned.items():
                lane[name] *= mask
            for name in self.trained:
                lane[name].requires_grad_()
            self.weights.append(lane), self.masks.append(pruned)

    def groups(self) -> list[list[Tensor]]:
        return [[lane[name] for name in self.trained] for lane in self.weights]

    def step(self, optimizers, images, labels, noise=()) -> None:
        self.module.train()
        for k, (lane, masks, optimizer) in enumerate(zip(self.weights, self.masks, optimizers, strict=True)):
            own = [factors[k].t() for factors in noise]
            update(self.module, lane, masks, optimizer, images[k], labels[k], own, self.precision)

    @torch.no_grad()
    def logits(self, images: Tensor) -> Tensor:
        self.module.eval()
        return torch.stack([_logits(self.module, w, images, (), self.precision).t() for w in self.weights])

    def unstacked(self) -> list[Weights]:
        return [{n: value.detach().clone().cpu() for n, value in lane.items()} for lane in self.weights]

    def owned(self):
        return [(value, torch.tensor(k)) for k, lane in enumerate(self.weights) for value in lane.values()]


# ---------------------------------------------------------------- fully connected layers, all networks at once


class StackedMlp(Stack):
    """K networks of one `Mlp`: a batched or block-sparse product per layer; in "bfloat16" every layer is dense, as sparse
    kernels know float32 only and converting costs their gain.
    """

    def __init__(self, network: str, weights: list[Weights], masks: list[Masks], device: str, precision: str):
        linear = layers.choose_linear if precision == "float32" else layers.DenseLinear
        self.precision = precision
        self.layers = {}
        for name, _ in networks.module(network).named_children():
            parts = ((weights, "weight"), (masks, "weight"), (weights, "bias"))
            self.layers[name] = linear(
                *([own[f"{name}.{part}"].to(device) for own in source] for source, part in parts)
            )

    def groups(self) -> list[list[Tensor]]:
        return [[tensor for layer in self.layers.values() for tensor in (layer.weight, layer.bias)]]

    def step(self, optimizers, images, labels, noise=()) -> None:
        first, *others = self.layers.values()
        with _products_in(self.precision, images.device):
            logits = self._classify(first(images.flatten(2).transpose(1, 2)), others, noise)
        loss = F.cross_entropy(logits.to(images.dtype), labels, reduction="sum") / labels.shape[1]
        masked = [(layer.weight, layer.mask) for layer in self.layers.values() if layer.mask is not None]
        _descend(loss, *optimizers, masked)

    @torch.no_grad()
    def logits(self, images: Tensor) -> Tensor:
        first, *others = self.layers.values()
        with _products_in(self.precision, images.device):
            logits = self._classify(first.on_shared(images.flatten(1).t()), others)
        return logits.to(images.dtype)

    def _classify(self, activations, others, noise=()):
        for number, layer in enumerate(others):
            activations = activations.relu_()
            activations = layer(activations * noise[number] if noise else activations)
        return activations

    def unstacked(self) -> list[Weights]:
        result = [{} for _ in self.layers["output"].bias]
        for name, layer in self.layers.items():
            for entries, weight, bias in zip(result, layer.unstacked(), layer.bias.detach(), strict=True):
                entries[f"{name}.weight"], entries[f"{name}.bias"] = weight.cpu(), bias.clone().cpu()
        return result

    def owned(self):
        for layer in self.layers.values():
            yield layer.weight, layer.owner
            yield layer.bias, torch.arange(len(layer.bias), device=layer.bias.device).unsqueeze(1)
