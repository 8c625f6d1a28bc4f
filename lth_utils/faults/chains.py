"""The runs of notebook 05b: a plan, and its execution chain by chain on `reference`.

A chain is one fault in one trial, from the dense network to the last round; it leaves one record file when it is
finished. Workers share a store through file locks, which the system releases when a worker dies.
"""

import math
import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from multiprocessing import get_context

import pandas as pd
import torch

from lth_utils import campaign, masks, networks, paper, records, reference, workers
from lth_utils import data as data_room
from lth_utils.data import Dataset
from lth_utils.experiments import Run
from lth_utils.faults.injected import FAULTS, ON_TEST, iterations_per_epoch
from lth_utils.records import Store
from lth_utils.reference import Images, Round

ROUNDS, TRIALS, ITERATIONS = 8, 3, 10_000
QUICK_ITERATIONS = 400
QUICK = ("", "validation_trained_on", "stale_optimizer", "rate_41")
FAULT = {fault.name: fault for fault in FAULTS}


def plan(profile: str = "report") -> list[Run]:
    """Every fault in three trials, the correct protocol first; "quick": one trial of three faults, trained shortly."""
    quick = profile == "quick"
    changes = {"training_iterations": QUICK_ITERATIONS if quick else ITERATIONS}
    changes |= {"train_evaluation_examples": 5_000} if quick else {}
    protocol = replace(paper.protocol("lenet"), **changes)
    return [
        Run(
            network="lenet",
            arm="winning_ticket" if pruning_round else "dense",
            trial=trial,
            pruning_round=pruning_round,
            variant=name,
            study="faults",
            scale="quick" if quick else "short",
            protocol=FAULT[name].changed(protocol),
        )
        for trial in range(1 if quick else TRIALS)
        for name in (QUICK if quick else FAULT)
        for pruning_round in range(ROUNDS + 1)
    ]


def obtain(profile: str) -> pd.DataFrame:
    """The records of the plan, one row per run, as a notebook's profile wants them; see `campaign.obtain`."""
    runs = plan(profile)
    if profile != "report":
        store = campaign.chain(profile)
        execute(runs, workers.default_workers("cpu"), store)
        if missing(runs, store):
            raise records.StoreError(
                "another process is training some of these chains; run again when it is done"
            )
    return campaign.obtain(runs, profile)


def execute(
    plan: list[Run],
    count: int,
    store: Store,
    budget_seconds: float | None = None,
    done: Callable[[int, str], None] = lambda runs, line: None,
) -> None:
    """Train the chains of a plan that are missing, in `count` processes; chains claimed elsewhere are left there.

    done: called with the number of new records of every finished chain and one line about it. With a budget, no chain
    starts that would not end in time if it took as long as the longest so far. Raises WorkerError when a worker fails
    or dies.
    """
    waiting, started, longest = missing(plan, store), time.monotonic(), 0.0
    version = campaign.code_version()  # of what is loaded now: the checkout may change while this trains
    threads = workers.threads_per_worker(count)
    with ProcessPoolExecutor(count, get_context("spawn"), _prepare, (threads,)) as pool:
        running = set()
        while waiting or running:
            spent = time.monotonic() - started
            if budget_seconds is not None and spent + longest > budget_seconds:
                waiting = []
            while waiting and len(running) < count:
                running.add(pool.submit(_work, waiting.pop(0), store, version))
            finished, running = wait(running, return_when=FIRST_COMPLETED)
            for future in finished:
                longest = max(longest, _report(future, done))


def _prepare(threads):
    workers.end_with_parent()
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)  # as in training: decayed moments of Adam slow a CPU down


def _report(future, done):
    try:
        count, seconds, line = future.result()
    except BrokenProcessPool as error:
        raise workers.WorkerError("a worker was killed; the same command continues") from error
    except Exception as error:  # whatever it is, it came from a worker
        raise workers.WorkerError(workers.describe(error)) from error
    if count:
        done(count, line)
    return seconds


def missing(plan: list[Run], store: Store) -> list[list[Run]]:
    """The chains of a plan that lack a record, in plan order, each with its runs by round.

    Early stopping on the test set is no chain of its own: it is read off the correct protocol's.
    """
    stored, found, open_chains = set(store.rows()["run_key"]), {}, []
    for run in plan:
        trained = replace(run, variant="") if run.variant == ON_TEST else run
        chain = (trained.variant, trained.trial)
        found.setdefault(chain, {})[trained.pruning_round] = trained
        if run.key not in stored:
            open_chains.append(chain)
    return [[runs[r] for r in sorted(runs)] for chain, runs in found.items() if chain in open_chains]


def _work(chain: list[Run], store: Store, version: str) -> tuple[int, float, str]:
    """Claim, train and store one chain: the number of new records, seconds and a line; 0 if others were first."""
    claim = campaign.lock([store.folder / "_claims" / f"{chain[0].key}.lock"])
    if claim is None:
        return 0, 0.0, ""
    with claim:
        stored = set(store.rows()["run_key"])
        if all(run.key in stored for run in _recorded(chain)):
            return 0, 0.0, ""
        started = time.monotonic()
        rows = train(chain, data_room.load(paper.DATASETS[chain[0].network]))
        new = [row | {"code_version": version} for row in rows if records.run_key(row) not in stored]
        store.write(new)
        seconds, fault = time.monotonic() - started, FAULT[chain[0].variant]
        return len(new), seconds, f"{fault.label}, trial {chain[0].trial}, {len(new)} runs: {seconds:.0f} s"


def _recorded(chain):
    """The runs that a chain leaves records of: its own and, for the correct protocol, its second readings."""
    correct = chain[0].variant == ""
    return [*chain, *(replace(run, variant=ON_TEST) for run in chain if correct)]


def train(chain: list[Run], data: Dataset) -> list[dict]:
    """Train one chain and return its record rows, as of `_recorded`.

    chain: the runs of one fault and trial, by round from 0. A round costs its share of the chain's seconds; a second
    reading costs nothing.
    """
    first, fault = chain[0], FAULT[chain[0].variant]
    trained_on = fault.data(data)
    before = time.perf_counter(), time.process_time()
    rounds = reference.paper_rounds(
        networks.initial_weights(first.network, first.seeds["init"]),
        [run.seeds["data_order"] for run in chain],
        first.protocol,
        trained_on,
        fault.parts(iterations_per_epoch(first.protocol, data)),
        test_curve=len(_recorded(chain)) > len(chain),
    )
    spent = time.perf_counter() - before[0], time.process_time() - before[1]
    splits = reference.scaled(trained_on, first.protocol)
    rows = []
    for run in _recorded(chain):
        share = 0 if run.variant == ON_TEST else 1 / len(chain)
        cost = {"wall_seconds": share * spent[0], "cpu_seconds": share * spent[1]}
        rows.append(_row(run, rounds[run.pruning_round], splits) | cost)
    return rows


def _row(run: Run, done: Round, splits: dict[str, Images]) -> dict:
    """One record; the loss on one split decides at which evaluation the round is read."""
    fault, read_on = FAULT[run.variant], "test" if run.variant == ON_TEST else "validation"
    index = reference.lowest(getattr(done, f"{read_on}_losses"))
    measured = _accuracies(run, splits, done.best_weights[read_on], "early_stop")
    measured |= _accuracies(run, splits, done.final_weights, "end")
    weights_only = {name: mask for name, mask in done.masks.items() if name.endswith(".weight")}
    curve = done.test_accuracies or [math.nan] * len(done.iterations)
    known, mistake = campaign.circumstances(run, "cpu"), f"fault: {fault.mistake}" if fault.name else ""
    return (
        run.identity
        | known
        | measured
        | {
            "percent_remaining": 100 * masks.density(weights_only),
            "training_iterations": done.iterations[-1],
            "early_stop_iteration": done.iterations[index],
            "validation_loss_at_early_stop": done.validation_losses[index],
            "validation_accuracy_at_early_stop": done.validation_accuracies[index],
            "diverged": not all(map(math.isfinite, done.validation_losses)),
            "protocol_differences": "; ".join(filter(None, [known["protocol_differences"], mistake])),
            "curve_iteration": done.iterations,
            "curve_validation_loss": done.validation_losses,
            "curve_validation_accuracy": done.validation_accuracies,
            "curve_test_accuracy": [*curve[:-1], measured["test_accuracy_at_end"]],
        }
    )


def _accuracies(run, splits, weights, when):
    limit = run.protocol.train_evaluation_examples or None
    parts = {"test": splits["test"], "train": [part[:limit] for part in splits["train"]]}
    return {
        f"{split}_accuracy_at_{when}": reference.measure(run.network, weights, *part)[1]
        for split, part in parts.items()
    }
