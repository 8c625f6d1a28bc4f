"""Dropout: what is dropped, that it is scaled, that evaluation drops nothing, and that networks do not share it."""

import dataclasses

import pytest
import torch
import torch.nn.functional as F
from synthetic import coarse, dataset, double, protocol, pruned
from torch.func import functional_call

from lth_utils import masks as masking
from lth_utils import networks, paper, reference, training
from lth_utils.data import DataOrder, scale_pixels


def kept(protocol, seed, iterations=1):
    return training.UnitsKept(seed, protocol).take(iterations)


@pytest.fixture(scope="module")
def data():
    return dataset(train=120, validation=40, test=40)


@pytest.fixture(scope="module")
def weights():
    return [double(networks.initial_weights("lenet", seed)) for seed in range(2)]


def settings(**changes):
    return protocol(**({"training_iterations": 30, "evaluation_interval": 10, "dropout": 0.5} | changes))


def train(data, weights, masks, seeds, protocol):
    return training.train(
        "lenet", initial_weights=weights, masks=masks, seeds=seeds, protocol=protocol, data=data
    )


def by_hand(weights, masks, seed, protocol, data):
    """The final weights of one network that multiplies its hidden activations by the noise of its seed."""
    live = {name: value.clone() for name, value in weights.items()}
    for name, mask in masks.items():
        live[name] *= mask
    live = {name: value.requires_grad_() for name, value in live.items()}
    optimizer = torch.optim.Adam(live.values(), lr=protocol.learning_rate)
    images = scale_pixels(data.train_images, protocol.pixel_scaling).double().flatten(1)
    order = DataOrder(seed, len(images))
    for units in kept(protocol, seed, protocol.training_iterations):
        batch = order.take(protocol.batch_size)
        activations = images[batch]
        for layer, alive in zip(("fc1", "fc2"), units.split((300, 100)), strict=True):
            activations = F.relu(F.linear(activations, live[f"{layer}.weight"], live[f"{layer}.bias"]))
            activations = activations * alive.t() / (1 - protocol.dropout)
        logits = F.linear(activations, live["output.weight"], live["output.bias"])
        optimizer.zero_grad()
        F.cross_entropy(logits, data.train_labels[batch]).backward()
        for name, mask in masks.items():
            live[name].grad *= mask
        optimizer.step()
    return {name: value.detach() for name, value in live.items()}


def test_a_stack_drops_what_each_of_its_networks_would_drop_alone(data, weights):
    masks = [pruned("lenet", 0), pruned("lenet", 12)]
    results = train(data, weights, masks, [3, 4], settings())
    for result, start, mask, seed in zip(results, weights, masks, [3, 4], strict=True):
        expected = by_hand(start, mask, seed, settings(), data)
        for name, value in expected.items():
            assert torch.allclose(result.final_weights[name], value, rtol=0, atol=1e-9)
    (without,) = train(data, weights[:1], masks[:1], [3], dataclasses.replace(settings(), dropout=0.0))
    assert (without.final_weights["fc1.weight"] - results[0].final_weights["fc1.weight"]).abs().max() > 1e-3


def test_nothing_is_dropped_when_a_network_is_evaluated(data, weights):
    (result,) = train(data, weights[:1], [pruned("lenet", 3)], [3], settings())
    images = scale_pixels(data.validation_images, "unit_interval").double()
    loss = F.cross_entropy(networks.forward("lenet", result.final_weights, images), data.validation_labels)
    assert result.curves["validation_loss"][-1] == pytest.approx(loss.item(), abs=1e-9)


def test_units_are_kept_at_the_rate_asked_for():
    drawn = kept(settings(batch_size=60, dropout=0.2), 7, iterations=20)
    assert drawn.dtype == torch.bool and drawn.shape == (20, 400, 60)
    assert drawn.float().mean().item() == pytest.approx(0.8, abs=0.005)
    assert not torch.equal(drawn[0], drawn[1])


def test_equal_seeds_keep_the_same_units_however_many_are_taken_at_once_and_others_do_not():
    together, stream = kept(settings(), 5, iterations=3), training.UnitsKept(5, settings())
    assert torch.equal(together, torch.cat([stream.take(1), stream.take(2)]))
    assert not torch.equal(together, kept(settings(), 6, iterations=3))


def test_what_is_dropped_is_the_same_on_every_machine():
    first = kept(protocol(dropout=0.5), 7)[0]
    assert first[:2].int().tolist() == [[1, 1, 1, 0, 0, 0, 0, 0], [1, 0, 1, 1, 1, 1, 0, 0]]


def test_the_reference_refuses_what_it_does_not_know(data, weights):
    unknown = {
        "dropout": 0.5,
        "training_examples": 60,
        "precision": "bfloat16",
        "learning_rate_decay_interval": 2,
        "validation_trained_on": True,
    }
    for name, value in unknown.items():
        with pytest.raises(ValueError, match=f"knows no {name}$"):
            reference.train(weights[0], pruned("lenet", 1), 1, protocol(**{name: value}), data)


# --- the paper's protocol of Figure 6 --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("network", "iterations", "rate"),
    [("conv2", 60_000, 3e-4), ("conv4", 75_000, 2e-4), ("conv6", 90_000, 2e-4)],
)
def test_with_dropout_the_paper_trains_three_times_as_long_at_other_rates(network, iterations, rate):
    main, longer = paper.protocol(network), paper.protocol(network, "dropout")
    assert (longer.training_iterations, longer.learning_rate, longer.dropout) == (iterations, rate, 0.5)
    assert longer.training_iterations == 3 * main.training_iterations and main.dropout == 0
    assert longer.pruning_rates == main.pruning_rates and longer.key() != main.key()
    assert longer.differences_from_paper() == []
    assert dataclasses.replace(longer, dropout=0.4).differences_from_paper() == ["dropout: 0.5 -> 0.4"]


def test_a_network_without_hidden_linear_layers_has_nothing_to_drop():
    rates = dict.fromkeys(networks.weight_shapes("vgg19"), 0.2)
    settings = protocol(network="vgg19", pruning_rates=rates, dropout=0.5)
    with pytest.raises(ValueError, match="vgg19 has no hidden linear layer"):
        training.UnitsKept(1, settings)


@pytest.mark.parametrize("rate", [-0.1, 1.0])
def test_an_impossible_rate_is_refused(rate):
    with pytest.raises(ValueError, match=f"dropout must be .* got {rate}"):
        dataclasses.replace(paper.protocol("conv2"), dropout=rate)


def test_dropout_acts_on_both_hidden_layers_behind_the_convolutions():
    weights, masks = coarse("conv2")
    images = torch.rand(8, 3, 32, 32, generator=torch.Generator().manual_seed(0))

    def logits(*noise):
        given = (images, [factors.t() for factors in noise])
        return functional_call(networks.module("conv2"), masking.apply(weights, masks), given)

    first, second = 2.0 * kept(protocol("conv2", dropout=0.5), 3)[0].view(2, 256, 8)
    assert torch.equal(logits(first, torch.zeros_like(second)), weights["output.bias"].expand(8, 10))
    for noise in ((first, torch.ones_like(second)), (torch.ones_like(first), second)):
        assert not torch.allclose(logits(*noise), logits())
