"""What training costs: relative to a dense iteration, and in seconds, as recorded or as measured here."""

import dataclasses
import math

import pytest
import synthetic

from lth_utils import paper
from lth_utils.experiments import costs
from lth_utils.records import Store


def relative(network, rounds, procedure="iterative", **changes):
    """Relative cost per dense iteration of the pruning rounds of one network."""
    plan = synthetic.runs(synthetic.tickets(max(rounds)), network=network, **changes)
    return [costs.relative_cost(plan[pruning_round]) / 4 for pruning_round in rounds]


def test_the_cost_of_a_lenet_is_estimated_within_fifteen_percent_of_what_was_measured():
    """Milliseconds per network and iteration on one thread of the machine that trained the records."""
    measured = {0: 1.76, 8: 1.3, 12: 0.73, 15: 0.47, 20: 0.35}
    for cost, milliseconds in zip(relative("lenet", list(measured)), measured.values(), strict=True):
        assert cost == pytest.approx(milliseconds / measured[0], rel=0.15)


def test_longer_runs_and_runs_with_a_companion_cost_more():
    plan = synthetic.plan()
    assert relative("lenet", [3], training_iterations=8) == [2.0]
    one_shot = synthetic.runs(synthetic.tickets((2, 39), procedure="one_shot"))
    assert costs.relative_cost(one_shot[1]) < costs.relative_cost(one_shot[0])
    iterative, continued = (
        next(run for run in plan if run.procedure == procedure and run.pruning_round == 2)
        for procedure in ("iterative", "continued")
    )
    assert costs.relative_cost(continued) == 2 * costs.relative_cost(iterative)
    assert costs.relative_cost(one_shot[1], "cuda") == costs.relative_cost(one_shot[0], "cuda")


def test_pruning_makes_a_convolutional_network_no_cheaper():
    assert relative("conv2", [0, 20]) == [1, 1]


def test_the_estimate_grows_with_the_work_falls_with_the_workers_and_knows_what_it_does_not_know(tmp_path):
    plan = synthetic.runs(synthetic.tickets(1, 2))
    synthetic.train(plan[:2], tmp_path)
    rates = costs.recorded_rates(Store(tmp_path).rows())
    assert list(rates) == [("lenet", "float32", False)]
    one, two = (costs.estimated_seconds(plan, rates, workers) for workers in (1, 2))
    assert one == 2 * two > 0 and len(plan) == 4
    assert costs.estimated_seconds(plan[:2], rates, 1) == pytest.approx(one / 2)
    assert one == pytest.approx(2 * Store(tmp_path).rows()["cpu_seconds"].sum())
    other = dataclasses.replace(plan[0], protocol=synthetic.protocol(precision="bfloat16"))
    assert math.isnan(costs.estimated_seconds([*plan, other], rates, 1))


@pytest.mark.parametrize(
    ("network", "length", "interval", "validation"), [("lenet", 400, 100, 32), ("conv2", 20, 20, 6)]
)
def test_a_measurement_is_short_and_keeps_the_share_of_evaluation(
    monkeypatch, network, length, interval, validation
):
    asked, ticking = [], iter(range(100))

    def train(network, *, protocol, data, progress, **options):
        asked.append((protocol, data))
        progress(0)
        progress(protocol.training_iterations)

    monkeypatch.setattr(costs.training, "train", train)
    monkeypatch.setattr(costs.time, "perf_counter", lambda: float(next(ticking)))
    name = paper.DATASETS[network]
    whole = synthetic.dataset(name, validation=32 if network == "lenet" else 30)
    monkeypatch.setattr(costs.data, "load", lambda name, device: whole)
    (run,) = synthetic.runs(
        synthetic.tickets(0), network=network, training_iterations=1000, evaluation_interval=100
    )
    assert costs.measured_rate(run) == 1 / (2 * length)
    ((protocol, data),) = asked
    assert (protocol.training_iterations, protocol.evaluation_interval) == (length, interval)
    assert len(data.validation_labels) == validation and len(data.train_labels) == 64
    assert protocol.train_evaluation_examples == len(data.test_labels) == 1
