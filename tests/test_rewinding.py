"""Rewinding: exact, complete with biases, and never an alias of the saved weights."""

import math

import pytest
import torch
from synthetic import pruned

from lth_utils import networks, rewinding


@pytest.fixture(scope="module")
def masks():
    return pruned("lenet", 3)


@pytest.fixture
def saved():
    """Weights as of some iteration: like the initial ones, but with biases that have moved."""
    weights = networks.initial_weights("lenet", 0)
    for number, name in enumerate(name for name in weights if name.endswith(".bias")):
        weights[name] += 0.5 + number
    return weights


def test_rewinding_restores_survivors_bit_for_bit_and_zeroes_the_rest(saved, masks):
    rewound = rewinding.rewind(saved, masks)
    assert list(rewound) == list(saved)
    for name, mask in masks.items():
        assert torch.equal(rewound[name][mask], saved[name][mask])
        assert not rewound[name][~mask].any()
        assert bool((~mask).any())


def test_rewinding_restores_biases_too(saved, masks):
    rewound = rewinding.rewind(saved, masks)
    for name in ("fc1.bias", "fc2.bias", "output.bias"):
        assert bool(saved[name].all()) and torch.equal(rewound[name], saved[name])


def test_training_rewound_weights_cannot_reach_the_saved_ones(saved, masks):
    before = {name: value.clone() for name, value in saved.items()}
    for value in rewinding.rewind(saved, masks).values():
        value.add_(1.0)
    assert all(torch.equal(saved[name], value) for name, value in before.items())


def test_even_under_the_dense_mask_nothing_is_aliased(saved):
    for name, value in rewinding.rewind(saved, pruned("lenet", 0)).items():
        assert value.data_ptr() != saved[name].data_ptr()


def test_reinitialised_survivors_differ_from_the_tickets_own_and_have_their_distribution(saved, masks):
    fresh, own = rewinding.reinitialise("lenet", 1, masks), networks.initial_weights("lenet", 0)
    for name, mask in masks.items():
        assert not fresh[name][~mask].any()
        assert float((fresh[name][mask] == own[name][mask]).float().mean()) < 0.01
        z = fresh[name][mask].double() / math.sqrt(2 / sum(mask.shape))
        assert float(z.abs().max()) <= 2
        assert float(z.std()) == pytest.approx(0.88, abs=4 * 0.55 / math.sqrt(len(z)))


def test_reinitialised_survivors_are_not_large_because_the_tickets_were(masks):
    """The survivors of pruning by initial magnitude have a hole around zero; a fresh draw under their mask has none."""
    own, fresh = networks.initial_weights("lenet", 0), rewinding.reinitialise("lenet", 1, masks)
    mask = masks["fc1.weight"]
    small = 0.1 * math.sqrt(2 / (784 + 300))
    assert not bool((own["fc1.weight"][mask].abs() < small).any())
    assert float((fresh["fc1.weight"][mask].abs() < small).float().mean()) == pytest.approx(0.083, abs=0.01)


def test_reinitialising_repeats_with_its_seed_and_differs_between_seeds(masks):
    first, again, other = (rewinding.reinitialise("lenet", seed, masks) for seed in (1, 1, 2))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not any(torch.equal(first[name], other[name]) for name in masks)
