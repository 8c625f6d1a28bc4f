"""Stacked layers agree with one network at a time: dense, sparse and convolutional, forward and backward."""

import pytest
import torch
import torch.nn.functional as F
from synthetic import coarse, double, pruned

from lth_utils import layers, networks
from lth_utils import masks as masking

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
    output = layer(activations)
    output.square().sum().backward()
    layer.mask_gradient()
    assert torch.allclose(output, expected, atol=1e-14)
    with torch.no_grad():  # a layer that holds its gradients shows them network by network
        for parameter in layer.parameters():
            parameter.copy_(parameter.grad)
    for k, (for_weight, for_bias, for_input) in enumerate(gradients):
        assert torch.allclose(layer.unstacked()[k][0], for_weight, atol=1e-14)
        assert torch.allclose(layer.unstacked()[k][1], for_bias, atol=1e-14)
        assert torch.allclose(activations.grad[k], for_input, atol=1e-14)


@pytest.mark.parametrize("kind", LINEARS)
def test_the_same_inputs_for_all_need_not_be_copied(kind, parts):
    features = uniform(IN, IMAGES, seed=4)
    layer = kind(*parts)
    with torch.no_grad():
        assert torch.allclose(layer.on_shared(features), layer(features.expand(K, IN, IMAGES)), atol=1e-14)


@pytest.mark.parametrize("kind", LINEARS)
def test_unstacked_layers_are_masked_copies(kind, parts):
    weights, masks, biases = parts
    layer = kind(*parts)
    for (weight, bias), original, mask, original_bias in zip(
        layer.unstacked(), weights, masks, biases, strict=True
    ):
        assert torch.equal(weight, original * mask) and torch.equal(bias, original_bias)
        weight.fill_(9.0), bias.fill_(9.0)
    assert not any((weight == 9.0).any() or (bias == 9.0).any() for weight, bias in layer.unstacked())


@pytest.mark.parametrize("kind", LINEARS)
def test_only_chosen_networks_are_selected(kind, parts):
    layer = kind(*parts)
    old = [parameter.detach().clone() for parameter in layer.parameters()]
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(1.0)
    layer.select(torch.tensor([False, True, False]), [p.detach() for p in layer.parameters()], old)
    before = kind(*parts).unstacked()
    with torch.no_grad():
        for parameter, value in zip(layer.parameters(), old, strict=True):
            parameter.copy_(value)
    after = layer.unstacked()
    assert [torch.equal(a[0], b[0]) for a, b in zip(after, before, strict=True)] == [True, False, True]
    assert [torch.equal(a[1], b[1]) for a, b in zip(after, before, strict=True)] == [True, False, True]


@pytest.mark.parametrize("kind", LINEARS)
def test_weights_given_to_a_layer_are_never_trained_in_place(kind, parts):
    weights, _, biases = parts
    before = [value.clone() for value in weights + biases]
    with torch.no_grad():
        for parameter in kind(*parts).parameters():
            parameter.fill_(3.0)
    assert all(torch.equal(a, b) for a, b in zip(before, weights + biases, strict=True))


@LINEARS[1].marks[0]
def test_in_a_sparse_layer_pruned_weights_do_not_exist(parts):
    survivors = [int(mask.sum()) for mask in parts[1]]
    layer = layers.SparseLinear(*parts)
    assert layer.weight.shape == (sum(survivors),)
    layer(uniform(K, IN, IMAGES)).sum().backward()
    optimizer = torch.optim.Adam(layer.parameters(), fused=True)
    optimizer.step()
    assert optimizer.state[layer.weight]["exp_avg"].shape == (sum(survivors),)


@LINEARS[1].marks[0]
def test_a_sparse_layer_may_be_empty(parts):
    weights, masks, biases = parts
    layer = layers.SparseLinear(weights, [torch.zeros_like(mask) for mask in masks], biases)
    output = layer(uniform(K, IN, IMAGES).requires_grad_())
    output.sum().backward()
    assert torch.equal(output, torch.stack(biases).unsqueeze(2).expand(K, OUT, IMAGES))
    assert layer.weight.grad.shape == (0,)


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


# --- whole networks --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("network", ["lenet", "conv2", "conv4", "conv6"])
def test_a_stack_computes_each_networks_own_logits(network):
    weights, masks = zip(*(coarse(network, seed) for seed in (0, 1)), strict=True)
    stack = layers.StackedNetwork(network, weights, masks)
    images = uniform(2, 3, *networks.NETWORKS[network].image_shape).float()
    with torch.no_grad():
        own, shared = stack.logits(images), stack.logits_on_shared(images[0])
        assert own.shape == shared.shape == (2, 10, 3)
        for k in range(2):
            masked = masking.apply(weights[k], masks[k])
            for logits, seen in ((own[k], images[k]), (shared[k], images[0])):
                expected = networks.forward(network, masked, seen)
                assert torch.allclose(logits.t(), expected, atol=1e-5 * float(expected.abs().max()))


def test_conv6_with_256_channels_can_be_stacked():
    weights = networks.initial_weights("conv6_256", 0)
    stack = layers.StackedNetwork("conv6_256", [weights], [masking.ones(weights)])
    images = uniform(2, 3, 32, 32).float()
    with torch.no_grad():
        expected = networks.forward("conv6_256", weights, images)
        assert torch.allclose(stack.logits_on_shared(images)[0].t(), expected, atol=1e-5)


@pytest.fixture(params=["dense", pytest.param("sparse", marks=LINEARS[1].marks)])
def lenets(request, monkeypatch):
    """Two Lenets, dense and in round 3, in layers of either kind."""
    monkeypatch.setattr(layers, "SPARSE_BELOW_DENSITY", 2.0 if request.param == "sparse" else 0.0)
    monkeypatch.setattr(layers, "SPARSE_FROM_WEIGHTS", 0)
    weights, masks = (
        [double(coarse("lenet", seed)[0]) for seed in (0, 1)],
        [pruned("lenet", r) for r in (0, 3)],
    )
    stack = layers.StackedNetwork("lenet", weights, masks)
    expected = layers.SparseLinear if request.param == "sparse" else layers.DenseLinear
    assert all(type(layer) is expected for layer in stack.layers.values())
    return weights, masks, stack


def test_a_network_comes_out_of_its_stack_as_it_went_in_but_masked(lenets):
    weights, masks, stack = lenets
    for original, mask, copy in zip(weights, masks, stack.unstacked(), strict=True):
        expected = masking.apply(original, mask)
        assert list(copy) == list(original)
        assert all(torch.equal(copy[name], expected[name]) for name in expected)


def test_a_snapshot_is_refreshed_for_chosen_networks_only_and_restored_exactly(lenets):
    _, _, stack = lenets
    before, snapshot = stack.unstacked(), stack.snapshot()
    with torch.no_grad():
        for parameter in stack.parameters():
            parameter.mul_(2.0).add_(0.25)
    moved = stack.unstacked()
    stack.snapshot_where(torch.tensor([False, True]), snapshot)
    stack.restore(snapshot)
    after = stack.unstacked()
    assert all(torch.equal(after[0][name], before[0][name]) for name in before[0])
    assert all(torch.equal(after[1][name], moved[1][name]) for name in moved[1])
    assert not any(torch.equal(before[1][name], moved[1][name]) for name in moved[1])


def test_a_broken_neighbour_changes_nothing_bit_for_bit():
    """One network of a dense stack holds NaN everywhere; the gradients and logits of the other do not notice."""
    weights = [networks.initial_weights("lenet", seed) for seed in (0, 1)]
    images, results = uniform(2, 8, 1, 28, 28).float(), []
    for neighbour in (
        weights[1],
        {name: torch.full_like(value, float("nan")) for name, value in weights[1].items()},
    ):
        stack = layers.StackedNetwork("lenet", [weights[0], neighbour], [pruned("lenet", 1)] * 2)
        logits = stack.logits(images)
        logits.square().sum().backward()
        stack.mask_gradients()
        results.append([logits[0].detach()] + [parameter.grad[0] for parameter in stack.parameters()])
        assert bool(logits[1].isnan().all()) == (neighbour is not weights[1])
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


def test_convolutions_keep_the_gradients_of_pruned_weights_at_zero():
    weights, masks = zip(*(coarse("conv2", seed) for seed in (0, 1)), strict=True)
    stack = layers.StackedNetwork("conv2", weights, masks)
    images = uniform(2, 2, 3, 32, 32).float()
    stack.logits(images).square().sum().backward()
    stack.mask_gradients()
    for k in range(2):
        alone = {name: value.requires_grad_() for name, value in masking.apply(weights[k], masks[k]).items()}
        networks.forward("conv2", alone, images[k]).square().sum().backward()
        for layer in ("conv1", "conv2"):
            gradient, mask = stack.layers[layer].weight.grad[k], masks[k][f"{layer}.weight"]
            expected = alone[f"{layer}.weight"].grad * mask
            assert torch.allclose(gradient, expected, atol=1e-5 * float(expected.abs().max()))
            assert not gradient[~mask].any() and bool((~mask).any())
