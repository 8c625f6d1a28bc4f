"""The paper's algorithm on ONE network, written to be obviously right rather than fast.

The stacked trainer is tested against this file, and notebook 05 injects its faults through the callables here:
`step` (one optimizer update) and `reset` (what happens between two rounds).
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from lth_utils import masks as masking
from lth_utils import networks, rewinding
from lth_utils.data import DataOrder, Dataset, scale_pixels
from lth_utils.masks import Masks, Weights
from lth_utils.paper import Protocol


@dataclass
class Round:
    """One training of one network: curves as lists, weights before and after, early stop read off afterwards."""

    masks: Masks
    first_weights: Weights
    final_weights: Weights
    iterations: list[int]
    validation_losses: list[float]
    validation_accuracies: list[float]
    test_accuracies: list[float]

    @property
    def early_stop(self) -> int:
        """Index of the evaluation with the smallest validation loss (the first one, if tied)."""
        return min(range(len(self.iterations)), key=self.validation_losses.__getitem__)


def masked_step(network, weights, masks, optimizer, images, labels) -> None:
    """One update of the surviving weights and all biases on the mean cross-entropy of a batch."""
    optimizer.zero_grad()
    F.cross_entropy(networks.forward(network, weights, images), labels).backward()
    for name, mask in masks.items():
        weights[name].grad[~mask] = 0
    optimizer.step()


def new_optimizer(weights: Weights, protocol: Protocol) -> torch.optim.Optimizer:
    """A fresh optimizer: its state must not survive from one round to the next."""
    parameters, rate = list(weights.values()), protocol.learning_rate
    return {
        "adam": lambda: torch.optim.Adam(parameters, lr=rate),
        "sgd": lambda: torch.optim.SGD(parameters, lr=rate),
        "momentum": lambda: torch.optim.SGD(parameters, lr=rate, momentum=0.9),
        "adadelta": lambda: torch.optim.Adadelta(parameters, lr=rate),
    }[protocol.optimizer]()


def train(
    weights: Weights, masks: Masks, seed: int, protocol: Protocol, data: Dataset, step: Callable = masked_step
) -> Round:
    """Train a copy of the masked weights for protocol.training_iterations; training never stops early."""
    first = masking.apply(weights, masks)
    live = {name: value.clone().requires_grad_() for name, value in first.items()}
    optimizer = new_optimizer(live, protocol)
    images = _scaled(data.train_images, protocol, live)
    order = DataOrder(seed, len(images))
    done = Round(masks, first, live, [], [], [], [])
    for iteration in range(protocol.training_iterations + 1):
        if iteration % protocol.evaluation_interval == 0:
            _evaluate(done, iteration, protocol, data)
        if iteration < protocol.training_iterations:
            batch = order.take(protocol.batch_size)
            step(protocol.network, live, masks, optimizer, images[batch], data.train_labels[batch])
    done.final_weights = {name: value.detach().clone() for name, value in live.items()}
    return done


def _scaled(images, protocol, weights):
    return scale_pixels(images, protocol.pixel_scaling).to(weights["output.weight"].dtype)


@torch.no_grad()
def _evaluate(done, iteration, protocol, data):
    measured = []
    for images, labels in (
        (data.validation_images, data.validation_labels),
        (data.test_images, data.test_labels),
    ):
        weights = done.final_weights
        logits = networks.forward(protocol.network, weights, _scaled(images, protocol, weights))
        accuracy = (logits.argmax(1) == labels).double().mean()
        measured.append((F.cross_entropy(logits.double(), labels).item(), accuracy.item()))
    (loss, accuracy), (_, test_accuracy) = measured
    done.iterations.append(iteration)
    done.validation_losses.append(loss)
    done.validation_accuracies.append(accuracy)
    done.test_accuracies.append(test_accuracy)


def reset(initial_weights: Weights, trained: Round, masks: Masks) -> Weights:
    """Survivors go back to their initial weights (Section 2: "resetting")."""
    return rewinding.rewind(initial_weights, masks)


def iterative_pruning(
    initial_weights: Weights,
    seeds: list[int],
    protocol: Protocol,
    data: Dataset,
    step: Callable = masked_step,
    reset: Callable = reset,
) -> list[Round]:
    """Section 1's algorithm: train, prune the smallest survivors, reset, repeat; one round per data-order seed."""
    masks, weights, rounds = masking.ones(initial_weights), initial_weights, []
    for seed in seeds:
        rounds.append(train(weights, masks, seed, protocol, data, step))
        masks = masking.prune_smallest(rounds[-1].final_weights, masks, protocol.pruning_rates)
        weights = reset(initial_weights, rounds[-1], masks)
    return rounds
