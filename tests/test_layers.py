"""Stacked linear layers agree with one network at a time: dense and sparse, forward and backward."""

import pytest
import torch
import torch.nn.functional as F

from lth_utils import layers

K, OUT, IN, IMAGES = 3, 5, 7, 4
LINEARS = [
    layers.DenseLinear,
    pytest.param(
        layers.SparseLinear,
        marks=pytest.mark.skipif(
            not torch.backends.mkl.is_available(), reason="this build has no sparse kernels"
        ),
    ),
]


def uniform(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) - 0.5


@pytest.fixture
def parts():
    """Weights, masks and biases of three layers: dense, half empty, and one with a single survivor."""
    masks = [
        torch.ones(OUT, IN, dtype=torch.bool),
        uniform(OUT, IN, seed=9) > 0,
        torch.zeros(OUT, IN, dtype=torch.bool),
    ]
    masks[2][3, 4] = True
    return list(uniform(K, OUT, IN, seed=1)), masks, list(uniform(K, OUT, seed=2))


def one_by_one(parts, activations):
    """What each layer alone makes of its activations [K, in, images], and the gradients of sum(output ** 2)."""
    outputs, gradients = [], []
    for weight, mask, bias, features in zip(*parts, activations, strict=True):
        live = [
            (weight * mask).requires_grad_(),
            bias.clone().requires_grad_(),
            features.clone().requires_grad_(),
        ]
        outputs.append(F.linear(live[2].t(), live[0], live[1]).t())
        outputs[-1].square().sum().backward()
        gradients.append((live[0].grad * mask, live[1].grad, live[2].grad))
    return torch.stack(outputs).detach(), gradients


# --- linear layers -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", LINEARS)
def test_a_stack_of_linear_layers_does_what_each_does_alone(kind, parts):
    activations = uniform(K, IN, IMAGES, seed=3).requires_grad_()
    expected, gradients = one_by_one(parts, activations.detach())
    layer = kind(*parts)
    weight, bias = layer.weight.detach().requires_grad_(), layer.bias.detach().requires_grad_()
    output = layer(weight, bias, activations)
    output.square().sum().backward()
    assert torch.allclose(output, expected, atol=1e-14)
    of_weights = layer.unstacked(weight.grad if layer.mask is None else weight.grad * layer.mask)
    for k, (for_weight, for_bias, for_input) in enumerate(gradients):
        assert torch.allclose(of_weights[k], for_weight, atol=1e-14)
        assert torch.allclose(bias.grad[k], for_bias, atol=1e-14)
        assert torch.allclose(activations.grad[k], for_input, atol=1e-14)


@pytest.mark.parametrize("kind", LINEARS)
def test_the_same_inputs_for_all_need_not_be_copied(kind, parts):
    features = uniform(IN, IMAGES, seed=4)
    layer = kind(*parts)
    own = layer.weight, layer.bias
    assert torch.allclose(
        layer.on_shared(*own, features), layer(*own, features.expand(K, IN, IMAGES)), atol=1e-14
    )


@pytest.mark.parametrize("kind", LINEARS)
def test_unstacked_weights_are_masked_copies_and_a_layer_knows_who_owns_them(kind, parts):
    weights, masks, _ = parts
    before, layer = [value.clone() for value in weights], kind(*parts)
    for k, copy in enumerate(layer.unstacked(layer.weight)):
        assert torch.equal(copy, weights[k] * masks[k])
        copy.fill_(9.0)
    owners = layer.owner.expand_as(layer.weight).to(layer.weight)
    for k, copy in enumerate(layer.unstacked(owners)):
        assert bool((copy[masks[k]] == k).all())
    assert not (layer.weight == 9.0).any()
    assert all(torch.equal(a, b) for a, b in zip(before, weights, strict=True))


@LINEARS[1].marks[0]
def test_in_a_sparse_layer_pruned_weights_do_not_exist(parts):
    survivors = [int(mask.sum()) for mask in parts[1]]
    layer = layers.SparseLinear(*parts)
    assert layer.weight.shape == layer.owner.shape == (sum(survivors),)
    weight = layer.weight.detach().requires_grad_()
    layer(weight, layer.bias, uniform(K, IN, IMAGES)).sum().backward()
    assert weight.grad.shape == (sum(survivors),)


@LINEARS[1].marks[0]
def test_a_sparse_layer_may_be_empty(parts):
    weights, masks, biases = parts
    layer = layers.SparseLinear(weights, [torch.zeros_like(mask) for mask in masks], biases)
    weight = layer.weight.detach().requires_grad_()
    output = layer(weight, layer.bias, uniform(K, IN, IMAGES).requires_grad_())
    output.sum().backward()
    assert torch.equal(output, torch.stack(biases).unsqueeze(2).expand(K, OUT, IMAGES))
    assert weight.grad.shape == (0,)


# --- the choice ----------------------------------------------------------------------------------------------------------


def chosen(density, size=(200, 100), networks_=2):
    weights = [torch.zeros(size)] * networks_
    masks = [torch.arange(weights[0].numel()).view(size) < density * weights[0].numel()] * networks_
    return type(layers.choose_linear(weights, masks, [torch.zeros(size[0])] * networks_))


@LINEARS[1].marks[0]
def test_sparse_layers_are_chosen_for_large_layers_at_low_density_only():
    assert chosen(density=0.19) is layers.SparseLinear
    assert chosen(density=0.21) is layers.DenseLinear
    assert chosen(density=0.01, size=(10, 100)) is layers.DenseLinear


def test_dense_layers_are_chosen_where_the_build_lacks_the_kernels(monkeypatch):
    monkeypatch.setattr(torch.backends.mkl, "is_available", lambda: False)
    assert chosen(density=0.01) is layers.DenseLinear
