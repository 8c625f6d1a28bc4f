"""Is a run the same when it is trained again? Here, by `retrain`, or on another machine, whose records are compared.

The same weights, mask and data order give the same beginning. Then rounding drives two trainings apart, in float32
after a hundred iterations, in bfloat16 at once; from there on what is read off them may differ as much as two trials
of one setting do. Nothing is written.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy import stats

from lth_utils import data as data_room
from lth_utils import experiments, paper, records, training
from lth_utils import masks as masking
from lth_utils.claims.statistics import CONFIDENCE, FEWEST_TRIALS
from lth_utils.experiments import Run
from lth_utils.records import Store

STRICT_UNTIL = {"float32": 100, "bfloat16": 0}  # the last iteration for which rounding cannot have grown much
START_TOLERANCE = {
    "float32": 1e-4,
    "bfloat16": 1e-3,
}  # of the loss before training, relative where it is above 1
EARLY_TOLERANCE = (
    1e-3  # of the loss until then, likewise: of 80 sound runs one differed by more than 1e-4, by 4e-4
)
WHOLE_RUN = {  # what is read off a whole run -> the smallest difference that can be told from none
    "early_stop_iteration": 100,
    "test_accuracy_at_early_stop": 1e-4,
    "test_accuracy_at_end": 1e-4,
}


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
        if self.tolerance is None or self.difference == 0:
            return "not judged" if self.tolerance is None else "same"
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
    """How many iterations of a run are trained again: `limit`, rounded up to an evaluation, at most all."""
    protocol = Run.from_record(record).protocol
    interval, whole = protocol.evaluation_interval, protocol.training_iterations
    return min(math.ceil(limit / interval) * interval, whole) if limit else whole


def retrain(
    record: dict,
    frame: pd.DataFrame,
    store: Store,
    runs: int = 1,
    limit: int | None = None,
    device: str = "cpu",
    progress: Callable[[int], None] | None = None,
) -> list[Comparison]:
    """Train one record's run again, alone, and compare; the size of its mask must come out exactly.

    frame, runs: see `compare`. limit: train only so many iterations, and compare only the beginning of the curve.
    """
    run, iterations = Run.from_record(record), iterations_of(record, limit)
    weights, masks = experiments.starting_point(run, store)
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
    again = {f"curve_{name}": curve for name, curve in result.curves.items()}
    if iterations == run.protocol.training_iterations:
        again |= {name: getattr(result, name) for name in WHOLE_RUN}
    percent = record["percent_remaining"], 100 * masking.density(masks)
    return [Comparison("percent_remaining of the mask", *percent, 0.0), *compare(record, again, frame, runs)]


def compare(record: dict, again: dict, frame: pd.DataFrame, runs: int = 1) -> list[Comparison]:
    """A record and the same run trained once more, of which `again` may hold only the beginning of the curve.

    frame: the store, for the noise between the trials of the record's setting. runs: how many runs are judged
    together, which widens what noise may explain.
    """
    same = [name for name in records.IDENTITY if name != "trial"]
    trials = frame[(frame[same] == pd.Series(record)[same]).all(axis=1) & ~frame["diverged"].astype(bool)]
    iteration = np.asarray(again["curve_iteration"])
    strict = iteration <= STRICT_UNTIL[record["precision"]]
    rows = (record, again, *trials.to_dict("records"))
    recorded, retrained, *noise = (_readings(row, iteration, strict) for row in rows)
    found = []
    for name, value in retrained.items():
        if name.startswith("validation_loss at"):
            tolerance = START_TOLERANCE[record["precision"]] if name.endswith(" at 0") else EARLY_TOLERANCE
            tolerance *= max(1, recorded[name])
            found.append(Comparison(name, recorded[name], value, tolerance))
        else:
            values = [reading[name] for reading in noise]
            tolerance = noise_tolerance(values, (1 + len(WHOLE_RUN)) * runs, WHOLE_RUN.get(name, 1e-4))
            remark = (
                f"noise between {len(noise)} trials" if tolerance else f"fewer than {FEWEST_TRIALS} trials"
            )
            found.append(Comparison(name, recorded[name], value, tolerance, remark))
    return found


def _readings(row, iteration, strict):
    """What is compared of a run: its losses where `strict`, their mean after that, what is read off the whole."""
    losses = np.asarray(row["curve_validation_loss"], np.float32)[: len(iteration)].astype(float)  # as stored
    found = {f"validation_loss at {i:.0f}": loss for i, loss in zip(iteration[strict], losses[strict])}
    if not strict.all():
        first, last = iteration[~strict][[0, -1]]
        found[f"mean validation_loss of {first:.0f} to {last:.0f}"] = losses[~strict].mean()
    return found | {name: float(row[name]) for name in WHOLE_RUN if name in row}


def noise_tolerance(values: list[float], judged: int, resolution: float) -> float | None:
    """How far two trials of one setting lie apart at most, with 95 % confidence over all `judged` comparisons together.

    Student's t, Bonferroni's correction; at least `resolution`. None for fewer than three trials.
    """
    if len(values) < FEWEST_TRIALS:
        return None
    quantile = stats.t.ppf(1 - (1 - CONFIDENCE) / (2 * judged), len(values) - 1)
    return max(float(quantile * math.sqrt(2) * np.std(values, ddof=1)), resolution)
