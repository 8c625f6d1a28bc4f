"""The benchmark: every case trains as it says and becomes one row, and its figures are what they say."""

import dataclasses
import json

import pytest
import synthetic

from lth_utils import bench, paper, stacks
from lth_utils.notebooks import front_page


@pytest.fixture
def little(monkeypatch):
    """Little data, intervals of two iterations and one repetition: a case takes milliseconds."""
    monkeypatch.setattr(bench.data_room, "load", lambda name: synthetic.dataset(name, train=600))
    return lambda case: dataclasses.replace(case, interval=2, size=min(case.size, 2))


@pytest.fixture
def measured():
    """A benchmark as it might come out: every case costs one millisecond, unless it is set here."""
    cost = {bench.TUTORIAL: 8.0, bench.PLAIN: 2.5, bench.SELDOM: 0.85, bench.PRUNED: 0.25}
    rows = [
        {
            "network": case.network,
            "case": case.name,
            "stack": case.size,
            "percent_remaining": paper.percent_remaining(case.network, case.pruning_round),
            "milliseconds": cost.get(case.name, 1.0),
        }
        for case in bench.CASES
    ]
    return {"machine": bench.machine(), "rows": rows}


@pytest.mark.parametrize("case", [bench.CASES[i] for i in (0, 1, 4, 6, 10)], ids=lambda case: case.name)
def test_a_case_becomes_a_row(little, monkeypatch, case):
    works = []
    monkeypatch.setattr(bench, "_seconds", lambda work: works.append(work()) or float(len(works)))
    row = bench.measure(little(case))
    assert (row["network"], row["case"], len(works)) == (case.network, case.name, 2)
    expected = paper.percent_remaining(case.network, case.pruning_round)
    assert row["percent_remaining"] == pytest.approx(expected, abs=0.01)


def test_set_up_does_not_count_and_cost_is_per_network_and_iteration(monkeypatch, little):
    trained = []
    monkeypatch.setattr(bench, "_stack", lambda case, masks, data, iterations: trained.append(iterations))
    monkeypatch.setattr(bench, "_seconds", lambda work: work() or 100 + 0.002 * 5 * trained[-1])
    case = dataclasses.replace(bench.CASES[3], interval=100)
    assert case.size == 5 and bench.measure(case)["milliseconds"] == pytest.approx(2)
    assert trained == [100, 400]


@pytest.mark.parametrize("case", [bench.CASES[i] for i in (0, 1, 4)], ids=lambda case: case.name)
def test_every_loop_makes_as_many_updates_as_it_is_timed_for(little, monkeypatch, case):
    steps, kind = [], stacks.StackedMlp if case.name == bench.DENSE else bench.torch.optim.Adam
    step = kind.step
    monkeypatch.setattr(kind, "step", lambda self, *batch: steps.append(1) or step(self, *batch))
    counted = []
    monkeypatch.setattr(bench, "_seconds", lambda work: counted.append((work(), len(steps))) or 1.0)
    bench.measure(little(case))
    assert [count for _, count in counted] == [2, 2 + 8]


def test_convolutional_networks_keep_their_share_of_evaluation(monkeypatch):
    seen = []
    monkeypatch.setattr(bench.data_room, "load", lambda name: synthetic.dataset(name, validation=50))
    monkeypatch.setattr(bench, "_random_masks", lambda case: [{"w": bench.torch.ones(1, dtype=bool)}])
    monkeypatch.setattr(
        bench, "_stack", lambda case, masks, data, n: seen.append(len(data.validation_labels))
    )
    monkeypatch.setattr(bench, "_seconds", lambda work: work() or 1.0)
    for case in (bench.CASES[-1], bench.CASES[6]):
        bench.measure(case)
    assert [case.interval for case in (bench.CASES[-1], bench.CASES[6])] == [20, 400]
    assert seen == [10, 10, 50, 50]


def test_a_run_has_a_row_and_a_line_for_every_case(monkeypatch, measured):
    rows, lines = iter(measured["rows"]), []
    monkeypatch.setattr(bench, "measure", lambda case: next(rows))
    assert bench.run(tell=lines.append) == measured
    assert len(lines) - 1 == len(bench.CASES)


def test_work_is_timed_on_as_many_threads_as_torch_has():
    seen = []
    assert bench._seconds(lambda: seen.append(bench.torch.get_num_threads()) or sum(range(10**6))) > 0
    assert set(seen) == {bench.torch.get_num_threads()}


def test_the_summary_divides_what_was_measured(measured):
    lines = bench.summary(measured).splitlines()
    assert [float(line.split(":")[1]) for line in lines] == [8.0, 0.4, 0.4, 4.0, 0.25]


def test_what_was_measured_is_saved_as_the_readme_reads_it(measured, tmp_path, monkeypatch):
    path = tmp_path / "figures" / "bench.json"
    bench.save(measured, path)
    assert json.loads(path.read_text()) == measured | {"ratios": bench.ratios(measured)}
    monkeypatch.setattr(front_page, "ROOT", tmp_path)
    assert all(f"{name} {ratio:.2f}" in front_page.bench() for name, ratio in bench.ratios(measured).items())
