"""Several processes on one campaign: nothing twice, nothing lost, and a clear word when one fails."""

import multiprocessing
import os
import signal

import pytest
import synthetic
from synthetic import values

from lth_utils import campaign, experiments, workers
from lth_utils.campaign import Campaign


@pytest.fixture
def store(tmp_path):
    return tmp_path / "records"


@pytest.fixture
def plan():
    """Dense networks and random masks: four stacks that are all ready at once, and one that is not."""
    settings = {"protocol": synthetic.protocol()}
    return [
        *experiments.tickets("lenet", 1, range(2), **settings),
        *experiments.controls("lenet", "random_sparsity", (1, 2, 3), range(2), range(1), **settings),
    ]


def synthetic_worker(*arguments):
    """A real worker, but on synthetic data."""
    campaign.data_room.load, campaign.code_version = synthetic.load, lambda: "abc"
    workers._worker(*arguments)


def failing_worker(plan, folder, device, budget_seconds, threads, messages):
    messages.put((0, "[Errno 28] No space left on device"))


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
    lines = []
    workers.execute(plan, 2, store, done=lambda runs, line: lines.append((runs, line)))
    assert Campaign(plan, store).missing() == []
    assert sum(runs for runs, _ in lines) == len(plan)
    assert len(lines) == len(experiments.stacks(plan))
    assert sum("iterative round 1, 2 runs (winning_ticket)" in line for _, line in lines) == 1
    processes.setattr(campaign.data_room, "load", synthetic.load)
    processes.setattr(campaign, "code_version", lambda: "abc")
    Campaign(plan, tmp_path / "alone").work()
    assert values(store) == values(tmp_path / "alone")


@pytest.mark.parametrize(
    ("worker", "message"),
    [(failing_worker, "No space left on device"), (killed_worker, "killed.*-9.*continues")],
)
def test_a_worker_that_fails_or_dies_is_reported(plan, store, processes, worker, message):
    processes.setattr(workers, "_worker", worker)
    with pytest.raises(workers.WorkerError, match=message):
        workers.execute(plan, 1, store)


def test_workers_share_the_cores(monkeypatch):
    monkeypatch.setattr(workers.os, "cpu_count", lambda: 8)
    assert workers.default_workers("cpu") == 8 and workers.default_workers("cuda:1") == 1
    assert [workers.threads_per_worker(count) for count in (1, 3, 8, 20)] == [8, 2, 1, 1]
    monkeypatch.setattr(workers.os, "cpu_count", lambda: None)
    assert workers.default_workers("cpu") == workers.threads_per_worker(3) == 1


def test_the_estimate_grows_with_the_work_and_falls_with_the_workers(plan, store, monkeypatch):
    ticking = iter(range(100))
    monkeypatch.setattr(campaign.data_room, "load", synthetic.load)
    monkeypatch.setattr(workers, "CALIBRATION_ITERATIONS", 4)
    monkeypatch.setattr(workers.time, "perf_counter", lambda: float(next(ticking)))
    work = Campaign(plan, store)
    one, two = (workers.estimated_seconds(work, plan[:2], count) for count in (1, 2))
    assert one == 2 * two > 0
    assert workers.estimated_seconds(work, plan[:1], 1) == pytest.approx(one / 2)
    assert work.missing() == plan
