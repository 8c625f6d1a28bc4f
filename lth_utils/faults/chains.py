"""The runs of notebook 05b: a plan, and its execution chain by chain on `reference`.

A chain is one fault in one trial, from the dense network to the last round; it leaves one record file when it is
finished.
"""

import math
import time
from dataclasses import replace
from functools import partial

import pandas as pd

from lth_utils import campaign, masks, networks, paper, records, reference
from lth_utils.data import Dataset
from lth_utils.experiments import Run, runner, worker
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
        execute(runs, campaign.chain(profile), runner.default_workers("cpu"))
    return campaign.obtain(runs, profile)


def execute(plan: list[Run], store: Store, workers: int, **options) -> None:
    """Train what is missing of the plan in several processes, chain by chain. options: of runner.execute."""
    work = partial(train_chain, version=worker.code_version())
    with runner.processes(workers) as executor:
        runner.execute(
            plan, store, executor, work, at_once=workers, stacks=stacks, needs=lambda run: None, **options
        )


def stacks(plan: list[Run]) -> list[list[Run]]:
    """One stack per fault and trial. Early stopping on the test set is read off the correct protocol's chain."""
    found = {}
    for run in plan:
        found.setdefault(("" if run.variant == ON_TEST else run.variant, run.trial), []).append(run)
    return list(found.values())


@worker.one_line()
def train_chain(runs, store, deadline, version) -> dict[str, bool]:
    """Train the chain of one fault and trial as far as these runs, and store those that are missing.

    A chain has no evaluation at which it could be cut: one that starts in time is finished.
    """
    first = runs[0]
    variant = "" if first.variant == ON_TEST else first.variant
    chain = [
        replace(
            first,
            variant=variant,
            pruning_round=pruning_round,
            arm="winning_ticket" if pruning_round else "dense",
        )
        for pruning_round in range(max(run.pruning_round for run in runs) + 1)
    ]
    wanted = {run.key for run in runs}
    rows = [row for row in train(chain, worker.data(first.network, "cpu")) if records.run_key(row) in wanted]
    store.write([row | {"code_version": version} for row in rows])
    return {records.run_key(row): row["diverged"] for row in rows}


def _recorded(chain):
    """The runs that a chain can be read as: its own and, for the correct protocol, its second readings."""
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
    known, mistake = (
        worker.circumstances(run, "cpu", "unknown"),
        f"fault: {fault.mistake}" if fault.name else "",
    )
    return (
        known
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
