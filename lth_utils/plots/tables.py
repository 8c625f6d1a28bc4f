"""The numbers behind every figure: long tables, one row per drawn point. Draws nothing.

`source` is "ours", "paper" or "trial" (a single one of ours); `mean`, `minimum` and `maximum` are over trials, with the
replicates of a control averaged within their trial first; `trials` is their number and `trial_values` lists the trials'
own values. Accuracies are fractions.
"""

from collections.abc import Iterable

import pandas as pd

from lth_utils.claims.grids import readings
from lth_utils.claims.statistics import t_interval
from lth_utils.paper.figures import DRAWN, in_order

METRICS = {
    "early_stop_iteration": "Early-stop iteration",
    "test_accuracy_at_early_stop": "Test accuracy at early-stop",
    "train_accuracy_at_early_stop": "Train accuracy at early-stop",
    "validation_accuracy_at_early_stop": "Validation accuracy at early-stop",
    "validation_loss_at_early_stop": "Validation loss at early-stop",
    "test_accuracy_at_end": "Test accuracy at the end",
    "train_accuracy_at_end": "Train accuracy at the end",
    "test_accuracy": "Test accuracy",
    "validation_accuracy": "Validation accuracy",
    "validation_loss": "Validation loss",
}


def over_trials(frame: pd.DataFrame, metric: str, by: list[str]) -> pd.DataFrame:
    """Mean, minimum and maximum over trials of each group; replicates are averaged within their trial first.

    Missing values do not count: `trials` says how many trials stand behind a row.
    """
    per_trial = frame.groupby([*by, "trial"], dropna=False)[metric].mean().dropna()
    groups = per_trial.groupby(level=by, sort=False, dropna=False)
    table = groups.agg(mean="mean", minimum="min", maximum="max", trials="count")
    table["trial_values"] = [" ".join(f"{value:.6g}" for value in values) for _, values in groups]
    return table.reset_index()


def values_of(row) -> list[float]:
    """The trials' own values behind a row."""
    return [float(value) for value in row.trial_values.split()]


def _tidy(table, metric, by):
    table = in_order(table, by)
    table.insert(0, "source", "ours")
    table.insert(0, "metric", metric)
    return table.drop(columns="pruning_round", errors="ignore")


def by_percent_remaining(frame: pd.DataFrame, metric: str) -> pd.DataFrame:
    """One row per series and rung, the dense network as the first point of every ticket series of its network.

    `censored` counts trials whose validation loss was lowest at their last evaluation: an early-stop iteration there
    is only a lower bound.
    Raises ValueError when two records would mean the same run or when scales would be averaged together.
    """
    if frame.duplicated([*DRAWN, "trial", "replicate", "pruning_round"]).any():
        raise ValueError("two records mean the same run: filter variant, study and scale before drawing")
    if frame.groupby("network")["scale"].nunique().gt(1).any():
        raise ValueError(f"scales are never averaged together: {sorted(frame['scale'].unique())}")
    by = [*DRAWN, "pruning_round", "percent_remaining"]
    runs = _with_dense(frame.assign(censored=readings(frame, metric)[1]))
    late = runs.groupby([*by, "trial"])["censored"].any().groupby(level=by).sum()
    return _tidy(over_trials(runs, metric, by).join(late, on=by), metric, [*DRAWN, "percent_remaining"])


def _with_dense(frame):
    others, dense = frame[frame["arm"] != "dense"], frame[frame["arm"] == "dense"]
    series = others.loc[
        others["arm"] == "winning_ticket", ["network", "variant", "procedure"]
    ].drop_duplicates()
    starts = dense.drop(columns="procedure").merge(series, on=["network", "variant"], how="left")
    starts = starts.fillna({"procedure": "iterative"}).assign(arm="winning_ticket")
    return pd.concat([starts, others], ignore_index=True)


def by_iteration(curves: pd.DataFrame, metric: str, by: list[str]) -> pd.DataFrame:
    """Mean, minimum and maximum over trials at every iteration where all trials of a group were evaluated."""
    by = [*by, "iteration"]
    table = over_trials(curves.dropna(subset=[metric]), metric, by).drop(columns="trial_values")
    complete = table.groupby(by[:-1], dropna=False)["trials"].transform("max") == table["trials"]
    return _tidy(table[complete], metric, by)


def by_setting(frame: pd.DataFrame, metric: str) -> pd.DataFrame:
    """One row per value of the column `setting`, in order of appearance."""
    table = over_trials(frame, metric, ["network", "setting"])
    order = list(frame["setting"].unique()).index
    table = table.sort_values("setting", key=lambda names: names.map(order), ignore_index=True)
    return table.assign(metric=metric, source="ours")


def paired(frame: pd.DataFrame, metric: str, arm_a: str, arm_b: str) -> pd.DataFrame:
    """Per-trial differences arm_a - arm_b at every rung that both reached, with the 95 % t-interval of their mean.

    A trial's two networks share initial weights or data order, so their difference is much steadier than either of them.
    arm_b "dense" compares every rung of arm_a with the same trial's dense network.
    """
    by = ["network", "procedure", "pruning_round", "percent_remaining", "trial"]
    a, b = (frame[frame["arm"] == arm].groupby(by)[metric].mean().reset_index() for arm in (arm_a, arm_b))
    on = ["network", "trial"] if arm_b == "dense" else ["network", "procedure", "pruning_round", "trial"]
    both = a.merge(b[[*on, metric]], on=on, suffixes=("", "_b"))
    both["difference"] = both[metric] - both[f"{metric}_b"]
    table = _tidy(
        over_trials(both, "difference", by[:-1]), metric, ["network", "procedure", "percent_remaining"]
    )
    intervals = [t_interval(values_of(row)) for row in table.itertuples()]
    for end in ("low", "high"):
        table[f"interval_{end}"] = [getattr(interval, end) for interval in intervals]
    table.insert(3, "arm", f"{arm_a} - {arm_b}")
    return table


def nearest_rung(available: Iterable[float], target: float, factor: float = 1.0) -> float | None:
    """The available P_m that prints like the target, else the closest one within `factor` of it, else None."""
    closest = min(available, key=lambda value: abs(value - target), default=None)
    if closest is None or not (abs(closest - target) < 0.051 or 1 / factor < closest / target < factor):
        return None
    return closest
