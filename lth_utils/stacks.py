"""Networks that train together: `StackedMlp` for fully connected ones, all at once; `Lanes` for any other, side by side.

Nothing here mixes networks: what becomes of one depends on its own tensors alone. Pruned weights stay exactly zero.
Knows nothing of schedules, data sets or early stopping.
"""

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import functional_call

from lth_utils import gpu, layers, networks, optimizers
from lth_utils.architectures import Mlp
from lth_utils.masks import Masks, Weights


@dataclass
class Part:
    """What one update reads and changes, by name: of one network, or of all networks of a stack of layers.

    masks: of those weights that have one, as numbers or bool. buffers: what a forward pass changes (batch norm).
    """

    weights: dict[str, Tensor]
    masks: dict[str, Tensor]
    buffers: dict[str, Tensor] = field(default_factory=dict)
    state: optimizers.State = field(default_factory=dict)

    def tensors(self) -> list[Tensor]:
        """All of them, in an order that parts of one kind share."""
        moments = [tensor for tensors in self.state.values() for tensor in tensors]
        return [*self.weights.values(), *self.masks.values(), *self.buffers.values(), *moments]


def update(
    loss: Callable, descend: Callable, optimizer: str, part: Part, rate: Tensor, *batch: Tensor
) -> None:
    """One update of one part, in place, as a function of its tensors: gradient, mask, optimizer.

    Pruned weights start at zero: without a gradient every optimizer leaves them there.
    """
    gradients = _gradients(loss, part.weights, part.buffers, *batch)
    for name, mask in part.masks.items():
        gradients[name].mul_(mask)
    descend(optimizer, part.weights, gradients, part.state, rate)


def _gradients(loss, weights, *others):
    """Of the loss, by name. Compilers know torch.func; one by one, its calls cost as much as a small network's step."""
    if torch.compiler.is_compiling():
        return torch.func.grad(loss)(weights, *others)
    live = {name: value.detach().requires_grad_() for name, value in weights.items()}
    return dict(zip(live, torch.autograd.grad(loss(live, *others), list(live.values()))))


class Stack:
    """K networks, in tensors that stay where they are. Every kind of stack has

    parts: what is updated side by side;
    loss(weights, buffers, images, labels, noise): of one part, the mean cross-entropy of each network, summed;
    own(number, images, labels, noise): the share of a part in a batch;
    logits(images): of every network in evaluation on the same images [batch, ...] -> [K, 10, batch];
    unstacked(): per network, a dict of copies on the CPU: weights with zeros where pruned, and all else;
    owned(): what training changes, as (tensor, number of the network that owns each entry, to be broadcast).
    """

    parts: list[Part]

    def __init__(self, network: str, device: str | torch.device, precision: str, optimizer: str):
        self.network, self.device = network, torch.device(device)
        self.precision, self.optimizer = precision, optimizer
        self.captured = gpu.captured(self.device)
        self.descend = optimizers.by_formulas if self.captured else optimizers.by_kernels
        self.update = gpu.compiled(update, self.device)

    def step(self, rate: Tensor, images: Tensor, labels: Tensor, noise=()) -> None:
        """One update of each network on the mean cross-entropy of its own batch, at a learning rate (a number).

        images [K, batch, channels, height, width], labels [K, batch], noise [K, units, batch] for each hidden linear
        layer, by which dropout multiplies its activations.
        """
        with gpu.side_by_side(self.device, len(self.parts)) as places:
            for number, (part, place) in enumerate(zip(self.parts, places, strict=True)):
                with place:
                    batch = self.own(number, images, labels, noise)
                    self.update(self.loss, self.descend, self.optimizer, part, rate, *batch)

    def products(self):
        """Within this, products are computed in the stack's precision; weights keep their own."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bfloat16")

    @torch.no_grad()
    def load(self, other: "Stack") -> None:
        """Become a copy of another stack of this kind and size, without moving a tensor."""
        for mine, theirs in zip(self.parts, other.parts, strict=True):
            for tensor, value in zip(mine.tensors(), theirs.tensors(), strict=True):
                tensor.copy_(value)

    def snapshot(self) -> list[Tensor]:
        """Copies of everything that training changes."""
        return [tensor.clone() for tensor, _ in self.owned()]

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
    network: str,
    weights: list[Weights],
    masks: list[Masks],
    device: str | torch.device = "cpu",
    precision: str = "float32",
    optimizer: str = "adam",
) -> Stack:
    """The fastest stack for these networks; weights, masks: one dict per network, as in `networks` and `masks`.

    precision: that of the products, "float32" or "bfloat16"; weights keep their own.
    """
    return kind(network)(network, weights, masks, device, precision, optimizer)


def kind(network: str) -> type[Stack]:
    """`StackedMlp` for fully connected networks, `Lanes` for all others."""
    return StackedMlp if isinstance(networks.module(network), Mlp) else Lanes


def _cross_entropy(logits, like, labels):
    """Mean over the batch, which is the last axis of the labels; summed over networks."""
    return F.cross_entropy(logits.to(like.dtype), labels, reduction="sum") / labels.shape[-1]


# ---------------------------------------------------------------- any module


class Lanes(Stack):
    """K networks of any module: one after the other on a CPU, which each alone fills; on a GPU on a stream each."""

    def __init__(self, network, weights, masks, device="cpu", precision="float32", optimizer="adam"):
        super().__init__(network, device, precision, optimizer)
        self.module = copy.deepcopy(networks.module(network)).train()
        self.classify = gpu.compiled(self._classify, self.device)
        self.parts = [self._part(values, alive) for values, alive in zip(weights, masks, strict=True)]

    def _part(self, values: Weights, alive: Masks) -> Part:
        lane = {name: self._placed(value) for name, value in values.items()}
        trained = [name for name, _ in self.module.named_parameters()]
        # As a number a mask multiplies several times faster than as bool where nothing is compiled.
        pruned = {
            name: self._placed(mask) if self.captured else mask.to(lane[name])
            for name, mask in alive.items()
            if self.captured or not bool(mask.all())
        }
        for name, mask in pruned.items():
            lane[name] *= mask
        own = {name: lane.pop(name) for name in trained}
        return Part(own, pruned, lane, optimizers.new_state(self.optimizer, own))

    def _placed(self, value):
        """A copy on the device; there filters lie with their channels last, as the fastest kernels want them."""
        value = value.to(self.device, copy=True)
        filters = self.captured and value.dim() == 4
        return value.contiguous(memory_format=torch.channels_last) if filters else value

    def own(self, number, images, labels, noise):
        return images[number], labels[number], [factors[number].t() for factors in noise]

    def loss(self, weights, buffers, images, labels, noise):
        logits = self._classify(self.module, weights | buffers, images, noise)
        return _cross_entropy(logits, next(iter(weights.values())), labels)

    def _classify(self, module, values, images, noise=()):
        values = _as_wide_as(images, values)
        images = images.contiguous(memory_format=torch.channels_last)
        with self.products():
            return functional_call(module, values, (images, noise) if noise else (images,))

    @torch.no_grad()
    def logits(self, images: Tensor) -> Tensor:
        evaluated = networks.module(self.network)
        each = [self.classify(evaluated, part.weights | part.buffers, images) for part in self.parts]
        return torch.stack([logits.t() for logits in each]).to(
            next(iter(self.parts[0].weights.values())).dtype
        )

    def unstacked(self) -> list[Weights]:
        names = list(self.module.state_dict())
        lanes = [part.weights | part.buffers for part in self.parts]
        return [{name: lane[name].clone().cpu() for name in names} for lane in lanes]

    def owned(self) -> Iterator[tuple[Tensor, int]]:
        for number, part in enumerate(self.parts):
            for value in (*part.weights.values(), *part.buffers.values()):
                yield value, number


def _as_wide_as(images: Tensor, values: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """The first filters with zeros for channels that images were padded by: for three, GPUs have no fast kernel."""
    name = next((name for name, value in values.items() if value.dim() == 4), None)
    if name is None or not (missing := images.shape[1] - values[name].shape[1]):
        return values
    return {**values, name: F.pad(values[name], (0, 0, 0, 0, 0, missing))}


# ---------------------------------------------------------------- fully connected layers, all networks at once


class StackedMlp(Stack):
    """K networks of one `Mlp`: a batched or block-sparse product per layer; in "bfloat16", and on a GPU, every layer is
    dense: sparse kernels know float32 only, converting costs their gain, and what is captured serves every mask.
    """

    def __init__(self, network, weights, masks, device="cpu", precision="float32", optimizer="adam"):
        super().__init__(network, device, precision, optimizer)
        dense = self.captured or precision != "float32"
        linear = layers.DenseLinear if dense else layers.choose_linear
        self.layers, part = {}, Part({}, {})
        for name, _ in networks.module(network).named_children():
            parts = ((weights, "weight"), (masks, "weight"), (weights, "bias"))
            layer = linear(*([own[f"{name}.{of}"].to(self.device) for own in source] for source, of in parts))
            self.layers[name] = layer
            part.weights |= {f"{name}.weight": layer.weight, f"{name}.bias": layer.bias}
            if layer.mask is not None and (self.captured or not bool(layer.mask.all())):
                part.masks[f"{name}.weight"] = layer.mask
        part.state = optimizers.new_state(optimizer, part.weights)
        self.parts = [part]

    def own(self, number, images, labels, noise):
        return images, labels, noise

    def loss(self, weights, buffers, images, labels, noise):
        logits = self._classify(weights, images.flatten(2).transpose(1, 2), noise)
        return _cross_entropy(logits, weights["output.weight"], labels)

    @torch.no_grad()
    def logits(self, images: Tensor) -> Tensor:
        weights = self.parts[0].weights
        return self._classify(weights, images.flatten(1).t(), shared=True).to(weights["output.weight"].dtype)

    def _classify(self, weights, activations, noise=(), shared=False):
        (first, layer), *others = self.layers.items()
        apply = layer.on_shared if shared else layer
        with self.products():
            activations = apply(weights[f"{first}.weight"], weights[f"{first}.bias"], activations)
            for number, (name, layer) in enumerate(others):
                activations = activations.relu_()
                activations = activations * noise[number] if noise else activations
                activations = layer(weights[f"{name}.weight"], weights[f"{name}.bias"], activations)
        return activations

    def unstacked(self) -> list[Weights]:
        weights = self.parts[0].weights
        result = [{} for _ in weights["output.bias"]]
        for name, layer in self.layers.items():
            each = layer.unstacked(weights[f"{name}.weight"]), weights[f"{name}.bias"].clone()
            for entries, weight, bias in zip(result, *each, strict=True):
                entries[f"{name}.weight"], entries[f"{name}.bias"] = weight.cpu(), bias.cpu()
        return result

    def owned(self) -> Iterator[tuple[Tensor, Tensor]]:
        for name, layer in self.layers.items():
            bias = self.parts[0].weights[f"{name}.bias"]
            yield self.parts[0].weights[f"{name}.weight"], layer.owner
            yield bias, torch.arange(len(bias), device=bias.device).unsqueeze(1)
