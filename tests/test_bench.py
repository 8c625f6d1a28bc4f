"""The benchmark: every case runs in a process of its own and becomes one row, and its figures are what they say."""

import dataclasses

import pytest
import synthetic

from lth_utils import bench, paper


@pytest.fixture
def little(monkeypatch):
    """Little data, and intervals of two iterations: a case takes milliseconds."""
    monkeypatch.setattr(bench.data_room, "load", lambda name: synthetic.dataset(name, train=600))
    return lambda case: dataclasses.replace(case, interval=2, size=min(case.size, 2))


@pytest.fixture
def measured():
    """A benchmark as it might come out: every case costs one millisecond, unless it is set here."""
    cost = {bench.TUTORIAL: 8.0, bench.PLAIN: 2.5, bench.SELDOM: 0.85, "stack, pruned": 0.25}
    rows = [
        {
            "network": case.network,
            "case": case.name,
            "stack": case.size,
            "percent_remaining": paper.percent_remaining(case.network, case.pruning_round),
            "milliseconds": cost.get(case.name, 1.0),
            "peak_memory_gb": 0.5,
            "floor_ms": 0.125,
        }
        for case in bench.cases()
    ]
    return {"machine": bench.machine(), "floor": {}, "rows": rows}


@pytest.mark.parametrize("case", [bench.cases()[i] for i in (0, 1, 4, 6, 10, 12)], ids=lambda case: case.name)
def test_a_case_becomes_a_row(little, case):
    row = bench.measure(little(case))
    assert (row["network"], row["case"]) == (case.network, case.name)
    assert row["percent_remaining"] == pytest.approx(
        paper.percent_remaining(case.network, case.pruning_round), abs=0.01
    )
    assert row["milliseconds"] > 0 and 0.05 < row["peak_memory_gb"] < 50


def test_the_first_interval_warms_up_and_the_median_of_the_others_counts(little, monkeypatch):
    def ticking(case, masks, dataset, clock):
        clock.times = [0.0, 90.0, 94.0, 96.0, 102.0]

    monkeypatch.setattr(bench, "_stack", ticking)
    case = dataclasses.replace(little(bench.cases()[3]), size=2)
    assert bench.measure(case)["milliseconds"] == 1e3 * 4.0 / 2 / 2


def test_every_interval_of_a_training_is_seen(little):
    for case in (little(bench.cases()[0]), little(bench.cases()[1]), little(bench.cases()[2])):
        clock = bench._Clock()
        data = synthetic.dataset(train=600)
        if case.name == bench.DENSE:
            bench._stack(case, bench._random_masks(case), data, clock)
        else:
            (bench._tutorial if case.name == bench.TUTORIAL else bench._plain)(case, data, clock)
        assert len(clock.intervals()) == 1 + bench.MEASURED_INTERVALS


def test_convolutional_networks_keep_their_share_of_evaluation():
    conv, lenet = bench.cases()[-1], bench.cases()[6]
    assert (conv.interval, lenet.interval) == (20, 400)
    data = synthetic.dataset(validation=50)
    assert len(bench._evaluated_in_proportion(data, conv).validation_labels) == 10
    assert len(bench._evaluated_in_proportion(data, lenet).validation_labels) == 50


def test_a_run_gives_every_row_its_floor_and_a_line(monkeypatch, measured):
    class Here:
        """Stands in for the pool of fresh processes."""

        def __init__(self, *arguments, **options):
            assert options["max_tasks_per_child"] == 1

        __enter__ = lambda self: self  # noqa: E731
        __exit__ = lambda self, *error: None  # noqa: E731
        map = staticmethod(map)

    rows, lines = iter(measured["rows"]), []
    monkeypatch.setattr(bench, "ProcessPoolExecutor", Here)
    monkeypatch.setattr(bench, "measure", lambda case: next(rows))
    monkeypatch.setattr(bench, "_floor", lambda: {"flops_per_second": 1e11, "bytes_per_second": 1e10})
    result = bench.run(tell=lines.append)
    assert len(result["rows"]) == len(bench.cases()) == len(lines) - 1
    floors = {(row["network"], row["percent_remaining"]): row["floor_ms"] for row in result["rows"]}
    traffic = 1e3 * 28 * 266_200 / 1e10  # of Lenet, whose arithmetic takes less than that
    assert floors["lenet", 100.0] == pytest.approx(traffic)
    work = 3 * (1_728 * 1024 + 36_864 * 1024 + 4_194_304 + 65_536 + 2_560) - 1_728 * 1024
    assert floors["conv2", 100.0] == pytest.approx(1e3 * 2 * 60 * work / 1e11)


def test_the_summary_divides_what_was_measured(measured):
    lines = bench.summary(measured).splitlines()
    assert [float(line.split(":")[1]) for line in lines] == [8.0, 0.4, 0.4, 4.0, 0.25]


def test_what_was_measured_is_drawn_and_saved(measured, tmp_path):
    figure, table = bench.draw(measured)
    assert len(table) == len(measured["rows"])
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert "Conv-2, stack, dense, K = 4, 100 %" in labels
    bench.save(measured, tmp_path / "figures" / "bench.json")
    saved = bench.json.loads((tmp_path / "figures" / "bench.json").read_text())
    assert saved == measured | {"ratios": bench.ratios(measured)}
