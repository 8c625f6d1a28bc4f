"""Train committed runs again on this machine and hold them against their records: the check a skeptic wants.

Seeds must come out bit for bit, a mask must have its record's density, and the validation loss of the first 300
iterations must agree within 1e-4, on as many threads as the record names. After that floating point lets two trainings
drift apart, so what is read off a whole run may differ as much as two trials of the same setting do. Nothing is written.
"""

import contextlib
import json
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy import stats

from lth_utils import data as data_room
from lth_utils import experiments, paper, records, training
from lth_utils import masks as masking
from lth_utils.chains import Chain
from lth_utils.claims.statistics import CONFIDENCE, FEWEST_TRIALS
from lth_utils.experiments import Run

LOSS_TOLERANCE = 1e-4  # of the validation loss, while floating point has not diverged
TOGETHER_UNTIL = 300  # iterations for which that holds
WHOLE_RUN = {  # what is read off a whole run -> the smallest difference that can be told from none
    "early_stop_iteration": 100,
    "test_accuracy_at_early_stop": 1e-4,
    "test_accuracy_at_end": 1e-4,
}
EXACT = 0.0


@dataclass(frozen=True)
class Comparison:
    """One quantity of one run, recorded and retrained; tolerance None: shown, not judged, `remark` says why."""

    quantity: str
    recorded: float
    retrained: float
    tolerance: float | None
    remark: str = ""

    @property
    def difference(self) -> float:
        return abs(self.recorded - self.retrained)

    @property
    def outcome(self) -> str:
        """ "same", "within" its tolerance, "outside" it, or "not judged"."""
        if self.tolerance is None:
            return "not judged"
        if self.difference == 0:
            return "same"
        return "within" if self.difference <= self.tolerance else "outside"  # NaN is outside


def draw(frame: pd.DataFrame, count: int, seed: int) -> list[dict]:
    """`count` records at random among the runs that claims rest on (study "paper"); the same seed, the same runs.

    Raises ValueError where there are fewer. Diverged runs are left out: nothing holds two of them together.
    """
    eligible = frame[(frame["study"] == "paper") & ~frame["diverged"].astype(bool)].sort_values("run_key")
    if not 1 <= count <= len(eligible):
        raise ValueError(f"{count} runs cannot be drawn: {len(eligible)} are stored that claims may rest on")
    return eligible.sample(count, random_state=seed).to_dict("records")


def iterations_of(record: dict, limit: int | None) -> int:
    """How many iterations of a run are trained again; ValueError for a limit that is no evaluation."""
    protocol = Run.from_record(record).protocol
    if limit is not None and (limit < 1 or limit % protocol.evaluation_interval):
        raise ValueError(
            f"the number of iterations must be a multiple of {protocol.evaluation_interval}, got {limit}"
        )
    return min(limit or protocol.training_iterations, protocol.training_iterations)


def retrain(
    record: dict,
    frame: pd.DataFrame,
    runs: int = 1,
    limit: int | None = None,
    folder: Path = records.COMMITTED,
    device: str = "cpu",
    progress: Callable[[int], None] | None = None,
) -> list[Comparison]:
    """Train one record's run again, alone, and compare.

    frame: the store, for the noise between trials. runs: how many runs are judged together, which widens what
    noise may explain. limit: train only so many iterations, and compare only the beginning of the curve.
    """
    run = Run.from_record(record)
    iterations = iterations_of(record, limit)
    weights, masks = experiments.starting_point(run, Chain(folder))
    with _threads_of(record):
        (result,) = training.train(
            run.network,
            initial_weights=[weights],
            masks=[masks],
            seeds=[run.seeds["data_order"]],
            protocol=replace(run.protocol, training_iterations=iterations),
            data=data_room.load(paper.DATASETS[run.network], device=device),
            device=device,
            progress=progress,
        )
    found = [*_exact(record, run, masks), *_curve(record, result)]
    if iterations == run.protocol.training_iterations:
        found += _whole_run(record, result, frame, len(WHOLE_RUN) * runs)
    return found


@contextlib.contextmanager
def _threads_of(record):
    """As many threads as a run on a CPU had: they decide the order of its sums, which bfloat16 soon shows."""
    before, found = torch.get_num_threads(), re.fullmatch(r"cpu, (\d+) thread\(s\)", record["device"])
    torch.set_num_threads(int(found[1]) if found else before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _exact(record, run, masks) -> Iterator[Comparison]:
    recorded = json.loads(record["seeds"])
    for role, drawn in run.seeds.items():
        yield Comparison(f"seed of {role}", recorded[role], drawn, EXACT)
    yield Comparison(
        "percent_remaining of the mask", record["percent_remaining"], 100 * masking.density(masks), EXACT
    )


def _curve(record, result) -> Iterator[Comparison]:
    """The largest difference of the validation loss: before training, while it must agree, and afterwards."""
    iteration = result.curves["iteration"]
    ours = result.curves["validation_loss"].astype(np.float32).astype(float)  # as a record stores it
    theirs = np.asarray(record["curve_validation_loss"], float)[: len(ours)]
    together = (iteration > 0) & (iteration <= TOGETHER_UNTIL)
    for chosen, tolerance in (
        (iteration == 0, LOSS_TOLERANCE),
        (together, LOSS_TOLERANCE),
        (iteration > TOGETHER_UNTIL, None),
    ):
        if chosen.any():
            worst = np.flatnonzero(chosen)[np.abs(ours - theirs)[chosen].argmax()]
            name = f"validation_loss at {iteration[worst]}"
            first, last = iteration[chosen][[0, -1]]
            remark = f"worst of iterations {first} to {last}" if last else ""
            yield Comparison(name, float(theirs[worst]), float(ours[worst]), tolerance, remark)


def _whole_run(record, result, frame, judged) -> Iterator[Comparison]:
    same = [name for name in records.IDENTITY if name != "trial"]
    trials = frame[(frame[same] == pd.Series(record)[same]).all(axis=1)]
    for name, resolution in WHOLE_RUN.items():
        tolerance = noise_tolerance(trials[name], judged)
        if tolerance is None:
            remark = f"fewer than {FEWEST_TRIALS} trials"
        else:
            tolerance, remark = max(tolerance, resolution), f"noise between {len(trials)} trials"
        yield Comparison(name, float(record[name]), float(getattr(result, name)), tolerance, remark)


def noise_tolerance(values: pd.Series, judged: int) -> float | None:
    """How far two trials of one setting lie apart at most, with 95 % confidence over all `judged` comparisons together.

    Student's t, Bonferroni's correction. None for fewer than three trials: their noise is not known.
    """
    if len(values) < FEWEST_TRIALS:
        return None
    quantile = stats.t.ppf(1 - (1 - CONFIDENCE) / (2 * judged), len(values) - 1)
    return float(quantile * math.sqrt(2) * values.std(ddof=1))
