"""The chains of notebook 05b: planned, trained by several workers, resumed, and stored as ordinary records."""

import dataclasses

import numpy as np
import pytest
import synthetic

from lth_utils import campaign, faults, networks, records, reference
from lth_utils.data import DataOrder
from lth_utils.experiments import runner, worker
from lth_utils.faults import chains
from lth_utils.records import Store

SHORT = synthetic.protocol(training_iterations=6, evaluation_interval=2)
EPOCH = 8  # iterations: 64 images in batches of 8


@pytest.fixture(scope="module")
def data():
    return synthetic.dataset(train=64, validation=16, test=16)


def test_the_plan_has_every_fault_in_three_trials_of_nine_rounds():
    runs = faults.plan()
    assert len(runs) == len({run.key for run in runs}) == 15 * 3 * 9
    assert {run.study for run in runs} == {"faults"} and {run.scale for run in runs} == {"short"}
    assert {run.protocol.training_iterations for run in runs} == {10_000}
    assert sorted(map(len, chains.stacks(runs))) == 13 * 3 * [9] + 3 * [18]


def test_the_quick_plan_is_one_trial_of_three_faults_beside_the_correct_protocol():
    runs = faults.plan("quick")
    assert len({run.variant for run in runs}) == 4 and {run.trial for run in runs} == {0}
    assert {run.scale for run in runs} == {"quick"}


def test_arms_of_a_trial_share_initial_weights_and_data_order():
    runs = [run for run in faults.plan() if run.trial == 1 and run.pruning_round == 4]
    assert len({str(run.seeds) for run in runs}) == 1


def tiny(names, rounds=2):
    """The plan of some faults in trial 0, cut to a few iterations."""
    return [
        dataclasses.replace(run, protocol=faults.FAULT[run.variant].changed(SHORT))
        for run in faults.plan()
        if run.variant in names and run.trial == 0 and run.pruning_round <= rounds
    ]


@pytest.fixture
def here(monkeypatch):
    """Chains are trained in this process, on synthetic data."""
    synthetic.instead_of_data(monkeypatch)
    monkeypatch.setattr(runner, "processes", lambda count: runner.InProcess())


def test_execution_stores_one_ordinary_record_per_run_and_one_file_per_chain(here, tmp_path):
    plan, lines = tiny(["", "stopped_after_1_epoch", "biases_pruned", "rate_41", faults.ON_TEST]), []
    faults.execute(plan, Store(tmp_path), 2, tell=lambda count, line: lines.append((count, line)))
    frame = Store(tmp_path).rows()
    assert set(frame["run_key"]) == {run.key for run in plan} and frame["file"].nunique() == 4
    assert sorted(count for count, _ in lines) == [3, 3, 3, 6]
    assert any("biases_pruned" in line for _, line in lines)
    assert not frame.drop(columns="variant").isna().any(axis=None) and not frame["diverged"].any()
    ladders = frame.groupby("variant")["percent_remaining"].apply(lambda p: sorted(p.round(1)))
    assert ladders["biases_pruned"] == ladders[""] == [64.1, 80.0, 100.0]
    assert ladders["rate_41"] == [34.9, 59.1, 100.0]
    faulty = frame[frame["variant"] == "biases_pruned"]["protocol_differences"]
    assert faulty.str.endswith("; fault: biases are pruned at the rate of their layer").all()
    assert not frame[frame["variant"] == ""]["protocol_differences"].str.contains("fault").any()


def test_a_record_says_what_the_reference_measured(data):
    chain = tiny(["mask_not_enforced"])
    rows = chains.train(chain, data)
    fault, last = faults.FAULT["mask_not_enforced"], rows[-1]
    initial = networks.initial_weights("lenet", chain[0].seeds["init"])
    seeds = [run.seeds["data_order"] for run in chain]
    expected = reference.paper_rounds(initial, seeds, SHORT, data, fault.parts(EPOCH))[-1]
    assert last["curve_validation_loss"] == expected.validation_losses
    assert last["early_stop_iteration"] == expected.iterations[expected.early_stop]
    assert last["test_accuracy_at_early_stop"] == expected.test_accuracies[expected.early_stop]
    assert last["test_accuracy_at_end"] == expected.test_accuracies[-1] == last["curve_test_accuracy"][-1]
    assert np.isnan(last["curve_test_accuracy"][:-1]).all()
    assert min(row["cpu_seconds"] for row in rows) > 0


def test_the_second_reading_is_of_the_same_training_and_costs_nothing(data):
    rows = chains.train(tiny([""]), data)
    own, second = rows[:3], rows[3:]
    assert {row["variant"] for row in second} == {faults.ON_TEST}
    for ours, theirs in zip(own, second, strict=True):
        assert ours["curve_validation_loss"] == theirs["curve_validation_loss"]
        assert ours["test_accuracy_at_end"] == theirs["test_accuracy_at_end"]
        assert not np.isnan(theirs["curve_test_accuracy"]).any()
        assert theirs["wall_seconds"] == theirs["cpu_seconds"] == 0 < ours["cpu_seconds"]


def test_a_test_set_of_its_own_kind_moves_the_second_reading_alone(data):
    """Labels that training makes worse: the lowest test loss is at the first evaluation."""
    odd = dataclasses.replace(data, test_labels=(data.test_labels + 1) % 10)
    honest, second = chains.train(tiny([""], 0), odd)
    assert second["early_stop_iteration"] == 0 < honest["early_stop_iteration"]
    usual, _ = chains.train(tiny([""], 0), data)
    for name in ("early_stop_iteration", "curve_validation_loss", "validation_loss_at_early_stop"):
        assert honest[name] == usual[name]
    assert second["validation_loss_at_early_stop"] == honest["curve_validation_loss"][0]


def test_what_is_stored_is_not_trained_again_and_a_longer_plan_goes_on(here, tmp_path, monkeypatch):
    plan, orders = tiny(["", "no_rewind"]), []
    monkeypatch.setattr(reference, "DataOrder", lambda *a: orders.append(a) or DataOrder(*a))
    faults.execute([run for run in plan if run.variant == ""], Store(tmp_path), 1)
    assert len(orders) == 3
    faults.execute(plan, Store(tmp_path), 1)
    assert len(orders) == 6 and campaign.missing(plan, Store(tmp_path)) == []
    faults.execute(plan, Store(tmp_path), 1)
    assert len(orders) == 6
    longer = tiny(["no_rewind"], rounds=3)
    faults.execute(longer, Store(tmp_path), 1)
    assert campaign.missing(longer, Store(tmp_path)) == [] and len(Store(tmp_path).rows()) == 7


def test_with_no_time_left_nothing_starts(here, tmp_path):
    faults.execute(tiny(["no_rewind"]), Store(tmp_path), 1, budget=0.0)
    assert Store(tmp_path).rows().empty


def test_records_name_the_code_that_was_loaded_not_what_is_checked_out_later(here, tmp_path, monkeypatch):
    versions = iter(["loaded", "checked out later"])
    monkeypatch.setattr(worker, "code_version", lambda: next(versions))
    faults.execute(tiny(["no_rewind", "rate_41"]), Store(tmp_path), 1)
    assert set(Store(tmp_path).rows()["code_version"]) == {"loaded"}


def test_a_worker_that_fails_is_reported_in_one_line(here, tmp_path, monkeypatch):
    monkeypatch.setattr(worker.data_room, "load", lambda name, device: {}["mnist"])
    with pytest.raises(worker.WorkerError, match=r"^'mnist' \(KeyError; worker\.py, line \d+, in data\)$"):
        faults.execute(tiny(["no_rewind"]), Store(tmp_path), 1)


def test_the_quick_profile_trains_what_is_missing_and_the_report_trains_nothing(here, tmp_path, monkeypatch):
    monkeypatch.setattr(chains, "plan", lambda profile: tiny(["", "no_rewind"]))
    monkeypatch.setattr(campaign, "QUICK_RECORDS", tmp_path / "quick")
    monkeypatch.setattr(runner, "default_workers", lambda device: 2)
    frame = faults.obtain("quick")
    assert len(frame) == 6 and set(frame["variant"]) == {"", "no_rewind"}
    monkeypatch.setattr(campaign.records, "read_adopted", lambda: frame[:0])
    with pytest.raises(records.StoreError, match="6 planned run"):
        faults.obtain("report")
