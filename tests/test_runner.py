"""The runner: a plan and a store, whatever happens in between. Kills, full disks, diverging networks and rivals included."""

import dataclasses
import errno
import itertools
import json
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import time
import types
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import synthetic
from synthetic import protocol, record, values

from lth_utils import campaign, experiments, networks, paper, records, reference, training
from lth_utils import masks as masking
from lth_utils.campaign import missing
from lth_utils.experiments import runner, worker
from lth_utils.records import Store, StoreError

RUNS = 16
code_version = worker.code_version  # the real one: the tests below replace it


@pytest.fixture(autouse=True)
def synthetic_data(monkeypatch):
    synthetic.instead_of_data(monkeypatch)


@pytest.fixture(scope="module")
def plan():
    return synthetic.plan()


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, plan):
    """The folder of a store after everything was trained undisturbed, and what was told."""
    folder, told = tmp_path_factory.mktemp("undisturbed"), []
    synthetic.train(plan, folder, tell=lambda runs, line: told.append((runs, line)))
    return folder, told


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "records")


def keys(runs):
    return [run.key for run in runs]


class Pretended:
    """Training that takes no time and writes invented records; `before` is told the runs of a stack."""

    def __init__(self, before=lambda runs: None, diverges=lambda run: False):
        self.trained, self.deadlines, self.before, self.diverges = [], [], before, diverges

    def __call__(self, runs, store, deadline):
        self.before(runs)
        self.trained.append(keys(runs))
        self.deadlines.append(deadline)
        store.write([record(**run.identity, diverged=self.diverges(run)) for run in runs])
        return {run.key: self.diverges(run) for run in runs}


def execute(plan, store, train, **options):
    runner.execute(plan, store, runner.InProcess(), train, **options)


# --- what a plan leaves ----------------------------------------------------------------------------------------------------


def test_a_plan_gives_exactly_its_records_one_file_per_stack(undisturbed, plan):
    folder, told = undisturbed
    assert len(plan) == RUNS and missing(plan, Store(folder)) == []
    assert sorted(Store(folder).rows()["run_key"]) == sorted(keys(plan))
    assert len(Store(folder).files()) == len(told) == len(experiments.stacks(plan))
    assert sum(runs for runs, _ in told) == RUNS
    assert any("lenet, iterative round 1, 2 runs (winning_ticket)" in line for _, line in told)


def test_records_say_what_was_done(undisturbed, plan):
    frame = Store(undisturbed[0]).rows().set_index("run_key")
    for run in plan:
        row = frame.loc[run.key]
        share = paper.percent_remaining("lenet", run.pruning_round)
        if run.procedure == "one_shot":
            share = paper.one_shot_percent_remaining("lenet", run.pruning_round)
        assert row["percent_remaining"] == pytest.approx(share, abs=0.001)
        assert (row["training_iterations"], row["precision"], row["code_version"]) == (4, "float32", "abc")
        assert json.loads(row["seeds"]) == run.seeds
        assert json.loads(row["protocol"]) == run.protocol.to_dict()
        assert "training_iterations: 50000 -> 4" in row["protocol_differences"]
        assert row["wall_seconds"] > 0 and "cpu" in row["device"] and not row["diverged"]
        assert row["curve_iteration"].tolist() == [0, 2, 4]
        assert np.isfinite(row["curve_validation_loss"]).all()
        assert row["early_stop_iteration"] in (0, 2, 4)
        assert np.isfinite(row["curve_test_accuracy"][:2]).all() == bool(run.test_curve_until)


def test_tickets_and_dense_networks_are_those_of_the_reference(undisturbed, plan):
    frame = Store(undisturbed[0]).rows()
    data = synthetic.load("mnist")
    for trial in (0, 1):
        chain = [run for run in plan if run.is_pruned and run.trial == trial and run.procedure == "iterative"]
        initial = networks.initial_weights("lenet", chain[0].seeds["init"])
        rounds = reference.paper_rounds(initial, [run.seeds["data_order"] for run in chain], protocol(), data)
        for run, expected in zip(chain, rounds, strict=True):
            (row,) = frame[frame["run_key"] == run.key].to_dict("records")
            assert np.allclose(row["curve_validation_loss"], expected.validation_losses, atol=1e-5)
            assert row["test_accuracy_at_end"] == pytest.approx(expected.test_accuracies[-1], abs=1e-6)


def test_masks_and_weights_are_of_the_end_of_training_and_not_of_early_stop(store, monkeypatch):
    dense, ticket = plan = synthetic.runs(synthetic.tickets(1))
    train, ends = training.train, []

    def stopping_elsewhere(*arguments, **options):
        (result,) = train(*arguments, **options)
        ends.append(result.final_weights)
        return [dataclasses.replace(result, early_stop_weights=networks.initial_weights("lenet", 99))]

    monkeypatch.setattr(training, "train", stopping_elsewhere)
    campaign.train(plan, store)
    assert synthetic.equal(store.dense_weights(dense), ends[0])
    expected = experiments.next_masks(dense, ends[0], masking.ones(ends[0]))
    assert synthetic.equal(store.masks(ticket), expected)


def test_a_stack_records_the_test_curve_as_long_as_any_of_its_runs_wants_it(store):
    plan = synthetic.runs(synthetic.controls("random_sparsity", (3,), 1, 2))
    plan[1] = dataclasses.replace(plan[1], test_curve_until=4)
    campaign.train(plan, store)
    assert len(store.files()) == 1
    assert np.isfinite(np.stack(store.rows()["curve_test_accuracy"])).all()


def test_the_cost_of_a_stack_is_shared_equally_by_its_runs(store, monkeypatch):
    wall, cpu = itertools.count(0.0, 12.0), itertools.count(0.0, 6.0)
    clock = types.SimpleNamespace(
        time=time.time, perf_counter=lambda: next(wall), process_time=lambda: next(cpu)
    )
    monkeypatch.setattr(worker, "time", clock)
    campaign.train(synthetic.runs(synthetic.tickets(0, 3)), store)
    frame = store.rows()
    assert frame["wall_seconds"].tolist() == [4.0] * 3 and frame["cpu_seconds"].tolist() == [2.0] * 3


def test_code_is_named_by_its_commit_and_marked_where_it_was_changed(tmp_path, monkeypatch):
    monkeypatch.setattr(worker, "ROOT", tmp_path)
    assert code_version() == "unknown"
    module = tmp_path / "lth_utils" / "x.py"
    module.parent.mkdir()
    module.write_text("1\n")
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@example.org"]
    for command in ("init -q", "add .", "commit -qm x"):
        subprocess.run([*git, *command.split()], check=True)
    head = subprocess.check_output([*git, "rev-parse", "--short", "HEAD"], text=True).strip()
    assert code_version() == head
    module.write_text("2\n")
    assert code_version() == f"{head}+"


# --- going on where training stopped ---------------------------------------------------------------------------------------


def test_a_complete_store_is_left_alone(undisturbed, plan):
    before = {path: path.stat().st_mtime_ns for path in Store(undisturbed[0]).files()}
    execute(plan, Store(undisturbed[0]), pretended := Pretended())
    assert pretended.trained == []
    assert {path: path.stat().st_mtime_ns for path in Store(undisturbed[0]).files()} == before


def without(store, column, value):
    """Remove the record files that hold such a run."""
    paths = [p for p in store.files() if value in records.pq.read_table(p)[column].to_pylist()]
    for path in paths:
        path.unlink()
    assert paths


@pytest.mark.parametrize(("column", "value"), [("arm", "random_reinit"), ("pruning_round", 0)])
def test_only_what_is_missing_is_trained_and_comes_out_the_same(undisturbed, plan, store, column, value):
    """A lost link of a chain is trained again without harm to later rounds."""
    shutil.copytree(undisturbed[0], store.folder)
    without(store, column, value)
    chains = {path: path.read_bytes() for path in store.folder.rglob("_chains/*")}
    lost = missing(plan, store)
    assert value in {getattr(run, column) for run in lost} and len(lost) < RUNS
    campaign.train(plan, store)
    assert values(store.folder) == values(undisturbed[0])
    assert {path: path.read_bytes() for path in store.folder.rglob("_chains/*")} == chains


def test_a_stack_waits_until_all_of_its_runs_that_can_come_are_ready(store):
    """Which networks train side by side follows from the plan alone, not from which chain is faster."""
    first, second = synthetic.runs(synthetic.tickets(0, 1)), synthetic.runs(synthetic.tickets(1, 2))
    execute(first, store, Pretended())
    queue = runner.Queue(second, experiments.stacks, experiments.needs, store)
    assert list(queue.ready()) == [[second[1]]]  # the ticket of trial 0 could start, too
    execute(second, store, pretended := Pretended())
    assert pretended.trained == [[second[1].key], keys(second[2:])]


def test_an_interruption_keeps_what_was_finished(plan, store):
    def interrupted(runs):
        if len(pretended.trained) == 3:
            raise KeyboardInterrupt

    pretended = Pretended(interrupted)
    with pytest.raises(KeyboardInterrupt):
        execute(plan, store, pretended)
    assert len(store.files()) == 3
    execute(plan, store, Pretended())
    assert missing(plan, store) == []


# --- a budget is a promise -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("budget", "rate", "stacks"),
    [(5, 0.0, 1), (5, 10.0, 0), (25, 1.0, 2), (25, 0.0, 2), (45, 0.0, 4), (0, 0.0, 0)],
)
def test_a_stack_starts_only_if_it_ends_in_time(plan, store, monkeypatch, budget, rate, stacks):
    """Every stack takes ten seconds; until one has ended the rate that is given counts."""
    clock = types.SimpleNamespace(now=1000.0, monotonic=lambda: clock.now, time=lambda: clock.now)
    monkeypatch.setattr(runner, "time", clock)
    pretended = Pretended(lambda runs: vars(clock).update(now=clock.now + 10))
    cost = {run.key: 1 / len(stack) for stack in experiments.stacks(plan) for run in stack}
    execute(plan, store, pretended, budget=budget, rate=rate, cost=lambda run: cost[run.key])
    assert len(pretended.trained) == stacks
    assert pretended.deadlines == [1000.0 + budget] * stacks


def test_a_stack_that_overruns_is_cut_at_an_evaluation_and_leaves_no_record(plan, store, monkeypatch):
    now = iter([0.0, 0.0, 5.0, 10.0, 15.0])
    clock = types.SimpleNamespace(
        time=lambda: next(now), perf_counter=time.perf_counter, process_time=time.process_time
    )
    monkeypatch.setattr(worker, "time", clock)
    assert worker.train_stack(plan[:1], store, 4.0) is None
    assert next(now) == 10.0  # at the third of three evaluations
    assert not store.folder.exists()
    execute(plan, store, lambda *late: None, budget=100.0, tell=lambda *line: pytest.fail(f"told {line}"))
    assert missing(plan, store) == plan


# --- diverged runs ---------------------------------------------------------------------------------------------------------


def test_a_diverged_run_stops_its_own_chain_and_no_other(plan, store):
    def place(run):
        return run.trial, run.arm, run.procedure, run.pruning_round

    broken = (1, "winning_ticket", "iterative", 1)
    execute(plan, store, Pretended(diverges=lambda run: place(run) == broken))
    waiting = missing(plan, store)
    assert set(map(place, waiting)) == {
        (1, arm, "iterative", 2) for arm in ("winning_ticket", "random_reinit")
    }
    frame = store.rows()
    assert frame["diverged"].sum() == 1 and campaign.lost(plan, frame) == set(keys(waiting))
    assert campaign.lost(plan, frame[frame["arm"] == "dense"]) == set()  # those may still come


def test_networks_that_diverge_are_recorded_and_prune_nothing(store):
    plan = synthetic.runs(
        synthetic.tickets(1), synthetic.controls("random_sparsity", (1,)), optimizer="sgd", learning_rate=1e30
    )
    campaign.train(plan, store)
    frame = store.rows().set_index("arm")
    assert sorted(frame.index) == ["dense", "random_sparsity"] and frame["diverged"].all()
    assert [run.arm for run in missing(plan, store)] == ["winning_ticket"]
    assert not list(store.folder.rglob("_chains/*"))
    assert len(records.curves(store.load())) == 6


def test_a_continued_run_whose_companion_diverges_is_recorded_and_stops_its_own_chain_only(
    undisturbed, plan, store, monkeypatch
):
    shutil.copytree(undisturbed[0], store.folder)
    without(store, "procedure", "continued")
    train = training.train

    def companion_diverges(*arguments, **options):
        run, companion = train(*arguments, **options)
        assert options["seeds"] == [options["seeds"][0]] * 2
        return [run, dataclasses.replace(companion, diverged=True)]

    monkeypatch.setattr(training, "train", companion_diverges)
    campaign.train(plan, store)
    assert [(run.procedure, run.pruning_round) for run in missing(plan, store)] == [("continued", 2)]
    frame = store.rows()
    assert frame[frame["diverged"]]["procedure"].tolist() == ["continued"]


# --- rivals ----------------------------------------------------------------------------------------------------------------


def test_a_second_coordinator_on_one_store_is_refused_in_a_sentence(plan, store):
    def rival(runs):
        with pytest.raises(StoreError, match=r"another process is training into .*records; wait"):
            execute(plan, Store(store.folder), Pretended())

    execute(plan[:1], store, Pretended(rival))
    execute(plan, store, Pretended())  # afterwards the store is free
    assert missing(plan, store) == []


def test_what_a_killed_writer_left_half_written_is_swept_at_the_next_start(plan, store):
    left = store.folder / "lenet" / "paper" / "_tmp-abc.parquet"
    left.parent.mkdir(parents=True)
    left.touch()
    execute(plan[:1], store, Pretended())
    assert not left.exists()


# --- SIGKILL at any moment loses at most the stacks in flight --------------------------------------------------------------


def work_and_die(plan, folder, fatal_rename, started):
    """Train in this process and kill it without warning at its n-th write (0: never)."""
    training.torch.set_num_threads(1)
    replace, seen = os.replace, []

    def fatal(*arguments):
        seen.append(arguments)
        if len(seen) == fatal_rename:
            os.kill(os.getpid(), signal.SIGKILL)
        replace(*arguments)

    os.replace = fatal
    started.set()
    synthetic.train(plan, folder)


@pytest.fixture(scope="module")
def forked():
    """Processes are forked from one that has torch loaded, instead of loading it each."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        ["lth_utils.campaign", "torch._dynamo"]
    )  # optimizers would load the second
    return context


@pytest.fixture(scope="module")
def start(forked):
    """Start a process that trains a plan, and return it when its training begins."""

    def start(plan, store, fatal_rename=0):
        started = forked.Event()
        process = forked.Process(target=work_and_die, args=(plan, store.folder, fatal_rename, started))
        process.start()
        assert started.wait(60)
        return process

    return start


def test_killed_at_every_kind_of_write_a_plan_ends_with_the_same_records(start, plan, undisturbed, store):
    for fatal_rename in (1, 3, 5, 6, 3, 2):  # the dense stack takes five writes, a stack of two tickets three
        process = start(plan, store, fatal_rename)
        process.join(60)
        assert process.exitcode == -signal.SIGKILL
        assert set(values(store.folder).items()) <= set(values(undisturbed[0]).items())
    assert 0 < len(values(store.folder)) < RUNS
    final = start(plan, store)
    final.join(60)
    assert final.exitcode == 0 and values(store.folder) == values(undisturbed[0])


def test_killed_ten_times_at_random_moments_a_plan_ends_with_exactly_the_undisturbed_records(
    start, plan, undisturbed, store
):
    statuses, moments = [], random.Random(12)
    for _ in range(10):
        process = start(plan, store)
        time.sleep(moments.uniform(0.0, 0.1))
        process.kill()
        process.join(60)
        statuses.append(process.exitcode)
        assert set(values(store.folder).items()) <= set(values(undisturbed[0]).items())
    assert set(statuses) <= {0, -signal.SIGKILL} and statuses.count(-signal.SIGKILL) >= 3
    campaign.train(plan, store)
    assert values(store.folder) == values(undisturbed[0])


# --- processes -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def processes(forked, monkeypatch):
    monkeypatch.setattr(runner.multiprocessing, "get_context", lambda method: forked)
    monkeypatch.setattr(runner, "threads_per_worker", lambda count: 1)


def train_synthetic(runs, store, deadline):
    """A real worker, but on synthetic data."""
    worker.data_room.load = synthetic.load
    return worker.train_stack(runs, store, deadline, version="abc")


@worker.one_line()
def fail(error, runs, store, deadline):
    raise error("what nobody thought of")


class Unpicklable(Exception):
    def __reduce__(self):
        raise TypeError("not even this can be sent")


def die(runs, store, deadline):
    os.kill(os.getpid(), signal.SIGKILL)


def first_only(runs, store, deadline):
    """Finishes the dense networks and then takes for ever over what comes next."""
    if runs[0].arm != "dense":
        (store.folder / "_claims" / f"stuck-{os.getpid()}").touch()
        time.sleep(600)
    return train_synthetic(runs, store, deadline)


def test_two_processes_finish_a_plan_together_with_the_same_records(plan, store, processes, undisturbed):
    with runner.processes(2) as pool:
        runner.execute(plan, store, pool, train_synthetic, at_once=2)
    assert values(store.folder) == values(undisturbed[0])
    assert len(store.files()) == len(experiments.stacks(plan))


@pytest.mark.parametrize(
    ("train", "message"),
    [
        (partial(fail, OSError), r"^what nobody thought of \(OSError; .*line \d+, in "),
        (partial(fail, Unpicklable), r"^what nobody thought of \(Unpicklable; .*line \d+, in "),
        (die, "a worker was killed .* the same command continues"),
    ],
)
def test_a_worker_that_fails_or_dies_is_one_sentence(plan, store, processes, train, message):
    with pytest.raises(worker.WorkerError, match=message), runner.processes(1) as pool:
        runner.execute(plan, store, pool, train)
    assert not multiprocessing.active_children()


def test_long_training_says_what_it_does_and_ctrl_c_ends_every_worker_and_keeps_what_was_finished(
    plan, store, processes, monkeypatch
):
    monkeypatch.setattr(runner, "TELL_EVERY_SECONDS", 0.2)

    def interrupted(runs, line):
        if not runs and "random_sparsity" in line:
            raise KeyboardInterrupt(line)

    with pytest.raises(KeyboardInterrupt, match="in training: lenet, iterative"), runner.processes(2) as pool:
        runner.execute(plan, store, pool, first_only, at_once=2, tell=interrupted)
    assert not multiprocessing.active_children()
    assert 0 < len(values(store.folder)) < len(plan)


def coordinate(plan, store):
    with runner.processes(1) as pool:  # as a user's: spawned
        runner.execute(plan, store, pool, first_only)


def test_when_a_coordinator_is_killed_its_workers_end_too_and_the_store_is_free(plan, store, forked):
    parent = forked.Process(target=coordinate, args=(plan, store))
    parent.start()
    wait_until(lambda: list(store.folder.glob("_claims/stuck-*")))
    (stuck,) = (int(path.name.split("-")[1]) for path in store.folder.glob("_claims/stuck-*"))
    parent.kill()
    parent.join(10)
    assert parent.exitcode == -signal.SIGKILL
    wait_until(lambda: not alive(stuck))
    execute(plan, store, Pretended())
    assert missing(plan, store) == []


def alive(process):
    status = Path(f"/proc/{process}/status")
    return status.exists() and "State:\tZ" not in status.read_text()


def wait_until(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def test_workers_share_the_cores_and_less_than_one_is_refused(monkeypatch):
    monkeypatch.setattr(runner.os, "sched_getaffinity", lambda process: set(range(8)), raising=False)
    assert runner.default_workers("cpu") == 8 and runner.default_workers("cuda:1") == 1
    assert [runner.threads_per_worker(count) for count in (1, 3, 8, 20)] == [8, 2, 1, 1]
    monkeypatch.delattr(runner.os, "sched_getaffinity")
    monkeypatch.setattr(runner.os, "cpu_count", lambda: None)
    assert runner.default_workers("cpu") == runner.threads_per_worker(3) == 1
    with pytest.raises(ValueError, match="greater than 0"), runner.processes(0):
        pass


# --- disks that refuse -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("after", [0, 5])
def test_a_full_disk_ends_training_and_leaves_a_store_that_loads(
    plan, store, undisturbed, monkeypatch, after
):
    replace, seen = os.replace, []

    def full(*arguments):
        seen.append(arguments)
        if len(seen) > after:
            raise OSError(errno.ENOSPC, "No space left on device")
        replace(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        with pytest.raises(worker.WorkerError, match="No space left"):
            campaign.train(plan, store)
    assert not list(store.folder.rglob("_tmp-*"))
    assert set(values(store.folder).items()) <= set(values(undisturbed[0]).items())
    assert len(store.files()) == (after == 5)


def test_a_damaged_store_is_not_added_to(plan, store):
    folder = store.folder / "lenet" / "paper"
    folder.mkdir(parents=True)
    (folder / "0123456789abcdef.parquet").write_bytes(b"half a file")
    with pytest.raises(StoreError, match=r"0123456789abcdef\.parquet"):
        execute(plan, store, pretended := Pretended())
    assert pretended.trained == []


# --- obtaining records for a notebook --------------------------------------------------------------------------------------


@pytest.fixture
def quick(store, tmp_path, monkeypatch):
    """The folder of the quick profile is `store`, the committed one is empty."""
    monkeypatch.setattr(campaign, "QUICK_RECORDS", store.folder)
    monkeypatch.setattr(records, "COMMITTED", tmp_path / "committed")


def test_profile_paper_fills_the_committed_store_and_quick_does_not():
    assert campaign.chain("paper") == campaign.chain("report") == records.committed()
    assert campaign.chain("quick") == Store(campaign.QUICK_RECORDS) != records.committed()


def test_a_quick_profile_trains_into_its_own_folder_and_returns_one_row_per_run(plan, store, quick):
    frame = campaign.obtain(plan[:2], "quick")
    assert sorted(frame["run_key"]) == sorted(keys(plan[:2])) and len(store.files()) == 1
    assert not records.COMMITTED.exists()


def test_a_report_reads_adopted_records_trains_nothing_and_names_what_is_missing(
    undisturbed, plan, store, monkeypatch
):
    shutil.copytree(undisturbed[0], store.folder)
    monkeypatch.setattr(records, "COMMITTED", store.folder)
    monkeypatch.setattr(campaign, "train", lambda *arguments: pytest.fail("a report trains"))
    with pytest.raises(StoreError, match="16 planned run"):
        campaign.obtain(plan, "report")
    store.adopt(store.rows())
    frame = campaign.obtain(plan[::-1], "report")
    assert len(frame) == RUNS
    assert frame.equals(frame.sort_values(list(records.IDENTITY)).reset_index(drop=True))
    assert len(campaign.obtain(plan[:4], "report")) == 4
    with pytest.raises(StoreError, match=r"1 planned run\(s\).*'trial': 2"):
        campaign.obtain(synthetic.runs(synthetic.tickets(0, 3)), "report")


def test_an_unknown_profile_is_refused_by_name_before_anything_is_trained(plan, store, quick):
    for ask in (lambda: campaign.obtain(plan, "qick"), lambda: campaign.chain("qick")):
        with pytest.raises(
            ValueError, match=r"'qick'; did you mean 'quick'\? there are report, quick, paper"
        ):
            ask()
    assert not store.folder.exists()


def test_progress_is_shown_in_a_kernel_and_not_where_nobody_looks(plan, quick, monkeypatch, capsys):
    campaign.obtain(plan[:2], "quick")
    assert capsys.readouterr().err == ""
    monkeypatch.setattr("IPython.get_ipython", lambda: types.SimpleNamespace(kernel=None))
    campaign.obtain(plan[:4], "quick")
    assert "2/2" in capsys.readouterr().err


@pytest.mark.parametrize("device", ["cuda:77", "nonsense", "meta"])
def test_a_device_that_is_not_there_is_refused_in_one_line(plan, store, device):
    with pytest.raises(ValueError, match=f"the device '{device}' cannot be used here") as caught:
        campaign.train(plan, store, device)
    assert "\n" not in str(caught.value)
