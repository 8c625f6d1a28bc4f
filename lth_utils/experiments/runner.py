"""Carry out a plan: submit the stacks that are ready, wait, repeat. One coordinator, any concurrent.futures.Executor.

Stacks are a function of the plan alone. A stack is stored when it is whole: whatever is killed, and whenever, at most the
stacks in training are lost.
"""

import contextlib
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, ProcessPoolExecutor, wait

import filelock
import torch

from lth_utils import experiments
from lth_utils.experiments.costs import relative_cost
from lth_utils.experiments.runs import Run
from lth_utils.experiments.worker import WorkerError
from lth_utils.records import Store, StoreError

TELL_EVERY_SECONDS = 30.0


# ---------------------------------------------------------------- the coordinator


class Queue:
    """Which stacks of a plan may start. A run can be trained while the one that it needs is stored and did not diverge."""

    def __init__(self, plan: list[Run], stacks: Callable, needs: Callable, store: Store):
        frame = store.rows()
        self.stacks, self.given = stacks(plan), set()
        self.needs = {run.key: needed and needed.key for run in plan for needed in [needs(run)]}
        self.diverged = dict(zip(frame["run_key"], frame["diverged"]))  # of every stored run

    def ready(self) -> Iterator[list[Run]]:
        """Of every stack that nobody trains, all runs that can still come, as soon as none of them has to wait."""
        usable = {None} | {key for key, diverged in self.diverged.items() if not diverged}
        coming = set()
        for key, needed in self.needs.items():  # in a plan a run follows what it needs
            if key not in self.diverged and (needed in usable or needed in coming):
                coming.add(key)
        coming -= self.given
        for stack in self.stacks:
            runs = [run for run in stack if run.key in coming]
            if runs and all(self.needs[run.key] in usable for run in runs):
                yield runs


def execute(
    plan: list[Run],
    store: Store,
    executor: Executor,
    train: Callable,
    *,
    at_once: int = 1,
    budget: float = float("inf"),
    rate: float = 0.0,
    cost: Callable[[Run], float] = relative_cost,
    stacks: Callable = experiments.stacks,
    needs: Callable = experiments.needs,
    tell: Callable[[int, str], None] = lambda runs, line: None,
) -> None:
    """Train what is missing of a plan and can be trained, `at_once` stacks at a time.

    train(runs, store, deadline) stores the records of a stack and returns {run key: diverged}, or nothing if it was cut
    at the deadline (of time.time). budget: seconds; a stack starts only if it ends in time at `rate` seconds per unit of
    cost, which is that of the stack before as soon as one has ended. tell: is given the number of new records and a line
    about every finished stack, and every 30 seconds 0 and a line about what is in training.
    Raises StoreError if somebody else trains into the store, and whatever a worker or the executor raises.
    """
    started, running = time.monotonic(), {}
    with alone(store):
        queue = Queue(plan, stacks, needs, store)
        while True:
            for runs in queue.ready():
                left = budget - (time.monotonic() - started)
                if len(running) < at_once and 0 < left >= rate * sum(map(cost, runs)):
                    queue.given |= {run.key for run in runs}
                    begun = time.monotonic()
                    running[executor.submit(train, runs, store, time.time() + left)] = runs, begun
            if not running:
                return
            finished = wait(running, TELL_EVERY_SECONDS, FIRST_COMPLETED).done
            if not finished:
                tell(0, f"in training: {'; '.join(describe(runs) for runs, _ in running.values())}")
            for future in finished:
                (runs, begun), seconds = running.pop(future), time.monotonic() - begun
                if stored := future.result():
                    queue.diverged |= stored
                    rate = seconds / sum(map(cost, runs))
                    tell(len(stored), f"{describe(runs)}: {seconds:.0f} s")


@contextlib.contextmanager
def alone(store: Store) -> Iterator[None]:
    """Hold the store, as the only coordinator; the system lets go of it when this process ends, however it ends."""
    lock = store.folder / "_claims" / "coordinator.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    try:
        held = filelock.FileLock(lock, timeout=0).acquire()
    except filelock.Timeout:
        raise StoreError(
            f"another process is training into {store.folder}; wait until it has ended, or stop it"
        ) from None
    with held:
        for unfinished in store.folder.rglob("_tmp-*"):
            unfinished.unlink()
        yield


def describe(runs: list[Run]) -> str:
    """A stack in a few words."""
    first, arms = runs[0], " and ".join(sorted({run.arm for run in runs}))
    setting = f", {first.variant}" if first.variant else ""
    return (
        f"{first.network}{setting}, {first.procedure} round {first.pruning_round}, {len(runs)} runs ({arms})"
    )


# ---------------------------------------------------------------- executors


class InProcess(Executor):
    """Does at once, here, what it is given."""

    def submit(self, function, /, *args):
        future = Future()
        try:
            future.set_result(function(*args))
        except Exception as error:
            future.set_exception(error)
        return future


@contextlib.contextmanager
def processes(count: int) -> Iterator[Executor]:
    """`count` processes that share the cores; they end with this block, and with this process.

    On a CPU, one single-threaded worker per core beats one worker with all threads: networks this small spend their time
    waiting for each other's threads. Raises ValueError for less than one, WorkerError when one of them is killed.
    """
    others, context = multiprocessing.active_children(), multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(count, context, prepare_worker, (threads_per_worker(count),))
    try:
        yield pool
    except BaseException as error:
        for child in multiprocessing.active_children():
            if child not in others:
                child.terminate()
        if isinstance(error, BrokenExecutor):
            told = (
                "a worker was killed or did not start; what was finished is kept, the same command continues"
            )
            raise WorkerError(told) from error
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def prepare_worker(threads: int) -> None:
    """Ctrl-C is for the coordinator, which ends its workers; when it ends in any other way, they do, too."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    parent = multiprocessing.parent_process()

    def watch():
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def default_workers(device: str) -> int:
    """One process on an accelerator; on a CPU one per core, of those that a scheduler or container allots."""
    if device != "cpu":
        return 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def threads_per_worker(workers: int) -> int:
    """An equal share of the cores, at least one."""
    return max(1, default_workers("cpu") // max(1, workers))
