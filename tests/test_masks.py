"""Masks on hand-sized tensors, and the paper's ladders on real sizes. Counts are counts, never sums of magnitudes."""

import hashlib

import numpy as np
import pytest
import torch
from synthetic import pruned
from torch import nn
from torch.nn.utils import parametrizations
from torch.nn.utils import prune as torch_prune

from lth_utils import masks as masking
from lth_utils import networks, paper

TEN = torch.tensor([0.9, -0.1, 0.8, -0.2, 0.7, -0.3, 0.6, -0.4, 0.5, -1.0])


def layer(values, **extra):
    """One prunable layer of the given values, shaped [out, in] with one row, and its dense mask."""
    weights = {"fc1.weight": torch.as_tensor(values, dtype=torch.float32).view(1, -1)} | extra
    return weights, masking.ones(weights)


def prune(weights, masks, rate):
    return masking.prune_smallest(weights, masks, dict.fromkeys(masks, rate))


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


def test_the_dense_mask_covers_weights_and_never_biases():
    weights = two_layers()
    masks = masking.ones(weights)
    assert list(masks) == ["fc1.weight", "output.weight"]
    assert all(mask.dtype == torch.bool and bool(mask.all()) for mask in masks.values())
    assert all(mask.shape == weights[name].shape for name, mask in masks.items())


def test_ten_weights_at_rate_one_fifth_lose_the_two_smallest_magnitudes_and_not_three():
    assert survivors(prune(*layer(TEN), 0.2)) == [0, 2, 4, 5, 6, 7, 8, 9]


def test_the_sign_of_a_weight_does_not_matter():
    weights, masks = layer(TEN)
    negated = {"fc1.weight": -weights["fc1.weight"]}
    assert survivors(prune(weights, masks, 0.5)) == survivors(prune(negated, masks, 0.5)) == [0, 2, 4, 6, 9]


def test_the_second_round_takes_a_fraction_of_what_remains():
    weights, masks = layer(torch.arange(1.0, 101.0))
    counts = []
    for _ in range(3):
        masks = prune(weights, masks, 0.2)
        counts.append(len(survivors(masks)))
    assert counts == [80, 64, 51]  # of 100, 80, 64: 20, 16, 13


@pytest.mark.parametrize(
    ("count", "rate", "removed"),
    [
        (10, 0.25, 2),
        (14, 0.25, 4),
        (2, 0.25, 0),
        (6, 0.25, 2),
        (5, 0.1, 0),
        (15, 0.1, 2),
        (7, 0.2, 1),
        (1, 0.9, 1),
        (9, 0.0, 0),
    ],
)
def test_the_number_removed_is_rounded_half_to_even(count, rate, removed):
    assert len(survivors(prune(*layer(torch.arange(1.0, count + 1)), rate))) == count - removed


def test_ties_fall_in_index_order():
    assert survivors(prune(*layer([1.0, -1.0, 1.0, -1.0, 1.0, 1.0]), 0.5)) == [3, 4, 5]


def test_ties_fall_in_index_order_among_many():
    masks = prune(*layer(torch.ones(30_000)), 0.4)
    assert survivors(masks) == list(range(12_000, 30_000))


def test_pruned_weights_are_not_counted_again_even_when_they_are_zero():
    weights, masks = layer(TEN)
    masks = prune(weights, masks, 0.5)
    zeroed = masking.apply(weights, masks)
    assert len(survivors(prune(zeroed, masks, 0.4))) == 3


def test_a_weight_that_was_pruned_stays_pruned_however_large_it_becomes():
    weights, masks = layer(TEN)
    masks = prune(weights, masks, 0.2)
    revived = {"fc1.weight": torch.where(masks["fc1.weight"], weights["fc1.weight"], torch.tensor(100.0))}
    masking.assert_nested(prune(revived, masks, 0.25), masks)


def test_inputs_are_untouched():
    weights, masks = layer(TEN.clone())
    before = weights["fc1.weight"].clone()
    masks = prune(weights, masks, 0.2)
    kept = masks["fc1.weight"].clone()
    prune(weights, masks, 0.5)
    assert torch.equal(weights["fc1.weight"], before)
    assert torch.equal(masks["fc1.weight"], kept)


def test_a_rate_of_zero_gives_an_equal_but_new_mask():
    weights, masks = layer(TEN)
    same = prune(weights, masks, 0.0)
    assert torch.equal(same["fc1.weight"], masks["fc1.weight"])
    assert same["fc1.weight"].data_ptr() != masks["fc1.weight"].data_ptr()


def test_weights_that_train_can_be_pruned():
    weights, masks = layer(TEN)
    weights["fc1.weight"].requires_grad_()
    assert len(survivors(prune(weights, masks, 0.2))) == 8


# --- layer by layer, or over the whole network --------------------------------------------------------------------------


def test_layers_are_pruned_independently_each_at_its_own_rate():
    weights = two_layers()
    masks = masking.prune_smallest(weights, masking.ones(weights), {"fc1.weight": 0.5, "output.weight": 0.25})
    assert survivors(masks) == [4, 5, 6, 7]
    assert survivors(masks, "output.weight") == [1, 2, 3]


def test_global_scope_ranks_all_layers_together():
    weights = two_layers()
    masks = masking.prune_smallest(weights, masking.ones(weights), 0.25, scope="global")
    assert survivors(masks) == [2, 3, 4, 5, 6, 7]
    assert survivors(masks, "output.weight") == [1, 2, 3]
    again = masking.prune_smallest(weights, masks, 0.25, scope="global")
    masking.assert_nested(again, masks)
    assert masking.density(again) == pytest.approx(7 / 12)


def test_global_ties_fall_in_layer_order():
    weights = {"fc1.weight": torch.ones(2, 2), "output.weight": torch.ones(1, 4)}
    masks = masking.prune_smallest(weights, masking.ones(weights), 0.5, scope="global")
    assert survivors(masks) == [] and survivors(masks, "output.weight") == [0, 1, 2, 3]


# --- mistakes -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [-0.1, 1.0, 1.5, float("nan")])
def test_a_rate_outside_its_range_is_refused(rate):
    with pytest.raises(ValueError, match=r"\[0, 1\)"):
        prune(*layer(TEN), rate)


def test_an_unknown_scope_is_refused():
    weights, masks = layer(TEN)
    with pytest.raises(ValueError, match="'network'"):
        masking.prune_smallest(weights, masks, 0.2, scope="network")


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


@pytest.mark.parametrize("rates", [{}, {"fc1.bias": 0.2}, {"module.fc1.weight": 0.2}])
def test_every_masked_layer_needs_a_rate_by_its_name_and_spared_layers_may_have_one(rates):
    with pytest.raises(KeyError, match=r"fc1\.weight"):
        masking.prune_smallest(*layer(TEN), rates)
    assert len(survivors(masking.prune_smallest(*layer(TEN), rates | {"fc1.weight": 0.2}))) == 8


def test_one_rate_stands_for_all_layers_and_the_scope_decides_whether_there_may_be_several():
    weights = two_layers()
    dense = masking.ones(weights)
    for rate in (0.5, np.float32(0.5), np.float64(0.5)):
        assert survivors(masking.prune_smallest(weights, dense, rate)) == [4, 5, 6, 7]
        assert survivors(masking.prune_smallest(weights, dense, rate), "output.weight") == [2, 3]
    with pytest.raises(TypeError, match="global"):
        masking.prune_smallest(weights, dense, dict.fromkeys(dense, 0.5), scope="global")


@pytest.mark.parametrize(
    "call", [masking.apply, lambda weights, masks: masking.prune_smallest(weights, masks, 0.2)]
)
@pytest.mark.parametrize("shape", [(2, 5), (10,), (1, 1), (10, 1)])
def test_a_mask_of_another_shape_is_refused_though_it_could_be_broadcast(call, shape):
    with pytest.raises(ValueError, match=r"fc1\.weight: .*\(1, 10\)"):
        call(layer(TEN)[0], {"fc1.weight": torch.ones(shape, dtype=torch.bool)})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("scope", ["layer", "global"])
def test_survivors_that_are_not_finite_cannot_be_ranked_and_pruned_ones_do_not_matter(value, scope):
    weights = two_layers()
    masks = masking.prune_smallest(weights, masking.ones(weights), 0.25, scope="global")
    weights["fc1.weight"][0, 0] = value  # pruned
    expected = masking.prune_smallest(two_layers(), masks, 0.2, scope)
    assert all(
        torch.equal(mask, expected[n])
        for n, mask in masking.prune_smallest(weights, masks, 0.2, scope).items()
    )
    weights["output.weight"][0, 2] = value
    with pytest.raises(ValueError, match=r"^output\.weight: .*not finite"):
        masking.prune_smallest(weights, masks, 0.0, scope)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), -3.0])
def test_a_pruned_weight_is_zero_whatever_its_saved_value_was(value):
    weights, masks = layer(TEN.clone())
    masks["fc1.weight"][0, 3] = False
    weights["fc1.weight"][0, 3] = value
    applied = masking.apply(weights, masks)["fc1.weight"]
    assert applied[0, 3] == 0 and torch.equal(applied[0, :3], TEN[:3])


# --- which parameters are weights ---------------------------------------------------------------------------------------


class Block(nn.Module):
    """Parameters of one's own: a matrix, a layer scale, a class token, and a scale over two axes of a known kind."""

    def __init__(self):
        super().__init__()
        self.mixing, self.gamma = nn.Parameter(torch.rand(3, 4)), nn.Parameter(torch.rand(4, 1, 1))
        self.token, self.norm = nn.Parameter(torch.rand(1, 4)), nn.LayerNorm((3, 4))
        self.register_buffer("table", torch.rand(3, 4))


@pytest.mark.parametrize(
    ("module", "names"),
    [
        (nn.Linear(3, 2), ["weight"]),
        (nn.Linear(3, 1), ["weight"]),
        (nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 2)), ["0.weight", "2.weight"]),
        (nn.Sequential(nn.Conv1d(1, 1, 5), nn.GroupNorm(1, 1), nn.PReLU(3)), ["0.weight"]),
        (nn.ConvTranspose3d(2, 2, 1, groups=2), ["weight"]),
        (nn.LSTM(3, 4, proj_size=2), ["weight_ih_l0", "weight_hh_l0", "weight_hr_l0"]),
        (nn.GRUCell(3, 1), ["weight_ih", "weight_hh"]),
        (nn.MultiheadAttention(4, 2, add_bias_kv=True), ["in_proj_weight", "out_proj.weight"]),
        (
            nn.MultiheadAttention(4, 2, kdim=3),
            ["q_proj_weight", "k_proj_weight", "v_proj_weight", "out_proj.weight"],
        ),
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
    attention = nn.ModuleDict(
        {"rnn": nn.LSTM(2, 3), "attention": nn.MultiheadAttention(4, 2), "norm": nn.LayerNorm(4)}
    )
    state = attention.state_dict() | {
        "positions": torch.arange(6).view(2, 3),
        "causal": torch.ones(2, 2).bool(),
    }
    assert set(masking.ones(state)) == {
        name for name, value in attention.state_dict().items() if value.dim() > 1
    }


@pytest.mark.parametrize("nothing", [{}, {"fc1.bias": torch.zeros(3)}, nn.BatchNorm2d(3), nn.ReLU()])
def test_where_nothing_can_be_pruned_there_is_an_error(nothing):
    with pytest.raises(ValueError, match="no matrix or filter"):
        masking.ones(nothing)
    with pytest.raises(ValueError, match="no masks"):
        masking.density({})


@pytest.mark.filterwarnings("ignore:.*weight_norm")
@pytest.mark.parametrize(
    "compute",
    [
        nn.utils.weight_norm,
        nn.utils.spectral_norm,
        parametrizations.weight_norm,
        parametrizations.spectral_norm,
        parametrizations.orthogonal,
        lambda layer: torch_prune.l1_unstructured(layer, "weight", 0.5),
    ],
)
def test_weights_that_are_computed_from_others_are_refused_by_name(compute):
    model = nn.Sequential(nn.Linear(2, 2), compute(nn.Linear(4, 3)))
    for given in (model, model.state_dict()):
        with pytest.raises(ValueError, match=r"^1\..*computes"):
            masking.ones(given)


@pytest.mark.parametrize("lazy", [nn.LazyLinear(3), nn.LazyConv2d(3, 3)])
def test_lazy_layers_are_refused_by_name_until_their_first_pass(lazy):
    for given in (nn.Sequential(lazy), nn.Sequential(lazy).state_dict()):
        with pytest.raises(ValueError, match=r"^0\.weight is uninitialized"):
            masking.ones(given)


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.table, self.hidden, self.output = (
            nn.Embedding(6, 4),
            nn.Linear(4, 4),
            nn.Linear(4, 6, bias=False),
        )
        self.output.weight = self.table.weight


def test_tied_weights_have_one_mask_and_are_counted_once():
    masks = masking.ones(Tied())
    assert list(masks) == ["table.weight", "hidden.weight"]
    masks["hidden.weight"][:] = False
    assert masking.density(masks) == 24 / 40


def test_one_tensor_under_two_names_is_an_error_that_gives_both():
    state, masks = Tied().state_dict(), masking.ones(Tied())
    both = masks | {"output.weight": masks["table.weight"]}
    for call in (
        lambda: masking.ones(state),
        lambda: masking.apply(state, masks),  # would leave output.weight dense
        lambda: masking.prune_smallest(state, both, 0.5),
    ):
        with pytest.raises(ValueError, match=r"table\.weight and output\.weight are one"):
            call()
    del masks["table.weight"]
    assert set(masking.apply(state, masks)) == set(state)  # tied, but not pruned


# --- masks of other types -------------------------------------------------------------------------------------------------


OTHER_TYPES = [
    *(lambda mask, dtype=dtype: mask.to(dtype) for dtype in (torch.uint8, torch.int64, torch.int8)),
    *(lambda mask, dtype=dtype: mask.to(dtype) for dtype in (torch.float16, torch.bfloat16, torch.float32)),
    lambda mask: mask.numpy(),
    lambda mask: mask.double().numpy(),
]


@pytest.mark.parametrize("kind", OTHER_TYPES)
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
        lambda history: {name: torch.from_numpy(array) for name, array in masking.pruned_at(history).items()},
    ):
        expected, found = call(bools), call(others)
        assert all(
            found[n].dtype == value.dtype and torch.equal(found[n], value) for n, value in expected.items()
        )
    with pytest.raises(ValueError, match="came back"):
        masking.assert_nested(others[0], others[1])


@pytest.mark.parametrize(
    ("dtype", "count"), [(torch.float16, 70_001), (torch.bfloat16, 1_001), (torch.float32, 2**24 + 3)]
)
def test_counts_are_exact_where_a_sum_in_the_masks_own_type_is_not(dtype, count):
    mask = torch.ones(1, count, dtype=dtype)
    assert mask.sum().item() != count
    assert masking.density({"fc1.weight": mask}) == 1.0
    if count < 2**24:  # a sort of so many takes seconds
        pruned = masking.prune_smallest({"fc1.weight": mask}, {"fc1.weight": mask}, 0.5)
        assert int(pruned["fc1.weight"].sum()) == count - round(0.5 * count)


@pytest.mark.parametrize(
    "mask", [torch.tensor([[0.5, 1.0]]), torch.tensor([[2, 1]]), torch.tensor([[torch.nan, 1]])]
)
def test_what_is_neither_zero_nor_one_is_no_mask(mask):
    with pytest.raises(ValueError, match=r"fc1\.weight: a mask holds"):
        masking.density({"fc1.weight": mask})
    with pytest.raises(TypeError, match=r"fc1\.weight: .*NoneType"):
        masking.density({"fc1.weight": None})


def test_memory_formats_do_not_matter():
    weight = torch.randn(4, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    for scope in ("layer", "global"):
        masks = {"conv1.weight": torch.ones(4, 3, 2, 2, dtype=torch.bool)}
        expected = masking.prune_smallest({"conv1.weight": weight}, masks, 0.3, scope)
        strided = weight.to(memory_format=torch.channels_last)
        found = masking.prune_smallest(
            {"conv1.weight": strided}, masking.ones({"conv1.weight": strided}), 0.3, scope
        )
        assert torch.equal(found["conv1.weight"], expected["conv1.weight"])


# --- the paper's ladder in whole weights --------------------------------------------------------------------------------


@pytest.mark.parametrize("network", paper.WEIGHT_COUNTS)
def test_whole_weight_counts_follow_percent_remaining_for_28_rounds(network):
    """What is removed depends on the counts alone, so arithmetic stands for 28 prunings of millions of weights."""
    rates = paper.protocol(network).pruning_rates
    counts = paper.weight_counts(network)
    alive = dict(counts)
    for pruning_round in range(1, 29):
        alive = {name: count - round(rates[name] * count) for name, count in alive.items()}
        for name, count in alive.items():
            assert abs(count - counts[name] * (1 - rates[name]) ** pruning_round) < 0.5 / rates[name]
        measured = 100 * sum(alive.values()) / sum(counts.values())
        assert measured == pytest.approx(paper.percent_remaining(network, pruning_round), abs=0.002)


def test_lenet_pruned_28_times_follows_the_ladder_weight_by_weight():
    weights = networks.initial_weights("lenet", 0)
    masks = outer = masking.ones(weights)
    alive = paper.weight_counts("lenet")
    rates = paper.protocol("lenet").pruning_rates
    for pruning_round in range(1, 29):
        masks = masking.prune_smallest(weights, outer, rates)
        masking.assert_nested(masks, outer)
        alive = {name: count - round(rates[name] * count) for name, count in alive.items()}
        assert {name: int(mask.sum()) for name, mask in masks.items()} == alive
        printed = paper.percent_remaining("lenet", pruning_round)
        assert 100 * masking.density(masks) == pytest.approx(printed, abs=0.0015)
        outer = masks
    assert alive == {"fc1.weight": 455, "fc2.weight": 58, "output.weight": 52}


# --- random masks --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fifth_round():
    return pruned("lenet", 5)


def random_masks(masks, seed):
    return masking.random_like(masks, np.random.Generator(np.random.PCG64(seed)))


def test_random_masks_keep_the_counts_of_every_layer_and_are_another_mask(fifth_round):
    masks, drawn = fifth_round, random_masks(fifth_round, 1)
    assert {n: int(m.sum()) for n, m in drawn.items()} == {n: int(m.sum()) for n, m in masks.items()}
    assert [m.shape for m in drawn.values()] == [m.shape for m in masks.values()]
    for name, mask in masks.items():
        assert not torch.equal(drawn[name], mask)
    overlap = (drawn["fc1.weight"] & masks["fc1.weight"]).sum() / masks["fc1.weight"].sum()
    assert float(overlap) == pytest.approx(0.8**5, abs=0.01)  # what chance gives


def test_random_masks_repeat_with_their_seed_and_differ_between_seeds(fifth_round):
    first, again, other = (random_masks(fifth_round, seed) for seed in (1, 1, 2))
    assert all(torch.equal(first[name], again[name]) for name in fifth_round)
    assert not any(torch.equal(first[name], other[name]) for name in fifth_round)


def test_random_masks_are_the_same_bytes_on_every_machine(fifth_round):
    drawn = random_masks(fifth_round, 1)
    packed = b"".join(np.packbits(mask.numpy()).tobytes() for mask in drawn.values())
    assert hashlib.sha256(packed).hexdigest()[:16] == "b87363f73c3988a3"


def test_drawing_a_random_mask_leaves_the_original_alone():
    _, masks = layer(TEN)
    masks["fc1.weight"][0, :5] = False
    before = masks["fc1.weight"].clone()
    random_masks(masks, 0)
    assert torch.equal(masks["fc1.weight"], before)


# --- density, applying, nesting, packing --------------------------------------------------------------------------------


def test_density_is_a_count_and_not_a_mass():
    weights, masks = layer([1000.0, 0.001, 0.001, 0.001])
    assert masking.density(masks) == 1.0
    assert masking.density(prune(weights, masks, 0.75)) == 0.25


def test_density_weighs_layers_by_their_size():
    masks = {
        "fc1.weight": torch.ones(3, 3, dtype=torch.bool),
        "output.weight": torch.zeros(1, 1, dtype=torch.bool),
    }
    assert masking.density(masks) == 0.9


def test_applying_masks_copies_weights_and_biases_and_zeroes_only_what_is_pruned():
    weights, masks = layer(TEN.clone(), **{"fc1.bias": torch.tensor([0.5])})
    masks = prune(weights, masks, 0.2)
    applied = masking.apply(weights, masks)
    assert torch.equal(applied["fc1.weight"] != 0, masks["fc1.weight"])
    assert torch.equal(applied["fc1.weight"][masks["fc1.weight"]], weights["fc1.weight"][masks["fc1.weight"]])
    applied["fc1.weight"].fill_(7.0), applied["fc1.bias"].fill_(7.0)
    assert torch.equal(weights["fc1.weight"].flatten(), TEN) and weights["fc1.bias"].item() == 0.5


def test_a_mask_that_revives_weights_is_caught_and_counted():
    inner, outer = (
        {"fc1.weight": torch.tensor([True, True, False])},
        {"fc1.weight": torch.tensor([False, True, True])},
    )
    with pytest.raises(ValueError, match=r"fc1\.weight: 1 "):
        masking.assert_nested(inner, outer)
    with pytest.raises(ValueError, match="different layers"):
        masking.assert_nested(inner, {})


def test_a_history_of_masks_comes_back_round_by_round():
    weights = networks.initial_weights("lenet", 0)
    history = [masking.ones(weights)]
    for _ in range(4):
        history.append(masking.prune_smallest(weights, history[-1], paper.protocol("lenet").pruning_rates))
    packed = masking.pruned_at(history)
    assert all(array.dtype == np.uint8 for array in packed.values())
    for pruning_round, masks in enumerate(history):
        unpacked = masking.at_round(packed, pruning_round)
        assert list(unpacked) == list(masks)
        assert all(torch.equal(unpacked[name], mask) for name, mask in masks.items())


def test_a_history_may_begin_with_pruned_weights():
    masks = [{"fc1.weight": torch.tensor(kept)} for kept in ([True, False, True], [True, False, False])]
    packed = masking.pruned_at(masks)
    assert packed["fc1.weight"].tolist() == [255, 0, 1]
    assert [masking.at_round(packed, r)["fc1.weight"].tolist() for r in (0, 1)] == [
        m["fc1.weight"].tolist() for m in masks
    ]


def test_a_byte_holds_254_rounds_after_the_first_and_no_more():
    history = [{"fc1.weight": torch.arange(300) >= pruning_round} for pruning_round in range(255)]
    packed = masking.pruned_at(history)
    assert torch.equal(masking.at_round(packed, 254)["fc1.weight"], history[-1]["fc1.weight"])
    with pytest.raises(ValueError, match="not of 256"):
        masking.pruned_at([*history, history[-1]])
    for pruning_round in (255, 300, -1):
        with pytest.raises(ValueError, match="rounds 0 to 254"):
            masking.at_round(packed, pruning_round)


def test_a_history_in_which_weights_come_back_is_refused():
    dense = {"fc1.weight": torch.tensor([True, True])}
    half = {"fc1.weight": torch.tensor([True, False])}
    with pytest.raises(ValueError, match="came back to life"):
        masking.pruned_at([dense, half, dense])
