"""Masks on hand-sized tensors, and the paper's ladders on real sizes. Counts are counts, never sums of magnitudes."""

import hashlib

import numpy as np
import pytest
import torch
from synthetic import pruned

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


def test_a_layer_without_weights_or_without_rate_is_named():
    weights, masks = layer(TEN)
    with pytest.raises(KeyError, match=r"fc1\.weight"):
        masking.prune_smallest({}, masks, {"fc1.weight": 0.2})
    with pytest.raises(KeyError, match=r"fc1\.weight"):
        masking.prune_smallest(weights, masks, {"fc2.weight": 0.2})


def test_a_mask_of_another_shape_is_refused():
    weights, _ = layer(TEN)
    with pytest.raises(ValueError, match=r"\(1, 10\).*\(2, 5\)"):
        masking.prune_smallest(
            weights, {"fc1.weight": torch.ones(2, 5, dtype=torch.bool)}, {"fc1.weight": 0.2}
        )


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


def test_a_history_in_which_weights_come_back_is_refused():
    dense = {"fc1.weight": torch.tensor([True, True])}
    half = {"fc1.weight": torch.tensor([True, False])}
    with pytest.raises(ValueError, match="came back to life"):
        masking.pruned_at([dense, half, dense])
