"""Campaigns: a plan and a store, whatever happens in between. Kills, full disks and rivals included."""

import collections
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
from pathlib import Path

import numpy as np
import pytest
import synthetic
from synthetic import protocol, record, values

from lth_utils import campaign, data, experiments, networks, paper, records, reference, training
from lth_utils import masks as masking
from lth_utils.campaign import Campaign
from lth_utils.records import Store, StoreError

RUNS = 16
code_version = campaign.code_version  # the real one: the tests below replace it


@pytest.fixture(autouse=True)
def synthetic_data(monkeypatch):
    monkeypatch.setattr(campaign.data_room, "load", synthetic.load)
    monkeypatch.setattr(campaign, "code_version", lambda: "abc")


@pytest.fixture(scope="module")
def plan():
    return synthetic.plan()


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, plan):
    """The store after one undisturbed campaign, and the stacks in the order in which they were trained."""
    folder, trained = tmp_path_factory.mktemp("undisturbed"), []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(campaign.data_room, "load", synthetic.load)
        patch.setattr(campaign, "code_version", lambda: "abc")
        Campaign(plan, Store(folder)).work(done=lambda runs, seconds: trained.append((runs, seconds)))
    return folder, trained


@pytest.fixture
def store(tmp_path):
    return tmp_path / "records"


@pytest.fixture
def pretended(monkeypatch):
    """Training that takes no time and writes invented records; tests may replace `outcome`, told the runs of a stack."""

    pretended = types.SimpleNamespace(trained=[], outcome=lambda runs: [{} for _ in runs])

    def train(self, runs):
        rows = [
            record(**run.identity, **change)
            for run, change in zip(runs, pretended.outcome(runs), strict=True)
        ]
        pretended.trained.append([run.key for run in runs])
        self.store.write(rows)

    monkeypatch.setattr(Campaign, "_train", train)
    return pretended


def keys(runs):
    return [run.key for run in runs]


# --- what a campaign leaves --------------------------------------------------------------------------------------------------


def test_a_plan_gives_exactly_its_records(undisturbed, plan):
    folder, trained = undisturbed
    assert len(plan) == RUNS
    assert sorted(Store(folder).rows()["run_key"]) == sorted(keys(plan))
    assert Campaign(plan, Store(folder)).missing() == []
    assert len(Store(folder).files()) == len(trained) == len(experiments.stacks(plan))


def test_every_finished_stack_is_reported_once_and_needs_come_first(undisturbed, plan):
    _, trained = undisturbed
    seen = set()
    for runs, seconds in trained:
        assert seconds > 0
        for run in runs:
            needed = experiments.needs(run)
            assert needed is None or needed.key in seen
        seen |= set(keys(runs))
    assert len(seen) == RUNS == sum(len(runs) for runs, _ in trained)


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


def test_records_name_the_code_that_was_loaded_not_what_is_checked_out_later(plan, store, monkeypatch):
    work = Campaign(plan[:1], Store(store))
    monkeypatch.setattr(campaign, "code_version", lambda: "def")
    work.work()
    assert Store(store).rows()["code_version"].tolist() == ["abc"]


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


def test_arms_are_different_networks(undisturbed):
    """Controls differ from the ticket and from each other already before training; continued round 1 is the ticket."""
    frame = Store(undisturbed[0]).rows()
    first = frame[(frame["trial"] == 0) & (frame["pruning_round"] == 1)].set_index(["arm", "procedure"])
    losses = first["curve_validation_loss"].map(lambda curve: curve[0])
    assert losses["winning_ticket", "iterative"] == losses["winning_ticket", "continued"]
    assert losses.nunique() == len(losses) - 1 == 3
    second = frame[(frame["trial"] == 0) & (frame["pruning_round"] == 2)].set_index(["arm", "procedure"])
    losses = second["curve_validation_loss"].map(lambda curve: curve[0])
    assert losses["winning_ticket", "iterative"] != losses["winning_ticket", "continued"]


def test_dense_networks_leave_their_weights_and_their_most_confident_errors(undisturbed, plan):
    work = Campaign(plan, Store(undisturbed[0]))
    run = plan[0]
    weights, errors = work.store.dense_weights(run), work.store.errors(run)
    assert weights["fc1.weight"].shape == (300, 784)
    assert (errors["label"] != errors["prediction"]).all() and 0 < len(
        errors["label"]
    ) <= campaign.ERRORS_KEPT
    assert (np.diff(errors["confidence"]) <= 0).all()
    assert errors["pixels"].dtype == np.uint8 and errors["pixels"].shape[1:] == (1, 28, 28)


def test_masks_weights_and_errors_are_of_the_end_of_training_and_not_of_early_stop(store, monkeypatch):
    dense, ticket = plan = synthetic.runs(synthetic.tickets(1))
    train, ends = training.train, []

    def stopping_elsewhere(*arguments, **options):
        (result,) = train(*arguments, **options)
        ends.append(result.final_weights)
        return [dataclasses.replace(result, early_stop_weights=networks.initial_weights("lenet", 99))]

    monkeypatch.setattr(training, "train", stopping_elsewhere)
    work = Campaign(plan, Store(store))
    work.work()
    assert synthetic.equal(work.store.dense_weights(dense), ends[0])
    expected = experiments.next_masks(dense, ends[0], masking.ones(ends[0]))
    assert synthetic.equal(work.store.masks(ticket), expected)
    seen = synthetic.load("mnist")
    images = data.scale_pixels(seen.test_images, "unit_interval")
    errors = networks.most_confident_errors(
        "lenet", ends[0], images, seen.test_images, seen.test_labels, campaign.ERRORS_KEPT
    )
    assert np.array_equal(work.store.errors(dense)["pixels"], errors["pixels"])


def test_a_stack_records_the_test_curve_as_long_as_any_of_its_runs_wants_it(store):
    plan = synthetic.runs(synthetic.controls("random_sparsity", (3,), 1, 2))
    plan[1] = dataclasses.replace(plan[1], test_curve_until=4)
    assert len(experiments.stacks(plan)) == 1
    Campaign(plan, Store(store)).work()
    assert np.isfinite(np.stack(Store(store).rows()["curve_test_accuracy"])).all()


def test_the_cost_of_a_stack_is_shared_equally_by_its_runs(store, monkeypatch):
    wall, cpu = itertools.count(0.0, 12.0), itertools.count(0.0, 6.0)
    clock = types.SimpleNamespace(
        monotonic=time.monotonic, perf_counter=lambda: next(wall), process_time=lambda: next(cpu)
    )
    monkeypatch.setattr(campaign, "time", clock)
    Campaign(synthetic.runs(synthetic.tickets(0, 3)), Store(store)).work()
    frame = Store(store).rows()
    assert frame["wall_seconds"].tolist() == [4.0] * 3 and frame["cpu_seconds"].tolist() == [2.0] * 3


def test_code_is_named_by_its_commit_and_marked_where_it_was_changed(tmp_path, monkeypatch):
    monkeypatch.setattr(campaign, "ROOT", tmp_path)
    assert code_version() == "unknown"
    module = tmp_path / "lth_utils" / "x.py"
    module.parent.mkdir()
    module.write_text("1\n")
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@example.org"]
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "x"]):
        subprocess.run([*git, *command], check=True)
    head = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True)
    assert code_version() == head.stdout.strip()
    module.write_text("2\n")
    assert code_version() == head.stdout.strip() + "+"


def test_profile_paper_fills_the_committed_store_and_quick_does_not():
    assert campaign.chain("paper").folder == campaign.chain("report").folder == records.COMMITTED
    assert campaign.chain("quick").folder == campaign.QUICK_RECORDS != records.COMMITTED


# --- going on where a campaign stopped -----------------------------------------------------------------------------------


def test_a_complete_store_is_left_alone(undisturbed, plan, pretended):
    before = {path: path.stat().st_mtime_ns for path in Store(undisturbed[0]).files()}
    Campaign(plan, Store(undisturbed[0])).work()
    assert pretended.trained == []
    assert {path: path.stat().st_mtime_ns for path in Store(undisturbed[0]).files()} == before


def test_only_what_is_missing_is_trained_and_comes_out_the_same(undisturbed, plan, store):
    shutil.copytree(undisturbed[0], store)
    lost = [
        path
        for path in Store(store).files()
        if "random_reinit" in set(records.pq.read_table(path)["arm"].to_pylist())
    ]
    assert lost
    for path in lost:
        path.unlink()
    work, trained = Campaign(plan, Store(store)), []
    missing = work.missing()
    assert 0 < len(missing) < RUNS
    work.work(done=lambda runs, _: trained.extend(keys(runs)))
    assert sorted(trained) == sorted(keys(missing))
    assert values(store) == values(undisturbed[0])


def test_a_lost_link_of_a_chain_is_trained_again_without_harm_to_later_rounds(undisturbed, plan, store):
    shutil.copytree(undisturbed[0], store)
    for path in Store(store).files():
        if records.pq.read_table(path)["pruning_round"].to_pylist() == [0, 0]:
            path.unlink()
    chains = {path: path.read_bytes() for path in store.rglob("_chains/*")}
    work = Campaign(plan, Store(store))
    assert {run.arm for run in work.missing()} == {"dense"}
    work.work()
    assert values(store) == values(undisturbed[0])
    assert {path: path.read_bytes() for path in store.rglob("_chains/*")} == chains


def test_missing_runs_come_in_plan_order(plan, store):
    assert Campaign(plan, Store(store)).missing() == plan


class Clock:
    """Stands in for the time module: every stack takes as many seconds as it costs."""

    def __init__(self):
        self.now = 1000.0

    def monotonic(self):
        return self.now


@pytest.mark.parametrize(("budget", "stacks"), [(5, 1), (45, 4)])
def test_a_budget_stops_after_the_last_stack_that_fits(plan, store, pretended, monkeypatch, budget, stacks):
    clock = Clock()
    monkeypatch.setattr(campaign, "time", clock)
    monkeypatch.setattr(
        campaign, "relative_cost", lambda run, device: 1 / next(len(s) for s in work.stacks if run in s)
    )

    def ten_seconds(runs):
        clock.now += 10
        return [{} for _ in runs]

    pretended.outcome = ten_seconds
    work = Campaign(plan, Store(store))
    assert len(work.stacks) == 8
    work.work(budget)
    assert len(pretended.trained) == stacks
    assert len(work.missing()) == RUNS - sum(map(len, pretended.trained))


@pytest.mark.parametrize(("budget", "stacks"), [(25, 1), (45, 2)])
def test_the_estimate_of_a_stack_is_scaled_by_its_cost(store, pretended, monkeypatch, budget, stacks):
    clock = Clock()
    plan = synthetic.runs(synthetic.tickets(0), synthetic.controls("random_sparsity", (1,), 3))
    monkeypatch.setattr(campaign, "time", clock)
    monkeypatch.setattr(campaign, "relative_cost", lambda run, device: 2.0)

    def ten_seconds_each(runs):
        clock.now += 10 * len(runs)
        return [{} for _ in runs]

    pretended.outcome = ten_seconds_each
    Campaign(plan, Store(store)).work(budget)
    assert len(pretended.trained) == stacks


def test_the_first_stack_starts_however_small_the_budget(plan, store, pretended):
    Campaign(plan, Store(store)).work(1e-9)
    assert len(pretended.trained) == 1


def test_an_interruption_keeps_what_was_finished(plan, store, pretended):
    def interrupted(runs):
        if len(pretended.trained) == 3:
            raise KeyboardInterrupt
        return [{} for _ in runs]

    pretended.outcome = interrupted
    with pytest.raises(KeyboardInterrupt):
        Campaign(plan, Store(store)).work()
    assert len(Store(store).files()) == 3
    pretended.outcome = lambda runs: [{} for _ in runs]
    Campaign(plan, Store(store)).work()
    assert Campaign(plan, Store(store)).missing() == []


# --- diverged runs -----------------------------------------------------------------------------------------------------------


def test_a_diverged_run_stops_its_own_chain_and_no_other(plan, store, pretended):
    def broken(run):
        return (
            run.trial == 1
            and run.arm == "winning_ticket"
            and (run.procedure, run.pruning_round) == ("iterative", 1)
        )

    pretended.outcome = lambda runs: [{"diverged": broken(run)} for run in runs]
    work = Campaign(plan, Store(store))
    work.work()
    missing = {(run.trial, run.arm, run.procedure, run.pruning_round) for run in work.missing()}
    assert missing == {(1, "winning_ticket", "iterative", 2), (1, "random_reinit", "iterative", 2)}
    frame = Store(store).rows()
    assert frame["diverged"].sum() == 1
    assert campaign.lost(plan, frame) == set(keys(work.missing()))


def test_what_waits_for_a_run_that_may_still_come_is_not_lost(plan, undisturbed):
    frame = Store(undisturbed[0]).rows()
    assert campaign.lost(plan, frame[frame["arm"] == "dense"]) == set()


def test_networks_that_diverge_are_recorded_and_prune_nothing(store):
    plan = synthetic.runs(
        synthetic.tickets(1), synthetic.controls("random_sparsity", (1,)), optimizer="sgd", learning_rate=1e30
    )
    work = Campaign(plan, Store(store))
    work.work()
    frame = Store(store).rows().set_index("arm")
    assert sorted(frame.index) == ["dense", "random_sparsity"] and frame["diverged"].all()
    assert [run.arm for run in work.missing()] == ["winning_ticket"]
    assert not list(store.rglob("_chains/*"))
    assert len(records.curves(Store(store).load())) == 6


def test_a_continued_run_whose_companion_diverges_is_recorded_and_stops_its_own_chain_only(
    undisturbed, plan, store, monkeypatch
):
    shutil.copytree(undisturbed[0], store)
    for path in Store(store).files():
        if "continued" in records.pq.read_table(path)["procedure"].to_pylist():
            path.unlink()
    train = training.train

    def companion_diverges(*arguments, **options):
        run, companion = train(*arguments, **options)
        assert options["seeds"] == [options["seeds"][0]] * 2
        return [run, dataclasses.replace(companion, diverged=True)]

    monkeypatch.setattr(training, "train", companion_diverges)
    work = Campaign(plan, Store(store))
    work.work()
    assert [(run.procedure, run.pruning_round) for run in work.missing()] == [("continued", 2)]
    frame = Store(store).rows()
    assert frame[frame["diverged"]]["procedure"].tolist() == ["continued"]


# --- rivals ------------------------------------------------------------------------------------------------------------------


class Waited(Exception):
    """Raised instead of sleeping, so that a test sees where a worker waits."""


def test_a_stack_that_another_worker_holds_is_left_to_it(plan, store, pretended, monkeypatch):
    rival_trained = []

    def wait(seconds):
        raise Waited

    def while_a_stack_is_held(runs):
        pretended.outcome = lambda runs: rival_trained.extend(keys(runs)) or [{} for _ in runs]
        with pytest.raises(Waited):
            Campaign(plan, Store(store)).work()
        pretended.outcome = lambda runs: [{} for _ in runs]
        held.extend(keys(runs))
        return [{} for _ in runs]

    held = []
    monkeypatch.setattr(campaign.time, "sleep", wait)
    pretended.outcome = while_a_stack_is_held
    Campaign(plan, Store(store)).work()
    assert held and rival_trained and not set(held) & set(rival_trained)
    assert max(collections.Counter(itertools.chain(*pretended.trained)).values()) == 1
    assert sorted(Store(store).rows()["run_key"]) == sorted(keys(plan))


def test_a_worker_waits_for_a_held_stack_and_goes_on_when_it_is_released(plan, store, pretended, monkeypatch):
    claims = store / "_claims"
    holder = campaign.lock([claims / f"{plan[0].key}.lock"])
    waits = []

    def release(seconds):
        waits.append(len(pretended.trained))
        holder.close()

    monkeypatch.setattr(campaign.time, "sleep", release)
    Campaign(plan, Store(store)).work()
    assert waits == [1]  # random sparsity needs no ticket and was trained meanwhile
    assert Campaign(plan, Store(store)).missing() == []


def test_runs_that_two_plans_share_are_never_trained_by_two_workers_at_once(
    plan, store, pretended, monkeypatch
):
    """The second plan has the same dense networks in another order and number: their first run differs."""
    tickets = [run for run in plan if run.is_pruned and run.procedure == "iterative"]
    first, second = tickets, tickets[1:2] + synthetic.runs(synthetic.tickets(0, (7,)))
    assert first[0].key not in keys(second) and first[1].key in keys(second)

    def wait(seconds):
        raise Waited

    def while_the_first_plan_trains(runs):
        pretended.outcome = lambda runs: [{} for _ in runs]
        with pytest.raises(Waited):
            Campaign(second, Store(store)).work()
        return [{} for _ in runs]

    monkeypatch.setattr(campaign.time, "sleep", wait)
    pretended.outcome = while_the_first_plan_trains
    Campaign(first, Store(store)).work()
    Campaign(second, Store(store)).work()
    counts = collections.Counter(itertools.chain(*pretended.trained))
    assert set(counts) == {*keys(first), *keys(second)} and max(counts.values()) == 1


def test_a_claim_that_comes_too_late_lets_a_worker_look_for_what_became_ready(
    plan, store, pretended, monkeypatch
):
    """Just before this worker locks the dense stack, a rival finishes it: the tickets are ready now."""
    tickets = [run for run in plan if run.is_pruned and run.procedure == "iterative"]
    lock = campaign.lock

    def lock_too_late(paths):
        monkeypatch.setattr(campaign, "lock", lock)
        Store(store).write([record(**run.identity) for run in tickets[:2]])
        return lock(paths)

    monkeypatch.setattr(campaign, "lock", lock_too_late)
    Campaign(tickets, Store(store)).work()
    assert pretended.trained == [keys(tickets[2:4]), keys(tickets[4:6])]


def test_a_claim_is_given_back_whole_when_one_of_its_runs_is_held(store):
    paths = [store / "_claims" / f"{name}.lock" for name in "abc"]
    holder = campaign.lock(paths[1:2])
    assert campaign.lock(paths) is None
    others = campaign.lock([paths[0], paths[2]])
    assert others is not None
    holder.close(), others.close()
    campaign.lock(paths).close()


# --- the kill test: SIGKILL at any moment loses at most the stack in flight ----------------------------------------------


def work_and_die(plan, folder, fatal_rename, started):
    """Run a campaign in this process and kill it without warning at its n-th write (0: never)."""
    campaign.data_room.load, campaign.code_version = synthetic.load, lambda: "abc"
    training.torch.set_num_threads(1)
    replace, seen = os.replace, []

    def fatal(*arguments):
        seen.append(arguments)
        if len(seen) == fatal_rename:
            os.kill(os.getpid(), signal.SIGKILL)
        replace(*arguments)

    os.replace = fatal
    started.set()
    Campaign(plan, Store(Path(folder))).work()


@pytest.fixture(scope="module")
def start():
    """Start a worker process, forked from one that has torch loaded, and return it when its campaign begins."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        ["lth_utils.campaign", "torch._dynamo"]
    )  # optimizers would load the second

    def start(plan, folder, fatal_rename=0):
        started = context.Event()
        process = context.Process(target=work_and_die, args=(plan, str(folder), fatal_rename, started))
        process.start()
        assert started.wait(60)
        return process

    return start


def test_killed_at_every_kind_of_write_a_campaign_ends_with_the_same_records(start, plan, undisturbed, store):
    for fatal_rename in (
        1,
        4,
        7,
        8,
        3,
        2,
    ):  # the dense stack takes seven writes, a stack of two tickets three
        process = start(plan, store, fatal_rename)
        process.join(60)
        assert process.exitcode == -signal.SIGKILL
        assert set(values(store).items()) <= set(values(undisturbed[0]).items())
    assert 0 < len(values(store)) < RUNS
    final = start(plan, store)
    final.join(60)
    assert final.exitcode == 0
    assert values(store) == values(undisturbed[0])


def test_twelve_runs_killed_ten_times_at_random_moments_end_with_exactly_the_undisturbed_records(
    start, plan, store, tmp_path
):
    plan, seconds, moments = plan[:12], [], random.Random(12)
    Campaign(plan, Store(tmp_path / "undisturbed")).work(done=lambda runs, lasted: seconds.append(lasted))
    undisturbed = values(tmp_path / "undisturbed")
    assert len(undisturbed) == 12
    statuses = []
    for _ in range(10):
        process = start(plan, store)
        time.sleep(moments.uniform(0.0, 1.2 * min(seconds)))
        process.kill()
        process.join(60)
        statuses.append(process.exitcode)
        assert set(values(store).items()) <= set(undisturbed.items())
    assert set(statuses) <= {0, -signal.SIGKILL} and statuses.count(-signal.SIGKILL) >= 3
    final = start(plan, store)
    final.join(60)
    assert final.exitcode == 0
    assert values(store) == undisturbed and len(Store(store).rows()) == 12


# --- disks that refuse -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("after", [0, 7])
def test_a_full_disk_ends_a_campaign_and_leaves_a_store_that_loads(
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
        with pytest.raises(OSError, match="No space left"):
            Campaign(plan, Store(store)).work()
    assert not [path for path in store.rglob("_tmp-*")]
    assert set(values(store).items()) <= set(values(undisturbed[0]).items())
    assert len(Store(store).files()) == (after == 7)


def test_a_read_only_store_ends_a_campaign_before_it_trains(plan, store, pretended, monkeypatch):
    def read_only(path, *arguments, **options):
        raise OSError(errno.EROFS, "Read-only file system", str(path))

    monkeypatch.setattr(Path, "mkdir", read_only)
    with pytest.raises(OSError, match=r"Read-only file system.*_claims"):
        Campaign(plan, Store(store)).work()
    assert pretended.trained == [] and not store.exists()


def test_a_damaged_store_is_not_added_to(plan, store, pretended):
    folder = store / "lenet" / "paper"
    folder.mkdir(parents=True)
    (folder / "0123456789abcdef.parquet").write_bytes(b"half a file")
    with pytest.raises(StoreError, match=r"0123456789abcdef\.parquet"):
        Campaign(plan, Store(store)).work()
    assert pretended.trained == []


# --- obtaining records for a notebook ----------------------------------------------------------------------------------------


def point_at(monkeypatch, store):
    """Functions whose default is the committed store find `store` instead."""
    monkeypatch.setattr(records, "COMMITTED", store)


def test_a_quick_profile_trains_into_its_own_folder_and_returns_one_row_per_run(
    plan, store, tmp_path, monkeypatch
):
    point_at(monkeypatch, tmp_path / "committed")
    monkeypatch.setattr(campaign, "QUICK_RECORDS", store)
    frame = campaign.obtain(plan[:2], "quick")
    assert sorted(frame["run_key"]) == sorted(keys(plan[:2]))
    assert len(Store(store).files()) == 1 and not (tmp_path / "committed").exists()


def test_a_report_reads_adopted_records_and_trains_nothing(undisturbed, plan, store, pretended, monkeypatch):
    shutil.copytree(undisturbed[0], store)
    point_at(monkeypatch, store)
    with pytest.raises(StoreError, match="16 planned run"):
        campaign.obtain(plan, "report")
    Store(store).adopt(Store(store).rows())
    frame = campaign.obtain(plan[::-1], "report")
    assert len(frame) == RUNS
    assert frame.equals(frame.sort_values(list(records.IDENTITY)).reset_index(drop=True))
    assert len(campaign.obtain(plan[:4], "report")) == 4
    assert pretended.trained == []


def test_a_report_over_missing_records_is_refused_and_names_the_first(undisturbed, plan, store, monkeypatch):
    shutil.copytree(undisturbed[0], store)
    point_at(monkeypatch, store)
    Store(store).adopt(Store(store).rows())
    more = synthetic.runs(synthetic.tickets(0, 3))
    with pytest.raises(StoreError, match=r"1 planned run\(s\).*'trial': 2"):
        campaign.obtain(more, "report")


def test_an_unknown_profile_is_refused_by_name_before_anything_is_trained(
    plan, store, pretended, monkeypatch
):
    point_at(monkeypatch, store)
    monkeypatch.setattr(campaign, "QUICK_RECORDS", store)
    for ask in (lambda: campaign.obtain(plan, "qick"), lambda: campaign.chain("qick")):
        with pytest.raises(ValueError, match="one of 'report', 'quick', 'paper', not 'qick'"):
            ask()
    assert pretended.trained == [] and not store.exists()


def test_progress_is_shown_in_a_kernel_and_not_where_nobody_looks(
    plan, store, pretended, monkeypatch, capsys
):
    monkeypatch.setattr(campaign, "QUICK_RECORDS", store)
    campaign.obtain(plan[:2], "quick")
    assert capsys.readouterr().err == ""
    monkeypatch.setattr("IPython.get_ipython", lambda: types.SimpleNamespace(kernel=None))
    campaign.obtain(plan[:4], "quick")
    assert "2/2" in capsys.readouterr().err


# --- small things ------------------------------------------------------------------------------------------------------------


def costs(network, rounds, procedure="iterative", **changes):
    """Relative cost per dense iteration of the pruning rounds of one network."""
    plan = synthetic.runs(synthetic.tickets(max(rounds)), network=network, **changes)
    return [campaign.relative_cost(plan[pruning_round]) / 4 for pruning_round in rounds]


def test_the_cost_of_a_lenet_is_estimated_within_fifteen_percent_of_what_was_measured():
    """Milliseconds per network and iteration on one thread of the machine that trained the records."""
    measured = {0: 1.76, 8: 1.3, 12: 0.73, 15: 0.47, 20: 0.35}
    for cost, milliseconds in zip(costs("lenet", list(measured)), measured.values(), strict=True):
        assert cost == pytest.approx(milliseconds / measured[0], rel=0.15)


def test_longer_runs_and_runs_with_a_companion_cost_more(plan):
    assert costs("lenet", [3], training_iterations=8) == [2.0]
    one_shot = synthetic.runs(synthetic.tickets((2, 39), procedure="one_shot"))
    assert campaign.relative_cost(one_shot[1]) < campaign.relative_cost(one_shot[0])
    iterative, continued = (
        next(run for run in plan if run.procedure == procedure and run.pruning_round == 2)
        for procedure in ("iterative", "continued")
    )
    assert campaign.relative_cost(continued) == 2 * campaign.relative_cost(iterative)
    assert campaign.relative_cost(one_shot[1], "cuda") == campaign.relative_cost(one_shot[0], "cuda")


def test_pruning_makes_a_convolutional_network_no_cheaper():
    assert costs("conv2", [0, 20]) == [1, 1]


@pytest.mark.parametrize("device", ["cuda:77", "nonsense", "meta"])
def test_a_device_that_is_not_there_is_refused_in_one_line(plan, store, device):
    with pytest.raises(ValueError, match=f"the device '{device}' cannot be used here") as caught:
        Campaign(plan, Store(store), device)
    assert "\n" not in str(caught.value)


def test_the_device_is_named_with_its_threads():
    assert campaign.device_name("cpu") == "cpu, 1 thread(s)"
