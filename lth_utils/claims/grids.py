"""One metric of one arm as tables trial x P_m, read from run records; replicates averaged within their trial first.

Keeps apart what a mean would blur: a missing run, a diverged run, and a censored reading (a minimum at the last
evaluation, an accuracy not reached), which is only a bound on the true value. Knows nothing of claims.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

SAME_RUNG = 0.01  # relative; neighbouring rungs lie at least 2.5 % apart
RISE_WINDOW = 500  # iterations either side that a late validation loss is averaged over


@dataclass(frozen=True)
class Grid:
    """Tables trial x P_m (percent, as asked for), the last two of booleans, and what records they were read from."""

    values: pd.DataFrame  # NaN: no run, or a diverged one
    censored: pd.DataFrame  # the true value is larger
    diverged: pd.DataFrame  # one of the replicates did
    scales: frozenset[str]  # "paper", "reduced", ...
    precisions: frozenset[str]  # "float32", "bfloat16"

    @property
    def present(self) -> pd.DataFrame:
        """Where there is a run, diverged or not."""
        return self.values.notna() | self.diverged

    def under(self, rungs: list[float]) -> "Grid":
        """The only rung of this grid under each of `rungs`."""
        tables = {name: getattr(self, name) for name in ("values", "censored", "diverged")}
        return replace(
            self,
            **{name: pd.DataFrame(dict.fromkeys(rungs, table.iloc[:, 0])) for name, table in tables.items()},
        )


def grid(
    frame: pd.DataFrame,
    metric: str,
    rungs: list[float],
    *,
    network: str,
    variant: str,
    arm: str,
    procedure: str,
) -> Grid:
    """One arm's metric at the given P_m; the dense network is the 100 % rung of every ticket series.

    Raises ValueError when two records mean the same run, or when an arm's mean would mix precisions.
    """
    wanted = (frame["arm"] == arm) & (frame["procedure"] == procedure)
    if arm == "winning_ticket":
        wanted |= frame["arm"] == "dense"
    rows = frame[wanted & (frame["network"] == network) & (frame["variant"] == variant)]
    distance = np.abs(np.log(rows["percent_remaining"].to_numpy(float)[:, None] / np.array(rungs)))
    near = distance.min(axis=1) < SAME_RUNG
    rows, columns = rows[near], distance[near].argmin(axis=1)
    if len(set(zip(rows["trial"], rows["replicate"], columns))) < len(rows):
        raise ValueError(f"two records of {metric} mean the same run: filter by scale and study first")
    precisions = frozenset(rows["precision"])
    if len(precisions) > 1:
        raise ValueError(f"precisions are never averaged together: {', '.join(sorted(precisions))}")
    return Grid(*_tables(rows, metric, columns, rungs), frozenset(rows["scale"]), precisions)


def _tables(rows, metric, columns, rungs):
    """values, censored and diverged, a cell per trial and rung over its replicates; columns: the rung of each row."""
    values, censored = readings(rows, metric)
    diverged = rows["diverged"].to_numpy(bool)
    trials = np.unique(rows["trial"])
    cell = np.searchsorted(trials, rows["trial"]), columns
    runs, total, late, lost = (
        np.zeros((len(trials), len(rungs)), kind) for kind in (float, float, bool, bool)
    )
    np.add.at(runs, cell, 1)
    np.add.at(total, cell, values.mask(diverged))
    np.logical_or.at(late, cell, censored)
    np.logical_or.at(lost, cell, diverged)
    runs[runs == 0] = np.nan
    return [pd.DataFrame(table, trials, rungs) for table in (total / runs, late, lost)]


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
