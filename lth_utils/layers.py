"""Linear layers of K networks at once, so that small networks fill a machine.

A layer is a function of two tensors, whose first values are its `weight`, with zeros where pruned, and its `bias`.
Activations are [network, feature, image]: entry k of every result depends on entry k of every input alone. `mask`: of the
weight's shape, or None; `owner` says, broadcast to the weight's shape, which network an entry belongs to.
"""

import warnings

import torch
import torch.nn.functional as F
from torch import Tensor

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


class DenseLinear:
    """K fully connected layers as one batched matrix product. weight: [K, out, in]; bias: [K, out]; mask: 0.0 or 1.0."""

    def __init__(self, weights: list[Tensor], masks: list[Tensor], biases: list[Tensor]):
        mask = torch.stack(masks).to(weights[0].dtype)  # multiplies several times faster than bool
        self.weight = torch.stack(weights) * mask
        self.bias = torch.stack(biases)
        self.mask = mask
        self.owner = torch.arange(len(weights), device=mask.device).view(-1, 1, 1)

    def __call__(self, weight: Tensor, bias: Tensor, activations: Tensor) -> Tensor:
        """[K, in, images] -> [K, out, images]"""
        return torch.baddbmm(bias.unsqueeze(2), weight, activations)

    def on_shared(self, weight: Tensor, bias: Tensor, features: Tensor) -> Tensor:
        """The same inputs [in, images] for every network -> [K, out, images]"""
        size, outputs, _ = weight.shape
        return (weight.flatten(0, 1) @ features).view(size, outputs, -1) + bias.unsqueeze(2)

    def unstacked(self, weight: Tensor) -> list[Tensor]:
        """Copies of the weights [out, in] of every network."""
        return list(weight.clone())


class SparseLinear:
    """K fully connected layers as ONE block-diagonal CSR matrix: only surviving weights exist, so there is no mask.

    Products, gradients and optimizer state all live on the survivors, so cost falls with density. weight: [survivors of
    all networks], in memory that the matrices share; bias: [K, out].
    """

    mask = None

    def __init__(self, weights: list[Tensor], masks: list[Tensor], biases: list[Tensor]):
        self.outputs, self.inputs = weights[0].shape
        self.survivors = [mask.nonzero(as_tuple=True) for mask in masks]
        values = [weight[mask] for weight, mask in zip(weights, masks, strict=True)]
        self.weight = torch.cat(values)
        self.bias = torch.stack(biases)
        counts = torch.tensor([len(value) for value in values])
        self.owner = torch.repeat_interleave(torch.arange(len(weights)), counts)
        rows = torch.cat([row for row, _ in self.survivors]) + self.owner * self.outputs
        shared_columns = torch.cat([column for _, column in self.survivors])
        columns = shared_columns + self.owner * self.inputs
        size = len(weights) * self.outputs, len(weights) * self.inputs
        self.matrices = _Matrices(rows, columns, shared_columns, self.inputs, size, self.weight)

    def __call__(self, weight: Tensor, bias: Tensor, activations: Tensor) -> Tensor:
        """[K, in, images] -> [K, out, images]; the values are those of the layer's own `weight`, changed in place."""
        return _SparseAffine.apply(weight, bias, activations, self.matrices)

    def on_shared(self, weight: Tensor, bias: Tensor, features: Tensor) -> Tensor:
        """The same inputs [in, images] for every network -> [K, out, images]; without gradients."""
        features = features.contiguous()
        product = torch.addmm(_as_columns(bias, features), self.matrices.shared, features)
        return product.view(*bias.shape, -1)

    def unstacked(self, weight: Tensor) -> list[Tensor]:
        """Copies of the weights [out, in] of every network, with zeros where pruned."""
        values = weight.split([len(rows) for rows, _ in self.survivors])
        weights = [value.new_zeros(self.outputs, self.inputs) for value in values]
        for weight, place, value in zip(weights, self.survivors, values, strict=True):
            weight[place] = value
        return weights


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
