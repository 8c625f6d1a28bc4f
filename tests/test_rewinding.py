"""Rewinding: exact, complete with biases and buffers, and never an alias of the saved weights."""

import copy

import pytest
import torch
from synthetic import equal, pruned
from torch import nn
from torch.nn.utils import parametrizations

from lth_utils import checks, networks, rewinding
from lth_utils import masks as masking


@pytest.mark.parametrize("pruning_round", [0, 3])
def test_rewinding_brings_back_survivors_and_biases_bit_for_bit_zeroes_the_rest_and_aliases_nothing(
    pruning_round,
):
    saved, masks = networks.initial_weights("lenet", 0), pruned("lenet", pruning_round)
    for name in ("fc1.bias", "fc2.bias", "output.bias"):
        saved[name] += 0.5  # as of some iteration, when biases have moved
    before = copy.deepcopy(saved)
    rewound = rewinding.rewind(saved, masks)
    assert equal(rewound, {name: value * masks.get(name, 1) for name, value in before.items()})
    for value in rewound.values():
        value.add_(1.0)  # training cannot reach the saved ones
    assert equal(saved, before)
    with pytest.raises(KeyError, match=r"module\.fc1\.weight"):
        rewinding.rewind(saved, {f"module.{name}": mask for name, mask in masks.items()})


# --- modules of one's own -------------------------------------------------------------------------------------------------


@pytest.fixture
def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(144, 3))


def train(model, optimizer=None, updates=3):
    optimizer = optimizer or torch.optim.Adam(model.parameters())
    for _ in range(updates):
        optimizer.zero_grad()
        model(torch.randn(5, 1, 8, 8)).square().sum().backward()
        optimizer.step()


def half(model):
    return masking.prune_smallest(rewinding.weights_of(model), masking.ones(model), 0.5)


def test_saved_weights_are_copies_of_parameters_and_buffers_and_loading_brings_all_of_them_back(model):
    model.register_buffer("average", torch.zeros(2), persistent=False)  # in no state dict
    saved = rewinding.weights_of(model)
    assert set(saved) == {*model.state_dict(), "average"}
    checks.saved_weights_are_copies(model, saved)
    before, tensors = copy.deepcopy(saved), list(model.parameters())
    for _ in range(2):  # what was loaded is no alias either
        train(model)
        model.average += 1
        assert not torch.equal(model[1].running_mean, saved["1.running_mean"]) and equal(saved, before)
        rewinding.load(model, saved)
        assert equal(rewinding.weights_of(model), saved) and int(model[1].num_batches_tracked) == 0
    assert all(old is new for old, new in zip(tensors, model.parameters(), strict=True))


def test_tied_parameters_are_saved_once_and_stay_tied():
    model = nn.Sequential(nn.Embedding(5, 3), nn.Linear(3, 5))
    model[1].weight = model[0].weight
    saved = rewinding.weights_of(model)
    assert list(saved) == ["0.weight", "1.bias"]
    rewinding.load(model, rewinding.rewind(saved, {"0.weight": torch.zeros(5, 3)}))
    assert model[1].weight is model[0].weight and not model[1].weight.any()


@pytest.mark.filterwarnings("ignore:.*weight_norm")
@pytest.mark.parametrize("norm", [nn.utils.weight_norm, parametrizations.weight_norm])
def test_what_a_computed_weight_is_made_of_is_saved_and_reset(norm):
    model = nn.Sequential(norm(nn.Linear(4, 3)))
    images = torch.ones(2, 4)
    saved, before = rewinding.weights_of(model), model(images).detach()
    with torch.no_grad():
        for value in model.parameters():
            value += 1
    assert not torch.allclose(model(images), before)
    rewinding.load(model, saved)
    assert torch.equal(model(images), before)


def test_weights_that_do_not_fit_a_module_are_named_and_nothing_is_loaded(model):
    saved = rewinding.weights_of(model)
    train(model)
    trained = rewinding.weights_of(model)
    for name, weights in {
        "0.weight": {f"module.{name}": value for name, value in saved.items()},
        "1.running_var": {name: value for name, value in saved.items() if name != "1.running_var"},
        "3.mask": saved | {"3.mask": torch.ones(3, 144)},
        "0.bias": saved | {"0.bias": torch.ones(1)},  # could be broadcast
    }.items():
        with pytest.raises((KeyError, ValueError), match=name):
            rewinding.load(model, weights)
        assert equal(rewinding.weights_of(model), trained)


@pytest.mark.parametrize(
    "make",
    [
        lambda values: torch.optim.SGD(values, lr=0.1, momentum=0.9, weight_decay=0.1),
        torch.optim.AdamW,
        torch.optim.Adagrad,
    ],
)
def test_pruned_weights_of_a_module_are_kept_at_zero_under_any_optimizer(model, make):
    masks, optimizer = half(model), make(model.parameters())
    for _ in range(4):  # before the first zeroing they have moments
        train(model, optimizer, updates=1)
        rewinding.zero_pruned(model, masks)
        checks.masked_weights_are_zero(model, masks)
    assert all(model.get_parameter(name)[mask].all() for name, mask in masks.items())
    with pytest.raises(KeyError, match=r"module\.0\.weight"):
        rewinding.zero_pruned(model, {"module.0.weight": masks["0.weight"]})


# --- random reinitialisation ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "module",
    [
        nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 2)),
        nn.LSTM(3, 4),
        nn.TransformerEncoderLayer(8, 2, 16),
        nn.DataParallel(nn.Embedding(5, 3)),
    ],
)
def test_a_reinit_is_a_fresh_draw_of_the_networks_own_under_the_same_mask(module):
    initial, masks = rewinding.weights_of(module), half(module)
    state = torch.random.get_rng_state()
    fresh, again, other = (rewinding.reinitialise(module, initial, masks, seed) for seed in (1, 1, 2))
    assert equal(fresh, again) and list(fresh) == list(initial)
    assert torch.equal(torch.random.get_rng_state(), state) and equal(rewinding.weights_of(module), initial)
    for control in (fresh, other):
        checks.reinit_differs(initial, control, masks)
        checks.masked_weights_are_zero(control, masks)
    checks.reinit_differs(fresh, other, masks)
    for name, mask in masks.items():
        assert float(fresh[name][mask].std()) == pytest.approx(float(initial[name].std()), rel=0.6)
    for name in fresh.keys() & {"self_attn.in_proj_bias", "self_attn.out_proj.bias"}:
        assert not fresh[name].any()  # as attention is made


def test_a_reinit_forgets_training_and_a_draw_of_ones_own_must_fill_every_masked_weight(model):
    initial, masks = rewinding.weights_of(model), half(model)
    train(model)
    trained = rewinding.weights_of(model)

    def twos(layer):
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            nn.init.constant_(layer.weight, 2.0)

    def linear_only(layer):
        if isinstance(layer, nn.Linear):
            layer.reset_parameters()

    fresh = rewinding.reinitialise(model, initial, masks, 1, twos)
    assert set(fresh["3.weight"].unique().tolist()) == {0.0, 2.0}
    assert all(torch.equal(fresh[name], initial[name]) for name in ("1.running_mean", "3.bias", "1.weight"))
    assert equal(rewinding.weights_of(model), trained)
    with pytest.raises(ValueError, match=r"^0\.weight: the draw leaves"):
        rewinding.reinitialise(model, initial, masks, 1, linear_only)
    assert equal(rewinding.weights_of(model), trained)
