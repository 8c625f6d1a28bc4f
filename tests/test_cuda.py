"""On a GPU itself: what is captured equals what is not, alone equals side by side, and memory is given back.

`pytest -m cuda` runs these alone; without a GPU that can be used they are skipped.
"""

import dataclasses

import numpy as np
import pytest
import torch
from synthetic import dataset, digest, protocol, pruned

from lth_utils import gpu, networks, reference, training
from lth_utils import masks as masking

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(
        not torch.cuda.is_available() or gpu.usable("cuda") != "", reason="there is no GPU that can be used"
    ),
]
CURVES = ("validation_loss", "validation_accuracy")


@pytest.fixture(autouse=True)
def given_back():
    yield
    training.release()


@pytest.fixture(scope="module")
def images():
    return dataset("cifar10", train=600, validation=100, test=100)


@pytest.fixture(scope="module")
def digits():
    return dataset(train=600, validation=100, test=100)


def settings(network, **changes):
    usual = {"training_iterations": 50, "evaluation_interval": 10, "batch_size": 60}
    return protocol(network, **(usual | {"pixel_scaling": "standardized"} | changes))


def start(network, count):
    weights = [networks.initial_weights(network, seed) for seed in range(count)]
    return weights, [pruned(network, 3 * number) for number in range(count)]


def train(data, chosen, weights, masks, device="cuda", seeds=None):
    seeds = seeds or list(range(len(weights)))
    parts = {"initial_weights": weights, "masks": masks, "seeds": seeds}
    return training.train(chosen.network, **parts, protocol=chosen, data=data, device=device)


def assert_equal(first, second):
    for one, other in zip(first, second, strict=True):
        assert all(np.array_equal(one.curves[name], other.curves[name]) for name in CURVES)
        assert digest(one.final_weights) == digest(other.final_weights)


@pytest.mark.parametrize(("network", "precision"), [("conv2", "bfloat16"), ("lenet", "float32")])
def test_captured_equals_the_same_steps_one_by_one_over_50_iterations(
    images, digits, monkeypatch, network, precision
):
    data, chosen = images if network == "conv2" else digits, settings(network, precision=precision)
    captured = train(data, chosen, *start(network, 2))
    training.release()
    monkeypatch.setattr(gpu, "capture", lambda step, device: step)
    assert_equal(captured, train(data, chosen, *start(network, 2)))


def test_a_lane_equals_itself_alone_and_in_lanes_that_were_loaded_again(images):
    chosen, (weights, masks) = settings("conv2", precision="bfloat16"), start("conv2", 3)
    together = train(images, chosen, weights, masks)
    assert_equal(together, train(images, chosen, weights, masks))
    assert_equal(together[2:], train(images, chosen, weights[2:], masks[2:], seeds=[2]))


@pytest.mark.parametrize("network", ["lenet", "conv2"])
def test_float32_stays_close_to_a_cpu_over_300_steps(images, digits, network):
    data, steps = (digits, 300) if network == "lenet" else (images, 30)  # a CPU takes a second for ten
    chosen = settings(network, training_iterations=steps, batch_size=20)
    on_gpu, on_cpu = (train(data, chosen, *start(network, 2), device=device) for device in ("cuda", "cpu"))
    for one, other in zip(on_gpu, on_cpu, strict=True):
        assert np.allclose(one.curves["validation_loss"], other.curves["validation_loss"], rtol=0, atol=1e-4)


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_dropout_drops_on_a_gpu_what_it_drops_on_a_cpu(digits, dropout):
    chosen = settings("lenet", dropout=dropout, batch_size=20)
    on_gpu, on_cpu = (train(digits, chosen, *start("lenet", 2), device=device) for device in ("cuda", "cpu"))
    for one, other in zip(on_gpu, on_cpu, strict=True):
        assert np.allclose(one.curves["validation_loss"], other.curves["validation_loss"], rtol=0, atol=1e-4)


def test_three_rounds_give_the_masks_of_the_reference_but_for_near_ties(digits):
    chosen = settings("lenet", training_iterations=30)
    (weights,), (masks,) = start("lenet", 1)
    expected = masks
    for pruning_round in range(3):
        (result,) = train(digits, chosen, [weights], [masks], seeds=[pruning_round])
        truth = reference.train(weights, expected, pruning_round, chosen, digits)
        masks = masking.prune_smallest(result.final_weights, masks, chosen.pruning_rates)
        expected = masking.prune_smallest(truth.final_weights, expected, chosen.pruning_rates)
        for name, mask in masks.items():
            assert mask.sum() == expected[name].sum()
            assert (mask != expected[name]).float().mean() < 1e-3


def test_pruning_on_the_device_equals_pruning_on_the_cpu():
    (weights,), (masks,) = start("conv2", 1)
    there = masking.prune_smallest({n: w.cuda() for n, w in weights.items()}, _on_gpu(masks), 0.2)
    here = masking.prune_smallest(weights, masks, 0.2)
    assert all(torch.equal(there[name].cpu(), here[name]) for name in here)


def _on_gpu(masks):
    return {name: mask.cuda() for name, mask in masks.items()}


def test_a_lane_that_diverges_harms_no_other(images):
    chosen, (weights, masks) = settings("conv2", optimizer="sgd", learning_rate=1e-3), start("conv2", 2)
    exploding = {name: 1e20 * value for name, value in weights[1].items()}
    calm, wild = (train(images, chosen, [weights[0], other], masks) for other in (weights[1], exploding))
    assert_equal(calm[:1], wild[:1])
    assert wild[1].diverged and not wild[0].diverged


def test_memory_is_given_back(images):
    training.release()
    before = torch.cuda.memory_allocated()
    train(images, settings("conv2", training_iterations=10), *start("conv2", 2))
    assert torch.cuda.memory_allocated() > before
    training.release()
    assert torch.cuda.memory_allocated() - before < 2**25  # work space of its libraries stays


def test_tf32_is_another_arithmetic_than_float32(images):
    chosen = settings("conv2", training_iterations=10)
    single, tf32 = (
        train(images, dataclasses.replace(chosen, precision=precision), *start("conv2", 1))[0]
        for precision in ("float32", "tf32")
    )
    assert not np.array_equal(single.curves["validation_loss"], tf32.curves["validation_loss"])
