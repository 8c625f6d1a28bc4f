"""Settings of one study side by side, trial by trial: labels, tables, plain text, distance from the paper's curves.

Takes rows of records.load or records.curves. What was trained at laptop scale is labelled so wherever its setting is
named. Knows nothing of training and draws nothing.
"""

from collections.abc import Mapping

import pandas as pd

from lth_utils import tables
from lth_utils.statistics import decision, t_interval

LAPTOP = " (laptop scale)"
VERDICTS = {"met": "reproduced", "failed": "not reproduced", "inconclusive": "inconclusive"}


def labelled(frame: pd.DataFrame, labels: Mapping[str, str]) -> pd.DataFrame:
    """The rows of the named variants with a column `setting` that says what a reader calls them, in this order.

    Raises KeyError for a variant without rows: a comparison never shrinks silently.
    """
    if absent := [variant for variant in labels if variant not in set(frame["variant"])]:
        raise KeyError(f"no rows of variant {', '.join(map(repr, absent))}")
    mark = frame["scale"].eq("quick").map({True: LAPTOP, False: ""})
    settings = frame["variant"].map(dict(labels)) + mark
    parts = [frame.assign(setting=settings)[frame["variant"] == variant] for variant in labels]
    return pd.concat(parts, ignore_index=True)


def by_trial(frame: pd.DataFrame, metric: str) -> pd.DataFrame:
    """One row per setting, in order of appearance, and one column per trial."""
    values = frame.pivot(index="setting", columns="trial", values=metric)
    return values.loc[frame["setting"].unique()]


def text(values: pd.DataFrame, metric: str) -> str:
    """A table of `by_trial`, or a difference of two, as plain text with mean, minimum and maximum over trials.

    Accuracies in percent with two decimals, losses with four, iterations whole.
    """
    if not len(values):
        return f"{tables.METRICS[metric]}: not evaluated at this scale"
    summary = values.assign(**{"mean": values.mean(axis=1), "min": values.min(axis=1), "max": values.max(axis=1)})
    heads = [f"trial {name}" if isinstance(name, int) else name for name in summary.columns]
    width = max(map(len, [*values.index, ""])) + 2
    unit = " (%)" if "accuracy" in metric else ""
    lines = [f"{tables.METRICS[metric]}{unit}", " " * width + "".join(f"{head:>10}" for head in heads)]
    for setting, row in summary.iterrows():
        lines.append(f"{setting:<{width}}" + "".join(f"{tables.decimals(metric, value):>10}" for value in row))
    return "\n".join(lines)


def verdict(values: pd.Series, lower: float, upper: float) -> str:
    """Whether the trials' mean lies in [lower, upper], decided by its 95 % t-interval (accuracies, in percent)."""
    interval = t_interval(values)
    word = VERDICTS[decision(interval.low, interval.high, lower, upper)]
    mean, low, high, bottom, top = (
        f"{100 * value:.2f}" for value in (interval.estimate, interval.low, interval.high, lower, upper)
    )
    return f"mean {mean} %, 95 % interval {low} to {high}, asked for {bottom} to {top}: {word}"


def lowest_mean(table: pd.DataFrame) -> pd.DataFrame:
    """Per setting, where the mean curve of a table of `plots.learning_curves` is lowest; the paper's curve last."""
    curves = table[table["source"] != "trial"].copy()
    curves.loc[curves["source"] == "paper", "setting"] = "the paper (digitized)"
    rows = curves.loc[curves.groupby("setting", sort=False)["mean"].idxmin(), ["setting", "iteration", "mean"]]
    return rows.reset_index(drop=True)


def distance_from_paper(table: pd.DataFrame) -> pd.Series:
    """Root mean square distance of each setting's mean curve from the paper's, over the evaluations of both.

    table: of `plots.learning_curves(..., paper_dense=True)`, one metric. The paper evaluates one iteration after ours.
    """
    on_grid = table.assign(evaluation=(table["iteration"] / 100).round().astype(int))
    ours, theirs = (on_grid[on_grid["source"] == source] for source in ("ours", "paper"))
    both = ours.merge(theirs, on=["setting", "evaluation"], suffixes=("", "_paper"))
    squares = (both["mean"] - both["mean_paper"]) ** 2
    return squares.groupby(both["setting"], sort=False).mean() ** 0.5
