"""Commands that act: training shows its plan first and keeps what it finished; a report adopts whole waves only."""

import errno
import os
from pathlib import Path

import pytest
import synthetic
from one_command import assert_one_line, redirect, run

from lth_utils import answers, experiments, faults, workers
from lth_utils.records import Store


@pytest.fixture
def plan():
    return synthetic.runs(synthetic.tickets(1, 2))


@pytest.fixture(autouse=True)
def empty_store(tmp_path, monkeypatch):
    redirect(monkeypatch, tmp_path / "records")
    return tmp_path / "records"


@pytest.fixture
def store(empty_store, monkeypatch, plan):
    """The empty store, with a tiny plan in place of the paper's."""
    monkeypatch.setattr(experiments, "plan", lambda network, scale, wave: plan)
    return empty_store


# --- train ---------------------------------------------------------------------------------------------------------------------


def test_train_makes_what_is_missing_and_says_so(capsys, store, plan):
    status, shown, _ = run(capsys, "train", "--workers", "1", "--device", "cpu")
    assert status == 0
    assert "4 runs planned, 4 missing" in shown and "estimated" in shown and "4 runs trained" in shown
    assert "0 left" in shown
    assert sorted(Store(store).rows()["run_key"]) == sorted(run.key for run in plan)
    assert run(capsys, "train", "--device", "cpu")[:2] == (0, "4 runs planned, 0 missing\n")


def test_a_dry_run_shows_plan_and_estimate_and_trains_nothing(capsys, store, monkeypatch):
    def never(*arguments, **options):
        raise AssertionError("a dry run has started workers")

    monkeypatch.setattr(workers, "execute", never)
    status, shown, _ = run(capsys, "train", "--dry-run", "--device", "cpu", "--workers", "2")
    assert status == 0
    assert "4 runs planned, 4 missing" in shown and "2 worker(s) on cpu" in shown
    assert not store.exists()


@pytest.mark.parametrize(
    ("wish", "left"),
    [
        (["--trials", "1"], lambda run: run.trial == 1),
        (["--arms", "dense"], lambda run: run.arm == "dense"),
        (["--rounds", "0"], lambda run: run.pruning_round == 0),
        (
            ["--trials", "0,1", "--arms", "winning_ticket", "--rounds", "1"],
            lambda run: run.arm == "winning_ticket",
        ),
    ],
)
def test_a_plan_can_be_cut_to_trials_arms_and_rounds(capsys, store, plan, monkeypatch, wish, left):
    asked = []
    monkeypatch.setattr(workers, "execute", lambda chosen, *arguments, **options: asked.extend(chosen))
    assert run(capsys, "train", "--device", "cpu", *wish)[0] == 0
    assert asked == list(filter(left, plan)) and len(asked) == 2


def test_runs_that_wait_for_others_are_named_with_what_they_wait_for(capsys, store):
    status, shown, _ = run(capsys, "train", "--device", "cpu", "--workers", "1", "--arms", "winning_ticket")
    assert status == 0 and "0 runs trained" in shown and "2 left" in shown
    assert (
        "2 of them wait for runs" in shown
        and "the first for: lenet dense, iterative round 0, trial 0" in shown
    )


def test_more_than_twelve_hours_need_a_budget(capsys, store, monkeypatch):
    monkeypatch.setattr(workers, "estimated_seconds", lambda *arguments: 12.1 * 3600)
    status, _, message = run(capsys, "train", "--device", "cpu")
    assert status == 1 and not store.exists()
    assert_one_line(message, "12 hours", "--budget")
    status, shown, _ = run(capsys, "train", "--device", "cpu", "--budget", "3h", "--workers", "1")
    assert status == 0 and "0 left" in shown


def test_budget_device_and_number_of_workers_reach_the_workers(capsys, store, plan, monkeypatch):
    asked = []
    monkeypatch.setattr(workers, "execute", lambda *arguments, **options: asked.append((arguments, options)))
    status, shown, _ = run(capsys, "train", "--device", "cpu", "--budget", "25m", "--workers", "3")
    assert status == 0 and "0 runs trained" in shown and "4 left" in shown
    (((asked_plan, count, _), options),) = asked
    assert (asked_plan, count) == (plan, 3)
    assert (options["budget_seconds"], options["device"]) == (1500, "cpu")


# --- faults --------------------------------------------------------------------------------------------------------------------


def test_faults_are_trained_chain_by_chain_within_the_budget(capsys, store, monkeypatch):
    asked = []

    def execute(plan, count, into, budget_seconds, done):
        asked.append((plan, count, budget_seconds))
        done(9, "a fault, trial 0")

    monkeypatch.setattr(faults, "execute", execute)
    status, shown, _ = run(capsys, "faults", "--budget", "25m", "--workers", "3")
    assert status == 0 and asked == [(faults.plan(), 3, 1500)]
    chains = len(faults.missing(faults.plan(), Store(store)))
    assert f"{chains} chains of a fault and a trial missing" in shown
    assert f"{chains} left" in shown  # nothing was really stored


def test_a_dry_run_of_the_faults_trains_nothing(capsys, monkeypatch):
    monkeypatch.setattr(faults, "execute", lambda *arguments, **options: 1 / 0)
    status, shown, _ = run(capsys, "faults", "--dry-run")
    assert status == 0 and f"{len(faults.plan())} runs planned" in shown


# --- disks that refuse, people who interrupt ---------------------------------------------------------------------------------


def full_disk(*arguments):
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("writes", [0, 7])
def test_a_full_disk_ends_in_one_line_and_a_store_that_loads(capsys, store, monkeypatch, writes):
    replace, seen = os.replace, []

    def full(*arguments):
        seen.append(arguments)
        (replace if len(seen) <= writes else full_disk)(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        status, _, message = run(capsys, "train", "--device", "cpu", "--workers", "1")
    assert status == 1
    assert_one_line(message, "No space left on device")
    assert len(Store(store).rows()) == (2 if writes else 0)
    status, shown, _ = run(capsys, "train", "--device", "cpu", "--workers", "1")
    assert status == 0 and "0 left" in shown


def test_a_read_only_store_ends_in_one_line(capsys, store, monkeypatch):
    def read_only(path, *arguments, **options):
        raise OSError(errno.EROFS, "Read-only file system", str(path))

    monkeypatch.setattr(Path, "mkdir", read_only)
    status, _, message = run(capsys, "train", "--device", "cpu", "--workers", "1")
    assert status == 1
    assert_one_line(message, "Read-only file system", str(store))


def test_a_damaged_store_ends_in_one_line_that_names_the_file(capsys, store):
    (store / "lenet" / "paper").mkdir(parents=True)
    (store / "lenet" / "paper" / "0123456789abcdef.parquet").write_bytes(b"half")
    status, _, message = run(capsys, "train", "--device", "cpu")
    assert status == 1
    assert_one_line(message, "lenet/paper/0123456789abcdef.parquet", "delete it")


def test_ctrl_c_ends_with_a_clear_word_and_its_own_status(capsys, store, monkeypatch):
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(workers, "execute", interrupted)
    status, _, message = run(capsys, "train", "--device", "cpu", "--workers", "1")
    assert status == 130
    assert "the same command continues" in message and "Traceback" not in message


# --- report --------------------------------------------------------------------------------------------------------------------


def test_a_report_adopts_whole_waves_only(capsys, store, plan, monkeypatch):
    from lth_utils import notebooks

    redone = []
    monkeypatch.setattr(notebooks, "report", lambda tell: redone.append(len(Store(store).manifest())))
    monkeypatch.setattr(answers, "waves", lambda: {"dense": plan[:2], "all": plan})
    Store(store).write([synthetic.record(**planned.identity) for planned in plan[:3]])
    status, shown, _ = run(capsys, "report")
    assert status == 0 and redone == [2]
    assert "dense: 2 new of 2" in shown and "all: 1 of 4 runs missing" in shown
    Store(store).write([synthetic.record(**planned.identity) for planned in plan[3:]])
    assert run(capsys, "report")[0] == 0 and redone == [2, 4]


def test_web_pages_are_built_and_named(capsys, monkeypatch):
    monkeypatch.setattr("lth_utils.notebooks.pages.build", lambda: Path("build/html/index.html"))
    assert run(capsys, "html")[:2] == (0, "build/html/index.html: the first page; open it in a browser\n")


def test_data_are_named_with_their_sizes(capsys):
    status, shown, _ = run(capsys, "data", "mnist")
    assert status == 0 and shown.startswith("mnist: 64 train, 32 validation, 32 test images")
