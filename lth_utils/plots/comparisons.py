"""Settings of one study side by side, trial by trial: labels, tables as plain text, distance from the paper's curves.

Takes rows of records.load or records.curves, and tables that plots has drawn. What was trained at laptop scale is
labelled so wherever its setting is named. Knows nothing of training and draws nothing.
"""

from collections.abc import Iterable, Mapping

import pandas as pd

from lth_utils.claims.statistics import decision, t_interval
from lth_utils.paper import figures as paper_figures
from lth_utils.plots import style
from lth_utils.plots.printed import decimals, line, title
from lth_utils.plots.tables import METRICS

LAPTOP = f" ({style.LAPTOP})"
PAPER = "the paper (digitized)"
VERDICTS = {"met": "reproduced", "failed": "not reproduced", "inconclusive": "inconclusive"}


def labelled(frame: pd.DataFrame, labels: Mapping[str, str]) -> pd.DataFrame:
    """The rows of the named variants with a column `setting` that says what a reader calls them, in this order.

    Raises KeyError for a variant without rows: a comparison never shrinks silently.
    """
    if absent := [variant for variant in labels if variant not in set(frame["variant"])]:
        raise KeyError(f"no rows of variant {', '.join(map(repr, absent))}")
    mark = frame["scale"].eq("quick").map({True: LAPTOP, False: ""})
    named = frame.assign(setting=frame["variant"].map(dict(labels)) + mark)
    return pd.concat([named[named["variant"] == variant] for variant in labels], ignore_index=True)


def by_trial(frame: pd.DataFrame, metric: str) -> pd.DataFrame:
    """One row per setting, in order of appearance, and one column per trial."""
    values = frame.pivot(index="setting", columns="trial", values=metric)
    return values.loc[frame["setting"].unique()]


def text(values: pd.DataFrame, metric: str) -> str:
    """A table of `by_trial` with mean, minimum and maximum over trials, as plain text that ends in a newline.

    Accuracies in percent with two decimals, losses with four, iterations whole.
    """
    if not len(values):
        return f"{METRICS[metric]}: not evaluated at this scale\n"
    summary = {name: values.agg(name, axis=1) for name in ("mean", "min", "max")}
    values = values.add_prefix("trial ").assign(**summary)
    first = max(map(len, [*values.index, title(metric)])) + 1
    lines = [line(title(metric), values.columns, first, 9)]
    for setting, row in values.iterrows():
        lines.append(line(setting, [decimals(metric, value) for value in row], first, 9))
    return "\n".join(lines) + "\n"


def interval(values: Iterable[float], unit: str = "%") -> str:
    """The mean of one fraction per trial with its 95 % t-interval, as text in percent or, signed, in points."""
    found, sign = t_interval(list(values)), "" if unit == "%" else "+"
    mean, low, high = (decimals("accuracy", value, sign) for value in (found.estimate, found.low, found.high))
    return f"{mean} {unit}, 95 % interval {low} to {high}"


def verdict(values: Iterable[float], lower: float, upper: float) -> str:
    """Whether the trials' mean lies in [lower, upper], decided by its 95 % t-interval, as a sentence."""
    found = t_interval(list(values))
    word = VERDICTS[decision(found.low, found.high, lower, upper)]
    return f"{interval(values)}; asked for {100 * lower:.2f} to {100 * upper:.2f}: {word}"


def paper_range(network: str, metric: str) -> str:
    """The paper's dense network as one line of text; ValueError where the paper plots no such metric."""
    (row,) = paper_figures.dense(network, metric).itertuples()
    mean, low, high = (decimals(metric, value) for value in (row.mean, row.minimum, row.maximum))
    return f"{PAPER}: mean {mean}, minimum {low}, maximum {high}\n"


def inside_paper_bars(table: pd.DataFrame) -> pd.DataFrame:
    """Per metric and setting: "3 of 4" of the paper's min-max bars, where we have a point too, hold our mean.

    table: of `plots.learning_curves` or `plots.compare_settings`, or several together.
    """
    both = _beside_paper(table).dropna(subset="minimum_paper")
    held = both["mean"].between(both["minimum_paper"], both["maximum_paper"])
    return _per_setting(both, held, lambda held: f"{held.sum()} of {len(held)}")


def distance_from_paper(table: pd.DataFrame) -> pd.DataFrame:
    """Per metric and setting: root mean square distance of our mean curve from the paper's, over shared evaluations."""
    both = _beside_paper(table)
    return _per_setting(both, (both["mean"] - both["mean_paper"]) ** 2, "mean") ** 0.5


def _per_setting(both, values, summary):
    return values.groupby([both["metric"], both["setting"]], sort=False).agg(summary).unstack(sort=False)


def _beside_paper(table):
    """Each mean of ours with the paper's point of the same metric and evaluation, which comes an iteration after ours.

    Final numbers, which have no iteration, are one evaluation of their own.
    """
    places = table["iteration"].fillna(-100) if "iteration" in table else -100
    means, on = table.assign(evaluation=places).round({"evaluation": -2}), ["metric", "evaluation"]
    theirs = means[means["source"] == "paper"].drop_duplicates(on)[[*on, "mean", "minimum", "maximum"]]
    return means[means["source"] == "ours"].merge(theirs, on=on, suffixes=("", "_paper"))
