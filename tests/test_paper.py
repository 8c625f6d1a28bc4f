"""The paper as data: protocols, weight counts and the ladder of P_m, against the numbers that the paper prints."""

import dataclasses
import math
import pickle
import re

import pytest

from lth_utils import ROOT, networks, paper
from lth_utils.architectures import Mlp

# P_m at rounds 0, 1, 2, ... as labelled in the paper's figures and tables, to all printed digits.
PRINTED_LADDERS = """
lenet               100.0 80.0 64.1 51.3 41.1 32.9 26.3 21.1 16.9 13.5 10.8 8.68 6.95 5.57 4.47 3.58 2.87 2.31 1.85 1.49 1.19 0.960 0.772 0.621 0.500 0.403 0.325 0.263 0.212 0.172 0.139 0.113 0.092 0.075
conv2               100.0 80.1 64.2 51.4 41.2 33.0 26.5 21.2 17.0 13.7 11.0 8.81 7.08 5.69 4.57 3.68 2.97 2.39 1.93 1.56 1.26 1.02 0.825 0.669 0.544 0.443 0.361 0.295 0.242 0.198 0.163 0.135 0.111 0.092
conv4               100.0 81.1 65.8 53.5 43.6 35.6 29.1 23.9 19.6 16.2 13.3 11.1 9.18 7.65 6.40 5.37 4.51 3.81 3.23 2.75 2.34 2.01 1.72 1.49 1.28 1.11 0.968 0.845 0.739 0.648 0.569 0.501 0.442 0.391
conv6               100.0 82.5 68.0 56.2 46.5 38.5 31.9 26.4 21.9 18.2 15.1 12.6 10.5 8.74 7.29 6.09 5.09 4.25 3.56 2.98 2.50 2.09 1.76 1.48 1.24 1.04 0.877 0.738 0.622 0.524 0.442 0.373 0.315 0.266
conv6:conv_rate_10  100.0 84.9 72.3 61.8 53.0 45.6 39.4 34.1 29.6 25.8 22.5 19.7 17.3 15.2 13.4 11.9 10.5 9.31 8.26 7.34 6.53 5.82 5.19 4.64 4.14 3.70 3.31 2.97 2.66 2.38 2.14 1.92 1.72 1.54
"""
ROUNDS_PLOTTED = 28


def rounds_to(value, printed):
    """Whether a number, rounded to the digits of its printed form, gives that form (a last digit of 5 may go down)."""
    digits = len(printed.partition(".")[2])
    return abs(value - float(printed)) <= 0.5 * 10**-digits + 1e-9


@pytest.mark.parametrize("line", PRINTED_LADDERS.strip().splitlines(), ids=lambda line: line.split()[0])
def test_percent_remaining_gives_every_digit_that_the_paper_prints(line):
    series, *printed = line.split()
    network, _, setting = series.partition(":")
    assert len(printed) > ROUNDS_PLOTTED
    for pruning_round, label in enumerate(printed):
        value = paper.percent_remaining(network, pruning_round, setting)
        assert rounds_to(value, label), f"round {pruning_round}: {value} is printed as {label}"


@pytest.mark.parametrize(
    ("index", "printed"), [(0, "100.0"), (2, "95.0"), (13, "67.6"), (33, "17.65"), (38, "5.18"), (39, "2.68")]
)
def test_one_shot_levels_are_those_of_figure_4c(index, printed):
    assert rounds_to(paper.one_shot_percent_remaining("lenet", index), printed)


@pytest.mark.parametrize("index", [-1, 40])
def test_one_shot_levels_outside_the_grid_are_refused(index):
    with pytest.raises(ValueError, match=f"0 to 39.*{index}"):
        paper.one_shot_rates("lenet", index)


# --- protocols -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("network", "iterations", "learning_rate", "conv_rate"),
    [
        ("lenet", 50_000, 1.2e-3, None),
        ("conv2", 20_000, 2e-4, 0.10),
        ("conv4", 25_000, 3e-4, 0.10),
        ("conv6", 30_000, 3e-4, 0.15),
    ],
)
def test_protocols_are_those_of_figure_2(network, iterations, learning_rate, conv_rate):
    protocol = paper.protocol(network)
    assert (protocol.training_iterations, protocol.learning_rate) == (iterations, learning_rate)
    assert (protocol.batch_size, protocol.optimizer, protocol.evaluation_interval) == (60, "adam", 100)
    rates = dict(protocol.pruning_rates)
    assert (rates.pop("fc1.weight"), rates.pop("fc2.weight"), rates.pop("output.weight")) == (0.2, 0.2, 0.1)
    assert set(rates.values()) == ({conv_rate} if conv_rate else set())
    assert set(protocol.pruning_rates) == set(paper.weight_counts(network))
    assert protocol.differences_from_paper() == []


def test_figure_1_alone_prunes_the_convolutions_of_conv6_by_10_percent():
    main, figure_1 = paper.protocol("conv6"), paper.protocol("conv6", "conv_rate_10")
    assert figure_1.pruning_rates["conv6.weight"] == 0.10 and figure_1.pruning_rates["fc1.weight"] == 0.2
    assert dataclasses.replace(figure_1, pruning_rates=main.pruning_rates) == main


def test_figure_2_tabulates_a_larger_conv6_than_any_plot_shows():
    tabulated = paper.protocol("conv6", "channels_256")
    assert tabulated.network == "conv6_256" and tabulated.differences_from_paper() == []
    assert sum(paper.weight_counts("conv6_256").values()) == 2_261_184
    assert not rounds_to(paper.percent_remaining("conv6", 7, "channels_256"), "26.4")


@pytest.mark.parametrize(
    ("network", "setting", "known"),
    [
        ("lenet", "dropout", "none"),
        ("lenet", "float32", "none"),
        ("conv2", "conv_rate_10", "dropout"),
        ("conv6", "conv_rate_1", "channels_256, conv_rate_10, dropout"),
    ],
)
def test_a_setting_that_the_paper_does_not_have_is_refused(network, setting, known):
    words = f"no setting '{setting}' of {network}; it has {known}$"
    with pytest.raises(ValueError, match=words):
        paper.protocol(network, setting)
    with pytest.raises(ValueError, match=words):
        paper.percent_remaining(network, 3, setting)


def test_a_deviation_is_listed_with_both_values():
    protocol = dataclasses.replace(paper.protocol("lenet"), batch_size=50, optimizer="sgd")
    assert protocol.differences_from_paper() == ["batch_size: 60 -> 50", "optimizer: adam -> sgd"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("network", "lenet5"),
        ("optimizer", "adamw"),
        ("pixel_scaling", "none"),
        ("precision", "float16"),
        ("training_iterations", 0),
        ("batch_size", 0),
        ("evaluation_interval", 0),
        ("evaluation_interval", 70),
        ("learning_rate", 0.0),
        ("learning_rate", -1.0),
        ("learning_rate", math.nan),
        ("pruning_rates", {"fc1.weight": 0.2, "fc2.weight": 0.2}),
        ("pruning_rates", paper.protocol("conv2").pruning_rates),
        ("pruning_rates", paper.protocol("lenet").pruning_rates | {"fc1.weight": 1.0}),
    ],
)
def test_an_impossible_setting_is_refused_by_name(field, value):
    with pytest.raises(ValueError, match=field):
        dataclasses.replace(paper.protocol("lenet"), **{field: value})


def test_a_protocol_does_not_follow_the_mapping_it_was_made_from_and_survives_the_way_to_another_process():
    protocol = paper.protocol("lenet")
    rates = dict(protocol.pruning_rates)
    other = dataclasses.replace(protocol, pruning_rates=rates)
    rates["fc1.weight"] = 0.9
    for same in (other, pickle.loads(pickle.dumps(protocol))):
        assert same == protocol and same.key() == protocol.key()
    with pytest.raises(TypeError):
        protocol.pruning_rates["fc1.weight"] = 0.5


def test_every_field_of_a_protocol_changes_its_key():
    protocol = paper.protocol("lenet")
    changes = {
        "network": "conv2",
        "training_iterations": 100,
        "batch_size": 61,
        "optimizer": "sgd",
        "learning_rate": 1.3e-3,
        "pruning_rates": protocol.pruning_rates | {"fc1.weight": 0.3},
        "pixel_scaling": "standardized",
        "evaluation_interval": 50,
        "learning_rate_decay": 0.1,
        "learning_rate_decay_interval": 1000,
        "training_examples": 1000,
        "train_evaluation_examples": 1000,
        "precision": "bfloat16",
        "dropout": 0.5,
        "validation_trained_on": True,
    }
    layers_of = {"network": {"pruning_rates": paper.protocol("conv2").pruning_rates}}
    assert set(changes) == {field.name for field in dataclasses.fields(protocol)}
    keys = {
        dataclasses.replace(protocol, **({name: value} | layers_of.get(name, {}))).key()
        for name, value in changes.items()
    }
    assert len(keys | {protocol.key()}) == len(changes) + 1


PROTOCOL_KEYS = {  # a new field or another default must not orphan records that exist: see SCHEMA_VERSION
    "lenet": "fffabbe0094a",
    "conv2": "96b96b756d6f",
    "conv4": "d1684c088459",
    "conv6": "4ed56e614294",
}


def test_the_keys_of_the_papers_protocols_are_pinned():
    assert {network: paper.protocol(network).key() for network in PROTOCOL_KEYS} == PROTOCOL_KEYS


@pytest.mark.parametrize("network", paper.WEIGHT_COUNTS)
def test_tickets_are_planned_as_deep_as_figures_1_and_5_plot_them(network):
    curves = paper.curves()
    figure = curves[curves["fig"] == (1 if network == "lenet" else 5)]
    plotted = figure[figure["series"] == paper.NETWORK_LABELS[network]]
    assert plotted["round"].max() == paper.PLOTTED_ROUNDS[network]


def test_the_network_that_contributing_adds_trains_under_lenets_protocol_and_says_so(monkeypatch):
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    line = re.search(r'`"lenet_50_17": (Network\(.*\))`', text).group(1)
    line = eval(line, {"Network": networks.Network, "Mlp": Mlp})
    monkeypatch.setitem(networks.NETWORKS, "lenet_50_17", line)
    protocol = dataclasses.replace(paper.protocol("lenet"), network="lenet_50_17", batch_size=50)
    assert protocol.differences_from_paper() == ["network: lenet -> lenet_50_17", "batch_size: 60 -> 50"]
    percent = paper.percent_remaining("lenet_50_17", 1, rates=protocol.pruning_rates)
    assert percent == pytest.approx(100 * (0.8 * 40_050 + 0.9 * 170) / 40_220)
    with pytest.raises(ValueError, match="lenet, conv2, conv4, conv6; got 'lenet_50_17'"):
        paper.protocol("lenet_50_17")
