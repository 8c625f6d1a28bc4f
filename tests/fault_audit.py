"""The checks of `checks` at their places in one small chain: which of them notices which fault? Not a test.

Data are small noisy patterns, so nothing is read from the disk.
"""

import contextlib
from collections.abc import Callable
from dataclasses import replace

import torch

from lth_utils import checks, networks, paper, reference
from lth_utils.checks import CheckFailed
from lth_utils.data import Dataset
from lth_utils.faults import injected
from lth_utils.faults.injected import Fault
from lth_utils.masks import Weights
from lth_utils.paper import Protocol
from lth_utils.reference import Parts

ROUNDS = 3
PROTOCOL = {
    "training_iterations": 100,
    "evaluation_interval": 5,
    "batch_size": 20,
}  # twenty epochs of 100 images


class _Findings:
    """Names of the checks that failed."""

    def __init__(self):
        self.names: set[str] = set()

    def run(self, check: Callable[..., None], *arguments) -> None:
        try:
            check(*arguments)
        except CheckFailed:
            self.names.add(check.__name__)


def caught(fault: Fault) -> set[str]:
    """Every check that fails while Lenet is pruned for three rounds under this fault."""
    found, protocol = _Findings(), replace(paper.protocol("lenet"), **PROTOCOL)
    data = _patterns()
    trained_on = fault.data(data)
    found.run(checks.validation_is_held_out, trained_on.train_images, trained_on.validation_images)
    initial = networks.initial_weights("lenet", 0)
    copy = {name: value.clone() for name, value in initial.items()}
    parts = fault.parts(injected.iterations_per_epoch(protocol, data))
    parts = _watched(parts, initial, copy, found, protocol)
    seeds = list(range(ROUNDS))
    with _one_thread():
        rounds = reference.paper_rounds(initial, seeds, fault.changed(protocol), trained_on, parts)
    found.run(checks.saved_weights_are_untouched, initial, copy)
    for trained in rounds:
        _after_training(found, trained, protocol)
        losses = trained.test_losses if fault.name == injected.ON_TEST else trained.validation_losses
        found.run(checks.chosen_on_validation, reference.lowest(losses), trained.validation_losses)
    for earlier, later in zip(rounds, rounds[1:]):
        found.run(checks.only_weights_are_masked, later.masks)
        found.run(checks.masks_are_nested, later.masks, earlier.masks)
        rates = paper.protocol("lenet").pruning_rates
        found.run(checks.layers_lose_their_share, later.masks, earlier.masks, rates)
    return found.names


@contextlib.contextmanager
def _one_thread():
    """Networks this small spend their time waiting for each other's threads, most of all on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _after_training(found, trained, protocol):
    found.run(checks.masked_weights_are_zero, trained.final_weights, trained.masks)
    ends = trained.first_weights, trained.final_weights
    found.run(checks.survivors_of_both_signs_moved, *ends, trained.masks)
    found.run(checks.training_ran_to_its_end, trained.iterations[-1], protocol.training_iterations)


def _watched(parts: Parts, initial: Weights, copy: Weights, found: _Findings, protocol: Protocol) -> Parts:
    """The same parts, with the checks of a round's start before its first step; copy: of the initial weights."""
    starting = []

    def optimizer(weights, protocol):
        starting.append(weights)
        return parts.optimizer(weights, protocol)

    def step(network, weights, masks, optimizer, images, labels):
        if starting:
            starting.clear()
            found.run(checks.saved_weights_are_copies, weights, initial)
            found.run(checks.weights_are_rewound, weights, copy, masks)
            found.run(checks.optimizer_owns_the_live_weights, optimizer, weights)
            found.run(checks.optimizer_starts_without_state, optimizer)
            found.run(checks.learning_rate_starts_at, optimizer, protocol.learning_rate)
        parts.step(network, weights, masks, optimizer, images, labels)

    return replace(parts, optimizer=optimizer, step=step)


def _patterns() -> Dataset:
    """Three hundred images of noise around ten patterns; a third of all labels is drawn at random."""
    generator = torch.Generator().manual_seed(0)

    def draw(most, *shape):
        return torch.randint(0, most, shape, generator=generator)

    patterns, parts = draw(128, 10, 1, 28, 28), {}
    for split in ("train", "validation", "test"):
        true = draw(10, 100)
        parts[f"{split}_images"] = (patterns[true] + draw(128, 100, 1, 28, 28)).to(torch.uint8)
        parts[f"{split}_labels"] = torch.where(draw(3, 100) == 0, draw(10, 100), true)
    return Dataset(name="mnist", **parts)
