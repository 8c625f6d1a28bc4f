"""The stacked trainer against the reference, one network at a time; what it records; and what it must not let in."""

import dataclasses
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from synthetic import coarse, dataset, digest, double, protocol, pruned

from lth_utils import layers, networks, reference, stacks, training
from lth_utils import masks as masking
from lth_utils.architectures import Mlp
from lth_utils.data import DataOrder, scale_pixels, training_on_validation

CURVES = ("validation_loss", "validation_accuracy")
SMALL = "lenet_60_20"  # 300 steps in double precision take a second instead of ten
ROUNDS, SEEDS = (0, 3, 12), (21, 22, 23)
OPTIMIZERS = [("adam", 1.2e-3), ("sgd", 0.1), ("momentum", 0.05), ("adadelta", 1.0)]
sparse_kernels = pytest.mark.skipif(
    not torch.backends.mkl.is_available(), reason="this build has no sparse kernels"
)


@pytest.fixture(scope="module")
def data():
    return dataset(train=120, validation=40, test=40)


@pytest.fixture(scope="module")
def initial():
    return [networks.initial_weights("lenet", seed) for seed in range(3)]


def train(data, settings, weights, masks, seeds=None, **options):
    seeds = range(31, 31 + len(weights)) if seeds is None else seeds
    return training.train(
        settings.network,
        initial_weights=weights,
        masks=masks,
        seeds=list(seeds),
        protocol=settings,
        data=data,
        **options,
    )


def same(first, second):
    """Whether two results are equal bit for bit."""
    curves = [
        np.array_equal(first.curves[name], second.curves[name], equal_nan=True) for name in first.curves
    ]
    return all(curves) and digest(first.final_weights) == digest(second.final_weights)


def largest_difference(first, second):
    return max(float((first[name] - second[name]).abs().max()) for name in first)


# --- equivalence: reference == one network == a stack == a sparse stack -------------------------------------------------


@pytest.fixture(scope="module")
def long():
    """300 iterations of a network of one's own, added for these tests with one line."""
    with pytest.MonkeyPatch.context() as patch:
        line = networks.Network(SMALL, "mnist", lambda: Mlp(784, 60, 20), 48_440)
        patch.setitem(networks.NETWORKS, SMALL, line)
        settings = {"training_iterations": 300, "evaluation_interval": 50, "batch_size": 10}
        yield protocol(network=SMALL, **settings)


@pytest.fixture(scope="module")
def small(long):
    """(weights, masks) of three small Lenets: a dense one and tickets of rounds 3 and 12."""
    parts = []
    for seed, pruning_round in enumerate(ROUNDS):
        weights = networks.initial_weights(SMALL, seed)
        masks = masking.ones(weights)
        for _ in range(pruning_round):
            masks = masking.prune_smallest(weights, masks, long.pruning_rates)
        parts.append((weights, masks))
    return parts


@pytest.fixture(scope="module")
def expected(data, long, small):
    """What the reference makes of the three, in double precision."""
    return [
        reference.train(double(w), m, seed, long, data) for (w, m), seed in zip(small, SEEDS, strict=True)
    ]


@pytest.fixture(scope="module")
def stacked(data, long, small):
    """The same three networks, side by side in dense layers."""
    weights, masks = zip(*small, strict=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layers, "SPARSE_BELOW_DENSITY", 0.0)
        return train(data, long, [double(entry) for entry in weights], masks, SEEDS)


def assert_equal_to_reference(result, expected, tolerance=1e-9):
    assert result.curves["iteration"].tolist() == expected.iterations
    assert np.allclose(result.curves["validation_loss"], expected.validation_losses, rtol=0, atol=tolerance)
    assert result.curves["validation_accuracy"].tolist() == expected.validation_accuracies
    assert result.early_stop_iteration == expected.iterations[expected.early_stop]
    assert result.test_accuracy_at_early_stop == expected.test_accuracies[expected.early_stop]
    assert result.test_accuracy_at_end == expected.test_accuracies[-1]
    assert largest_difference(result.final_weights, expected.final_weights) < tolerance


@pytest.mark.parametrize("k", range(3), ids=["dense", "round 3", "round 12"])
def test_a_stack_equals_the_reference_over_300_steps(expected, stacked, k):
    assert expected[k].validation_losses[-1] < 0.6 * expected[k].validation_losses[0]
    assert_equal_to_reference(stacked[k], expected[k])


@pytest.mark.parametrize("k", range(2), ids=["dense", "round 3"])
def test_a_network_of_a_stack_equals_itself_trained_alone(data, long, small, stacked, k):
    alone = train(data, long, [double(small[k][0])], [small[k][1]], [SEEDS[k]])[0]
    assert largest_difference(alone.final_weights, stacked[k].final_weights) < 1e-9
    assert largest_difference(alone.early_stop_weights, stacked[k].early_stop_weights) < 1e-9
    for name in CURVES:
        assert np.allclose(alone.curves[name], stacked[k].curves[name], rtol=0, atol=1e-9)


@sparse_kernels
@pytest.mark.parametrize("neighbours", [0, 1])
def test_sparse_layers_equal_the_reference_and_masked_dense_layers(
    data, long, small, expected, stacked, monkeypatch, neighbours
):
    chosen, choose = [], layers.choose_linear
    monkeypatch.setattr(layers, "choose_linear", lambda *parts: chosen.append(choose(*parts)) or chosen[-1])
    weights, masks = small[2]
    everyone = [double(weights)] + [double(small[0][0])] * neighbours
    result = train(data, long, everyone, [masks] * len(everyone), [SEEDS[2], 7][: len(everyone)])[0]
    assert [type(layer) for layer in chosen] == [layers.SparseLinear, layers.DenseLinear, layers.DenseLinear]
    assert_equal_to_reference(result, expected[2])
    assert largest_difference(result.final_weights, stacked[2].final_weights) < 1e-9
    first, *others = [
        masking.prune_smallest(trained.final_weights, masks, long.pruning_rates)
        for trained in (result, stacked[2], expected[2])
    ]
    assert all(torch.equal(first[name], other[name]) for name in masks for other in others)


@sparse_kernels
def test_sparse_layers_equal_dense_ones_at_any_density(data, initial, monkeypatch):
    settings, masks, results = protocol(training_iterations=10), [pruned("lenet", r) for r in (0, 3)], []
    for below in (2.0, 0.0):
        monkeypatch.setattr(layers, "SPARSE_BELOW_DENSITY", below)
        monkeypatch.setattr(layers, "SPARSE_FROM_WEIGHTS", 0)
        results.append(train(data, settings, [double(w) for w in initial[:2]], masks))
    for sparse, dense in zip(*results, strict=True):
        assert largest_difference(sparse.final_weights, dense.final_weights) < 1e-12
        assert largest_difference(sparse.early_stop_weights, dense.early_stop_weights) < 1e-12


@pytest.mark.parametrize(
    "chosen", [slice(0, 2), pytest.param(slice(2, 3), marks=sparse_kernels)], ids=["dense", "sparse"]
)
def test_single_precision_stays_close_to_double_over_100_steps(data, long, small, expected, chosen):
    settings = dataclasses.replace(long, training_iterations=100)
    weights, masks = zip(*small[chosen], strict=True)
    results = train(data, settings, weights, masks, SEEDS[chosen])
    for result, truth in zip(results, expected[chosen], strict=True):
        assert result.final_weights["fc1.weight"].dtype == torch.float32
        assert np.allclose(result.curves["validation_loss"], truth.validation_losses[:3], rtol=0, atol=1e-4)


@pytest.mark.parametrize(("optimizer", "rate"), OPTIMIZERS)
def test_every_optimizer_equals_the_reference(data, initial, optimizer, rate):
    settings = protocol(optimizer=optimizer, learning_rate=rate, training_iterations=6)
    result = train(data, settings, [double(initial[0])], [pruned("lenet", 3)], [5])[0]
    truth = reference.train(double(initial[0]), pruned("lenet", 3), 5, settings, data)
    assert_equal_to_reference(result, truth)
    assert largest_difference(truth.first_weights, truth.final_weights) > 1e-3


def test_convolutional_networks_equal_the_reference():
    data = dataset("cifar10", train=20, validation=6, test=6)
    settings = protocol("conv2", training_iterations=2, batch_size=4, pixel_scaling="unit_interval")
    weights, masks = zip(*(coarse("conv2", seed) for seed in (0, 1)), strict=True)
    weights = [double(entry) for entry in weights]
    second = train(data, settings, weights, masks, [1, 2])[1]
    assert_equal_to_reference(second, reference.train(weights[1], masks[1], 2, settings, data))


# --- what one network may notice of the others ---------------------------------------------------------------------------


@pytest.mark.parametrize("factor", [1e10, math.nan])
def test_neighbours_change_nothing_bit_for_bit(data, initial, factor):
    masks = [pruned("lenet", 3)] * 2
    exploding = {name: factor * value for name, value in initial[1].items()}
    calm, wild = (
        train(data, protocol(), [initial[0], other], masks, [1, 2]) for other in (initial[1], exploding)
    )
    assert same(calm[0], wild[0])
    assert not same(calm[1], wild[1])
    if math.isnan(factor):
        assert (wild[1].diverged, wild[1].early_stop_iteration) == (True, 0)
        assert np.isnan(wild[1].validation_loss_at_early_stop)


def test_equal_seeds_see_equal_batches_and_others_do_not(data, initial):
    results = train(data, protocol(), [initial[0]] * 3, [pruned("lenet", 1)] * 3, [5, 5, 6])
    assert same(results[0], results[1])
    assert not same(results[0], results[2])
    assert same(results[0], train(data, protocol(), [initial[0]] * 3, [pruned("lenet", 1)] * 3, [5, 6, 6])[0])


def test_training_leaves_the_given_weights_and_masks_alone(data, initial):
    masks = [{name: mask.clone() for name, mask in pruned("lenet", r).items()} for r in (0, 3)]
    before = [digest(entry) for entry in [*initial[:2], *masks]]
    results = train(data, protocol(), initial[:2], masks)
    assert [digest(entry) for entry in [*initial[:2], *masks]] == before
    assert not any(digest(result.final_weights) in before for result in results)


def test_a_diverged_network_is_recorded_and_the_others_go_on(data, initial):
    exploding = {name: 1e10 * value for name, value in initial[0].items()}
    settings = protocol(optimizer="sgd", learning_rate=0.1)
    healthy, diverged = train(data, settings, [initial[1], exploding], [pruned("lenet", 1)] * 2)
    assert (healthy.diverged, diverged.diverged) == (False, True)
    assert np.isfinite(healthy.curves["validation_loss"]).all()
    assert not np.isfinite(diverged.curves["validation_loss"][-1])
    assert diverged.early_stop_iteration == 0
    assert digest(diverged.early_stop_weights) == digest(masking.apply(exploding, pruned("lenet", 1)))


def test_a_learning_rate_beyond_reason_ends_in_a_diverged_record(data, initial):
    result = train(data, protocol(optimizer="sgd", learning_rate=1e30), initial[:1], [pruned("lenet", 0)])[0]
    assert result.diverged and result.early_stop_iteration == 0
    assert result.test_accuracy_at_end <= 0.5


# --- steps -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("iterations", [1, 2, 3, 5])
@pytest.mark.parametrize(("optimizer", "rate"), OPTIMIZERS)
def test_pruned_weights_are_exactly_zero_after_every_step(data, initial, optimizer, rate, iterations):
    settings = protocol(
        optimizer=optimizer,
        learning_rate=rate,
        training_iterations=iterations,
        evaluation_interval=iterations,
    )
    masks = [pruned("lenet", r) for r in (0, 3)]
    for result, mask in zip(train(data, settings, initial[:2], masks), masks, strict=True):
        for name, alive in mask.items():
            assert not result.final_weights[name][~alive].any()
            assert float((result.final_weights[name][alive] != 0).float().mean()) > 0.999


@pytest.mark.parametrize("below", [0.0, pytest.param(2.0, marks=sparse_kernels)], ids=["dense", "sparse"])
def test_after_one_step_survivors_of_either_sign_and_biases_have_moved(data, initial, monkeypatch, below):
    monkeypatch.setattr(layers, "SPARSE_BELOW_DENSITY", below)
    masks = pruned("lenet", 3)
    settings = protocol(training_iterations=1, evaluation_interval=1)
    result = train(data, settings, initial[:1], [masks])[0]
    for name, mask in masks.items():
        before, after = initial[0][name], result.final_weights[name]
        for sign in (before > 0, before < 0):
            assert (
                float((after != before)[sign & mask].float().mean()) > 0.25
            )  # the rest feeds dead hidden units
        assert bool(result.final_weights[name.replace(".weight", ".bias")].any())


def test_the_learning_rate_falls_by_its_factor_at_every_interval():
    settings = protocol(learning_rate=1.0, learning_rate_decay=0.5, learning_rate_decay_interval=3)
    rates = [training.learning_rate(settings, iteration) for iteration in range(8)]
    assert rates == [1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.25, 0.25]
    assert training.learning_rate(protocol(learning_rate=1.0, learning_rate_decay=0.5), 1000) == 1.0


def test_a_decaying_rate_trains_as_torchs_own_schedule_does(data, initial):
    settings = protocol(
        training_iterations=8, evaluation_interval=4, learning_rate_decay=0.1, learning_rate_decay_interval=3
    )
    result = train(data, settings, [double(initial[0])], [masking.ones(initial[0])], [5])[0]
    live = {name: value.clone().requires_grad_() for name, value in double(initial[0]).items()}
    optimizer = torch.optim.Adam(live.values(), lr=settings.learning_rate)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 3, 0.1)
    images, order = scale_pixels(data.train_images, "unit_interval").double(), DataOrder(5, 120)
    for _ in range(8):
        batch = order.take(8)
        optimizer.zero_grad()
        F.cross_entropy(networks.forward("lenet", live, images[batch]), data.train_labels[batch]).backward()
        optimizer.step()
        schedule.step()
    assert largest_difference(result.final_weights, {k: v.detach() for k, v in live.items()}) < 1e-12


# --- what is recorded ------------------------------------------------------------------------------------------------------


OVERFITTING = protocol(
    training_iterations=40, evaluation_interval=4, learning_rate=3e-3, train_evaluation_examples=50
)


@pytest.fixture(scope="module")
def noisy(data):
    """Validation images of which some have wrong labels: validation loss has its minimum before the end."""
    wrong = data.validation_labels.clone()
    wrong[:16] = (wrong[:16] + torch.arange(16)) % 10
    return dataclasses.replace(data, validation_labels=wrong)


def overfitted(data, initial):
    return train(
        data, OVERFITTING, initial[:2], [pruned("lenet", r) for r in (0, 3)], [1, 2], test_curve_until=8
    )


@pytest.fixture(scope="module")
def overfit(noisy, initial):
    return overfitted(noisy, initial)


def accuracy(weights, images, labels):
    logits = networks.forward("lenet", weights, scale_pixels(images, "unit_interval"))
    return float((logits.argmax(1) == labels).double().mean())


def test_early_stop_is_the_minimum_of_validation_loss_and_training_went_on(overfit):
    stops = [result.early_stop_iteration for result in overfit]
    assert all(0 < stop < 40 for stop in stops)
    for result, stop in zip(overfit, stops, strict=True):
        curves = result.curves
        assert len(curves["iteration"]) == 11 and curves["iteration"][-1] == 40
        index = int(np.argmin(curves["validation_loss"]))
        assert stop == curves["iteration"][index]
        assert result.validation_loss_at_early_stop == curves["validation_loss"][index]
        assert result.validation_accuracy_at_early_stop == curves["validation_accuracy"][index]
        assert not result.diverged


def test_accuracies_at_early_stop_and_at_the_end_are_those_of_the_weights_of_then(overfit, noisy):
    data = noisy
    assert overfit[0].train_accuracy_at_early_stop != overfit[0].train_accuracy_at_end
    for result in overfit:
        early, end = result.early_stop_weights, result.final_weights
        assert digest(early) != digest(end)
        assert result.validation_accuracy_at_early_stop == accuracy(
            early, data.validation_images, data.validation_labels
        )
        assert result.test_accuracy_at_early_stop == accuracy(early, data.test_images, data.test_labels)
        assert result.test_accuracy_at_end == accuracy(end, data.test_images, data.test_labels)
        assert result.train_accuracy_at_early_stop == accuracy(
            early, data.train_images[:50], data.train_labels[:50]
        )
        assert result.train_accuracy_at_end == accuracy(end, data.train_images[:50], data.train_labels[:50])


def test_train_accuracy_is_over_all_training_images_unless_told_otherwise(data, initial):
    result = train(data, protocol(training_iterations=40), initial[:1], [pruned("lenet", 0)])[0]
    assert result.train_accuracy_at_end == accuracy(
        result.final_weights, data.train_images, data.train_labels
    )
    assert result.train_accuracy_at_end > 0.6


def test_test_accuracy_is_recorded_while_it_is_wanted_and_at_the_end(overfit):
    for result in overfit:
        known = ~np.isnan(result.curves["test_accuracy"])
        assert result.curves["iteration"][known].tolist() == [0, 4, 8, 40]
        assert result.curves["test_accuracy"][-1] == result.test_accuracy_at_end


def test_without_a_wish_test_accuracy_is_recorded_at_the_end_only(data, initial):
    result = train(data, protocol(), initial[:1], [pruned("lenet", 0)])[0]
    assert np.isnan(result.curves["test_accuracy"]).tolist() == [True, True, False]


def test_permuting_test_labels_changes_test_accuracies_and_nothing_else(noisy, initial, overfit):
    permuted = dataclasses.replace(noisy, test_labels=noisy.test_labels.flip(0))
    for honest, other in zip(overfit, overfitted(permuted, initial), strict=True):
        assert honest.test_accuracy_at_early_stop != other.test_accuracy_at_early_stop
        assert honest.early_stop_iteration == other.early_stop_iteration
        assert digest(honest.early_stop_weights) == digest(other.early_stop_weights)
        assert digest(honest.final_weights) == digest(other.final_weights)
        assert all(np.array_equal(honest.curves[name], other.curves[name]) for name in CURVES)


def test_only_the_first_training_examples_are_used_where_a_protocol_says_so(data, initial):
    black = data.train_images.clone()
    black[20:] = 0
    settings = protocol(training_examples=20, training_iterations=6)
    some, again = (
        train(which, settings, initial[:1], [pruned("lenet", 0)])[0]
        for which in (data, dataclasses.replace(data, train_images=black))
    )
    assert same(some, again)
    assert not same(some, train(data, protocol(training_iterations=6), initial[:1], [pruned("lenet", 0)])[0])


def test_validation_images_are_trained_on_only_where_a_protocol_says_so(data, initial):
    """Batches of the whole training set: what it holds decides the gradient, whatever the order."""
    everything = training_on_validation(data)
    count = len(everything.train_labels)
    assert count == len(data.train_labels) + len(data.validation_labels)
    told, by_hand, without = (
        train(which, settings, initial[:1], [pruned("lenet", 0)])[0]
        for which, settings in (
            (data, protocol(training_iterations=6, validation_trained_on=True)),
            (everything, protocol(training_iterations=6)),
            (data, protocol(training_iterations=6)),
        )
    )
    assert same(told, by_hand) and not same(told, without)


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        ({"training_examples": 121}, "training_examples is 121, but there are 120"),
        ({"training_examples": -1}, "training_examples is -1"),
        ({"train_evaluation_examples": 121}, "train_evaluation_examples is 121, but there are 120"),
        ({"training_examples": 20, "train_evaluation_examples": 50}, "is 50, but there are 20"),
    ],
)
def test_more_training_examples_than_there_are_is_refused(data, initial, wish, words):
    with pytest.raises(ValueError, match=words):
        train(data, protocol(**wish), initial[:1], [pruned("lenet", 0)])
    for name, count in (("training_examples", 120), ("train_evaluation_examples", 120)):
        train(data, protocol(training_iterations=2, **{name: count}), initial[:1], [pruned("lenet", 0)])


def test_progress_is_told_after_every_evaluation(data, initial):
    seen = []
    train(data, protocol(), initial[:1], [pruned("lenet", 0)], progress=seen.append)
    assert seen == [0, 2, 4]


def test_float32_means_float32_on_a_gpu_too_and_tf32_is_a_precision_of_its_own(data, initial, monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    torch.backends.cuda.matmul.allow_tf32 = True
    train(data, protocol(), initial[:1], [pruned("lenet", 0)])
    assert not torch.backends.cudnn.allow_tf32
    assert not torch.backends.cuda.matmul.allow_tf32
    with pytest.raises(ValueError, match="tf32 is a precision of GPUs"):
        train(data, protocol(precision="tf32"), initial[:1], [pruned("lenet", 0)])


@pytest.mark.skipif(not torch.set_flush_denormal(True), reason="this processor cannot flush them")
def test_denormal_numbers_are_flushed_to_zero():
    assert (torch.tensor([1e-40]) * 1.0).item() == 0.0


def test_of_tied_minima_iteration_and_weights_are_of_the_first(data, initial, monkeypatch):
    planted = torch.full((1,), 2.0, dtype=torch.float64)
    monkeypatch.setattr(training._Log, "_measure", lambda self, split, examples=0: (planted, planted))
    result = train(data, protocol(), initial[:1], [pruned("lenet", 0)])[0]
    assert result.early_stop_iteration == 0
    assert digest(result.early_stop_weights) == digest(initial[0]) != digest(result.final_weights)


def test_the_protocol_of_another_network_is_refused(data, initial):
    settings = {"protocol": protocol("conv2"), "data": data, "seeds": [1]}
    with pytest.raises(ValueError, match="the protocol is that of conv2, the networks are lenet"):
        training.train("lenet", initial_weights=initial[:1], masks=[pruned("lenet", 0)], **settings)


@pytest.mark.parametrize(("weights", "masks", "seeds"), [(2, 1, 1), (1, 2, 1), (1, 1, 2), (0, 0, 0)])
def test_a_stack_of_unequal_parts_is_refused(data, initial, weights, masks, seeds):
    with pytest.raises(ValueError, match=f"got {weights}, {masks} and {seeds}"):
        train(data, protocol(), initial[:weights], [pruned("lenet", 0)] * masks, range(seeds))


def test_images_that_were_scaled_before_are_refused(data, initial):
    scaled = dataclasses.replace(data, train_images=data.train_images.float() / 255)
    with pytest.raises(TypeError, match="uint8"):
        train(scaled, protocol(), initial[:1], [pruned("lenet", 0)])


def test_lower_precision_is_used_where_a_protocol_says_so_and_weights_stay_single(data, initial):
    single, lower = (
        train(data, protocol(precision=precision), initial[:1], [pruned("lenet", 0)])[0]
        for precision in ("float32", "bfloat16")
    )
    assert lower.final_weights["fc1.weight"].dtype == torch.float32
    # The weights are the same before training: there, only evaluation can differ.
    assert single.curves["validation_loss"][0] != lower.curves["validation_loss"][0]
    assert digest(single.final_weights) != digest(lower.final_weights)
    assert np.allclose(single.curves["validation_loss"], lower.curves["validation_loss"], atol=0.05)


def test_a_pruned_convolutional_network_learns_in_lower_precision_and_keeps_its_mask():
    data = dataset("cifar10", train=24, validation=24, test=8)
    settings = protocol(
        "conv2",
        precision="bfloat16",
        pixel_scaling="standardized",
        learning_rate=3e-3,
        training_iterations=18,
        evaluation_interval=6,
    )
    weights = networks.initial_weights("conv2", 0)
    kept = {name: 0.3 if "conv" in name or "output" in name else 0.1 for name in masking.ones(weights)}
    rates = {name: 1 - share for name, share in kept.items()}
    masks = masking.prune_smallest(weights, masking.ones(weights), rates)
    (result,) = train(data, settings, [weights], [masks])
    assert result.curves["validation_loss"][-1] < 0.6 * result.curves["validation_loss"][0]
    for name, mask in masks.items():
        assert result.final_weights[name].dtype == torch.float32
        assert not result.final_weights[name][~mask].any()
        assert (result.final_weights[name] != weights[name])[mask].any()


# --- data order ------------------------------------------------------------------------------------------------------------


def test_batches_of_a_stack_are_cut_from_the_stream_one_after_the_other(data, initial, monkeypatch):
    """What the networks see, image by image, is the stream of their seed, across evaluations and ends of passes."""
    seen, step = [], stacks.StackedMlp.step

    def spying(stack, rate, images, *others):
        seen.append(images)
        step(stack, rate, images, *others)

    monkeypatch.setattr(stacks.StackedMlp, "step", spying)
    settings = protocol(training_iterations=20, evaluation_interval=5)
    train(data, settings, initial[:2], [pruned("lenet", 0)] * 2, [8, 9])
    images = scale_pixels(data.train_images, "unit_interval")
    assert len(seen) == 20
    for k, seed in enumerate((8, 9)):
        stream = torch.cat([batch[k] for batch in seen])
        assert torch.equal(stream, images[DataOrder(seed, 120).take(160)])


def test_measures_do_not_depend_on_the_batches_they_are_taken_in(data, initial, monkeypatch):
    settings, masks = protocol(train_evaluation_examples=50), [pruned("lenet", 0), pruned("lenet", 3)]
    whole = train(data, settings, initial[:2], masks)
    other = dataclasses.replace(networks.NETWORKS["lenet"], evaluation_batch=7)
    monkeypatch.setitem(networks.NETWORKS, "lenet", other)
    for one, other in zip(whole, train(data, settings, initial[:2], masks), strict=True):
        assert np.allclose(one.curves["validation_loss"], other.curves["validation_loss"], atol=1e-6)
        for name in ("test_accuracy_at_early_stop", "test_accuracy_at_end", "train_accuracy_at_end"):
            assert getattr(one, name) == getattr(other, name)
