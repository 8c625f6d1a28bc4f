"""What the paper says, as data: the protocol of each network, its settings, its P_m ladder, its claims and curves.

Knows nothing of files other than its own two tables, nor of how anything is trained.
Source: Frankle & Carbin, "The Lottery Ticket Hypothesis", ICLR 2019 (arXiv 1803.03635 v5).
"""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cache, partial
from importlib.resources import files
from types import MappingProxyType

import pandas as pd

from lth_utils import networks

SCHEMA_VERSION = 1  # raised by hand when the meaning of a protocol field changes

ARMS = ("dense", "winning_ticket", "random_reinit", "random_sparsity")
PROCEDURES = ("iterative", "one_shot", "continued")
OPTIMIZERS = ("adam", "sgd", "momentum", "adadelta")
PIXEL_SCALINGS = ("unit_interval", "standardized", "unit_norm", "raw_255")
PRECISIONS = ("float32", "tf32", "bfloat16")  # tf32: on a GPU, products with ten bits of mantissa

FIGURE_2 = {  # what differs between networks; conv_rate: share of convolutional survivors pruned per round
    "lenet": {"training_iterations": 50_000, "learning_rate": 1.2e-3, "pixel_scaling": "unit_interval"},
    "conv2": {"training_iterations": 20_000, "learning_rate": 2e-4, "conv_rate": 0.10},
    "conv4": {"training_iterations": 25_000, "learning_rate": 3e-4, "conv_rate": 0.10},
    "conv6": {"training_iterations": 30_000, "learning_rate": 3e-4, "conv_rate": 0.15},
}
SETTINGS = {  # setting -> network -> how the paper itself departs from this
    "channels_256": {"conv6": {"network": "conv6_256"}},  # Figure 2; all plots show 192 channels
    "conv_rate_10": {"conv6": {"conv_rate": 0.10}},  # Figure 1
    "dropout": {  # Figure 6
        "conv2": {"training_iterations": 60_000, "learning_rate": 3e-4, "dropout": 0.5},
        "conv4": {"training_iterations": 75_000, "learning_rate": 2e-4, "dropout": 0.5},
        "conv6": {"training_iterations": 90_000, "learning_rate": 2e-4, "dropout": 0.5},
    },
}
PLOTTED_ROUNDS = {"lenet": 28, "conv2": 22, "conv4": 26, "conv6": 26}  # depth of Figures 4 and 5

NETWORK_LABELS = {name: networks.NETWORKS[name].label for name in FIGURE_2}
DATASETS = {name: line.data for name, line in networks.NETWORKS.items()}


def later(default):
    """A field that the first records did not know: left out of key and record while it keeps its default."""
    return field(default=default, metadata={"later": True})


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
    dropout: float = later(0.0)  # of hidden linear layers (Figure 6, which does not say where: our choice)
    validation_trained_on: bool = later(False)  # True: on all published training images, unlike the paper

    def __post_init__(self):
        object.__setattr__(self, "pruning_rates", MappingProxyType(dict(self.pruning_rates)))
        _require_one_of("network", self.network, networks.NETWORKS)
        _require_one_of("optimizer", self.optimizer, OPTIMIZERS)
        _require_one_of("pixel_scaling", self.pixel_scaling, PIXEL_SCALINGS)
        _require_one_of("precision", self.precision, PRECISIONS)
        layers = networks.weight_shapes(self.network)
        if set(self.pruning_rates) != set(layers):
            raise ValueError(f"pruning_rates must name the layers {', '.join(layers)}")
        for layer, rate in self.pruning_rates.items():
            if not 0 <= rate < 1:
                raise ValueError(f"pruning_rates of {layer} must be at least 0 and less than 1, got {rate}")
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
        return partial(Protocol, **self._plain()), ()

    def _plain(self):
        plain = {field.name: getattr(self, field.name) for field in fields(self)}
        return plain | {"pruning_rates": dict(self.pruning_rates)}

    def to_dict(self) -> dict:
        """All fields as plain values, in field order; later fields only where they are set, so that old keys stay."""
        plain = self._plain()
        unset = {f.name for f in fields(self) if f.metadata.get("later") and plain[f.name] == f.default}
        return {name: value for name, value in plain.items() if name not in unset}

    def key(self) -> str:
        """Twelve hexadecimal digits of the SHA-256 over every field and the schema version."""
        text = json.dumps({"schema": SCHEMA_VERSION} | self.to_dict(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def differences_from_paper(self) -> list[str]:
        """One "field: paper's value -> ours" line per deviation from the nearest of the paper's own; empty if none."""
        own = [self.network] if self.network in FIGURE_2 else FIGURE_2
        published = [protocol(name, setting) for name in own for setting in settings(name)]
        return min((self._differences(other) for other in published), key=len)

    def _differences(self, other):
        theirs, ours = other._plain(), self._plain()
        return [f"{name}: {theirs[name]} -> {ours[name]}" for name in ours if ours[name] != theirs[name]]


def _require_one_of(name, value, allowed):
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(allowed)}; got {value!r}")


def settings(network: str) -> dict[str, dict]:
    """What the paper does with a network: setting -> how it departs from Figure 2; "" departs in nothing."""
    return {"": {}} | {name: changes[network] for name, changes in SETTINGS.items() if network in changes}


@cache
def protocol(network: str, setting: str = "") -> Protocol:
    """The paper's own protocol for one network: Figure 2, or a named departure from it; see `SETTINGS`.

    Raises ValueError that names the networks that it knows, or the settings of this one.
    """
    _require_one_of("network", network, FIGURE_2)
    if setting not in (known := settings(network)):
        named = ", ".join(filter(None, known)) or "none"
        raise ValueError(f"the paper has no setting {setting!r} of {network}; it has {named}")
    values = {"network": network, "batch_size": 60, "optimizer": "adam", "pixel_scaling": "raw_255"}
    values |= FIGURE_2[network] | known[setting]
    rates = _pruning_rates(values["network"], values.pop("conv_rate", 0.0))
    return Protocol(**values, pruning_rates=rates)


def _pruning_rates(network, conv_rate):
    """Figure 2: fully connected layers 20 %, the output layer half of that, convolutions at conv_rate."""
    shapes = networks.weight_shapes(network)
    rates = {layer: conv_rate if len(shape) > 2 else 0.2 for layer, shape in shapes.items()}
    return rates | {list(shapes)[-1]: 0.1}


def weight_counts(network: str) -> dict[str, int]:
    """Prunable weights per layer, without biases (Figure 2)."""
    return {layer: math.prod(shape) for layer, shape in networks.weight_shapes(network).items()}


WEIGHT_COUNTS = {network: weight_counts(network) for network in FIGURE_2}


def percent_remaining(
    network: str, pruning_round: int, setting: str = "", rates: Mapping[str, float] | None = None
) -> float:
    """P_m after `pruning_round` rounds: 100 * sum(size * keep^round) / total, before rounding to whole weights.

    setting: one of the paper's. rates: layer -> fraction removed per round, where it is not the paper's.
    """
    if rates is None:
        published = protocol(network, setting)
        network, rates = published.network, published.pruning_rates
    counts = weight_counts(network)
    kept = sum(count * (1 - rates[layer]) ** pruning_round for layer, count in counts.items())
    return 100 * kept / sum(counts.values())


def one_shot_rates(network: str, index: int) -> dict[str, float]:
    """Fraction of each layer that the `index`-th one-shot level removes: 2.5 % steps, output layer at half rate."""
    if not 0 <= index < 40:
        raise ValueError(f"one-shot levels run from 0 to 39 (steps of 2.5 %), got {index}")
    return {layer: 0.025 * index / (2 if layer == "output.weight" else 1) for layer in weight_counts(network)}


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
