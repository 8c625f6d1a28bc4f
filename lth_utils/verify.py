"""Is what is committed what it says it is? Data, records, masks, manifest and notebooks, each checked by rule.

A check returns sentences that a person can act on, and none when all is well. Nothing here trains, prints or writes
into the store; data that are missing are fetched first, as everywhere.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from lth_utils import data as data_room
from lth_utils import experiments, notebooks, paper, records
from lth_utils import masks as masking
from lth_utils.experiments import RETRAINED, Run
from lth_utils.faults import ON_TEST
from lth_utils.records import Store
from lth_utils.spot_check import compare

ROUNDING = 1e-6  # float32 curves beside float64 columns
LADDER_TOLERANCE = 0.01  # percent of weights: as whole weights are pruned, P_m misses its formula by a few


@dataclass(frozen=True)
class Check:
    """One thing that was looked at: `detail` says how much of it there is, `problems` what is wrong with it."""

    name: str
    detail: str
    problems: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        return not self.problems


def checks(store: Store) -> Iterator[Check]:
    """Every check in turn, as each is finished: the data sets, the store and what belongs to it, the notebooks."""
    yield from map(check_data, dict.fromkeys(paper.DATASETS.values()))
    try:
        frame = store.rows()
    except records.StoreError as error:
        yield Check("records", "cannot be read", (str(error),))
    else:
        yield check_records(frame)
        yield check_masks(frame, store)
        yield check_manifest(frame, store)
        if (frame["study"] == RETRAINED).any():
            yield check_retrained(frame)
    yield check_notebooks()


def check_data(name: str) -> Check:
    """Every byte of a data set against its pinned SHA-256."""
    try:
        dataset = data_room.load(name)
    except data_room.DataError as error:
        return Check(f"data {name}", "cannot be had", (str(error),))
    sizes = {part: len(getattr(dataset, f"{part}_labels")) for part in ("train", "validation", "test")}
    counted = ", ".join(f"{size:,} {part}" for part, size in sizes.items())
    return Check(f"data {name}", f"{counted} images, every byte as published")


def check_records(frame: pd.DataFrame) -> Check:
    """Rows of a store: identity, protocol, seeds, ladder and curves of each run must fit each other."""
    if frame.empty:
        return Check("records", "no run", ("the store is empty: `make train` fills it",))
    problems = [
        f"{row['file']}, {describe(row)}: {problem}"
        for row in frame.to_dict("records")
        for problem in record_problems(row)
    ]
    detail = f"{len(frame)} runs in {frame['file'].nunique()} files: identity, protocol, seeds, P_m, curves"
    return Check("records", detail, tuple(problems))


def record_problems(row: dict) -> list[str]:
    """What does not fit in one record; runs of study "faults" break the rules of pruning, so theirs are not asked."""
    found = _curve_problems(row)
    if row["study"] == "faults":
        return found
    try:
        run, seeds = Run.from_record(row), json.loads(row["seeds"])
        ladder = run.percent_remaining
    except (ValueError, TypeError) as error:
        return [*found, f"its protocol or its seeds cannot be read ({error})"]
    if run.protocol.key() != row["protocol_key"]:
        found.append("its protocol is not the one of its protocol_key")
    if seeds != run.seeds:
        found.append("its seeds are not those of its identity")
    if abs(row["percent_remaining"] - ladder) > LADDER_TOLERANCE:
        found.append(f"percent_remaining is {row['percent_remaining']:.4f}, the ladder says {ladder:.4f}")
    return found


def _curve_problems(row):
    """Numbers of a run that contradict its own curves; a curve with values that are not finite has no minimum."""
    accuracies = [name for name in records.MEASURES if "accuracy" in name]
    found = [f"{name} is no fraction: {row[name]}" for name in accuracies if not 0 <= row[name] <= 1]
    curves = ("iteration", "validation_loss", "test_accuracy")
    iteration, loss, test = (np.asarray(row[f"curve_{name}"], float) for name in curves)
    finite = bool(np.isfinite(loss).all())
    companion_may_have_diverged = row["procedure"] == "continued" and finite
    if bool(row["diverged"]) == finite and not companion_may_have_diverged:
        found.append(f"diverged is {bool(row['diverged'])}, its validation losses say otherwise")
    if row["diverged"]:
        return found
    place = min(int(np.searchsorted(iteration, row["early_stop_iteration"])), len(iteration) - 1)
    read_on_validation = row["variant"] != ON_TEST  # that fault reads a run where its test loss is lowest
    too_high = read_on_validation and loss[place] - loss.min() > ROUNDING
    if iteration[place] != row["early_stop_iteration"] or too_high:
        return [*found, f"its validation loss is not lowest at iteration {row['early_stop_iteration']}"]
    expected = {"training_iterations": iteration[-1], "validation_loss_at_early_stop": loss[place]}
    expected |= {"test_accuracy_at_early_stop": test[place], "test_accuracy_at_end": test[-1]}
    return found + [
        f"{name} is {row[name]:.6g}, its curve says {value:.6g}"
        for name, value in expected.items()
        if abs(value - row[name]) > ROUNDING  # False where the curve was not evaluated (NaN)
    ]


def check_masks(frame: pd.DataFrame, store: Store) -> Check:
    """The stored mask of every ticket against its record, and first masks, bit for bit, against the dense weights."""
    problems, first_masks = [], 0
    tickets = frame[(frame["study"] == "paper") & (frame["arm"] == "winning_ticket")]
    tickets = tickets[tickets["procedure"] != "one_shot"]
    for row in tickets.to_dict("records"):
        try:
            run = Run.from_record(row)
        except (ValueError, TypeError):
            continue  # a protocol that cannot be read: named by check_records
        try:
            masks, dense = store.masks(run.mask_owner), experiments.needs(run)
            if 100 * masking.density(masks) != row["percent_remaining"]:
                problems.append(f"{describe(row)}: its stored mask has another density than its record")
            if run.pruning_round == 1 and dense.keeps_weights:
                first_masks += 1
                weights = store.dense_weights(dense)
                expected = experiments.next_masks(dense, weights, masking.ones(weights))
                if not all(torch.equal(masks[name], mask) for name, mask in expected.items()):
                    problems.append(f"{describe(row)}: its mask does not follow from the dense weights")
        except records.StoreError as error:
            problems.append(f"{describe(row)}: {error}")
    detail = f"{len(tickets)} against the records of their tickets, {first_masks} against dense weights"
    return Check("masks", detail, tuple(problems))


def check_manifest(frame: pd.DataFrame, store: Store) -> Check:
    """The manifest names runs by key and by identity: both must be those of a record, once."""
    adopted, stored = store.manifest(), set(frame["run_key"])
    problems = []
    for row in adopted.to_dict("records"):
        if row["run_key"] not in stored:
            problems.append(f"{describe(row)}: adopted, but it has no record")
        elif records.run_key(row) != row["run_key"]:
            problems.append(f"{describe(row)}: the key {row['run_key']} belongs to another run")
    if twice := int(adopted["run_key"].duplicated().sum()):
        problems.append(f"{twice} run(s) are named twice")
    waiting = len(stored - set(adopted["run_key"]))
    return Check("manifest", f"{len(adopted)} runs adopted, {waiting} more stored", tuple(problems))


def check_retrained(frame: pd.DataFrame) -> Check:
    """Runs of study "retrained" against the same runs of study "paper", which another machine trained."""
    originals = {row["run_key"]: row for row in frame[frame["study"] == "paper"].to_dict("records")}
    again = frame[frame["study"] == RETRAINED].to_dict("records")
    keys = [records.run_key(row | {"study": "paper"}) for row in again]
    pairs = [(originals[key], row) for key, row in zip(keys, again) if key in originals]
    problems, largest = [], {}
    for original, row in pairs:
        for one in compare(original, row, frame, len(pairs)):
            largest[one.quantity] = max(largest.get(one.quantity, 0), one.difference)
            if one.outcome == "outside":
                numbers = f"{one.recorded:.6g}, trained again {one.retrained:.6g}: beyond {one.tolerance:.2g}"
                problems.append(f"{describe(original)}: {one.quantity} is {numbers}")
    differences = "".join(f", {quantity} {value:.2g}" for quantity, value in largest.items())
    detail = f"{len(pairs)} of {len(again)} against their originals; largest differences{differences}"
    return Check("retrained", detail, tuple(problems))


def check_notebooks() -> Check:
    """Each notebook's two files against each other, the rules of a clean run, and figures/."""
    names = notebooks.names()
    problems = notebooks.committed_problems() if names else ["there is no notebook"]
    detail = f"{len(names)} against their .py, the rules of a clean run and figures/"
    return Check("notebooks", detail, tuple(problems))


def describe(row: dict) -> str:
    """A run in a few words: "lenet winning_ticket, iterative round 3, trial 0"."""
    words = "{network} {arm}, {procedure} round {pruning_round}, trial {trial}".format_map(row)
    replicate = f"replicate {row['replicate']}" if row["replicate"] else ""
    return ", ".join(filter(None, [words, row["variant"], replicate]))
