"""What the paper says, as data: the protocol of each network, its P_m ladder, its claims and its plotted curves.

Knows nothing of tensors, files other than its own two tables, or how anything is trained.
Source: Frankle & Carbin, "The Lottery Ticket Hypothesis", ICLR 2019 (arXiv 1803.03635 v5).
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cache
from importlib.resources import files
from types import MappingProxyType

import pandas as pd

SCHEMA_VERSION = 1  # raised by hand when the meaning of a protocol field changes

ARMS = ("dense", "winning_ticket", "random_reinit", "random_sparsity")
PROCEDURES = ("iterative", "one_shot", "continued")
NETWORK_LABELS = {"lenet": "Lenet", "conv2": "Conv-2", "conv4": "Conv-4", "conv6": "Conv-6"}
DATASETS = {"lenet": "mnist", "conv2": "cifar10", "conv4": "cifar10", "conv6": "cifar10"}
OPTIMIZERS = ("adam", "sgd", "momentum", "adadelta")
PIXEL_SCALINGS = ("unit_interval", "standardized", "unit_norm", "raw_255")
PRECISIONS = ("float32", "bfloat16")

WEIGHT_COUNTS = {  # prunable weights per layer (Figure 2; Conv-6 with the 192 channels of the plots)
    "lenet": {"fc1.weight": 235_200, "fc2.weight": 30_000, "output.weight": 1_000},
    "conv2": {
        "conv1.weight": 1_728,
        "conv2.weight": 36_864,
        "fc1.weight": 4_194_304,
        "fc2.weight": 65_536,
        "output.weight": 2_560,
    },
    "conv4": {
        "conv1.weight": 1_728,
        "conv2.weight": 36_864,
        "conv3.weight": 73_728,
        "conv4.weight": 147_456,
        "fc1.weight": 2_097_152,
        "fc2.weight": 65_536,
        "output.weight": 2_560,
    },
    "conv6": {
        "conv1.weight": 1_728,
        "conv2.weight": 36_864,
        "conv3.weight": 73_728,
        "conv4.weight": 147_456,
        "conv5.weight": 221_184,
        "conv6.weight": 331_776,
        "fc1.weight": 786_432,
        "fc2.weight": 65_536,
        "output.weight": 2_560,
    },
}
CONV6_WITH_256_CHANNELS = {"conv5.weight": 294_912, "conv6.weight": 589_824, "fc1.weight": 1_048_576}
DROPOUT = {
    "conv2": (60_000, 3e-4),
    "conv4": (75_000, 2e-4),
    "conv6": (90_000, 2e-4),
}  # iterations, rate; Figure 6
LATER_FIELDS = {
    "dropout": 0.0,
    "validation_trained_on": False,
}  # of Protocol, which the first records did not know
PLOTTED_ROUNDS = {"lenet": 28, "conv2": 22, "conv4": 26, "conv6": 26}  # depth of Figures 4 and 5


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """Everything that decides how one network is trained and pruned; its key identifies the run's protocol.

    Fractions are in [0, 1], lengths in iterations (optimizer updates). Raises ValueError for impossible settings.
    """

    network: str
    training_iterations: int  # Figure 2
    batch_size: int  # Figure 2
    optimizer: str  # Figure 2
    learning_rate: float  # Figure 2
    pruning_rates: Mapping[str, float]  # layer -> fraction of the survivors removed per round; Figure 2
    pixel_scaling: str  # unspecified: our choice, see notebooks 01 and 04
    evaluation_interval: int = 100  # Section 2, footnote 2
    learning_rate_decay: float = 1.0  # factor applied every learning_rate_decay_interval iterations
    learning_rate_decay_interval: int = 0  # 0: constant learning rate, as in the paper
    training_examples: int = 0  # 0: the whole training split (55,000 or 45,000; Section 2)
    train_evaluation_examples: int = 0  # 0: train accuracy over the whole training split
    precision: str = "float32"
    dropout: float = (
        0.0  # of the hidden fully connected layers (Figure 6, which does not say where: our choice)
    )
    validation_trained_on: bool = (
        False  # True: train on every published training image, as no part of the paper says
    )

    def __post_init__(self):
        object.__setattr__(self, "pruning_rates", MappingProxyType(dict(self.pruning_rates)))
        _require_one_of("network", self.network, WEIGHT_COUNTS)
        _require_one_of("optimizer", self.optimizer, OPTIMIZERS)
        _require_one_of("pixel_scaling", self.pixel_scaling, PIXEL_SCALINGS)
        _require_one_of("precision", self.precision, PRECISIONS)
        layers = WEIGHT_COUNTS[self.network]
        if set(self.pruning_rates) != set(layers):
            raise ValueError(f"pruning_rates must name the layers {', '.join(layers)}")
        for layer, rate in self.pruning_rates.items():
            if not 0 <= rate < 1:
                raise ValueError(
                    f"pruning_rates: that of {layer} must be at least 0 and less than 1, got {rate}"
                )
        for name in ("training_iterations", "batch_size", "evaluation_interval"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not self.learning_rate > 0:
            raise ValueError(f"learning_rate must be positive, got {self.learning_rate}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be at least 0 and less than 1, got {self.dropout}")
        if self.training_iterations % self.evaluation_interval:
            raise ValueError("training_iterations must be a multiple of evaluation_interval")

    def __reduce__(self):
        return _protocol_from_dict, (self.to_dict(),)

    def to_dict(self) -> dict:
        """All fields as plain values, in field order; later fields only where they are set, so that old keys stay."""
        plain = {field.name: getattr(self, field.name) for field in fields(self)}
        for name, unset in LATER_FIELDS.items():
            if plain[name] == unset:
                del plain[name]
        return plain | {"pruning_rates": dict(self.pruning_rates)}

    def key(self) -> str:
        """Twelve hexadecimal digits of the SHA-256 over every field and the schema version."""
        text = json.dumps({"schema": SCHEMA_VERSION} | self.to_dict(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def differences_from_paper(self) -> list[str]:
        """One "field: paper's value -> ours" line per deviation from the nearest of the paper's own; empty if none."""
        variants = ("", "conv_rate_10", *(["dropout"] if self.network in DROPOUT else []))
        return min((self._differences(protocol(self.network, variant)) for variant in variants), key=len)

    def _differences(self, other):
        theirs, ours = (LATER_FIELDS | one.to_dict() for one in (other, self))
        return [f"{name}: {theirs[name]} -> {ours[name]}" for name in ours if ours[name] != theirs[name]]


def _protocol_from_dict(values):
    return Protocol(**values)


def _require_one_of(name, value, allowed):
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(allowed)}; got {value!r}")


def _pruning_rates(network, conv_rate=0.0):
    """Figure 2: fully connected layers 20 %, the output layer half of that, convolutions at conv_rate."""
    rates = {"conv": conv_rate, "fc": 0.2, "output": 0.1}
    return {layer: rates[layer.split(".")[0].rstrip("0123456789")] for layer in WEIGHT_COUNTS[network]}


@cache
def protocol(network: str, variant: str = "") -> Protocol:
    """The paper's own protocol for one network (Figure 2); ValueError names the networks it knows.

    Variants: "conv_rate_10" prunes convolutions by 10 % per round, as Conv-6 in Figure 1; "dropout" is Figure 6's, for
    convolutional networks only; others change nothing here.
    """
    _require_one_of("network", network, WEIGHT_COUNTS)
    iterations, learning_rate, conv_rate, pixel_scaling = {
        "lenet": (50_000, 1.2e-3, 0.0, "unit_interval"),
        "conv2": (20_000, 2e-4, 0.10, "raw_255"),
        "conv4": (25_000, 3e-4, 0.10, "raw_255"),
        "conv6": (30_000, 3e-4, 0.15, "raw_255"),
    }[network]
    if variant == "dropout":
        _require_one_of("network with dropout", network, DROPOUT)
        iterations, learning_rate = DROPOUT[network]
    return Protocol(
        network=network,
        training_iterations=iterations,
        batch_size=60,
        optimizer="adam",
        learning_rate=learning_rate,
        pruning_rates=_pruning_rates(network, 0.10 if variant == "conv_rate_10" else conv_rate),
        pixel_scaling=pixel_scaling,
        dropout=0.5 if variant == "dropout" else 0.0,
    )


def weight_counts(network: str, variant: str = "") -> dict[str, int]:
    """Prunable weights per layer, without biases (Figure 2); variant "channels_256" is Conv-6 as in the table."""
    _require_one_of("network", network, WEIGHT_COUNTS)
    counts = dict(WEIGHT_COUNTS[network])
    if network == "conv6" and variant == "channels_256":
        counts |= CONV6_WITH_256_CHANNELS
    return counts


def percent_remaining(
    network: str, pruning_round: int, variant: str = "", rates: Mapping[str, float] | None = None
) -> float:
    """P_m after `pruning_round` rounds: 100 * sum(size * keep^round) / total, before rounding to whole weights.

    rates: layer -> fraction removed per round, where it is not the paper's.
    """
    rates = rates or protocol(network, variant).pruning_rates
    counts = weight_counts(network, variant)
    kept = sum(count * (1 - rates[layer]) ** pruning_round for layer, count in counts.items())
    return 100 * kept / sum(counts.values())


def one_shot_rates(network: str, index: int) -> dict[str, float]:
    """Fraction of each layer that the `index`-th one-shot level removes: 2.5 % steps, output layer at half rate."""
    if not 0 <= index < 40:
        raise ValueError(f"one-shot levels run from 0 to 39 (steps of 2.5 %), got {index}")
    layers = weight_counts(network)
    return {layer: 0.025 * index / (2 if layer == "output.weight" else 1) for layer in layers}


def one_shot_percent_remaining(network: str, index: int) -> float:
    """P_m of the `index`-th one-shot level (Figure 4c): 100 at index 0, 2.68 for Lenet at index 39."""
    counts, rates = weight_counts(network), one_shot_rates(network, index)
    return 100 * sum(count * (1 - rates[layer]) for layer, count in counts.items()) / sum(counts.values())


def curves() -> pd.DataFrame:
    """The paper's plotted means and min-max bars: fig, panel, title, metric, series, round, pm_percent, x, mean, ..."""
    return _table("curves.csv")


def claims() -> pd.DataFrame:
    """The ledger of claims, one row per condition, frozen before the runs."""
    return _table("claims.csv")


def _table(name):
    with files(__name__).joinpath(name).open(encoding="utf-8") as file:
        return pd.read_csv(file, keep_default_na=True)
