"""Stacked layers: one layer of K networks at once, so that small networks fill a machine.

Activations are [network, feature, image] between linear layers and [network, image, channel, height, width]
between convolutions. Nothing here mixes networks: row k of every result depends on row k of every input alone.
Layers know their masks and keep pruned weights at exactly zero; they know nothing of training or data.
"""

import warnings

import torch
import torch.nn.functional as F
from torch import Tensor

from lth_utils import networks
from lth_utils.masks import Masks, Weights

SPARSE_BELOW_DENSITY = 0.20  # measured break-even of CSR against dense matmul on CPUs; `make bench` shows it
SPARSE_FROM_WEIGHTS = 20_000  # smaller layers are faster dense, whatever their density


def choose_linear(weights: list[Tensor], masks: list[Tensor], biases: list[Tensor]):
    """The fastest exact layer for these K masked weights [out, in]: block-sparse on a CPU at low density."""
    survivors = sum(int(mask.sum()) for mask in masks)
    total = sum(mask.numel() for mask in masks)
    on_cpu = weights[0].device.type == "cpu"
    large = masks[0].numel() >= SPARSE_FROM_WEIGHTS
    if on_cpu and large and survivors < SPARSE_BELOW_DENSITY * total and torch.backends.mkl.is_available():
        return SparseLinear(weights, masks, biases)
    return DenseLinear(weights, masks, biases)


class StackedLayer:
    """What all stacked layers share: `weight` and `bias` parameters and the network that each entry belongs to.

    weight: DenseLinear [K, out, in], Convolution [K, out, in, 3, 3], SparseLinear [survivors of all networks].
    bias: [K, out]. mask: 0.0 or 1.0 in the weight's shape, or None where every entry survives.
    """

    weight: Tensor
    bias: Tensor
    mask: Tensor | None = None

    def parameters(self) -> list[Tensor]:
        return [self.weight, self.bias]

    def mask_gradient(self) -> None:
        """Zero the gradient of pruned weights: they start at zero, so every optimizer leaves them there."""
        if self.mask is not None:
            self.weight.grad.mul_(self.mask)

    def select(self, chosen: Tensor, new: list[Tensor], old: list[Tensor]) -> None:
        """Overwrite `old` in place with `new` for the networks where `chosen` (bool [K]) is True."""
        for source, target in zip(new, old, strict=True):
            here = chosen.view(-1, *[1] * (source.dim() - 1))
            target.copy_(torch.where(here, source, target))

    def unstacked(self) -> list[tuple[Tensor, Tensor]]:
        """Per network, copies of (weight [out, in, ...], bias [out])."""
        return [
            (weight.clone(), bias.clone())
            for weight, bias in zip(self.weight.detach(), self.bias.detach(), strict=True)
        ]


def _stack(weights, masks, biases):
    """Parameters [K, ...] and the mask as float, which multiplies several times faster than bool."""
    mask = torch.stack(masks).to(weights[0].dtype)
    weight = (torch.stack(weights) * mask).requires_grad_()
    return weight, torch.stack(biases).requires_grad_(), None if bool(mask.all()) else mask


class DenseLinear(StackedLayer):
    """K fully connected layers as one batched matrix product."""

    def __init__(self, weights: list[Tensor], masks: list[Tensor], biases: list[Tensor]):
        self.weight, self.bias, self.mask = _stack(weights, masks, biases)

    def __call__(self, activations: Tensor) -> Tensor:
        """[K, in, images] -> [K, out, images]"""
        return torch.baddbmm(self.bias.unsqueeze(2), self.weight, activations)

    def on_shared(self, features: Tensor) -> Tensor:
        """The same inputs [in, images] for every network -> [K, out, images]"""
        networks, outputs, _ = self.weight.shape
        return (self.weight.flatten(0, 1) @ features).view(networks, outputs, -1) + self.bias.unsqueeze(2)


class SparseLinear(StackedLayer):
    """K fully connected layers as ONE block-diagonal CSR matrix: only surviving weights exist.

    Products, gradients and optimizer state all live on the survivors, so cost falls with density.
    """

    def __init__(self, weights: list[Tensor], masks: list[Tensor], biases: list[Tensor]):
        self.networks, (self.outputs, self.inputs) = len(weights), weights[0].shape
        self.survivors = [mask.nonzero(as_tuple=True) for mask in masks]
        values = [weight[mask] for weight, mask in zip(weights, masks, strict=True)]
        self.weight = torch.cat(values).requires_grad_()
        self.bias = torch.stack(biases).requires_grad_()
        counts = torch.tensor([len(value) for value in values])
        self.owner = torch.repeat_interleave(torch.arange(self.networks), counts)
        rows = torch.cat([row for row, _ in self.survivors]) + self.owner * self.outputs
        self.shared_columns = torch.cat([column for _, column in self.survivors])
        columns = self.shared_columns + self.owner * self.inputs
        self.matrices = _Matrices(
            rows, columns, self.shared_columns, self.inputs, self.shape, self.weight.detach()
        )

    @property
    def shape(self):
        return self.networks * self.outputs, self.networks * self.inputs

    def __call__(self, activations: Tensor) -> Tensor:
        """[K, in, images] -> [K, out, images]"""
        return _SparseAffine.apply(self.weight, self.bias, activations, self.matrices)

    def on_shared(self, features: Tensor) -> Tensor:
        """The same inputs [in, images] for every network -> [K, out, images]; without gradients."""
        features = features.contiguous()
        product = torch.addmm(_as_columns(self.bias.detach(), features), self.matrices.shared, features)
        return product.view(self.networks, self.outputs, -1)

    def select(self, chosen: Tensor, new: list[Tensor], old: list[Tensor]) -> None:
        old[0].copy_(torch.where(chosen[self.owner], new[0], old[0]))
        old[1].copy_(torch.where(chosen.unsqueeze(1), new[1], old[1]))

    def unstacked(self) -> list[tuple[Tensor, Tensor]]:
        values = self.weight.detach().split([len(rows) for rows, _ in self.survivors])
        weights = [value.new_zeros(self.outputs, self.inputs) for value in values]
        for weight, place, value in zip(weights, self.survivors, values, strict=True):
            weight[place] = value
        return list(zip(weights, self.bias.detach().clone(), strict=True))


class _Matrices:
    """The CSR matrices of a layer, built once: two share the memory of the weights, two have values of their own."""

    def __init__(
        self, rows: Tensor, columns: Tensor, shared_columns: Tensor, inputs: int, size, values: Tensor
    ):
        starts = _starts(rows, size[0])
        self.forward = _csr(starts, columns.int(), values, size)
        self.shared = _csr(starts, shared_columns.int(), values, (size[0], inputs))
        self.gradient = _csr(starts, columns.int(), torch.zeros_like(values), size)
        self.order = torch.argsort(columns * size[0] + rows)
        self.turned = _csr(
            _starts(columns, size[1]), rows[self.order].int(), torch.zeros_like(values), size[::-1]
        )

    def transposed(self) -> Tensor:
        """The transpose with the present weights."""
        torch.index_select(self.forward.values(), 0, self.order, out=self.turned.values())
        return self.turned


def _starts(indices, length):
    counts = torch.bincount(indices, minlength=length)
    return F.pad(counts.cumsum(0), (1, 0)).int()


def _csr(row_starts, columns, values, size):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
        return torch.sparse_csr_tensor(row_starts, columns, values, size, check_invariants=False)


class _SparseAffine(torch.autograd.Function):
    """bias + CSR matrix @ dense; the gradient of the values is sampled on the matrix's own pattern."""

    @staticmethod
    def forward(ctx, values, bias, activations, matrices):
        dense = activations.reshape(matrices.forward.shape[1], -1)
        ctx.save_for_backward(bias, dense)
        ctx.matrices = matrices
        # A tensor of its own, not a view: a ReLU in place on a view would copy every gradient twice.
        product = dense.new_empty(*bias.shape, dense.shape[1])
        torch.addmm(_as_columns(bias, dense), matrices.forward, dense, out=product.view(-1, dense.shape[1]))
        return product

    @staticmethod
    def backward(ctx, gradient):
        bias, dense = ctx.saved_tensors
        flat, sampled = gradient.reshape(bias.numel(), -1), ctx.matrices.gradient
        torch.sparse.sampled_addmm(sampled, flat, dense.t(), beta=0.0, out=sampled)
        for_dense = None
        if ctx.needs_input_grad[2]:
            for_dense = (ctx.matrices.transposed() @ flat).view(len(bias), -1, dense.shape[1])
        return sampled.values(), flat.sum(1).view_as(bias), for_dense, None


def _as_columns(bias, dense):
    return bias.view(-1, 1).expand(-1, dense.shape[1])


class Convolution(StackedLayer):
    """K 3x3 convolutions with padding 1, one network after the other: each alone already fills a CPU."""

    def __init__(self, weights: list[Tensor], masks: list[Tensor], biases: list[Tensor]):
        self.weight, self.bias, self.mask = _stack(weights, masks, biases)

    def on_network(self, index: int, images: Tensor) -> Tensor:
        """Network `index` alone: [images, in, height, width] -> [images, out, height, width]"""
        return F.conv2d(images, self.weight[index], self.bias[index], padding=1)


class StackedNetwork:
    """K networks of one architecture: convolutions with pooling after every second one, then linear layers.

    weights, masks: one dict per network, as in `networks` and `masks`; pruned weights start at zero. precision: that of
    the products; in "bfloat16" every layer is dense, as sparse kernels know float32 only and converting costs their gain.
    """

    def __init__(
        self,
        network: str,
        weights: list[Weights],
        masks: list[Masks],
        device: str = "cpu",
        precision: str = "float32",
    ):
        self.size = len(weights)
        linear = choose_linear if precision == "float32" else DenseLinear
        self.layers = {}
        for name in (key.removesuffix(".weight") for key in networks.weight_shapes(network)):
            stacked = [
                [entries[f"{name}.{part}"].to(device) for entries in source]
                for source, part in ((weights, "weight"), (masks, "weight"), (weights, "bias"))
            ]
            build = Convolution if name.startswith("conv") else linear
            self.layers[name] = build(*stacked)
        self.convolutions = [layer for layer in self.layers.values() if isinstance(layer, Convolution)]
        self.linears = [layer for layer in self.layers.values() if not isinstance(layer, Convolution)]

    def parameters(self) -> list[Tensor]:
        return [parameter for layer in self.layers.values() for parameter in layer.parameters()]

    def logits(self, images: Tensor, noise: tuple[Tensor, ...] = ()) -> Tensor:
        """Each its own images [K, batch, channels, height, width], and dropout's noise or none -> [K, 10, batch]"""
        features = self._convolve(images).flatten(2).transpose(1, 2)
        return self._classify(self.linears[0](features), noise)

    def logits_on_shared(self, images: Tensor) -> Tensor:
        """Every network the same images [batch, channels, height, width] -> [K, 10, batch]"""
        if self.convolutions:
            return self.logits(images.expand(self.size, *images.shape))
        return self._classify(self.linears[0].on_shared(images.flatten(1).t()))

    def _convolve(self, images):
        if not self.convolutions:
            return images
        return torch.stack([self._convolve_one(index, own) for index, own in enumerate(images)])

    def _convolve_one(self, index, activations):
        """Pools before ReLU, which gives the same activations and gradients: ReLU then has a quarter of the work."""
        activations = activations.contiguous(memory_format=torch.channels_last)
        for number, layer in enumerate(self.convolutions, start=1):
            activations = layer.on_network(index, activations)
            if number % 2 == 0:
                activations = F.max_pool2d(activations, 2)
            activations = activations.relu_()
        return activations

    def _classify(self, activations, noise=()):
        for number, layer in enumerate(self.linears[1:]):
            activations = activations.relu_()
            activations = layer(activations * noise[number] if noise else activations)
        return activations

    def mask_gradients(self) -> None:
        """Keep pruned weights at zero: to be called between backward and the optimizer's step."""
        for layer in self.layers.values():
            layer.mask_gradient()

    def snapshot(self) -> list[Tensor]:
        """Copies of all parameters, in the order of `parameters`."""
        return [parameter.detach().clone() for parameter in self.parameters()]

    def snapshot_where(self, chosen: Tensor, snapshot: list[Tensor]) -> None:
        """Refresh a snapshot in place for the networks where `chosen` (bool [K]) is True."""
        remaining = iter(snapshot)
        for layer in self.layers.values():
            current = [parameter.detach() for parameter in layer.parameters()]
            layer.select(chosen, current, [next(remaining) for _ in current])

    def restore(self, snapshot: list[Tensor]) -> None:
        with torch.no_grad():
            for parameter, saved in zip(self.parameters(), snapshot, strict=True):
                parameter.copy_(saved)

    def unstacked(self) -> list[Weights]:
        """Per network, a dict of copies on the CPU: weights with zeros where pruned, and biases."""
        result = [{} for _ in range(self.size)]
        for name, layer in self.layers.items():
            for entries, (weight, bias) in zip(result, layer.unstacked(), strict=True):
                entries[f"{name}.weight"], entries[f"{name}.bias"] = weight.cpu(), bias.cpu()
        return result
