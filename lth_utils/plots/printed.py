"""Drawn tables as plain text of fixed decimals: as intervals at named rungs, and in words for who cannot see them."""

from collections.abc import Iterable

import pandas as pd

from lth_utils import paper
from lth_utils.paper.figures import DRAWN
from lth_utils.plots import style
from lth_utils.plots.tables import METRICS, nearest_rung


def decimals(metric: str, value: float, sign: str = "") -> str:
    """A value as a reader wants it: iterations whole, accuracies in percent with two decimals, losses with four.

    sign: "+" for differences.
    """
    if pd.isna(value):
        return "-"
    if "accuracy" in metric:
        return f"{100 * value:{sign}.2f}"
    return f"{value:{sign}.{4 if 'loss' in metric else 0}f}"


def title(metric: str) -> str:
    """The metric's label with its unit."""
    return METRICS[metric] + " (%)" * ("accuracy" in metric)


def line(name: str, cells: Iterable[str], first: int, width: int) -> str:
    """A row of a printed table: the name in `first` characters, every cell to the right of `width`."""
    return f"{name:<{first}}" + "".join(f"{cell:>{width}}" for cell in cells)


def with_procedure(name: str, procedure: str) -> str:
    """The name and how the mask was found, of which iterative pruning goes without saying."""
    return name if procedure in ("", "iterative") else f"{name}, {style.PROCEDURE_LABELS[procedure]}"


def series_label(row) -> str:
    """What a reader calls a series: "Lenet winning ticket, one-shot"."""
    network, arm, procedure = (row.get(name) if isinstance(row.get(name), str) else "" for name in DRAWN)
    words = [paper.NETWORK_LABELS.get(network, network), style.ARM_LABELS.get(arm, arm)]
    label = with_procedure(" ".join(filter(None, words)), procedure)
    return f"{label} [{row['setting']}]" if isinstance(row.get("setting"), str) else label


def intervals(table: pd.DataFrame, at: Iterable[float]) -> str:
    """Paired differences at named rungs, as plain text: mean [95 % t-interval], n. One trial has no interval.

    at: P_m values as the paper prints them. Accuracies in percentage points; a rung that was not drawn is left out.
    """
    blocks = []
    for (metric, arms, procedure), rows in table.groupby(["metric", "arm", "procedure"], sort=False):
        unit = "pp" if "accuracy" in metric else "iterations"
        pair = " minus ".join(style.ARM_LABELS[arm] for arm in arms.split(" - "))
        lines = [f"{with_procedure(METRICS[metric], procedure)} ({unit}): {pair}"]
        for target in at:
            rung = nearest_rung(rows["percent_remaining"], target)
            for row in rows[rows["percent_remaining"] == rung].itertuples():
                ends = row.mean, row.interval_low, row.interval_high
                mean, low, high = (decimals(metric, value, "+,") for value in ends)
                interval = f"[{low}, {high}]  " if row.trials > 1 else ""
                lines.append(f"  {style.percent(target):>5} %  {mean:>8}  {interval}n={row.trials}")
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)


def alt_text(table: pd.DataFrame) -> str:
    """One sentence per series of ours, for readers who do not see the picture: where it starts, turns and ends."""
    if "source" not in table:
        return f"{len(table)} images" + (": " + "; ".join(table["title"]) if "title" in table else "")
    named = ["panel", "metric", *DRAWN, "setting", *(["percent_remaining"] if "iteration" in table else [])]
    by, sentences = [name for name in named if name in table], []
    for values, drawn in table[table["source"] == "ours"].groupby(by, sort=False, dropna=False):
        series, mean = dict(zip(by, values, strict=True)), drawn["mean"]
        metric, name = series["metric"], series_label(series)
        if "percent_remaining" in series:
            name += f" at {style.percent(series['percent_remaining'])} %"
        if mean.notna().any():
            word, best = ("highest", mean.idxmax()) if "accuracy" in metric else ("lowest", mean.idxmin())
            start, turn, end = (_place(metric, drawn.loc[i]) for i in (drawn.index[0], best, drawn.index[-1]))
            sentences.append(f"{METRICS.get(metric, metric)}, {name}: {start}; {word} {turn}; {end}.")
    return "\n".join(sentences) or "No measurements of ours; the paper's curves alone."


def _place(metric, row):
    rung = "iteration" not in row
    at = f"{style.percent(row['percent_remaining'])} %" if rung else f"iteration {row['iteration']:.0f}"
    return f"{decimals(metric, row['mean'])} at {at}"
