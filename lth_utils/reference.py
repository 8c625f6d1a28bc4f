"""The paper's algorithm, written to be obviously right rather than fast.

`iterative_pruning` is the algorithm, for any network and any way to train it. `train` is the paper's way to train ONE
of its networks: the stacked trainer is tested against it, and notebook 05 injects its faults into both through `Parts`,
one callable for every step that published code gets wrong.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from lth_utils import masks as masking
from lth_utils import networks, rewinding
from lth_utils.data import DataOrder, Dataset, scale_pixels
from lth_utils.masks import Masks, Weights
from lth_utils.paper import Protocol

Images = tuple[Tensor, Tensor]  # scaled images [N, channels, height, width] and labels [N] of one split
# What only the stacked trainer knows, at the values that leave it out.
PLAIN = {
    "dropout": 0,
    "learning_rate_decay_interval": 0,
    "precision": "float32",
    "training_examples": 0,
    "validation_trained_on": False,
}
EVALUATION_BATCH = 1000  # fits the cache, so it is faster than all images at once


@dataclass(frozen=True)
class Ticket:
    """One round of the algorithm: a mask, and its network's weights before and after training. Round 0 is dense."""

    pruning_round: int
    masks: Masks
    first_weights: Weights
    final_weights: Weights


def reset(initial_weights: Weights, final_weights: Weights, masks: Masks) -> Weights:
    """Survivors go back to their initial weights (Section 2: "resetting"), whatever training has made of them."""
    return rewinding.rewind(initial_weights, masks)


def iterative_pruning(
    initial_weights: Weights,
    train: Callable[[Weights, Masks], Weights],
    rates: Mapping[str, float] | float,
    rounds: int,
    *,
    masks: Masks | None = None,
    prune: Callable[..., Masks] = masking.prune_smallest,
    reset: Callable[[Weights, Weights, Masks], Weights] = reset,
) -> Iterator[Ticket]:
    """Section 1's algorithm: train, prune the smallest survivors, reset the others, repeat; one ticket per round.

    train(weights, masks): trained weights, the pruned ones still zero; it may change the weights it is given.
    rates: fraction of the survivors that a round prunes, one or one per layer. rounds: of pruning, after the dense one.
    masks: what may be pruned, by default all matrices and filters; spare a layer by leaving it out.
    """
    masks = masking.ones(initial_weights) if masks is None else masks
    weights = rewinding.rewind(initial_weights, masks)
    for pruning_round in range(rounds + 1):
        final_weights = _copies(train(_copies(weights), masks))
        yield Ticket(pruning_round, masks, weights, final_weights)
        if pruning_round < rounds:
            masks = prune(final_weights, masks, rates)
            weights = reset(initial_weights, final_weights, masks)


def _copies(weights):
    return {name: value.detach().clone() for name, value in weights.items()}


@dataclass
class Round:
    """One training of one network: curves as lists, weights before and after, early stop read off afterwards.

    best_weights: the weights at the lowest loss so far on "validation", and on "test" where its curve is written.
    """

    masks: Masks
    first_weights: Weights
    final_weights: Weights
    iterations: list[int] = field(default_factory=list)
    validation_losses: list[float] = field(default_factory=list)
    validation_accuracies: list[float] = field(default_factory=list)
    test_losses: list[float] = field(default_factory=list)
    test_accuracies: list[float] = field(default_factory=list)
    best_weights: dict[str, Weights] = field(default_factory=dict)

    @property
    def early_stop(self) -> int:
        """Index of the evaluation with the smallest validation loss (the first one, if tied)."""
        return lowest(self.validation_losses)


def lowest(losses: list[float]) -> int:
    """Index of the first smallest loss; losses that are not finite do not count."""
    finite = [loss if loss < float("inf") else float("inf") for loss in losses]
    return finite.index(min(finite))


def masked_step(network, weights, masks, optimizer, images, labels) -> None:
    """One update of the surviving weights and all biases on the mean cross-entropy of a batch."""
    optimizer.zero_grad()
    F.cross_entropy(networks.forward(network, weights, images), labels).backward()
    for name, mask in masks.items():
        weights[name].grad *= mask
    optimizer.step()


def new_optimizer(weights: Weights, protocol: Protocol) -> torch.optim.Optimizer:
    """A fresh optimizer: its state must not survive from one round to the next."""
    parameters, rate = list(weights.values()), protocol.learning_rate
    return {
        "adam": lambda: torch.optim.Adam(parameters, lr=rate, fused=True),
        "sgd": lambda: torch.optim.SGD(parameters, lr=rate),
        "momentum": lambda: torch.optim.SGD(parameters, lr=rate, momentum=0.9),
        "adadelta": lambda: torch.optim.Adadelta(parameters, lr=rate),
    }[protocol.optimizer]()


def never(trained: Round) -> bool:
    """Training never stops early (Section 2, footnote 2)."""
    return False


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What the algorithm is made of: called per round (optimizer, prune, reset), evaluation (stop) and step."""

    optimizer: Callable[[Weights, Protocol], torch.optim.Optimizer] = new_optimizer
    step: Callable[..., None] = masked_step
    stop: Callable[[Round], bool] = never
    prune: Callable[[Weights, Masks, Mapping[str, float]], Masks] = masking.prune_smallest
    reset: Callable[[Weights, Weights, Masks], Weights] = reset


CORRECT = Parts()


def train(
    weights: Weights,
    masks: Masks,
    seed: int,
    protocol: Protocol,
    data: Dataset,
    parts: Parts = CORRECT,
    test_curve: bool = True,
) -> Round:
    """Train a copy of the masked weights for protocol.training_iterations.

    test_curve: evaluate the test set as often as the validation set; it costs as much as training.
    Raises ValueError for a protocol with settings that only the stacked trainer knows.
    """
    if others := [name for name, plain in PLAIN.items() if getattr(protocol, name) != plain]:
        raise ValueError(f"the reference knows no {', '.join(others)}")
    first = masking.apply(weights, masks)
    live = {name: value.clone().requires_grad_() for name, value in first.items()}
    optimizer = parts.optimizer(live, protocol)
    splits = scaled(data, protocol, live["output.weight"].dtype)
    watched = ("validation", "test") if test_curve else ("validation",)
    (images, labels), interval = splits["train"], protocol.evaluation_interval
    order = DataOrder(seed, len(labels))
    done = Round(masks, first, live)
    _evaluate(done, 0, protocol, splits, watched)
    while done.iterations[-1] < protocol.training_iterations and not parts.stop(done):
        for batch in order.take(interval * protocol.batch_size).view(interval, -1):
            parts.step(protocol.network, live, masks, optimizer, images[batch], labels[batch])
        _evaluate(done, done.iterations[-1] + interval, protocol, splits, watched)
    done.final_weights = _copies(live)
    return done


def scaled(data: Dataset, protocol: Protocol, dtype: torch.dtype = torch.float32) -> dict[str, Images]:
    """Images as a network sees them, with their labels, of "train", "validation" and "test"."""
    return {
        name: (
            scale_pixels(getattr(data, f"{name}_images"), protocol.pixel_scaling).to(dtype),
            getattr(data, f"{name}_labels"),
        )
        for name in ("train", "validation", "test")
    }


@torch.no_grad()
def measure(network: str, weights: Weights, images: Tensor, labels: Tensor) -> tuple[float, float]:
    """Mean cross-entropy, in double precision, and accuracy of a network on scaled images."""
    parts = [networks.forward(network, weights, part) for part in images.split(EVALUATION_BATCH)]
    logits = torch.cat(parts).double()
    return F.cross_entropy(logits, labels).item(), (logits.argmax(1) == labels).double().mean().item()


def _evaluate(done, iteration, protocol, splits, watched):
    done.iterations.append(iteration)
    for split in watched:
        loss, accuracy = measure(protocol.network, done.final_weights, *splits[split])
        losses = getattr(done, f"{split}_losses")
        losses.append(loss)
        getattr(done, f"{split}_accuracies").append(accuracy)
        if lowest(losses) == len(losses) - 1:
            done.best_weights[split] = _copies(done.final_weights)


def paper_rounds(
    initial_weights: Weights,
    seeds: list[int],
    protocol: Protocol,
    data: Dataset,
    parts: Parts = CORRECT,
    test_curve: bool = True,
) -> list[Round]:
    """The algorithm on one of the paper's networks, with the curves of every round; one data-order seed per round."""
    done: list[Round] = []

    def train_next(weights: Weights, masks: Masks) -> Weights:
        done.append(train(weights, masks, seeds[len(done)], protocol, data, parts, test_curve))
        return done[-1].final_weights

    steps = {"prune": parts.prune, "reset": parts.reset}
    for _ in iterative_pruning(initial_weights, train_next, protocol.pruning_rates, len(seeds) - 1, **steps):
        pass
    return done
