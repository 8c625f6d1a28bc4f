"""One metric of one arm as tables trial x P_m, read from run records; replicates averaged within their trial first.

Keeps apart what a mean would blur: a missing run, a diverged run, and a censored reading (a minimum at the last
evaluation, an accuracy not reached), which is only a bound on the true value. Knows nothing of claims.
"""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

SAME_RUNG = 0.01  # relative; neighbouring rungs lie at least 2.5 % apart
RISE_WINDOW = 500  # iterations either side that a late validation loss is averaged over


@dataclass(frozen=True)
class Grid:
    """Tables trial x P_m (percent, falling): values (NaN: no run, or a diverged one), and two of booleans."""

    values: pd.DataFrame
    censored: pd.DataFrame  # the true value is larger
    diverged: pd.DataFrame
    scales: frozenset[str]  # of the records behind it: "paper", "reduced", ...
    precisions: frozenset[str]  # of the same records: "float32", "bfloat16"

    def map(self, change: Callable[[pd.DataFrame], pd.DataFrame]) -> "Grid":
        """The same change of shape applied to all three tables."""
        tables = (change(table) for table in (self.values, self.censored, self.diverged))
        return Grid(*tables, self.scales, self.precisions)

    def repeated(self, rungs: list[float]) -> "Grid":
        """The only rung of this grid under each of `rungs`."""
        return self.map(lambda table: pd.DataFrame({rung: table.iloc[:, 0] for rung in rungs}))

    def beside(self, other: "Grid") -> "Grid":
        """Both grids in one, the other's rungs negated so that a P_m of both stays two columns."""
        right = other.map(lambda table: table.rename(columns=lambda rung: -rung))
        trials = self.values.index.union(other.values.index)
        pairs = zip(self._tables(), right._tables())
        joined = [pd.concat([a.reindex(trials), b.reindex(trials)], axis=1) for a, b in pairs]
        flags = joined[1].eq(True), joined[2].eq(True)
        return Grid(joined[0], *flags, self.scales | other.scales, self.precisions | other.precisions)

    def _tables(self):
        return self.values, self.censored, self.diverged


def grid(frame: pd.DataFrame, metric: str, rungs: list[float], **series: str) -> Grid:
    """One arm's metric at the given P_m; series names network, variant, arm and procedure.

    The dense network is the 100 % rung of every ticket series. Raises ValueError when two records mean the same run, or
    when an arm's mean would mix precisions.
    """
    rows = frame[(frame["network"] == series["network"]) & (frame["variant"] == series["variant"])]
    wanted = (rows["arm"] == series["arm"]) & (rows["procedure"] == series["procedure"])
    if series["arm"] == "winning_ticket":
        wanted |= rows["arm"] == "dense"
    rows = rows[wanted]
    asked = np.array(rungs)
    distance = np.abs(np.log(rows["percent_remaining"].to_numpy(float)[:, None] / asked))
    close = distance.min(axis=1) < SAME_RUNG
    rows, columns = rows[close], distance[close].argmin(axis=1)
    precisions = frozenset(rows["precision"])
    if len(precisions) > 1:
        raise ValueError(f"precisions are never averaged together: {', '.join(sorted(precisions))}")
    return Grid(*_tables(rows, metric, columns, rungs), frozenset(rows["scale"]), precisions)


def _tables(rows, metric, columns, rungs):
    values, censored = readings(rows, metric)
    diverged = rows["diverged"].astype(bool)
    runs = list(zip(rows["trial"], rows["replicate"], columns))
    if len(set(runs)) < len(runs):
        raise ValueError(f"two records of {metric} mean the same run: filter by scale and study first")
    cells = defaultdict(list)
    for (trial, _, column), *reading in zip(runs, values.mask(diverged), censored, diverged):
        cells[trial, column].append(reading)
    trials = sorted(set(rows["trial"]))
    tables = np.full((3, len(trials), len(rungs)), [[[np.nan]], [[False]], [[False]]], dtype=float)
    for (trial, column), replicates in cells.items():
        value, *flags = zip(*replicates)
        tables[:, trials.index(trial), column] = np.mean(value), *(any(flag) for flag in flags)
    shape = {"index": trials, "columns": rungs}
    return pd.DataFrame(tables[0], **shape), *(pd.DataFrame(table == 1, **shape) for table in tables[1:])


def readings(rows: pd.DataFrame, metric: str) -> tuple[pd.Series, pd.Series]:
    """The metric of each run and whether the true value is larger; "name@number" metrics are read off the curves."""
    name, _, number = metric.partition("@")
    if not number:
        at_last = rows["early_stop_iteration"] >= rows["training_iterations"]
        return rows[name].astype(float), at_last & (name == "early_stop_iteration")
    pairs = [FROM_CURVES[name](run, float(number)) for run in rows.itertuples()]
    table = pd.DataFrame(pairs, index=rows.index, columns=["value", "censored"])
    return table["value"].astype(float), table["censored"].astype(bool)


def _iterations_to_accuracy(run, threshold):
    """First evaluated iteration with test accuracy >= threshold; censored at the last one before a gap."""
    accuracy = np.asarray(run.curve_test_accuracy, dtype=float)
    gaps = np.flatnonzero(np.isnan(accuracy))
    accuracy = accuracy[: gaps[0]] if len(gaps) else accuracy
    if len(accuracy) < 2:
        return np.nan, False
    hits = np.flatnonzero(accuracy >= threshold)
    return float(run.curve_iteration[hits[0] if len(hits) else len(accuracy) - 1]), not len(hits)


def _test_accuracy(run, iteration):
    """Test accuracy at exactly that iteration, NaN where it was not evaluated."""
    hits = np.flatnonzero(np.asarray(run.curve_iteration) == iteration)
    return (float(run.curve_test_accuracy[hits[0]]) if len(hits) else np.nan), False


def _validation_loss_rise(run, iteration):
    """Mean validation loss within RISE_WINDOW of the iteration over the smallest one of the run."""
    iterations, loss = (np.asarray(x, dtype=float) for x in (run.curve_iteration, run.curve_validation_loss))
    late = np.abs(iterations - iteration) <= RISE_WINDOW
    reached = len(iterations) and iterations[-1] >= iteration and late.any()
    return (float(loss[late].mean() / loss.min()) if reached else np.nan), False


FROM_CURVES: dict[str, Callable] = {
    "iterations_to_accuracy": _iterations_to_accuracy,
    "test_accuracy": _test_accuracy,
    "validation_loss_rise": _validation_loss_rise,
}
