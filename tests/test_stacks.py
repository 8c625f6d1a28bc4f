"""Stacks agree with one network at a time, whatever the module; they are copies, and no network notices another."""

import pytest
import torch
import torch.nn.functional as F
from synthetic import coarse, double, equal, pruned

from lth_utils import layers, networks, stacks
from lth_utils import masks as masking

needs_sparse_kernels = pytest.mark.skipif(
    not torch.backends.mkl.is_available(), reason="this build has no sparse kernels"
)


def uniform(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def rate(value):
    return torch.tensor(value, dtype=torch.float64)


@pytest.mark.parametrize("network", ["lenet", "conv2", "conv4", "conv6", "conv6_256"])
def test_a_stack_computes_each_networks_own_logits(network):
    weights, masks = zip(*(coarse(network, seed) for seed in (0, 1)), strict=True)
    stack = stacks.stack(network, weights, masks)
    assert type(stack) is (stacks.StackedMlp if network == "lenet" else stacks.Lanes)
    images = uniform(3, *networks.NETWORKS[network].image_shape)
    logits = stack.logits(images)
    assert logits.shape == (2, 10, 3) and not logits.requires_grad
    for k in range(2):
        expected = networks.forward(network, masking.apply(weights[k], masks[k]), images)
        assert torch.allclose(logits[k].t(), expected, atol=1e-5 * float(expected.abs().max()))


@pytest.fixture(params=["dense", pytest.param("sparse", marks=needs_sparse_kernels), "lanes"])
def pair(request, monkeypatch):
    """Two Lenets, dense and in round 3, in stacks of every kind."""
    monkeypatch.setattr(layers, "SPARSE_BELOW_DENSITY", 2.0 if request.param == "sparse" else 0.0)
    monkeypatch.setattr(layers, "SPARSE_FROM_WEIGHTS", 0)
    weights = [double(coarse("lenet", seed)[0]) for seed in (0, 1)]
    masks = [pruned("lenet", pruning_round) for pruning_round in (0, 3)]
    kind = stacks.Lanes if request.param == "lanes" else stacks.StackedMlp
    return weights, masks, kind("lenet", weights, masks, optimizer="sgd")


def test_a_network_comes_out_of_its_stack_as_it_went_in_but_masked(pair):
    weights, masks, stack = pair
    for original, mask, copy in zip(weights, masks, stack.unstacked(), strict=True):
        assert list(copy) == list(original) and equal(copy, masking.apply(original, mask))
        for value in copy.values():
            value.fill_(9.0)
    assert not any((value == 9.0).any() for copy in stack.unstacked() for value in copy.values())


def test_a_snapshot_is_refreshed_for_chosen_networks_only_and_restored_exactly(pair):
    _, _, stack = pair
    before, snapshot = stack.unstacked(), stack.snapshot()
    with torch.no_grad():
        for tensor, _ in stack.owned():
            tensor.mul_(2.0).add_(0.25)
    moved = stack.unstacked()
    stack.snapshot_where(torch.tensor([False, True]), snapshot)
    stack.restore(snapshot)
    after = stack.unstacked()
    assert equal(after[0], before[0]) and equal(after[1], moved[1]) and not equal(before[1], moved[1])


def test_a_step_moves_survivors_as_plain_descent_does_and_leaves_the_given_weights_alone(pair):
    weights, masks, stack = pair
    given = [{name: value.clone() for name, value in entry.items()} for entry in weights]
    images, labels = uniform(2, 6, 1, 28, 28).double(), torch.arange(12).view(2, 6) % 10
    noise = uniform(2, 300, 6, seed=1).round().double(), uniform(2, 100, 6, seed=2).round().double()
    stack.step(rate(0.1), images, labels, noise)
    for k, after in enumerate(stack.unstacked()):
        live = {n: v.requires_grad_() for n, v in masking.apply(weights[k], masks[k]).items()}
        hidden = images[k].flatten(1)
        for name, factors in zip(("fc1", "fc2"), noise, strict=True):
            hidden = F.linear(hidden, live[f"{name}.weight"], live[f"{name}.bias"]).relu() * factors[k].t()
        logits = F.linear(hidden, live["output.weight"], live["output.bias"])
        F.cross_entropy(logits, labels[k]).backward()
        for name, value in live.items():
            expected = (value - 0.1 * value.grad * masks[k].get(name, 1)).detach()
            assert torch.allclose(after[name], expected, atol=1e-14) and not torch.equal(expected, value)
    assert all(equal(entry, copy) for entry, copy in zip(weights, given, strict=True))


def test_a_broken_neighbour_changes_nothing_bit_for_bit(pair):
    """The other network of a stack holds NaN everywhere, or does not; what becomes of the first is the same."""
    weights, masks, stack = pair
    images, labels = uniform(2, 8, 1, 28, 28).double(), torch.arange(16).view(2, 8) % 10
    results = []
    for factor in (1.0, float("nan")):
        neighbour = {name: factor * value for name, value in weights[1].items()}
        both = type(stack)("lenet", [weights[0], neighbour], masks)
        for _ in range(3):
            both.step(rate(1e-3), images, labels)
        results.append(both.unstacked())
    assert equal(results[0][0], results[1][0])
    assert not results[0][1]["output.bias"].isnan().any() and results[1][1]["output.bias"].isnan().all()


def test_convolutions_keep_pruned_weights_at_zero_and_survivors_move():
    weights, masks = zip(*(coarse("conv2", seed) for seed in (0, 1)), strict=True)
    stack = stacks.stack("conv2", weights, masks, optimizer="momentum")
    for _ in range(2):
        stack.step(rate(0.01), uniform(2, 2, 3, 32, 32), torch.tensor([[1, 2], [3, 4]]))
    for before, mask, after in zip(weights, masks, stack.unstacked(), strict=True):
        for name, alive in mask.items():
            assert not after[name][~alive].any() and bool((~alive).any())
            assert (after[name] != before[name])[alive].any()


def test_a_residual_network_trains_as_torchs_own_module_does_and_evaluation_leaves_its_statistics_alone():
    weights = double(networks.initial_weights("resnet18", 0))
    weights |= {n: v.long() for n, v in weights.items() if n.endswith("num_batches_tracked")}
    masks = masking.ones({name: weights[name] for name in networks.weight_shapes("resnet18")})
    masks["conv.weight"] = weights["conv.weight"] > 0
    images, labels = uniform(2, 1, 4, 3, 32, 32).double(), torch.tensor([[1, 2, 3, 4]])
    module = networks.NETWORKS["resnet18"].build().double().train()
    module.load_state_dict(masking.apply(weights, masks))
    plain = torch.optim.SGD(module.parameters(), lr=0.1)
    stack = stacks.stack("resnet18", [weights], [masks], optimizer="sgd")
    for batch in images:
        stack.step(rate(0.1), batch, labels)
        stack.logits(batch[0])
        plain.zero_grad()
        F.cross_entropy(module(batch[0]), labels[0]).backward()
        module.conv.weight.grad *= masks["conv.weight"]
        plain.step()
    (after,), expected = stack.unstacked(), module.state_dict()
    assert list(after) == list(expected) and after["norm.num_batches_tracked"] == 2
    assert all(torch.allclose(after[name], expected[name], atol=1e-10) for name in expected)
    assert torch.allclose(stack.logits(images[1, 0])[0].t(), module.eval()(images[1, 0]), atol=1e-10)
