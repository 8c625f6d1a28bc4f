"""Train a stack of masked networks side by side and record what happens to each.

All networks of a stack share an architecture, a protocol and the data; each has its own weights, mask and data
order, and none can influence another. Early stopping is only ever read off afterwards: training never stops
early (Section 2, footnote 2). Nothing here touches the disk or knows about arms, rounds or trials.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from lth_utils import gpu, networks, stacks
from lth_utils.data import DataOrder, Dataset, scale_pixels, training_on_validation
from lth_utils.masks import Masks, Weights
from lth_utils.paper import Protocol

# Weights behind rarely lit pixels get a zero gradient for thousands of iterations; their Adam moments then decay into
# denormal numbers, on which a CPU computes many times more slowly. Flushed to zero, every weight stays the same bit
# for bit. Set at import, because threads inherit the setting from the thread that starts them.
torch.set_flush_denormal(True)

FAST_CHANNELS = 8  # GPUs have no fast kernel for images of three channels


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
    """Scaled images [N, height, width, channels] and labels [N] of one split."""

    images: Tensor
    labels: Tensor

    def take(self, places: Tensor) -> tuple[Tensor, Tensor]:
        """Images [K, batch, channels, height, width] and labels [K, batch] at these places [K, batch]."""
        everything = (self.images, self.labels)
        images, labels = (
            part.index_select(0, places.flatten()).unflatten(0, places.shape) for part in everything
        )
        return images.movedim(-1, -3), labels


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
    On a GPU more networks than fill it are trained in turns; what was captured for a protocol serves until the next.
    Raises ValueError when the three sequences differ in length or are empty, when the protocol is that of another
    network, or when it asks for more training examples than there are, or for a GPU's precision on a CPU.
    """
    if network != protocol.network:
        raise ValueError(f"the protocol is that of {protocol.network}, the networks are {network}")
    if not len(initial_weights) == len(masks) == len(seeds) or not seeds:
        raise ValueError(
            "initial_weights, masks and seeds need one entry per network, got "
            f"{len(initial_weights)}, {len(masks)} and {len(seeds)}"
        )
    device, results = torch.device(device), []
    if protocol.precision == "tf32" and device.type == "cpu":
        raise ValueError("tf32 is a precision of GPUs; a CPU computes in float32 or bfloat16")
    # A record that says float32 means it: by default cuDNN convolves in TF32, with ten bits of mantissa.
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = protocol.precision == "tf32"
    lanes = _lanes(network, len(seeds), device)
    with gpu.current(device):
        for start in range(0, len(seeds), lanes):
            some = [list(entries[start : start + lanes]) for entries in (initial_weights, masks, seeds)]
            count = len(some[0])
            weights, alive, own = (entries + entries[:1] * (lanes - count) for entries in some)
            course = _course(weights, alive, protocol, data, device)
            results += course.train(own, test_curve_until, progress)[:count]
    return results


def _lanes(network, count, device):
    """How many networks are trained at once: all on a CPU; on a GPU as many as fill it, or these if not half as many."""
    if not gpu.captured(device):
        return count
    most = min(networks.NETWORKS[network].lanes, gpu.room_for(networks.values(network), device))
    return most if count > most / 2 else count


_kept: dict[tuple, "_Course"] = {}  # on a GPU the last course, to be loaded with other networks


def release() -> None:
    """Give back what a GPU holds for more training of the same kind."""
    _kept.clear()
    gpu.release()


def _course(weights, masks, protocol, data, device):
    """A course with these networks at its start: a new one on a CPU; on a GPU the last one, if it is of this protocol."""

    def stack():
        settings = device, protocol.precision, protocol.optimizer
        return stacks.stack(protocol.network, weights, masks, *settings)

    if not gpu.captured(device):
        return _Course(stack(), len(masks), protocol, data)
    key = protocol.key(), len(masks), device, id(data)
    if key not in _kept:
        release()
        _kept[key] = _Course(stack(), len(masks), protocol, data)
    _kept[key].load(stack())
    return _kept[key]


class _Course:
    """One protocol on one stack: tensors that stay where they are, and the step from one iteration to the next.

    What chance decides is drawn ahead, `ahead` iterations at once, and read through a counter on the device.
    """

    def __init__(self, stack, size, protocol, data):
        self.stack, self.protocol, self.data = stack, protocol, data
        self.splits = _prepare(data, protocol, stack)
        whole = stack.captured and not protocol.dropout  # what is dropped is a thousand times as much
        self.ahead = protocol.training_iterations if whole else protocol.evaluation_interval
        self.units = networks.hidden_units(protocol.network) if protocol.dropout else ()
        of_each, batch = (self.ahead, size), protocol.batch_size
        self.rates = torch.zeros(self.ahead, dtype=torch.float64, device=stack.device)
        self.places = torch.zeros(*of_each, batch, dtype=torch.int32, device=stack.device)
        self.kept = torch.zeros(*of_each, sum(self.units), batch, dtype=torch.bool, device=stack.device)
        self.counter = torch.zeros(1, dtype=torch.int64, device=stack.device)
        self.step = gpu.capture(self._iterate, stack.device)

    def load(self, stack):
        """Begin anew with other networks."""
        self.stack.load(stack)
        self.counter.zero_()

    def _iterate(self):
        drawn = self.rates, self.places, self.kept
        rate, places, kept = (values.index_select(0, self.counter)[0] for values in drawn)
        images, labels = self.splits["train"].take(places)
        noise = (
            (kept.to(images.dtype) / (1 - self.protocol.dropout)).split(self.units, dim=1)
            if self.units
            else ()
        )
        self.stack.step(rate, images, labels, noise)
        self.counter.add_(1).remainder_(self.ahead)

    def train(self, seeds, test_curve_until, progress):
        log, draws = _Log(self.stack, self.protocol, len(seeds)), self._draws(seeds)
        for iteration in range(0, self.protocol.training_iterations, self.protocol.evaluation_interval):
            log.evaluate(
                iteration, self.splits, with_test=0 < test_curve_until and iteration <= test_curve_until
            )
            log.tell(progress, iteration)
            if iteration % self.ahead == 0:
                for values, drawn in zip((self.rates, self.places, self.kept), next(draws), strict=True):
                    values.copy_(drawn)
            for _ in range(self.protocol.evaluation_interval):
                self.step()
        log.evaluate(self.protocol.training_iterations, self.splits, with_test=True)
        log.tell(progress, self.protocol.training_iterations)
        return log.results(self.splits)

    def _draws(self, seeds):
        """Learning rates, places of the images and units that are kept, `ahead` iterations at once."""
        orders = {seed: DataOrder(seed, len(self.splits["train"].labels)) for seed in seeds}
        units = {seed: UnitsKept(seed, self.protocol) for seed in seeds} if self.units else {}
        for first in range(0, self.protocol.training_iterations, self.ahead):
            iterations = range(first, first + self.ahead)
            rates = torch.tensor([learning_rate(self.protocol, i) for i in iterations], dtype=torch.float64)
            count = self.ahead * self.protocol.batch_size
            places = {seed: order.take(count).view(self.ahead, -1) for seed, order in orders.items()}
            kept = {seed: stream.take(self.ahead) for seed, stream in units.items()}
            kept = torch.stack([kept[seed] for seed in seeds], 1) if kept else self.kept
            yield rates, torch.stack([places[seed] for seed in seeds], 1), kept


def _prepare(data, protocol, stack):
    """Scaled images and labels of each split, on the stack's device, as its kernels want them."""
    if protocol.validation_trained_on:
        data = training_on_validation(data)
    splits, like = {}, next(iter(stack.parts[0].weights.values()))
    low = stack.captured and protocol.precision == "bfloat16"  # where every layer would round them again
    for name in ("train", "validation", "test"):
        images, labels = getattr(data, f"{name}_images"), getattr(data, f"{name}_labels")
        limit = _training_examples(protocol, len(labels)) if name == "train" else len(labels)
        scaled = scale_pixels(images[:limit].to(like.device), protocol.pixel_scaling)
        scaled = scaled.to(torch.bfloat16 if low else like.dtype).movedim(1, -1).contiguous()
        if stack.captured and 1 < scaled.shape[-1] < FAST_CHANNELS:
            scaled = F.pad(scaled, (0, FAST_CHANNELS - scaled.shape[-1]))
        splits[name] = _Images(scaled, labels[:limit].to(like.device))
    return splits


def _training_examples(protocol, available):
    """How many examples are trained on; ValueError if they, or those that accuracy is read on, are not there."""
    wanted = protocol.training_examples or available
    for name, there in {"training_examples": available, "train_evaluation_examples": wanted}.items():
        if not 0 <= getattr(protocol, name) <= there:
            raise ValueError(f"{name} is {getattr(protocol, name)}, but there are {there} training examples")
    return wanted


def learning_rate(protocol: Protocol, iteration: int) -> float:
    """The learning rate in force at an iteration: constant in the paper, stepwise where a protocol says so."""
    if not protocol.learning_rate_decay_interval:
        return protocol.learning_rate
    drops = iteration // protocol.learning_rate_decay_interval
    return protocol.learning_rate * protocol.learning_rate_decay**drops


class UnitsKept:
    """An endless stream of the hidden units that dropout keeps: drawn by NumPy on the CPU, equal seeds keep the same."""

    def __init__(self, seed: int, protocol: Protocol):
        self._generator = np.random.Generator(np.random.PCG64([seed, 1]))
        self._rate, self._units = protocol.dropout, sum(networks.hidden_units(protocol.network))
        self._batch = protocol.batch_size
        if not self._units:
            raise ValueError(f"{protocol.network} has no hidden linear layer whose units could be dropped")

    def take(self, count: int) -> Tensor:
        """Of the next `count` iterations: bool [count, units of all hidden linear layers, batch]."""
        drawn = self._generator.random((count, self._units, self._batch), np.float32)
        return torch.from_numpy(drawn >= self._rate)


class _Log:
    """Curves of a running stack and the weights at each network's minimum of validation loss."""

    def __init__(self, stack, protocol, size):
        self.stack, self.iterations, self.columns = stack, [], []
        self.examples = protocol.train_evaluation_examples
        self.batch = (
            gpu.EVALUATION_BATCH if stack.captured else networks.NETWORKS[protocol.network].evaluation_batch
        )
        self.best_loss = torch.full((size,), float("inf"), device=stack.device, dtype=torch.float64)
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
        for start in range(0, count, self.batch):
            part = slice(start, min(start + self.batch, count))
            images, labels = split.images[part].movedim(-1, 1), split.labels[part]
            logits = self.stack.logits(images)
            labels = labels.expand(len(loss), -1)
            loss += F.cross_entropy(logits, labels, reduction="none").sum(1)
            correct += (logits.argmax(1) == labels).sum(1)
        return loss / count, correct / count

    def results(self, splits):
        train_at_end = self._measure(splits["train"], self.examples)[1].tolist()
        final = self.stack.unstacked()
        self.stack.restore(self.best)
        train_at_best = self._measure(splits["train"], self.examples)[1].tolist()
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
