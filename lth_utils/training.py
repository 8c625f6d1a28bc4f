"""Train a stack of masked networks side by side and record what happens to each.

All networks of a stack share an architecture, a protocol and the data; each has its own weights, mask and data
order, and none can influence another. Early stopping is only ever read off afterwards: training never stops
early (Section 2, footnote 2). Nothing here touches the disk or knows about arms, rounds or trials.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from lth_utils import networks, stacks
from lth_utils.data import DataOrder, Dataset, scale_pixels, training_on_validation
from lth_utils.masks import Masks, Weights
from lth_utils.paper import Protocol

# Weights behind rarely lit pixels get a zero gradient for thousands of iterations; their Adam moments then decay into
# denormal numbers, on which a CPU computes many times more slowly. Flushed to zero, every weight stays the same bit
# for bit. Set at import, because threads inherit the setting from the thread that starts them.
torch.set_flush_denormal(True)

# A record that says float32 means it, also of a GPU: by default cuDNN convolves in TF32, with ten bits of mantissa.
torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False


@dataclass(frozen=True, kw_only=True)
class Result:
    """What one network of a stack did. Accuracies are fractions; iterations count optimizer updates.

    curves: "iteration", "validation_loss", "validation_accuracy", "test_accuracy" (NaN where not evaluated),
    float arrays of equal length starting at iteration 0. diverged: a validation loss was not finite.
    """

    curves: dict[str, np.ndarray]
    final_weights: Weights
    early_stop_weights: Weights
    early_stop_iteration: int
    validation_loss_at_early_stop: float
    validation_accuracy_at_early_stop: float
    test_accuracy_at_early_stop: float
    train_accuracy_at_early_stop: float
    test_accuracy_at_end: float
    train_accuracy_at_end: float
    diverged: bool


@dataclass(frozen=True)
class _Images:
    """Scaled images [N, channels, height, width] and labels [N] of one split."""

    images: Tensor
    labels: Tensor

    def take(self, places: Tensor) -> tuple[Tensor, Tensor]:
        """Images and labels at these places [K, batch], in the same shape."""
        everything = (self.images, self.labels)
        return tuple(part.index_select(0, places.flatten()).unflatten(0, places.shape) for part in everything)


def train(
    network: str,
    *,
    initial_weights: Sequence[Weights],
    masks: Sequence[Masks],
    seeds: Sequence[int],
    protocol: Protocol,
    data: Dataset,
    device: str = "cpu",
    test_curve_until: int = 0,
    progress: Callable[[int], None] | None = None,
) -> list[Result]:
    """Train K networks for `protocol.training_iterations` updates; one Result per network, in order.

    initial_weights, masks, seeds: one entry per network; weights start at initial_weights * mask, seeds give the
    data order and what dropout drops. test_curve_until: also record test accuracy at every evaluation up to this
    iteration (Figure 3 needs it). progress: called with the number of finished iterations after every evaluation.
    Raises ValueError when the three sequences differ in length or are empty, when the protocol is that of another
    network, or when it asks for more training examples than there are.
    """
    if network != protocol.network:
        raise ValueError(f"the protocol is that of {protocol.network}, the networks are {network}")
    if not len(initial_weights) == len(masks) == len(seeds) or not seeds:
        raise ValueError(
            "initial_weights, masks and seeds need one entry per network, got "
            f"{len(initial_weights)}, {len(masks)} and {len(seeds)}"
        )
    stack = stacks.stack(network, initial_weights, masks, device, protocol.precision)
    optimizers = [make_optimizer(protocol, parameters) for parameters in stack.groups()]
    like = optimizers[0].param_groups[0]["params"][0]
    splits = _prepare(data, protocol, like)
    orders = {seed: DataOrder(seed, len(splits["train"].labels)) for seed in seeds}
    noise = dropout_noise(protocol, seeds, like) if protocol.dropout else repeat(())
    log = _Log(stack, protocol, len(seeds), device)
    for iteration in range(0, protocol.training_iterations, protocol.evaluation_interval):
        log.evaluate(iteration, splits, with_test=0 < test_curve_until and iteration <= test_curve_until)
        log.tell(progress, iteration)
        for offset, batch in enumerate(_next_batches(orders, seeds, protocol, device)):
            _set_learning_rate(optimizers, learning_rate(protocol, iteration + offset))
            stack.step(optimizers, *splits["train"].take(batch), next(noise))
    log.evaluate(protocol.training_iterations, splits, with_test=True)
    log.tell(progress, protocol.training_iterations)
    return log.results(splits)


def _prepare(data, protocol, like):
    """Scaled images and labels of each split, on the device and of the dtype of the tensor `like`."""
    if protocol.validation_trained_on:
        data = training_on_validation(data)
    splits = {}
    for name in ("train", "validation", "test"):
        images, labels = getattr(data, f"{name}_images"), getattr(data, f"{name}_labels")
        limit = _training_examples(protocol, len(labels)) if name == "train" else len(labels)
        scaled = scale_pixels(images[:limit].to(like.device), protocol.pixel_scaling)
        splits[name] = _Images(scaled.to(like.dtype), labels[:limit].to(like.device))
    return splits


def _training_examples(protocol, available):
    """How many examples are trained on; ValueError if they, or those that accuracy is read on, are not there."""
    wanted = protocol.training_examples or available
    for name, there in {"training_examples": available, "train_evaluation_examples": wanted}.items():
        if not 0 <= getattr(protocol, name) <= there:
            raise ValueError(f"{name} is {getattr(protocol, name)}, but there are {there} training examples")
    return wanted


def make_optimizer(protocol: Protocol, parameters: list[Tensor]) -> torch.optim.Optimizer:
    """A new optimizer without state, by the protocol's name; momentum is 0.9 (Appendix G.3.2)."""
    rate = protocol.learning_rate
    if protocol.optimizer == "adam":
        return torch.optim.Adam(parameters, lr=rate, fused=True)
    if protocol.optimizer == "adadelta":
        return torch.optim.Adadelta(parameters, lr=rate)
    return torch.optim.SGD(
        parameters, lr=rate, momentum=0.9 if protocol.optimizer == "momentum" else 0.0, fused=True
    )


def learning_rate(protocol: Protocol, iteration: int) -> float:
    """The learning rate in force at an iteration: constant in the paper, stepwise where a protocol says so."""
    if not protocol.learning_rate_decay_interval:
        return protocol.learning_rate
    drops = iteration // protocol.learning_rate_decay_interval
    return protocol.learning_rate * protocol.learning_rate_decay**drops


def _set_learning_rate(optimizers, rate):
    for optimizer in optimizers:
        optimizer.param_groups[0]["lr"] = rate


def _next_batches(orders, seeds, protocol, device):
    """Image indices [iterations, K, batch] up to the next evaluation; equal seeds see the same batches."""
    count = protocol.evaluation_interval * protocol.batch_size
    drawn = {seed: order.take(count) for seed, order in orders.items()}
    batches = torch.stack([drawn[seed] for seed in seeds], dim=1)
    return batches.view(protocol.evaluation_interval, protocol.batch_size, -1).transpose(1, 2).to(device)


def dropout_noise(protocol: Protocol, seeds: Sequence[int], like: Tensor) -> Iterator[Sequence[Tensor]]:
    """Per iteration, one tensor [K, units, batch] per hidden linear layer: 0 or 1 / (1 - rate).

    Drawn by NumPy on the CPU: equal seeds drop the same units, on any machine. On the device and of the dtype of `like`.
    """
    generators = {seed: np.random.Generator(np.random.PCG64([seed, 1])) for seed in seeds}
    units = networks.hidden_units(protocol.network)
    if not units:
        raise ValueError(f"{protocol.network} has no hidden linear layer whose units could be dropped")
    size = sum(units), protocol.batch_size
    while True:
        kept = {
            seed: generator.random(size, np.float32) >= protocol.dropout
            for seed, generator in generators.items()
        }
        factors = torch.from_numpy(np.stack([kept[seed] for seed in seeds])).to(like) / (1 - protocol.dropout)
        yield factors.split(units, dim=1)


class _Log:
    """Curves of a running stack and the weights at each network's minimum of validation loss."""

    def __init__(self, stack, protocol, size, device):
        self.stack, self.protocol = stack, protocol
        self.iterations, self.columns = [], []
        self.best_loss = torch.full((size,), float("inf"), device=device, dtype=torch.float64)
        self.best = stack.snapshot()

    def evaluate(self, iteration, splits, with_test):
        loss, accuracy = self._measure(splits["validation"])
        test = self._measure(splits["test"])[1] if with_test else torch.full_like(loss, float("nan"))
        improved = loss < self.best_loss
        self.best_loss = torch.where(improved, loss, self.best_loss)
        self.stack.snapshot_where(improved, self.best)
        self.iterations.append(iteration)
        self.columns.append(torch.stack([loss, accuracy, test]))

    def tell(self, progress, iteration):
        if progress:
            self.best_loss.sum().item()  # waits until a GPU has done what it was told
            progress(iteration)

    @torch.no_grad()
    def _measure(self, split, examples=0):
        """Mean loss and accuracy [K] over the first `examples` images of a split (0: all)."""
        loss = torch.zeros_like(self.best_loss)
        correct = torch.zeros_like(self.best_loss)
        count = examples or len(split.labels)
        step = networks.NETWORKS[self.protocol.network].evaluation_batch
        for start in range(0, count, step):
            images, labels = (part[start : min(start + step, count)] for part in (split.images, split.labels))
            logits = self.stack.logits(images)
            labels = labels.expand(len(loss), -1)
            loss += F.cross_entropy(logits, labels, reduction="none").sum(1)
            correct += (logits.argmax(1) == labels).sum(1)
        return loss / count, correct / count

    def results(self, splits):
        examples = self.protocol.train_evaluation_examples
        train_at_end = self._measure(splits["train"], examples)[1].tolist()
        final = self.stack.unstacked()
        self.stack.restore(self.best)
        train_at_best = self._measure(splits["train"], examples)[1].tolist()
        test_at_best = self._measure(splits["test"])[1].tolist()
        best = self.stack.unstacked()
        curves = torch.stack(self.columns).permute(2, 1, 0).cpu().numpy()  # [K, 3, evaluations]
        measured = zip(curves, final, best, train_at_end, train_at_best, test_at_best, strict=True)
        return [_result(np.array(self.iterations), *of_one) for of_one in measured]


def _result(iterations, curves, final, best, train_at_end, train_at_best, test_at_best):
    loss, accuracy, test = curves
    minimum = int(np.nanargmin(loss)) if np.isfinite(loss).any() else 0
    return Result(
        curves={
            "iteration": iterations,
            "validation_loss": loss,
            "validation_accuracy": accuracy,
            "test_accuracy": test,
        },
        final_weights=final,
        early_stop_weights=best,
        early_stop_iteration=int(iterations[minimum]),
        validation_loss_at_early_stop=float(loss[minimum]),
        validation_accuracy_at_early_stop=float(accuracy[minimum]),
        test_accuracy_at_early_stop=test_at_best,
        train_accuracy_at_early_stop=train_at_best,
        test_accuracy_at_end=float(test[-1]),
        train_accuracy_at_end=train_at_end,
        diverged=not bool(np.isfinite(loss).all()),
    )
