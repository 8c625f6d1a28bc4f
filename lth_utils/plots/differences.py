"""Two arms compared within each trial, over P_m: drawn with their intervals, and printed at named rungs.

A trial's two networks share initial weights or data order, so their difference is much steadier than either of them.
Takes tidy records; the numbers are `tables.paired`.
"""

from collections.abc import Iterable

import pandas as pd
from matplotlib.axes import Axes

from lth_utils import paper
from lth_utils.plots import style, tables
from lth_utils.plots.panels import Drawing, draw_trials, ladder


@style.styled
def paired_differences(
    frame: pd.DataFrame, metric: str, arm_a: str, arm_b: str, *, ax: Axes | None = None
) -> Drawing:
    """arm_a - arm_b within each trial over P_m: the mean, its 95 % t-interval as a bar from three trials on, and every
    trial as a faint dot.

    Where the bar leaves zero aside, the arms differ at that rung. Accuracies in percentage points.
    """
    alone = ax is None
    ax = style.new_figure().subplots() if alone else ax
    table = tables.paired(frame, metric, arm_a, arm_b)
    ax.axhline(0, color=style.DENSE, linewidth=0.6)
    for (network, procedure), rows in table.groupby(["network", "procedure"], sort=False):
        look = style.line(network, arm_a, procedure) | {"linestyle": "none"}
        x = rows["percent_remaining"]
        draw_trials(ax, rows, look["color"], beside=0.94)
        several = rows[rows["trials"] > 2]  # of two, an interval would dwarf everything else
        ax.vlines(
            several["percent_remaining"],
            several["interval_low"],
            several["interval_high"],
            color=look["color"],
            linewidth=1.0,
        )
        ax.plot(x, rows["mean"], **look, label=_with_procedure(paper.NETWORK_LABELS[network], procedure))
    style.percent_axis(ax, ladder(table))
    unit = ""
    if "accuracy" in metric:
        unit = "\n(percentage points)"
        ax.yaxis.set_major_formatter(lambda value, _: f"{100 * value:+.3g}" if value else "0")
    elif "iteration" in metric:
        style.iteration_ticks(ax.yaxis)
    ax.set_ylabel(f"{tables.METRICS[metric]}{unit}")
    style.remark(ax, f"{style.ARM_LABELS[arm_a]}\nminus {style.ARM_LABELS[arm_b]}")
    if alone:
        _name_series([ax])
    return ax.figure, table


def _name_series(axes):
    """One legend for all panels, where there is more than one network or procedure to tell apart."""
    handles = {handle.get_label(): handle for ax in axes for handle in ax.get_legend_handles_labels()[0]}
    if len(handles) > 1:
        style.legend(axes[0].figure, list(handles.values()))


@style.styled
def difference_panels(frame: pd.DataFrame, comparisons: Iterable[tuple[str, str, str]]) -> Drawing:
    """`paired_differences` side by side: a panel per (metric, arm_a, arm_b), all over the same rungs.

    The table numbers the panels in its column `panel`.
    """
    comparisons = list(comparisons)
    figure = style.new_figure(1, max(len(comparisons), 2), height=2.5)
    axes = figure.subplots(1, len(comparisons), squeeze=False)[0]
    parts = []
    for number, (ax, (metric, arm_a, arm_b)) in enumerate(zip(axes, comparisons, strict=True), 1):
        _, table = paired_differences(frame, metric, arm_a, arm_b, ax=ax)
        table.insert(0, "panel", str(number))
        parts.append(table)
    table = pd.concat(parts, ignore_index=True)
    for ax in axes:
        ax.set_xlim(table["percent_remaining"].max() * 1.1, table["percent_remaining"].min() / 1.1)
        style.percent_axis(ax, ladder(table))
    _name_series(axes)
    return figure, table


def _with_procedure(name, procedure):
    return name if procedure == "iterative" else f"{name}, {style.PROCEDURE_LABELS[procedure]}"


def intervals(table: pd.DataFrame, at: Iterable[float]) -> str:
    """A table of `paired_differences` or `difference_panels` at named rungs, as plain text: mean [interval], n.
    One trial has no interval.

    at: P_m values as the paper prints them. Accuracies in percentage points; a rung that was not drawn is left out.
    """
    lines = []
    for (metric, arm, procedure), rows in table.groupby(["metric", "arm", "procedure"], sort=False):
        unit = "pp" if "accuracy" in metric else "iterations"
        what = _with_procedure(tables.METRICS[metric], procedure)
        lines += [""] * bool(lines) + [f"{what} ({unit}): {_spelled(arm)}"]
        for target in at:
            rung = tables.nearest_rung(rows["percent_remaining"], target)
            for row in rows[rows["percent_remaining"] == rung].itertuples():
                mean, low, high = (
                    _signed(metric, x) for x in (row.mean, row.interval_low, row.interval_high)
                )
                interval = f"[{low}, {high}]  " if row.trials > 1 else ""
                lines.append(f"  {style.percent(target):>5} %  {mean:>8}  {interval}n={row.trials}")
    return "\n".join(lines)


def _spelled(arms):
    """ "a - b" of a paired table in a reader's words."""
    return " minus ".join(style.ARM_LABELS[arm] for arm in arms.split(" - "))


def _signed(metric, value):
    return f"{100 * value:+.2f}" if "accuracy" in metric else f"{value:+,.0f}"
