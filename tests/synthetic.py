"""Tiny data sets, masks and runs for the tests of the engine: nothing here needs a network, a disk or a second.

Not a test. Images are noise around one random pattern per class, so a network learns them within a few dozen iterations.
"""

import dataclasses
import hashlib
from functools import cache

import pytest
import torch

from lth_utils import campaign, data, experiments, networks, paper
from lth_utils import masks as masking
from lth_utils.data import Dataset
from lth_utils.experiments import worker
from lth_utils.records import Store

SHAPES = {"mnist": (1, 28, 28), "cifar10": (3, 32, 32)}
IDENTITY = {
    "network": "lenet",
    "variant": "",
    "study": "paper",
    "scale": "paper",
    "procedure": "iterative",
    "arm": "winning_ticket",
    "trial": 0,
    "replicate": 0,
    "pruning_round": 1,
    "protocol_key": "0123456789ab",
}


def dataset(name="mnist", train=64, validation=32, test=32, seed=0) -> Dataset:
    """uint8 images of the real shape; the same seed gives the same images."""
    generator = torch.Generator().manual_seed(seed)
    patterns = torch.randint(0, 200, (10, *SHAPES[name]), generator=generator)
    parts = {}
    for part, count in {"train": train, "validation": validation, "test": test}.items():
        labels = torch.randint(0, 10, (count,), generator=generator)
        noise = torch.randint(0, 56, (count, *SHAPES[name]), generator=generator)
        parts |= {f"{part}_images": (patterns[labels] + noise).to(torch.uint8), f"{part}_labels": labels}
    return Dataset(name=name, **parts)


def protocol(network="lenet", **changes) -> paper.Protocol:
    """The paper's protocol, cut to four iterations of eight images unless told otherwise."""
    quick = {"training_iterations": 4, "evaluation_interval": 2, "batch_size": 8, "network": network}
    known = network if network in paper.NETWORK_LABELS else "lenet"
    return dataclasses.replace(paper.protocol(known), **(quick | changes))


def digest(weights) -> str:
    """SHA-256 over all values of a dict of tensors, in its order."""
    return hashlib.sha256(
        b"".join(value.detach().numpy().tobytes() for value in weights.values())
    ).hexdigest()


def equal(first, second) -> bool:
    """Whether two dicts of tensors hold the same names and, bit for bit, the same values."""
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def double(weights) -> dict:
    """The same weights in double precision."""
    return {name: value.double() for name, value in weights.items()}


@cache
def pruned(network, pruning_round, seed=0):
    """Masks of a round as if training had changed nothing, to be looked at only: initial weights pruned again and again."""
    weights = networks.initial_weights(network, seed)
    if pruning_round == 0:
        return masking.ones(weights)
    return masking.prune_smallest(
        weights, pruned(network, pruning_round - 1, seed), paper.protocol(network).pruning_rates
    )


def coarse(network, seed=0):
    """Weights, with biases that are not zero, and masks of about half of them: large networks in no time."""
    generator = torch.Generator().manual_seed(seed)
    weights, masks = {}, {}
    for name, shape in networks.weight_shapes(network).items():
        weights[name] = torch.rand(shape, generator=generator).sub_(0.5).mul_(4 / shape[1] ** 0.5)
        masks[name] = weights[name] * 8192 % 2 < 1
        weights[name.replace(".weight", ".bias")] = torch.rand(shape[0], generator=generator).sub_(0.5)
    return weights, masks


def record(**changes) -> dict:
    """One row as a campaign would write it: three evaluations, early stop at the second."""
    row = {
        "percent_remaining": 80.0,
        "training_iterations": 200,
        "early_stop_iteration": 100,
        "validation_loss_at_early_stop": 0.25,
        "validation_accuracy_at_early_stop": 0.9,
        "test_accuracy_at_early_stop": 0.91,
        "train_accuracy_at_early_stop": 0.92,
        "test_accuracy_at_end": 0.93,
        "train_accuracy_at_end": 0.94,
        "diverged": False,
        "protocol": "{}",
        "protocol_differences": "",
        "precision": "float32",
        "device": "cpu",
        "wall_seconds": 1.5,
        "torch_version": "2",
        "code_version": "abc",
        "seeds": '{"init": 1}',
        "curve_iteration": [0.0, 100.0, 200.0],
        "curve_validation_loss": [2.5, 0.25, 0.5],
        "curve_validation_accuracy": [0.125, 0.875, 0.75],
        "curve_test_accuracy": [float("nan"), float("nan"), 0.75],
    }
    return IDENTITY | row | changes


def tickets(rounds, trials=1, **more):
    """A row of a plan: tickets of rounds 0 to `rounds`, or of these rounds, in trials 0, 1, ... or in these trials."""
    rounds = range(rounds + 1) if isinstance(rounds, int) else rounds
    trials = range(trials) if isinstance(trials, int) else trials
    return experiments.Row(1, "winning_ticket", rounds, trials, **more)


def controls(arm, rounds, trials=1, replicates=1, **more):
    """A row of a plan: a control at these rounds, as often in as many trials."""
    return experiments.Row(1, arm, rounds, range(trials), range(replicates), **more)


def runs(*rows, network="lenet", scale="paper", **changes) -> list:
    """The runs of such rows under a tiny protocol with these changes; dense networks have a test curve."""
    tiny = protocol(network, **changes)
    return experiments.Plan("tiny", scale, tiny, rows, 4, {"dense": (0,)}).runs(1)


def plan() -> list:
    """Sixteen quick runs of every arm and procedure in two trials."""
    return runs(
        tickets(2, 2),
        controls("random_reinit", (1, 2), 2),
        controls("random_sparsity", (1,), 2),
        tickets((20,), 2, procedure="one_shot"),
        tickets((1, 2), procedure="continued"),
    )


def load(name, device="cpu") -> Dataset:
    """Stands in for data.load: a campaign that finds it there trains in milliseconds and fetches nothing."""
    return dataset(name)


def instead_of_data(monkeypatch) -> None:
    """Whoever trains in this process finds synthetic images, and code of version "abc"."""

    worker.data.cache_clear()
    monkeypatch.setattr(data, "load", load)
    monkeypatch.setattr(worker, "code_version", lambda: "abc")


def train(plan, folder, **options) -> None:
    """Train a plan on synthetic images, in this process, into the store of a folder."""

    with pytest.MonkeyPatch.context() as patch:
        instead_of_data(patch)
        campaign.train(plan, Store(folder), **options)


def values(folder) -> dict:
    """Everything that the records of a store say about each run, except how long it took and where it lies."""
    frame = Store(folder).rows().drop(columns=["wall_seconds", "cpu_seconds", "file"])
    plain = frame.map(lambda value: value.tolist() if hasattr(value, "tolist") else value)
    return {row["run_key"]: repr(sorted(row.items())) for row in plain.to_dict("records")}
