"""Masks on hand-sized tensors, and the paper's ladders on real sizes. Counts are counts, never sums of magnitudes."""

import numpy as np
import pytest
import torch
from synthetic import equal, pruned
from torch import nn
from torch.nn.utils import parametrizations
from torch.nn.utils import prune as torch_prune

from lth_utils import masks as masking
from lth_utils import paper

TEN = torch.tensor([0.9, -0.1, 0.8, -0.2, 0.7, -0.3, 0.6, -0.4, 0.5, -1.0])
NAN, INFINITE = float("nan"), float("inf")


def layer(values):
    """One prunable layer of the given values, shaped [out, in] with one row, and its dense mask."""
    weights = {"fc1.weight": torch.as_tensor(values, dtype=torch.float32).view(1, -1).clone()}
    return weights, masking.ones(weights)


def survivors(masks, name="fc1.weight"):
    return masks[name].flatten().nonzero().flatten().tolist()


def two_layers():
    return {
        "fc1.weight": torch.tensor([[0.1, -0.2, 0.3, -0.4], [5.0, 6.0, 7.0, 8.0]]),
        "fc1.bias": torch.zeros(2),
        "output.weight": torch.tensor([[0.05, 9.0, -10.0, 11.0]]),
        "output.bias": torch.zeros(1),
    }


# --- what goes and what stays --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "rate", "kept"),
    [
        (TEN, 0.2, [0, 2, 4, 5, 6, 7, 8, 9]),
        (TEN, 0.5, [0, 2, 4, 6, 9]),
        (-TEN, 0.5, [0, 2, 4, 6, 9]),
        ([1.0, -1.0, 1.0, -1.0, 1.0, 1.0], 0.5, [3, 4, 5]),  # ties fall in index order
        ([1.0] * 30_000, 0.4, list(range(12_000, 30_000))),  # among many, too
    ],
)
def test_the_smallest_magnitudes_go_and_inputs_stay_as_they_are(values, rate, kept):
    (weights, masks), (same, dense) = layer(values), layer(values)
    weights["fc1.weight"].requires_grad_()  # weights that train can be pruned
    assert survivors(masking.prune_smallest(weights, masks, rate)) == kept
    assert equal(weights, same) and equal(masks, dense)
    new = masking.prune_smallest(weights, masks, 0.0)["fc1.weight"]
    assert new.all() and new.data_ptr() != masks["fc1.weight"].data_ptr()


@pytest.mark.parametrize(
    ("count", "rate", "removed"),
    [(10, 0.25, 2), (14, 0.25, 4), (2, 0.25, 0), (5, 0.1, 0), (15, 0.1, 2), (7, 0.2, 1), (1, 0.9, 1)],
)
def test_the_number_removed_is_rounded_half_to_even(count, rate, removed):
    masks = masking.prune_smallest(*layer(torch.arange(1.0, count + 1)), rate)
    assert len(survivors(masks)) == count - removed


@pytest.mark.parametrize("become", [0.0, 100.0, NAN, INFINITE])
def test_later_rounds_take_a_share_of_the_survivors_whatever_pruned_weights_have_become(become):
    weights, masks = layer(torch.arange(1.0, 101.0))
    for count in (80, 64, 51):  # of 100, 80, 64: 20, 16, 13 go
        outer, masks = masks, masking.prune_smallest(weights, masks, 0.2)
        masking.assert_nested(masks, outer)
        assert survivors(masks) == list(range(100 - count, 100))
        weights["fc1.weight"][~masks["fc1.weight"]] = become


def test_layers_are_pruned_independently_and_global_scope_ranks_them_together():
    weights = two_layers()
    dense = masking.ones(weights)
    own_rates = masking.prune_smallest(weights, dense, {"fc1.weight": 0.5, "output.weight": 0.25, "more": 0})
    assert (survivors(own_rates), survivors(own_rates, "output.weight")) == ([4, 5, 6, 7], [1, 2, 3])
    for rate in (0.5, np.float32(0.5)):
        one_rate = masking.prune_smallest(weights, dense, rate)
        assert (survivors(one_rate), survivors(one_rate, "output.weight")) == ([4, 5, 6, 7], [2, 3])
    together = masking.prune_smallest(weights, dense, 0.25, scope="global")
    assert (survivors(together), survivors(together, "output.weight")) == ([2, 3, 4, 5, 6, 7], [1, 2, 3])
    again = masking.prune_smallest(weights, together, 0.25, scope="global")
    masking.assert_nested(again, together)
    assert masking.density(again) == pytest.approx(7 / 12)
    ties = {"fc1.weight": torch.ones(2, 2), "output.weight": torch.ones(1, 4)}
    tied = masking.prune_smallest(ties, masking.ones(ties), 0.5, scope="global")
    assert survivors(tied) == [] and survivors(tied, "output.weight") == [0, 1, 2, 3]  # in layer order


# --- mistakes -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        *(({"rates": rate}, ValueError, r"\[0, 1\)") for rate in (-0.1, 1.0, 1.5, NAN)),
        *(({"rates": rates}, KeyError, r"fc1\.weight") for rates in ({}, {"module.fc1.weight": 0.2})),
        ({"rates": 0.2, "scope": "network"}, ValueError, "'network'"),
        ({"rates": {"fc1.weight": 0.5}, "scope": "global"}, TypeError, "global"),
    ],
)
def test_rates_and_scopes_that_cannot_be_meant_are_refused(options, error, words):
    with pytest.raises(error, match=words):
        masking.prune_smallest(*layer(TEN), **options)


@pytest.mark.parametrize("stored", ["module.fc1.weight", "_orig_mod.fc1.weight", "fc1", "fc2.weight"])
def test_names_that_do_not_match_are_an_error_that_names_the_mask(stored):
    weights, masks = layer(TEN)
    foreign = {stored: weights["fc1.weight"]}
    for call in (
        lambda: masking.prune_smallest(foreign, masks, 0.2),
        lambda: masking.prune_smallest(foreign, masks, 0.2, scope="global"),
        lambda: masking.apply(foreign, masks),
        lambda: masking.assert_nested(masks, masking.ones(foreign)),
        lambda: masking.pruned_at([masks, masking.ones(foreign)]),
    ):
        with pytest.raises((KeyError, ValueError), match=r"fc1\.weight"):
            call()


@pytest.mark.parametrize("shape", [(2, 5), (10,), (1, 1), (10, 1)])
def test_a_mask_of_another_shape_is_refused_though_it_could_be_broadcast(shape):
    weights, masks = layer(TEN)[0], {"fc1.weight": torch.ones(shape, dtype=torch.bool)}
    for call in (masking.apply, lambda weights, masks: masking.prune_smallest(weights, masks, 0.2)):
        with pytest.raises(ValueError, match=r"fc1\.weight: .*\(1, 10\)"):
            call(weights, masks)


@pytest.mark.parametrize("value", [NAN, INFINITE, -INFINITE])
@pytest.mark.parametrize("scope", ["layer", "global"])
def test_survivors_that_are_not_finite_cannot_be_ranked(value, scope):
    weights = two_layers()
    weights["output.weight"][0, 2] = value
    with pytest.raises(ValueError, match=r"^output\.weight: .*not finite"):
        masking.prune_smallest(weights, masking.ones(weights), 0.0, scope)


# --- which parameters are weights ---------------------------------------------------------------------------------------


class Block(nn.Module):
    """Parameters of one's own: a matrix, a layer scale, a class token, and a scale over two axes of a known kind."""

    def __init__(self):
        super().__init__()
        self.mixing, self.gamma = nn.Parameter(torch.rand(3, 4)), nn.Parameter(torch.rand(4, 1, 1))
        self.token, self.norm = nn.Parameter(torch.rand(1, 4)), nn.LayerNorm((3, 4))
        self.register_buffer("table", torch.rand(3, 4))


PROJECTIONS = ["q_proj_weight", "k_proj_weight", "v_proj_weight", "out_proj.weight"]


@pytest.mark.parametrize(
    ("module", "names"),
    [
        (nn.Linear(3, 1), ["weight"]),
        (nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 2)), ["0.weight", "2.weight"]),
        (nn.Sequential(nn.Conv1d(1, 1, 5), nn.GroupNorm(1, 1), nn.PReLU(3)), ["0.weight"]),
        (nn.ConvTranspose3d(2, 2, 1, groups=2), ["weight"]),
        (nn.LSTM(3, 4, proj_size=2), ["weight_ih_l0", "weight_hh_l0", "weight_hr_l0"]),
        (nn.GRUCell(3, 1), ["weight_ih", "weight_hh"]),
        (nn.MultiheadAttention(4, 2, add_bias_kv=True), ["in_proj_weight", "out_proj.weight"]),
        (nn.MultiheadAttention(4, 2, kdim=3), PROJECTIONS),
        (
            nn.Sequential(nn.Embedding(5, 3), nn.RMSNorm((2, 3)), nn.Bilinear(2, 3, 1)),
            ["0.weight", "2.weight"],
        ),
        (Block(), ["mixing"]),
        (nn.DataParallel(nn.Linear(3, 2)), ["module.weight"]),
    ],
)
def test_matrices_and_filters_of_a_module_have_masks_and_nothing_else_has(module, names):
    masks = masking.ones(module)
    assert sorted(masks) == sorted(names)
    for name, mask in masks.items():
        assert mask.dtype == torch.bool and mask.shape == module.get_parameter(name).shape and mask.all()


def test_in_a_dict_every_float_tensor_of_two_axes_is_a_matrix():
    state = nn.ModuleDict({"rnn": nn.LSTM(2, 3), "norm": nn.LayerNorm(4)}).state_dict()
    others = {"positions": torch.arange(6).view(2, 3), "causal": torch.ones(2, 2).bool()}
    assert set(masking.ones(state | others)) == {"rnn.weight_ih_l0", "rnn.weight_hh_l0"}
    assert list(masking.ones(two_layers())) == ["fc1.weight", "output.weight"]


@pytest.mark.parametrize("nothing", [{}, {"fc1.bias": torch.zeros(3)}, nn.BatchNorm2d(3), nn.ReLU()])
def test_where_nothing_can_be_pruned_there_is_an_error(nothing):
    with pytest.raises(ValueError, match="no matrix or filter"):
        masking.ones(nothing)
    with pytest.raises(ValueError, match="no masks"):
        masking.density({})


@pytest.mark.filterwarnings("ignore:.*weight_norm")
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (nn.utils.weight_norm, "computes"),
        (nn.utils.spectral_norm, "computes"),
        (parametrizations.weight_norm, "computes"),
        (parametrizations.orthogonal, "computes"),
        (lambda layer: torch_prune.l1_unstructured(layer, "weight", 0.5), "computes"),
        (lambda layer: nn.LazyLinear(3), "is uninitialized"),
        (lambda layer: nn.LazyConv2d(3, 3), "is uninitialized"),
    ],
)
def test_weights_that_are_computed_or_not_there_yet_are_refused_by_name(change, words):
    model = nn.Sequential(nn.Linear(2, 2), change(nn.Linear(4, 3)))
    for given in (model, model.state_dict()):
        with pytest.raises(ValueError, match=rf"^1\..*{words}"):
            masking.ones(given)


def test_tied_weights_have_one_mask_and_one_tensor_under_two_names_is_an_error():
    tied = nn.Sequential(nn.Embedding(6, 4), nn.Linear(4, 4), nn.Linear(4, 6, bias=False))
    tied[2].weight = tied[0].weight
    state, masks = tied.state_dict(), masking.ones(tied)
    assert list(masks) == ["0.weight", "1.weight"]
    masks["1.weight"][:] = False
    assert masking.density(masks) == 24 / 40
    for call in (
        lambda: masking.ones(state),
        lambda: masking.apply(state, masks),  # would leave 2.weight dense
        lambda: masking.prune_smallest(state, masks | {"2.weight": masks["0.weight"]}, 0.5),
    ):
        with pytest.raises(ValueError, match=r"0\.weight and 2\.weight are one"):
            call()
    del masks["0.weight"]
    assert set(masking.apply(state, masks)) == set(state)  # tied, but not pruned


# --- masks of other types -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind",
    [torch.Tensor.byte, torch.Tensor.long, torch.Tensor.bfloat16, torch.Tensor.float, torch.Tensor.numpy],
)
def test_masks_of_another_type_mean_the_same(kind):
    weights = two_layers()
    bools = [masking.ones(weights)]
    bools += [masking.prune_smallest(weights, bools[0], 0.25)]
    others = [{name: kind(mask) for name, mask in masks.items()} for masks in bools]
    for call in (
        lambda history: masking.prune_smallest(weights, history[1], 0.3),
        lambda history: masking.prune_smallest(weights, history[1], 0.3, scope="global"),
        lambda history: masking.apply(weights, history[1]),
        lambda history: random_masks(history[1], 0),
        lambda history: {"density": torch.tensor(masking.density(history[1]))},
        lambda history: masking.at_round(masking.pruned_at(history), 1),
    ):
        assert equal(call(bools), call(others))
    with pytest.raises(ValueError, match="came back"):
        masking.assert_nested(others[0], others[1])


@pytest.mark.parametrize(("dtype", "count"), [(torch.float16, 70_001), (torch.bfloat16, 1_001)])
def test_counts_are_exact_where_a_sum_in_the_masks_own_type_is_not(dtype, count):
    masks = {"fc1.weight": torch.ones(1, count, dtype=dtype)}
    assert masks["fc1.weight"].sum().item() != count
    assert masking.density(masks) == 1.0
    left = masking.prune_smallest(masks, masks, 0.5)["fc1.weight"]
    assert int(left.sum()) == count - round(0.5 * count)


@pytest.mark.parametrize("mask", [[[0.5, 1.0]], [[2, 1]], [[NAN, 1]]])
def test_what_is_neither_zero_nor_one_is_no_mask(mask):
    with pytest.raises(ValueError, match=r"fc1\.weight: a mask holds"):
        masking.density({"fc1.weight": torch.tensor(mask)})
    with pytest.raises(TypeError, match=r"fc1\.weight: .*list"):
        masking.density({"fc1.weight": mask})


@pytest.mark.parametrize("scope", ["layer", "global"])
def test_memory_formats_do_not_matter(scope):
    plain = {"conv1.weight": torch.randn(4, 3, 2, 2, generator=torch.Generator().manual_seed(0))}
    strided = {"conv1.weight": plain["conv1.weight"].to(memory_format=torch.channels_last)}
    expected, found = (masking.prune_smallest(w, masking.ones(w), 0.3, scope) for w in (plain, strided))
    assert equal(found, expected)


# --- the paper's ladder in whole weights --------------------------------------------------------------------------------


@pytest.mark.parametrize("network", paper.WEIGHT_COUNTS)
def test_whole_weight_counts_follow_percent_remaining_for_28_rounds(network):
    """What is removed depends on the counts alone, so arithmetic stands for 28 prunings of millions of weights."""
    rates, counts = paper.protocol(network).pruning_rates, paper.weight_counts(network)
    alive = dict(counts)
    for pruning_round in range(1, 29):
        alive = {name: count - round(rates[name] * count) for name, count in alive.items()}
        measured = 100 * sum(alive.values()) / sum(counts.values())
        assert measured == pytest.approx(paper.percent_remaining(network, pruning_round), abs=0.002)
    if network == "lenet":
        assert alive == {"fc1.weight": 455, "fc2.weight": 58, "output.weight": 52}


# --- random masks --------------------------------------------------------------------------------------------------------


def random_masks(masks, seed):
    return masking.random_like(masks, np.random.Generator(np.random.PCG64(seed)))


def test_random_masks_keep_the_counts_of_every_layer_at_other_places_that_their_seed_decides():
    masks = pruned("lenet", 5)
    before = {name: mask.clone() for name, mask in masks.items()}
    drawn, again, other = (random_masks(masks, seed) for seed in (1, 1, 2))
    assert equal(masks, before) and equal(drawn, again)
    for name, mask in masks.items():
        assert drawn[name].shape == mask.shape and drawn[name].sum() == other[name].sum() == mask.sum()
        assert not torch.equal(drawn[name], mask) and not torch.equal(drawn[name], other[name])
    overlap = (drawn["fc1.weight"] & masks["fc1.weight"]).sum() / masks["fc1.weight"].sum()
    assert float(overlap) == pytest.approx(0.8**5, abs=0.01)  # what chance gives


# --- density, applying, nesting, packing --------------------------------------------------------------------------------


def test_density_is_a_count_over_all_weights_and_not_a_mass_or_a_mean_over_layers():
    weights, masks = layer([1000.0, 0.001, 0.001, 0.001])
    assert masking.density(masks) == 1.0
    assert masking.density(masking.prune_smallest(weights, masks, 0.75)) == 0.25
    unequal = {"fc1.weight": torch.ones(3, 3).bool(), "output.weight": torch.zeros(1, 1).bool()}
    assert masking.density(unequal) == 0.9


@pytest.mark.parametrize("value", [NAN, INFINITE, -INFINITE, -3.0])
def test_applying_masks_copies_everything_and_zeroes_what_is_pruned_whatever_it_was(value):
    weights, masks = layer(TEN)
    weights["fc1.bias"] = torch.tensor([0.5])
    masks["fc1.weight"][0, 3] = False
    weights["fc1.weight"][0, 3] = value
    applied = masking.apply(weights, masks)
    expected = TEN * masks["fc1.weight"]
    assert torch.equal(applied["fc1.weight"], expected) and applied["fc1.bias"].item() == 0.5
    applied["fc1.weight"].fill_(7.0), applied["fc1.bias"].fill_(7.0)
    assert torch.equal(weights["fc1.weight"][0, :3], TEN[:3]) and weights["fc1.bias"].item() == 0.5


def test_a_mask_that_revives_weights_is_caught_and_counted():
    inner, outer = ({"fc1.weight": torch.tensor(kept)} for kept in ([True, True, False], [False, True, True]))
    with pytest.raises(ValueError, match=r"fc1\.weight: 1 "):
        masking.assert_nested(inner, outer)
    with pytest.raises(ValueError, match="different layers"):
        masking.assert_nested(inner, {})
    with pytest.raises(ValueError, match="came back to life"):
        masking.pruned_at([outer, inner])


def test_a_history_of_masks_comes_back_round_by_round_and_may_begin_with_pruned_weights():
    history = [pruned("lenet", pruning_round) for pruning_round in range(1, 5)]
    packed = masking.pruned_at(history)
    assert all(array.dtype == np.uint8 for array in packed.values())
    for pruning_round, masks in enumerate(history):
        assert equal(masking.at_round(packed, pruning_round), masks)


def test_a_byte_holds_254_rounds_after_the_first_and_no_more():
    history = [{"fc1.weight": torch.arange(300) >= pruning_round} for pruning_round in range(255)]
    packed = masking.pruned_at(history)
    assert equal(masking.at_round(packed, 254), history[-1])
    with pytest.raises(ValueError, match="not of 256"):
        masking.pruned_at([*history, history[-1]])
    for pruning_round in (255, 300, -1):
        with pytest.raises(ValueError, match="rounds 0 to 254"):
            masking.at_round(packed, pruning_round)
