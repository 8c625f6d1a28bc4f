"""What a GPU does, done on a CPU by the same code without compiling and capturing: lanes that are loaded again and again.

Equality with the reference, counters, reloads, snapshots, neighbours. On a GPU itself: test_cuda.
"""

import dataclasses

import numpy as np
import pytest
import torch
from synthetic import coarse, dataset, digest, double, protocol, pruned

from lth_utils import gpu, networks, reference, training
from lth_utils import masks as masking
from lth_utils.data import DataOrder

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def data():
    return dataset(train=120, validation=40, test=40)


@pytest.fixture(scope="module")
def images():
    return dataset("cifar10", train=20, validation=6, test=6)


@pytest.fixture
def captures(monkeypatch):
    """As if this CPU were a GPU; a list of the steps that were captured."""
    steps = []
    monkeypatch.setattr(gpu, "captured", lambda device: True)

    def capture(step, device):
        steps.append(step)
        step()  # as a GPU does to warm up
        return step

    monkeypatch.setattr(gpu, "capture", capture)
    training.release()
    yield steps
    training.release()


def lenets(count, seed=0):
    weights = [networks.initial_weights("lenet", seed + number) for number in range(count)]
    return weights, [pruned("lenet", 4 * number) for number in range(count)]


def train(data, settings, weights, masks, seeds=None):
    seeds = list(seeds or range(31, 31 + len(weights)))
    parts = {"initial_weights": weights, "masks": masks, "seeds": seeds}
    return training.train(settings.network, **parts, protocol=settings, data=data)


def same(first, second):
    """Whether two results are equal bit for bit."""
    curves = (np.array_equal(first.curves[n], second.curves[n], equal_nan=True) for n in first.curves)
    weights = ("final_weights", "early_stop_weights")
    return all(curves) and all(digest(getattr(first, n)) == digest(getattr(second, n)) for n in weights)


def assert_equal_to_reference(result, start, masks, seed, settings, data):
    expected = reference.train(double(start), masks, seed, settings, data)
    assert np.allclose(result.curves["validation_loss"], expected.validation_losses, rtol=0, atol=1e-9)
    assert result.early_stop_iteration == expected.iterations[expected.early_stop]
    assert result.test_accuracy_at_early_stop == expected.test_accuracies[expected.early_stop]
    for name, value in expected.final_weights.items():
        assert torch.allclose(result.final_weights[name], value, rtol=0, atol=1e-9)


# --- equality ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("optimizer", "rate"), [("adam", 1.2e-3), ("sgd", 0.1), ("momentum", 0.05), ("adadelta", 1.0)]
)
def test_a_captured_stack_equals_the_reference(captures, data, optimizer, rate):
    settings = protocol(optimizer=optimizer, learning_rate=rate, training_iterations=12)
    weights, masks = lenets(3)
    results = train(data, settings, [double(entry) for entry in weights], masks)
    for k, result in enumerate(results):
        assert_equal_to_reference(result, weights[k], masks[k], 31 + k, settings, data)
    assert len(captures) == 1


def test_lanes_side_by_side_equal_each_alone_bit_for_bit_and_the_reference(captures, images):
    settings = protocol("conv2", batch_size=4, pixel_scaling="unit_interval")
    weights, masks = zip(*(coarse("conv2", seed) for seed in (0, 1)), strict=True)
    weights = [double(entry) for entry in weights]
    together = train(images, settings, weights, masks)
    for k, result in enumerate(together):
        assert same(result, train(images, settings, weights[k : k + 1], masks[k : k + 1], [31 + k])[0])
        assert_equal_to_reference(result, weights[k], masks[k], 31 + k, settings, images)


@pytest.mark.parametrize("network", ["lenet", "conv2"])
def test_dropout_and_a_falling_rate_are_what_they_are_without_capture(monkeypatch, data, images, network):
    changes = {"dropout": 0.5, "learning_rate_decay": 0.5, "learning_rate_decay_interval": 3}
    settings = protocol(network, training_iterations=6, pixel_scaling="unit_interval", **changes)
    shown = data if network == "lenet" else images
    weights, masks = coarse(network)
    plain = train(shown, settings, [double(weights)], [masks])[0]
    monkeypatch.setattr(gpu, "captured", lambda device: True)
    result = train(shown, settings, [double(weights)], [masks])[0]
    for name, value in plain.final_weights.items():
        assert torch.allclose(result.final_weights[name], value, rtol=0, atol=1e-8)
    training.release()


def test_batch_norm_is_loaded_trained_and_kept_as_weights_are(captures, images):
    rates = dict.fromkeys(networks.weight_shapes("resnet18"), 0.2)
    settings = protocol("resnet18", pruning_rates=rates, pixel_scaling="unit_interval", training_iterations=2)
    weights = networks.initial_weights("resnet18", 0)
    masks = masking.ones({name: weights[name] for name in rates})
    first, second = (train(images, settings, [weights], [masks])[0] for _ in range(2))
    assert len(captures) == 1 and same(first, second)
    assert list(first.final_weights) == list(weights)
    assert first.final_weights["norm.num_batches_tracked"] == 2
    assert not torch.equal(first.final_weights["norm.running_mean"], weights["norm.running_mean"])


def test_bfloat16_images_are_padded_to_eight_channels_and_nothing_else_changes(captures, images, monkeypatch):
    settings = protocol("conv2", batch_size=4, precision="bfloat16")
    weights, masks = coarse("conv2")
    padded = train(images, settings, [weights], [masks])[0]
    (course,) = training._kept.values()
    train_images = course.splits["train"].images
    assert train_images.dtype == torch.bfloat16 and train_images.shape == (20, 32, 32, 8)
    assert torch.equal(train_images[..., :3], images.train_images.permute(0, 2, 3, 1).bfloat16())
    training.release()
    monkeypatch.setattr(training, "FAST_CHANNELS", 1)
    bare = train(images, settings, [weights], [masks])[0]
    assert np.allclose(padded.curves["validation_loss"], bare.curves["validation_loss"], rtol=0.02)
    assert padded.final_weights["conv1.weight"].shape == (64, 3, 3, 3)


# --- loaded again --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("changes", [{}, {"optimizer": "momentum", "dropout": 0.5}])
def test_a_second_training_in_the_same_lanes_equals_a_fresh_one(captures, data, changes):
    settings, (weights, masks) = protocol(**changes), lenets(4)
    train(data, settings, weights[:2], masks[:2])
    again = train(data, settings, weights[2:], masks[2:], [7, 8])
    assert len(captures) == 1
    training.release()
    fresh = train(data, settings, weights[2:], masks[2:], [7, 8])
    assert len(captures) == 2 and all(map(same, again, fresh))


def test_another_protocol_or_other_data_are_captured_anew_and_only_the_last_is_held(captures, data):
    weights, masks = lenets(1)
    train(data, protocol(), weights, masks)
    train(data, protocol(learning_rate=0.1), weights, masks)
    train(dataset(train=60), protocol(learning_rate=0.1), weights, masks)
    assert len(captures) == 3 and len(training._kept) == 1
    training.release()
    assert not training._kept


def test_the_order_on_the_device_is_the_stream_of_each_seed(captures, data):
    settings = protocol(training_iterations=20, evaluation_interval=5)
    train(data, settings, *lenets(2), [8, 9])
    (course,) = training._kept.values()
    assert course.places.dtype == torch.int32 and course.places.shape == (20, 2, 8)
    for k, seed in enumerate((8, 9)):
        assert torch.equal(course.places[:, k].flatten().long(), DataOrder(seed, 120).take(160))
    assert course.counter.item() == 0


def test_nothing_waits_for_the_device_between_the_first_iteration_and_the_last(captures, data, monkeypatch):
    weights, masks = lenets(2)
    expected = train(data, protocol(), weights, masks)
    results = training._Log.results

    def no_waiting(*_):
        raise AssertionError("this waits for the device")

    def at_the_end(log, splits):
        patch.undo()
        return results(log, splits)

    patch = pytest.MonkeyPatch()
    course = next(iter(training._kept.values()))
    load = course.stack.load

    def loaded(stack):
        load(stack)
        for name in ("item", "tolist", "cpu", "__bool__", "__float__", "__int__"):
            patch.setattr(torch.Tensor, name, no_waiting)

    monkeypatch.setattr(training._Log, "results", at_the_end)
    monkeypatch.setattr(course.stack, "load", loaded)
    try:
        assert all(map(same, train(data, protocol(), weights, masks), expected))
    finally:
        patch.undo()


# --- how many, and neighbours --------------------------------------------------------------------------------------------


def small_lanes(monkeypatch, lanes):
    line = dataclasses.replace(networks.NETWORKS["lenet"], lanes=lanes)
    monkeypatch.setitem(networks.NETWORKS, "lenet", line)


def test_fewer_networks_than_lanes_come_out_as_in_full_lanes(captures, data, monkeypatch):
    small_lanes(monkeypatch, 4)
    weights, masks = lenets(4)
    full = train(data, protocol(), weights, masks)
    three = train(data, protocol(), weights[:3], masks[:3])
    assert len(captures) == 1 and len(three) == 3 and all(map(same, three, full))
    assert len(train(data, protocol(), weights[:2], masks[:2])) == 2 and len(captures) == 2  # half is too few


def test_more_networks_than_lanes_are_trained_in_turns(captures, data, monkeypatch):
    weights, masks = lenets(3)
    together = train(data, protocol(), weights, masks)
    small_lanes(monkeypatch, 2)
    turns = train(data, protocol(), weights, masks)
    for one, other in zip(turns, together, strict=True):
        assert np.allclose(one.curves["validation_loss"], other.curves["validation_loss"], rtol=1e-5)
        assert one.test_accuracy_at_end == other.test_accuracy_at_end


def test_memory_decides_how_many_lanes_there_are(captures, monkeypatch):
    assert training._lanes("conv2", 20, CPU) == 8 and training._lanes("conv2", 3, CPU) == 3
    monkeypatch.setattr(gpu, "room_for", lambda values, device: 5 * 4_301_642 // values)
    assert networks.values("conv2") == 4_300_992 + 64 + 64 + 256 + 256 + 10
    assert training._lanes("conv2", 20, CPU) == training._lanes("conv2", 3, CPU) == 5
    monkeypatch.undo()
    assert training._lanes("conv2", 20, CPU) == 20  # a CPU takes what it is given


@pytest.mark.parametrize("network", ["lenet", "conv2"])
def test_a_lane_that_diverges_harms_no_other_bit_for_bit(captures, data, images, network):
    shown = data if network == "lenet" else images
    settings = protocol(network, optimizer="sgd", learning_rate=1e-3, pixel_scaling="unit_interval")
    weights, masks = zip(*(coarse(network, seed) for seed in (0, 1)), strict=True)
    exploding = {name: 1e20 * value for name, value in weights[1].items()}
    calm, wild = (train(shown, settings, [weights[0], other], masks) for other in (weights[1], exploding))
    assert same(calm[0], wild[0]) and wild[1].diverged and not wild[0].diverged
    after = train(shown, settings, list(weights), masks)
    assert all(map(same, after, calm)) and len(captures) == 1  # nothing of it is left in the lanes


def test_the_best_weights_of_each_lane_are_those_of_its_own_minimum(captures, data):
    wrong = data.validation_labels.clone()
    wrong[:16] = (wrong[:16] + torch.arange(16)) % 10
    noisy = dataclasses.replace(data, validation_labels=wrong)
    settings = protocol(training_iterations=40, evaluation_interval=4, learning_rate=3e-3)
    results = train(noisy, settings, *lenets(2))
    assert all(0 < result.early_stop_iteration < 40 for result in results)
    for k, result in enumerate(results):
        short = dataclasses.replace(settings, training_iterations=result.early_stop_iteration)
        stopped = train(noisy, short, *([part[k]] for part in lenets(2)), [31 + k])[0]
        for name, value in stopped.final_weights.items():
            assert torch.allclose(result.early_stop_weights[name], value, rtol=0, atol=1e-5)
