"""Several processes on one campaign: nothing twice, nothing lost, and a clear word when one fails."""

import multiprocessing
import os
import queue
import signal
import time
from pathlib import Path

import pytest
import synthetic
from synthetic import values

from lth_utils import campaign, experiments, workers
from lth_utils.campaign import Campaign
from lth_utils.records import Store

real_worker = workers._worker


@pytest.fixture
def store(tmp_path):
    return tmp_path / "records"


@pytest.fixture
def plan():
    """Dense networks and random masks: four stacks that are all ready at once, and one that is not."""
    return synthetic.runs(synthetic.tickets(1, 2), synthetic.controls("random_sparsity", (1, 2, 3), 2))


def synthetic_worker(*arguments):
    """A real worker, but on synthetic data."""
    campaign.data_room.load, campaign.code_version = synthetic.load, lambda: "abc"
    real_worker(*arguments)


def worker_that_raises(error):
    """A real worker whose campaign raises `error` where it trains; to be called in the worker's process."""

    def train(self, runs):
        raise error

    campaign.Campaign._train = train
    return synthetic_worker


def worker_without_space(*arguments):
    worker_that_raises(OSError(28, "No space left on device"))(*arguments)


def worker_without_a_key(*arguments):
    worker_that_raises(KeyError("fc1.weight"))(*arguments)


def worker_with_an_error_of_its_own(*arguments):
    class Unpicklable(Exception):
        def __reduce__(self):
            raise TypeError("not even this can be sent")

    worker_that_raises(Unpicklable("what nobody thought of"))(*arguments)


def slow_worker(*arguments):
    """A real worker that finishes its first stack and then takes for ever over the second."""
    train, trained = Campaign._train, []

    def first_only(self, runs):
        if trained:
            time.sleep(600)
        trained.append(train(self, runs))

    Campaign._train = first_only
    synthetic_worker(*arguments)


def killed_worker(*arguments):
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture
def processes(monkeypatch):
    """Workers are forked from one process that has torch loaded, instead of loading it each: same messages, less time."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["lth_utils.workers", "torch._dynamo"])
    monkeypatch.setattr(workers.multiprocessing, "get_context", lambda method: context)
    return monkeypatch


def test_two_workers_finish_a_plan_together_and_train_nothing_twice(plan, store, processes, tmp_path):
    processes.setattr(workers, "_worker", synthetic_worker)
    processes.setattr(workers, "threads_per_worker", lambda count: 1)
    lines = []
    workers.execute(plan, 2, Store(store), done=lambda runs, line: lines.append((runs, line)))
    assert Campaign(plan, Store(store)).missing() == []
    assert sum(runs for runs, _ in lines) == len(plan)
    assert len(lines) == len(experiments.stacks(plan))
    assert sum("iterative round 1, 2 runs (winning_ticket)" in line for _, line in lines) == 1
    processes.setattr(campaign.data_room, "load", synthetic.load)
    processes.setattr(campaign, "code_version", lambda: "abc")
    Campaign(plan, Store(tmp_path / "alone")).work()
    assert values(store) == values(tmp_path / "alone")


@pytest.mark.parametrize(
    ("worker", "message"),
    [
        (worker_without_space, r"No space left on device \(OSError; campaign\.py, line \d+, in work\)$"),
        (worker_without_a_key, r"'fc1\.weight' \(KeyError; campaign\.py, line \d+, in work\)$"),
        (worker_with_an_error_of_its_own, r"nobody thought of \(Unpicklable; campaign\.py, line \d+"),
        (killed_worker, "killed.*-9.*continues"),
    ],
)
def test_a_worker_that_fails_or_dies_is_reported(plan, store, processes, worker, message):
    processes.setattr(workers, "_worker", worker)
    with pytest.raises(workers.WorkerError, match=message):
        workers.execute(plan, 1, Store(store))


def test_ctrl_c_ends_every_worker_and_keeps_what_was_finished(plan, store, processes):
    def interrupted(runs, line):
        raise KeyboardInterrupt

    processes.setattr(workers, "_worker", slow_worker)
    with pytest.raises(KeyboardInterrupt):
        workers.execute(plan, 2, Store(store), done=interrupted)
    assert not multiprocessing.active_children()
    assert 0 < len(values(store)) < len(plan)
    processes.setattr(workers, "_worker", synthetic_worker)
    workers.execute(plan, 2, Store(store))
    assert Campaign(plan, Store(store)).missing() == []


def campaign_with_a_slow_worker(plan, store):
    """A whole campaign whose worker gets stuck over its second stack; for a process of its own."""
    context = multiprocessing.get_context("fork")
    workers.multiprocessing.get_context = lambda method: context
    workers._worker = slow_worker
    workers.execute(plan, 1, Store(store))


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_when_a_campaign_is_killed_its_workers_end_too_and_let_go_of_their_work(plan, store, processes, how):
    parent = workers.multiprocessing.get_context("spawn").Process(
        target=campaign_with_a_slow_worker, args=(plan, store)
    )
    parent.start()
    claims = [store / "_claims" / f"{run.key}.lock" for run in plan]
    wait_until(lambda: values(store) and not free(claims))
    os.kill(parent.pid, how)
    parent.join(10)
    assert parent.exitcode == -how
    wait_until(lambda: free(claims))


def free(claims):
    """Whether nobody holds any of these locks."""
    locks = campaign.lock(claims)
    if locks:
        locks.close()
    return locks is not None


def wait_until(condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def test_a_worker_keeps_to_its_device_budget_and_threads(monkeypatch):
    seen = []

    class Seen:
        def __init__(self, *arguments):
            seen.append(arguments)

        def work(self, budget_seconds, done):
            seen.append(budget_seconds)

    monkeypatch.setattr(workers, "Campaign", Seen)
    monkeypatch.setattr(workers.signal, "signal", lambda *arguments: None)
    monkeypatch.setattr(workers.torch, "set_num_threads", seen.append)
    workers._worker([], Path("x"), "cuda:1", 90.0, 3, queue.Queue())
    assert seen == [3, ([], Path("x"), "cuda:1"), 90.0]


@pytest.mark.parametrize("count", [0, -1])
def test_less_than_one_worker_is_refused(plan, store, count):
    with pytest.raises(ValueError, match=f"at least one worker is needed, got {count}"):
        workers.execute(plan, count, Store(store))
    with pytest.raises(ValueError, match=f"got {count}"):
        workers.threads_per_worker(count)


def test_workers_share_the_cores(monkeypatch):
    monkeypatch.setattr(workers.os, "sched_getaffinity", lambda process: set(range(8)), raising=False)
    assert workers.default_workers("cpu") == 8 and workers.default_workers("cuda:1") == 1
    assert [workers.threads_per_worker(count) for count in (1, 3, 8, 20)] == [8, 2, 1, 1]
    monkeypatch.delattr(workers.os, "sched_getaffinity")
    monkeypatch.setattr(workers.os, "cpu_count", lambda: None)
    assert workers.default_workers("cpu") == workers.threads_per_worker(3) == 1


def test_the_estimate_grows_with_the_work_and_falls_with_the_workers(plan, store, monkeypatch):
    ticking = iter(range(100))
    monkeypatch.setattr(campaign.data_room, "load", synthetic.load)
    monkeypatch.setattr(workers, "CALIBRATION_ITERATIONS", 4)
    monkeypatch.setattr(workers.time, "perf_counter", lambda: float(next(ticking)))
    work = Campaign(plan, Store(store))
    one, two = (workers.estimated_seconds(work, plan[:2], count) for count in (1, 2))
    assert one == 2 * two > 0
    assert workers.estimated_seconds(work, plan[:1], 1) == pytest.approx(one / 2)
    assert work.missing() == plan


def test_a_calibration_keeps_the_share_of_evaluation_and_leaves_out_the_rest():
    lenet, conv = synthetic.dataset(validation=32), synthetic.dataset("cifar10", validation=30)
    quick = {"training_iterations": 1000, "evaluation_interval": 100}
    short, data = workers._calibration(synthetic.protocol(**quick), lenet)
    assert (short.training_iterations, short.evaluation_interval, len(data.validation_labels)) == (
        400,
        100,
        32,
    )
    short, data = workers._calibration(synthetic.protocol("conv2", **quick), conv)
    assert (short.training_iterations, short.evaluation_interval, len(data.validation_labels)) == (20, 20, 6)
    assert short.train_evaluation_examples == len(data.test_labels) == 1 and len(data.train_labels) == 64
