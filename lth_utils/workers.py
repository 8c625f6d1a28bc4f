"""Several worker processes on one campaign: they share a store, and file locks keep them off each other's stacks."""

import contextlib
import multiprocessing
import os
import queue
import signal
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from lth_utils import ROOT, experiments, networks, training
from lth_utils import data as data_room
from lth_utils import masks as masking
from lth_utils.campaign import Campaign, relative_cost
from lth_utils.experiments import Run
from lth_utils.records import Store

CALIBRATION_ITERATIONS = 400
CALIBRATION_ITERATIONS_OF_CONVOLUTIONS = 20  # some ten seconds, as each costs a hundred of Lenet's


class WorkerError(RuntimeError):
    """A worker could not go on; the message says why. What was finished before is in the store."""


def execute(
    plan: list[Run],
    workers: int,
    store: Store,
    device: str = "cpu",
    budget_seconds: float | None = None,
    done: Callable[[int, str], None] = lambda runs, line: None,
) -> None:
    """Train what is missing of a plan with several processes; returns when all of them have stopped.

    On a CPU, one single-threaded worker per core beats one worker with all threads: networks this small spend
    their time waiting for each other's threads. done: called here with the number of runs of every finished stack
    and one line about it, and with 0 and the reason as soon as a worker fails. Raises ValueError for less than one
    worker, WorkerError when a worker fails.
    """
    context = multiprocessing.get_context("spawn")
    messages = context.Queue()
    arguments = (plan, store, device, budget_seconds, threads_per_worker(workers), messages)
    processes = [context.Process(target=_worker, args=arguments) for _ in range(workers)]
    for process in processes:
        process.start()
    failures = []
    try:
        while any(process.is_alive() for process in processes) or not messages.empty():
            with contextlib.suppress(queue.Empty):
                runs, line = messages.get(timeout=0.5)
                done(runs, line)
                failures += [] if runs else [line]
    finally:
        for process in processes:
            process.terminate()
            process.join()
    if failures:
        raise WorkerError(failures[0])
    if any(process.exitcode for process in processes):
        codes = ", ".join(str(process.exitcode) for process in processes)
        raise WorkerError(
            f"a worker was killed or did not start (exit statuses {codes}); the same command continues"
        )


def _worker(plan, store, device, budget_seconds, threads, messages):
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends its workers
    end_with_parent()

    def done(runs, seconds):
        first = runs[0]
        arms = " and ".join(sorted({run.arm for run in runs}))
        what = f"{first.network}, {first.procedure} round {first.pruning_round}, {len(runs)} runs ({arms})"
        messages.put((len(runs), f"{what}: {seconds:.0f} s"))

    try:
        torch.set_num_threads(threads)
        Campaign(plan, store, device).work(budget_seconds, done)
    except Exception as error:  # whatever it is, the parent has to say it
        messages.put((0, describe(error)))


def end_with_parent() -> None:
    """End this process when the one that started it ends, however that happens: nothing trains on unseen."""
    parent = multiprocessing.parent_process()

    def watch():
        parent.join()
        os._exit(1)

    if parent:  # the main process has none
        threading.Thread(target=watch, daemon=True).start()


def describe(error: Exception) -> str:
    """Message, type and place of an exception: the line of this package in which it surfaced last."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if Path(frame.filename).is_relative_to(ROOT / "lth_utils")]
    place = (own or frames)[-1]
    where = f"{Path(place.filename).name}, line {place.lineno}, in {place.name}"
    return f"{error} ({type(error).__name__}; {where})"


def default_workers(device: str) -> int:
    """One process per core on a CPU, one on an accelerator."""
    return cores() if device == "cpu" else 1


def cores() -> int:
    """Processor cores that this process may use: a scheduler or container may allot fewer than there are."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def threads_per_worker(workers: int) -> int:
    """An equal share of the cores, at least one; ValueError for less than one worker."""
    if workers < 1:
        raise ValueError(f"at least one worker is needed, got {workers}")
    return max(1, cores() // workers)


def estimated_seconds(work: Campaign, missing: list[Run], workers: int) -> float:
    """Time to train the missing runs, from a calibration on this machine: some dense iterations with evaluation."""
    first, threads = missing[0], torch.get_num_threads()
    copies = 2 if work.device == "cpu" else experiments.NETWORKS_PER_STACK[first.network]
    initial, times = networks.initial_weights(first.network, 0), {}
    protocol, data = _calibration(first.protocol, work.data(first.network))
    torch.set_num_threads(threads_per_worker(workers))
    try:
        training.train(
            first.network,
            initial_weights=[initial] * copies,
            masks=[masking.ones(initial)] * copies,
            seeds=list(range(copies)),
            protocol=protocol,
            data=data,
            device=work.device,
            progress=lambda iteration: times.setdefault(iteration, time.perf_counter()),
        )
    finally:
        torch.set_num_threads(threads)
    per_iteration = (times[protocol.training_iterations] - times[0]) / (copies * protocol.training_iterations)
    return per_iteration * sum(relative_cost(run, work.device) for run in missing) / workers


def _calibration(protocol, data):
    """A short protocol and as many validation images as keep evaluation's share of the time what it is."""
    lenet = protocol.network == "lenet"
    iterations = CALIBRATION_ITERATIONS if lenet else CALIBRATION_ITERATIONS_OF_CONVOLUTIONS
    interval = min(iterations, protocol.evaluation_interval)
    share = interval / protocol.evaluation_interval
    short = replace(
        protocol,
        training_iterations=interval * round(iterations / interval),
        evaluation_interval=interval,
        train_evaluation_examples=1,
    )
    validation = max(1, round(share * len(data.validation_labels)))
    return short, data_room.subset(data, len(data.train_labels), validation, test=1)
