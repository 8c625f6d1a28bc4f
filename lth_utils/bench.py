"""How fast this machine trains: a tutorial's loop, a plain loop and stacks, in one run, evaluation included.

Every figure is milliseconds per network and iteration, with the validation loss measured after every interval of
iterations: a training of four intervals minus one of a single interval, so that set-up and final evaluations do not
count. Ratios within one run are what may be quoted; absolute times belong to the machine that is named beside them.
"""

import json
import os
import platform
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch.utils.benchmark import Timer

from lth_utils import data as data_room
from lth_utils import experiments, networks, paper, training
from lth_utils import masks as masking

TUTORIAL, PLAIN, DENSE = "tutorial: PIL and DataLoader", "one network, tensors in memory", "stack, dense"
SELDOM, PRUNED = f"{DENSE}, evaluated every 400", "stack, pruned"


@dataclass(frozen=True)
class Case:
    """One row of the benchmark: `interval` iterations lie between two evaluations."""

    network: str
    name: str
    size: int = 1
    pruning_round: int = 0
    interval: int = 100


CASES = (
    Case("lenet", TUTORIAL),
    Case("lenet", PLAIN),
    *(Case("lenet", DENSE, size) for size in (1, 5, 20, 100)),
    Case("lenet", SELDOM, 20, interval=400),
    *(Case("lenet", PRUNED, 20, pruning_round) for pruning_round in (7, 10, 13, 15, 21)),  # 21 % to 0.96 %
    *(Case("conv2", DENSE, size, interval=20) for size in (1, 4)),
)


def run(tell=print) -> dict:
    """Measure every case and return {"machine": ..., "rows": [...]}; tell is called with one line per case."""
    tell("nothing else should run now; this takes about ten minutes on two cores")
    rows = []
    for case in CASES:
        rows.append(row := measure(case))
        shown = f"{row['network']:6} {row['case']:40} K={row['stack']:<4} {row['percent_remaining']:6.2f} %"
        tell(f"{shown} {row['milliseconds']:8.3f} ms")
    return {"machine": machine(), "rows": rows}


def measure(case: Case) -> dict:
    """The row of one case."""
    dataset = data_room.load(paper.DATASETS[case.network])
    if case.network != "lenet":  # measured over shorter intervals, with as much less validation data
        part = round(case.interval / 100 * len(dataset.validation_labels))
        dataset = data_room.subset(dataset, len(dataset.train_labels), part, test=1)
    masks = _random_masks(case)
    train = {TUTORIAL: _tutorial, PLAIN: _plain}.get(case.name, _stack)
    one, four = (_seconds(lambda n=n: train(case, masks, dataset, n * case.interval)) for n in (1, 4))
    return {
        "network": case.network,
        "case": case.name,
        "stack": case.size,
        "percent_remaining": 100 * masking.density(masks[0]),
        "milliseconds": 1e3 * (four - one) / (3 * case.interval * case.size),
    }


def _seconds(work: Callable[[], object]) -> float:
    """The median of a second of repetitions, at least one, behind one that warms up."""
    timer = Timer("work()", globals={"work": work}, num_threads=torch.get_num_threads())
    return timer.blocked_autorange(min_run_time=1).median


def _random_masks(case):
    weights, rates = networks.initial_weights(case.network, 0), paper.protocol(case.network).pruning_rates
    masks = experiments.masks_of_equal_size(weights, case.pruning_round, rates)
    return [masking.random_like(masks, np.random.default_rng(seed)) for seed in range(case.size)]


def _stack(case, masks, dataset, iterations):
    training.train(
        case.network,
        initial_weights=[networks.initial_weights(case.network, seed) for seed in range(case.size)],
        masks=masks,
        seeds=list(range(case.size)),
        protocol=replace(
            paper.protocol(case.network),
            training_iterations=iterations,
            evaluation_interval=case.interval,
            train_evaluation_examples=1,
        ),
        data=dataset,
    )


def _tutorial(case, masks, dataset, iterations):
    """Lenet as tutorials write it: torchvision's MNIST, ToTensor, a DataLoader with shuffling, Adam."""
    from torchvision import datasets, transforms

    mnist = datasets.MNIST.__new__(datasets.MNIST)  # without its __init__, which wants files
    mnist.data, mnist.targets = dataset.train_images.squeeze(1), dataset.train_labels
    mnist.transform, mnist.target_transform = transforms.ToTensor(), None
    loader = torch.utils.data.DataLoader(mnist, batch_size=60, shuffle=True, num_workers=0)
    model = networks.NETWORKS["lenet"].build()
    optimizer = torch.optim.Adam(model.parameters(), lr=1.2e-3)
    for _, (images, labels) in zip(range(iterations), loader):
        optimizer.zero_grad()
        F.cross_entropy(model(images), labels).backward()
        optimizer.step()


def _plain(case, masks, dataset, iterations):
    """One Lenet without a pipeline: scaled tensors in memory, fused Adam, the validation loss after every interval."""
    images = data_room.scale_pixels(dataset.train_images, "unit_interval")
    validation = data_room.scale_pixels(dataset.validation_images, "unit_interval")
    model = networks.NETWORKS["lenet"].build()
    optimizer = torch.optim.Adam(model.parameters(), lr=1.2e-3, fused=True)
    order = data_room.DataOrder(0, len(images))
    for iteration in range(iterations):
        if iteration % case.interval == 0:
            with torch.no_grad():
                F.cross_entropy(model(validation), dataset.validation_labels).item()
        batch = order.take(60)
        optimizer.zero_grad()
        F.cross_entropy(model(images[batch]), dataset.train_labels[batch]).backward()
        optimizer.step()


def machine() -> dict:
    """What the figures were measured on; no host name."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return {
        "processor": names[0] if names else platform.processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def ratios(measured: dict) -> dict[str, float]:
    """What may be quoted: every value is a quotient of cases of the same run."""
    cost = {(row["network"], row["case"], row["stack"]): row["milliseconds"] for row in measured["rows"]}
    tutorial, plain = cost["lenet", TUTORIAL, 1], cost["lenet", PLAIN, 1]
    dense, seldom = cost["lenet", DENSE, 20], cost["lenet", SELDOM, 20]
    evaluation = (dense - seldom) / (1 - 100 / 400)  # seldom still holds a quarter of it
    ticket = next(row for row in measured["rows"] if 3.5 < row["percent_remaining"] < 3.7)["milliseconds"]
    return {
        "tutorial loop / dense stack of 20": tutorial / dense,
        "dense stack of 20 / plain loop": dense / plain,
        "stack of 1 / plain loop": cost["lenet", DENSE, 1] / plain,
        "dense stack / stack at 3.6 %": dense / ticket,
        "evaluation every 100 iterations / training": evaluation / (dense - evaluation),
    }


def summary(measured: dict) -> str:
    """`ratios` as lines of text."""
    return "\n".join(f"{name}: {ratio:.2f}" for name, ratio in ratios(measured).items())


def save(measured: dict, path: Path) -> None:
    """Write the measurements and their ratios as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(measured | {"ratios": ratios(measured)}, indent=1) + "\n")
