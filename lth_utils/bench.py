"""How fast this machine trains: a tutorial's loop, a plain loop and stacks, in one run, evaluation included.

Every figure is milliseconds per network and iteration, with the validation loss measured after every interval of
iterations: the median of a few intervals of one training, without its first, so that set-up and final evaluations do
not count. Ratios within one run are what may be quoted; absolute times belong to the machine that is named beside them.
"""

import json
import multiprocessing
import os
import platform
import resource
import statistics
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from matplotlib.figure import Figure

from lth_utils import data as data_room
from lth_utils import experiments, networks, paper, training
from lth_utils import masks as masking
from lth_utils.plots import style

MEASURED_INTERVALS = 3  # after one that warms up
DENSE_STACKS = (1, 5, 20, 100)
SPARSE_ROUNDS, SPARSE_STACK = (7, 10, 13, 15, 21), 20  # P_m 21.1, 10.8, 5.6, 3.6, 0.96
CONV_STACKS, CONV_INTERVAL = (1, 4), 20
TUTORIAL, PLAIN, DENSE = "tutorial: PIL and DataLoader", "one network, tensors in memory", "stack, dense"
SELDOM = f"{DENSE}, evaluated every 400"


@dataclass(frozen=True)
class Case:
    """One row of the benchmark: `interval` iterations lie between two evaluations."""

    network: str
    name: str
    size: int = 1
    pruning_round: int = 0
    interval: int = 100

    @property
    def iterations(self) -> int:
        return self.interval * (1 + MEASURED_INTERVALS)


def cases() -> list[Case]:
    """What is measured, in this order."""
    return [
        Case("lenet", TUTORIAL),
        Case("lenet", PLAIN),
        *(Case("lenet", DENSE, size) for size in DENSE_STACKS),
        Case("lenet", SELDOM, 20, interval=400),
        *(Case("lenet", "stack, pruned", SPARSE_STACK, pruning_round) for pruning_round in SPARSE_ROUNDS),
        *(Case("conv2", DENSE, size, interval=CONV_INTERVAL) for size in CONV_STACKS),
    ]


def run(tell=print) -> dict:
    """Measure every case and return {"machine": ..., "rows": [...]}; tell is called with one line per case."""
    tell("nothing else should run now; this takes about five minutes on two cores")
    floor, rows = _floor(), []
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn, max_tasks_per_child=1) as fresh_processes:
        for row in fresh_processes.map(measure, cases()):
            rows.append(row | {"floor_ms": _floor_ms(row["network"], row["percent_remaining"], floor)})
            tell(_line(row))
    return {"machine": machine(), "floor": floor, "rows": rows}


def measure(case: Case) -> dict:
    """The row of one case; in a process of its own, its peak memory is its own too."""
    masks = _random_masks(case)
    dataset = _evaluated_in_proportion(data_room.load(paper.DATASETS[case.network]), case)
    clock = _Clock()
    if case.name == TUTORIAL:
        _tutorial(case, dataset, clock)
    elif case.name == PLAIN:
        _plain(case, dataset, clock)
    else:
        _stack(case, masks, dataset, clock)
    seconds = statistics.median(clock.intervals()[1:]) / case.interval / case.size
    return {
        "network": case.network,
        "case": case.name,
        "stack": case.size,
        "percent_remaining": 100 * masking.density(masks[0]),
        "milliseconds": 1e3 * seconds,
        "peak_memory_gb": _peak_memory_gb(),
    }


def _evaluated_in_proportion(dataset, case):
    """Convolutional networks are measured over shorter intervals, with as much less validation data."""
    part = case.interval / 100 if case.network != "lenet" else 1
    validation = round(part * len(dataset.validation_labels))
    return data_room.subset(dataset, len(dataset.train_labels), validation, test=1)


def _line(row):
    return (
        f"{row['network']:6} {row['case']:40} K={row['stack']:<4} {row['percent_remaining']:6.2f} % "
        f"{row['milliseconds']:8.3f} ms  peak {row['peak_memory_gb']:.1f} GB"
    )


def _peak_memory_gb():
    """Of this process alone: on Linux ru_maxrss counts what its parent held when it was started."""
    status = Path("/proc/self/status")
    if status.exists():
        (line,) = [line for line in status.read_text().splitlines() if line.startswith("VmHWM:")]
        return int(line.split()[1]) / 2**20
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**30 if platform.system() == "Darwin" else 2**20)


class _Clock:
    """Notes when each interval ends; stands where a training reports its progress."""

    def __init__(self):
        self.times = []

    def __call__(self, iteration):
        self.times.append(time.perf_counter())

    def intervals(self):
        return [after - before for before, after in zip(self.times, self.times[1:])]


def _stack(case, masks, dataset, clock):
    training.train(
        case.network,
        initial_weights=[networks.initial_weights(case.network, seed) for seed in range(case.size)],
        masks=masks,
        seeds=list(range(case.size)),
        protocol=replace(
            paper.protocol(case.network),
            training_iterations=case.iterations,
            evaluation_interval=case.interval,
            train_evaluation_examples=1,
        ),
        data=dataset,
        progress=clock,
    )


def _random_masks(case):
    weights, rates = networks.initial_weights(case.network, 0), paper.protocol(case.network).pruning_rates
    masks = experiments.masks_of_equal_size(weights, case.pruning_round, rates)
    return [masking.random_like(masks, np.random.default_rng(seed)) for seed in range(case.size)]


def _tutorial(case, dataset, clock):
    """Lenet as tutorials write it: torchvision's MNIST, ToTensor, a DataLoader with shuffling, Adam."""
    from torchvision import datasets, transforms

    # Without its __init__, which wants files: these images are checked already.
    mnist = datasets.MNIST.__new__(datasets.MNIST)
    mnist.data, mnist.targets = dataset.train_images.squeeze(1), dataset.train_labels
    mnist.transform, mnist.target_transform = transforms.ToTensor(), None
    loader = torch.utils.data.DataLoader(mnist, batch_size=60, shuffle=True, num_workers=0)
    model = _module()
    optimizer = torch.optim.Adam(model.parameters(), lr=1.2e-3)
    for iteration, (images, labels) in zip(range(case.iterations + 1), loader, strict=False):
        if iteration % case.interval == 0:
            clock(iteration)
        optimizer.zero_grad()
        F.cross_entropy(model(images.flatten(1)), labels).backward()
        optimizer.step()


def _plain(case, dataset, clock):
    """One Lenet without a pipeline: scaled tensors in memory, fused Adam, the validation loss after every interval."""
    images = data_room.scale_pixels(dataset.train_images, "unit_interval").flatten(1)
    validation = data_room.scale_pixels(dataset.validation_images, "unit_interval").flatten(1)
    model = _module()
    optimizer = torch.optim.Adam(model.parameters(), lr=1.2e-3, fused=True)
    order = data_room.DataOrder(0, len(images))
    for iteration in range(case.iterations + 1):
        if iteration % case.interval == 0:
            with torch.no_grad():
                F.cross_entropy(model(validation), dataset.validation_labels).item()
            clock(iteration)
        batch = order.take(60)
        optimizer.zero_grad()
        F.cross_entropy(model(images[batch]), dataset.train_labels[batch]).backward()
        optimizer.step()


def _module():
    return torch.nn.Sequential(
        torch.nn.Linear(784, 300),
        torch.nn.ReLU(),
        torch.nn.Linear(300, 100),
        torch.nn.ReLU(),
        torch.nn.Linear(100, 10),
    )


def _floor():
    """This machine's matmul rate [FLOP/s] and copy bandwidth [bytes/s], the limits of any implementation."""
    square, large = torch.rand(2048, 2048), torch.rand(64 * 2**20)
    target = torch.empty_like(large)
    matmul = min(_timed(lambda: square @ square) for _ in range(5))
    copy = min(_timed(lambda: target.copy_(large)) for _ in range(5))
    return {"flops_per_second": 2 * 2048**3 / matmul, "bytes_per_second": 8 * large.numel() / copy}


def _timed(work):
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _floor_ms(network, percent_remaining, floor):
    """Milliseconds that one iteration must take: the larger of arithmetic and Adam's memory traffic."""
    work = list(networks.multiplications(network).values())
    passes = 3 * sum(work) - work[0]  # forward, for weights, for inputs; images need no gradient
    flops = 2 * paper.protocol(network).batch_size * passes
    traffic = 28 * sum(
        paper.weight_counts(network).values()
    )  # Adam reads four numbers per weight, writes three
    seconds = max(flops / floor["flops_per_second"], traffic / floor["bytes_per_second"])
    return 1e3 * seconds * percent_remaining / 100


def machine() -> dict:
    """What the figures were measured on; no host name."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def _processor():
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


@style.styled
def draw(measured: dict) -> tuple[Figure, pd.DataFrame]:
    """Every case as a dot over its cost per network and iteration (log axis), and the floor of this machine."""
    table = pd.DataFrame(measured["rows"])[::-1].reset_index(drop=True)
    figure = style.new_figure(1, 2, height=0.22 * len(table) + 0.6)
    ax = figure.subplots()
    hues = table["network"].map(style.HUES)
    ax.scatter(table["milliseconds"], table.index, c=list(hues), s=16, zorder=3)
    ax.scatter(table["floor_ms"], table.index, c=style.PAPER, marker="|", s=40, zorder=2)
    for position, value in table["milliseconds"].items():
        ax.annotate(f"{value:.3g}", (value, position), (5, -2.5), textcoords="offset points", fontsize=7)
    labels = [
        f"{paper.NETWORK_LABELS[row.network]}, {row.case}, K = {row.stack}, {row.percent_remaining:.3g} %"
        for row in table.itertuples()
    ]
    ax.set_yticks(table.index, labels)
    ax.set_xscale("log")
    where = measured["machine"]
    ax.set_xlabel(
        f"ms per network and iteration ({where['cores']} cores; bar: floor from arithmetic and memory)"
    )
    return figure, table


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
