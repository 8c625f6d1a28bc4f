"""How fast this machine trains: a tutorial's loop, a plain loop and stacks, in one run, evaluation included.

Every figure is milliseconds per network and iteration, with the validation loss measured every 100 iterations, as
the difference of a longer and a shorter training, so that set-up and final evaluations cancel. Ratios within one
run are what may be quoted; absolute times belong to the machine that is named beside them.
"""

import json
import os
import platform
import resource
import statistics
import struct
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from matplotlib.figure import Figure

from lth_utils import data as data_room
from lth_utils import masks as masking
from lth_utils import networks, paper, training
from lth_utils.plots import style

ITERATIONS = {"lenet": (100, 300), "conv2": (100, 200)}  # of the shorter and of the longer training
DENSE_STACKS = (1, 5, 20, 100)
SPARSE_ROUNDS, SPARSE_STACK = (7, 10, 13, 15, 21), 20  # P_m 21.1, 10.8, 5.6, 3.6, 0.96
CONV_STACKS = (1, 4)
TUTORIAL, PLAIN, DENSE = "tutorial: PIL and DataLoader", "one network, tensors in memory", "stack, dense"


def run(tell=print) -> dict:
    """Measure every case and return {"machine": ..., "rows": [...]}; tell is called with one line per case."""
    tell("nothing else should run now; this takes about ten minutes on two cores")
    mnist = _little_test_data(data_room.load("mnist"))
    floor = _floor()
    rows = [
        _row("lenet", TUTORIAL, 1, 100.0, lambda n: _tutorial(mnist, n)),
        _row("lenet", PLAIN, 1, 100.0, lambda n: _plain(mnist, n)),
    ]
    tell(_line(rows[0]))
    tell(_line(rows[1]))
    cases = [("lenet", size, 0, 100) for size in DENSE_STACKS]
    cases += [("lenet", 20, 0, 50)]
    cases += [("lenet", SPARSE_STACK, pruning_round, 100) for pruning_round in SPARSE_ROUNDS]
    cases += [("conv2", size, 0, 100) for size in CONV_STACKS]
    for network, size, pruning_round, interval in cases:
        dataset = mnist if network == "lenet" else _little_test_data(data_room.load("cifar10"))
        row = _stack_row(network, size, pruning_round, interval, dataset)
        rows.append(row | {"floor_ms": _floor_ms(network, row["percent_remaining"], floor)})
        tell(_line(rows[-1]))
    return {"machine": machine(), "floor": floor, "rows": rows}


def _little_test_data(dataset):
    """The final evaluation cancels out of every figure; here it need not be whole."""
    return data_room.subset(dataset, len(dataset.train_labels), len(dataset.validation_labels), 1000)


def _row(network, case, size, percent_remaining, train):
    shorter, longer = ITERATIONS[network]
    repeats = 3 if network == "lenet" and size <= SPARSE_STACK else 1
    seconds = [(train(longer) - train(shorter)) / (longer - shorter) / size for _ in range(repeats)]
    return {
        "network": network,
        "case": case,
        "stack": size,
        "percent_remaining": percent_remaining,
        "milliseconds": 1e3 * statistics.median(seconds),
        "peak_memory_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
    }


def _line(row):
    return (
        f"{row['network']:6} {row['case']:40} K={row['stack']:<4} {row['percent_remaining']:6.2f} % "
        f"{row['milliseconds']:8.3f} ms  peak so far {row['peak_memory_gb']:.1f} GB"
    )


def _stack_row(network, size, pruning_round, interval, dataset):
    starts = [networks.initial_weights(network, seed) for seed in range(size)]
    masks = [_random_masks(network, weights, pruning_round, seed) for seed, weights in enumerate(starts)]

    def train(iterations):
        protocol = replace(
            paper.protocol(network),
            training_iterations=iterations,
            evaluation_interval=interval,
            train_evaluation_examples=1000,
        )
        clock = _Clock()
        training.train(
            network,
            initial_weights=starts,
            masks=masks,
            seeds=list(range(size)),
            protocol=protocol,
            data=dataset,
            progress=clock,
        )
        return clock.until(iterations)

    case = DENSE if not pruning_round else "stack, pruned"
    if interval != 100:
        case += f", evaluated every {interval}"
    return _row(network, case, size, 100 * masking.density(masks[0]), train)


class _Clock:
    """Seconds from the first progress call to the one that reports a given iteration."""

    def __init__(self):
        self.times = {}

    def __call__(self, iteration):
        self.times[iteration] = time.perf_counter()

    def until(self, iteration):
        return self.times[iteration] - self.times[0]


def _random_masks(network, weights, pruning_round, seed):
    masks = masking.ones(weights)
    for _ in range(pruning_round):
        masks = masking.prune_smallest(weights, masks, paper.protocol(network).pruning_rates)
    return masking.random_like(masks, np.random.default_rng(seed))


def _tutorial(mnist, iterations):
    """Lenet as tutorials write it: torchvision's MNIST, ToTensor, a DataLoader with shuffling, Adam."""
    from torchvision import datasets, transforms

    with tempfile.TemporaryDirectory() as folder:
        _write_idx(Path(folder) / "MNIST" / "raw", mnist)
        loader = torch.utils.data.DataLoader(
            datasets.MNIST(folder, transform=transforms.ToTensor()),
            batch_size=60,
            shuffle=True,
            num_workers=0,
        )
        model = _module()
        optimizer = torch.optim.Adam(model.parameters(), lr=1.2e-3)
        started = time.perf_counter()
        for _, (images, labels) in zip(range(iterations), loader, strict=False):
            optimizer.zero_grad()
            F.cross_entropy(model(images.flatten(1)), labels).backward()
            optimizer.step()
        return time.perf_counter() - started


def _plain(mnist, iterations):
    """One Lenet without a pipeline: scaled tensors in memory, fused Adam, validation every 100 iterations."""
    images = data_room.scale_pixels(mnist.train_images, "unit_interval").flatten(1)
    validation = data_room.scale_pixels(mnist.validation_images, "unit_interval").flatten(1)
    model = _module()
    optimizer = torch.optim.Adam(model.parameters(), lr=1.2e-3, fused=True)
    order = data_room.DataOrder(0, len(images))
    started = time.perf_counter()
    for iteration in range(iterations):
        if iteration % 100 == 0:
            with torch.no_grad():
                F.cross_entropy(model(validation), mnist.validation_labels).item()
        batch = order.take(60)
        optimizer.zero_grad()
        F.cross_entropy(model(images[batch]), mnist.train_labels[batch]).backward()
        optimizer.step()
    return time.perf_counter() - started


def _module():
    return torch.nn.Sequential(
        torch.nn.Linear(784, 300),
        torch.nn.ReLU(),
        torch.nn.Linear(300, 100),
        torch.nn.ReLU(),
        torch.nn.Linear(100, 10),
    )


def _write_idx(folder, mnist):
    """The four files that torchvision expects, from tensors that are already checked."""
    folder.mkdir(parents=True)
    for prefix, images, labels in (
        ("train", mnist.train_images, mnist.train_labels),
        ("t10k", mnist.test_images, mnist.test_labels),
    ):
        header = struct.pack(">IIII", 2051, len(images), 28, 28)
        (folder / f"{prefix}-images-idx3-ubyte").write_bytes(header + images.numpy().tobytes())
        header = struct.pack(">II", 2049, len(labels))
        (folder / f"{prefix}-labels-idx1-ubyte").write_bytes(
            header + labels.to(torch.uint8).numpy().tobytes()
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
    protocol, flops, weights = paper.protocol(network), 0.0, 0
    side = networks.IMAGE_SHAPES[network][1]
    for name, count in paper.weight_counts(network).items():
        number = int(name[4]) if name.startswith("conv") else 0
        positions = (side // 2 ** ((number - 1) // 2)) ** 2 if number else 1
        first = name == next(iter(paper.weight_counts(network)))
        flops += 2 * count * positions * protocol.batch_size * (2 if first else 3)
        weights += count
    share = percent_remaining / 100
    return 1e3 * max(
        flops * share / floor["flops_per_second"], 28 * weights * share / floor["bytes_per_second"]
    )


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
        ax.annotate(f"{value:.2g}", (value, position), (5, -2.5), textcoords="offset points", fontsize=7)
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


def summary(measured: dict) -> str:
    """The ratios that may be quoted, as lines of text; every one is a quotient of two cases of the same run."""
    rows = {(row["network"], row["case"], row["stack"]): row for row in measured["rows"]}
    cost = {key: row["milliseconds"] for key, row in rows.items()}
    tutorial = cost["lenet", TUTORIAL, 1]
    plain = cost["lenet", PLAIN, 1]
    dense, often = cost["lenet", DENSE, 20], cost["lenet", f"{DENSE}, evaluated every 50", 20]
    ticket = next(row for row in measured["rows"] if 3.5 < row["percent_remaining"] < 3.7)["milliseconds"]
    return "\n".join(
        [
            f"tutorial loop / dense stack of 20: {tutorial / dense:.1f}",
            f"dense stack of 20 / plain loop:    {dense / plain:.2f}",
            f"stack of 1 / plain loop:           {cost['lenet', DENSE, 1] / plain:.2f}",
            f"dense stack / stack at 3.6 %:      {dense / ticket:.1f}",
            f"evaluation / training:             {(often - dense) / (2 * dense - often):.2f}",
        ]
    )


def save(measured: dict, path: Path) -> None:
    """Write the measurements as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(measured, indent=1) + "\n")
