"""Whole figures: the paper's, by their number, and those that compare settings or the arms of a trial.

Each takes tidy records and returns (figure, table). What is missing from a panel, and any scale but the paper's, stands
above it. Records of laptop scale are drawn alone: nothing of the paper's is comparable.
"""

import math
from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

from lth_utils import paper, records
from lth_utils.paper.figures import FIGURES, RUNGS_WHILE_TRAINING, SLOWER_CONV6, WHILE_TRAINING
from lth_utils.plots import panels, style, tables
from lth_utils.plots.panels import Drawing

NO_RECORDS = "no records yet, the paper's curves alone"


@style.styled
def figure(name: str, frame: pd.DataFrame, only: str = "123456") -> Drawing:
    """The paper's figure of that number, our records over the paper's own points.

    frame: run records. only: the numbers of the panels that are drawn, as paper.figures.FIGURES counts them; up to three
    stand in one row, more in two. Of Figures 3 and 11, always whole, only Lenet is drawn.
    Raises KeyError for a figure that is not in FIGURES or WHILE_TRAINING.
    """
    if name in WHILE_TRAINING:
        return _while_training(name, frame)
    frame = _prepared(name, frame)
    laptop = "quick" in set(frame["scale"])
    shown = {str(n): panel for n, panel in enumerate(FIGURES[name], 1) if str(n) in only}
    rows = 1 if len(shown) <= 3 else 2
    drawing = style.new_figure(rows, math.ceil(len(shown) / rows), height=2.7 if rows == 1 else 2.2)
    axes = drawing.subplots(rows, math.ceil(len(shown) / rows), squeeze=False).ravel()
    parts = {}
    for ax, (number, panel) in zip(axes, shown.items()):
        chosen = _chosen(frame, panel)
        style.remark(ax, _remark(chosen, panel, laptop))
        if not laptop:
            over = (name, panel.paper), panel.scale, panel.limits
            parts[number] = panels.over_percent(ax, chosen, panel.metric, *over)
        elif len(chosen):
            parts[number] = panels.over_percent(ax, chosen, panel.metric, scale=panel.scale)
    for ax in axes:
        if not ax.has_data():
            ax.set_axis_off()
    return _with_legend(name, drawing, parts, panels.handles)


def _prepared(name, frame):
    """Figure 1: a network with runs at the rate of that figure is shown in these alone; until there are any, those at
    the usual rate stand in. Figure 6: dropout is a procedure, of networks that have such runs; the others are left out.
    """
    if name == "1":
        slower = frame["variant"].eq(SLOWER_CONV6)
        return frame[slower | ~frame["network"].isin(frame.loc[slower, "network"])]
    if name == "6":
        dropout = frame["variant"].eq("dropout")
        frame = frame.assign(procedure=frame["procedure"].mask(dropout, "dropout"))
        return frame[frame["network"].isin(frame.loc[dropout, "network"])]
    return frame


def _chosen(frame, panel):
    """The records that a panel shows, of any; the dense network belongs to its tickets."""
    shown = [pair in panel.series for pair in zip(frame["arm"], frame["procedure"], strict=True)]
    wanted = np.array(shown, dtype=bool) | frame["arm"].eq("dense")
    return frame[wanted & frame["network"].isin(panel.networks) & frame["variant"].isin(panel.variants)]


def _remark(frame, panel, laptop):
    """What stands above a panel: what is missing from it, and any scale but the paper's."""
    present, remarks = set(frame["network"]), []
    missing = [paper.NETWORK_LABELS[name] for name in panel.networks if name not in present]
    if not present:
        remarks.append("no records yet" if laptop else NO_RECORDS)
    elif missing:
        remarks.append(f"no tickets of {', '.join(missing)} yet")
    if scales := sorted(set(frame["scale"]) - {"paper"}):
        other = set(frame.loc[frame["scale"] != "paper", "network"])
        names = ", ".join(paper.NETWORK_LABELS[name] for name in panel.networks if name in other)
        whose = f"{names}: " if present - other else ""
        remarks.append(style.LAPTOP if laptop else f"{whose}scale {', '.join(scales)}")
    if SLOWER_CONV6 in panel.variants and "conv6" in present and SLOWER_CONV6 not in set(frame["variant"]):
        remarks.append("our Conv-6 pruned by 15 %, not 10 %")
    return ": ".join(filter(None, (panel.heading, "; ".join(remarks))))


def _numbered(parts):
    """Tables of the panels as one, their numbers in a first column `panel`."""
    return pd.concat(parts, names=["panel"]).reset_index("panel").reset_index(drop=True)


def _with_legend(name, drawing, parts, handles):
    table = _numbered(parts)
    style.legend(drawing, handles(table))
    table.insert(0, "figure", name)
    return drawing, table


def _while_training(name, frame):
    """Figure 3 or 11: Lenet's curves at the paper's rungs, or at the closest rungs that a quick profile has."""
    metric, limits, span, scale = WHILE_TRAINING[name]
    frame = frame[frame["network"].eq("lenet") & frame["procedure"].eq("iterative") & frame["variant"].eq("")]
    drawing, laptop, parts = style.new_figure(1, 3, height=2.9), "quick" in set(frame["scale"]), {}
    axes = drawing.subplots(1, 3, sharey=True)
    for number, (ax, wanted) in enumerate(zip(axes, RUNGS_WHILE_TRAINING, strict=True), 1):
        curves = records.curves(frame[_at_rungs(frame, wanted)])
        curves = curves[curves["iteration"].between(span[0] if laptop else 0, span[1])]
        over = None if laptop else (name, str(number))
        parts[str(number)] = panels.while_training(ax, curves, metric, over)
        ax.set_xscale(scale)
        if scale == "log":
            ax.minorticks_off()
            ax.set_xticks([200, 500, 1000, 2000, 5000, 10_000])
        style.iteration_ticks(ax.xaxis)
        ax.set_xlim(span[0], curves["iteration"].max() if laptop else span[1])
        ax.set_ylim(*(None, None) if laptop else limits)
        if laptop or not len(curves):
            style.remark(ax, style.LAPTOP if laptop else NO_RECORDS)
    axes[0].set_ylabel(tables.METRICS[metric])
    return _with_legend(name, drawing, parts, panels.rung_handles)


def _at_rungs(frame, wanted):
    """Which runs are those of the wanted (arm, P_m) pairs, or of the closest rungs."""
    chosen = frame["arm"].isin([])
    for arm, rung in wanted:
        of_arm = frame["arm"].eq(arm)
        nearest = tables.nearest_rung(frame.loc[of_arm, "percent_remaining"].unique(), rung, factor=1.25)
        chosen |= of_arm & frame["percent_remaining"].eq(nearest)
    return chosen


@style.styled
def difference_panels(frame: pd.DataFrame, comparisons: Iterable[tuple[str, str, str]]) -> Drawing:
    """Two arms compared within each trial, over P_m: a panel per (metric, arm_a, arm_b), all over the same rungs."""
    comparisons = list(comparisons)
    drawing = style.new_figure(1, max(len(comparisons), 2), height=2.5)
    axes = drawing.subplots(1, len(comparisons), squeeze=False)[0]
    parts = {}
    for number, (ax, comparison) in enumerate(zip(axes, comparisons, strict=True), 1):
        parts[str(number)] = panels.difference(ax, frame, *comparison)
    table = _numbered(parts)
    for ax in axes:
        ax.set_xlim(table["percent_remaining"].max() * 1.1, table["percent_remaining"].min() / 1.1)
        style.percent_axis(ax, panels.ladder(table))
    handles = {handle.get_label(): handle for ax in axes for handle in ax.get_legend_handles_labels()[0]}
    if len(handles) > 1:
        style.legend(drawing, list(handles.values()))
    return drawing, table


@style.styled
def learning_curves(
    curves: pd.DataFrame,
    metrics: Iterable[str],
    *,
    limits: Mapping[str, tuple[float, float]],
    last_iteration: int | None = None,
) -> Drawing:
    """Small multiples: a row per metric, a column per value of the column `setting`, a thin line per trial.

    curves: rows of records.curves with a column `setting` that names the columns of the figure, in order of
    appearance; a single one has its metrics side by side. limits: metric -> y axis. In grey the paper's dense Lenet
    (Figures 3, 11). Neither limits nor grey at laptop scale.
    """
    metrics, settings, laptop = (
        list(metrics),
        list(curves["setting"].unique()),
        "quick" in set(curves["scale"]),
    )
    last_iteration = last_iteration or curves["iteration"].max()
    curves = curves[curves["iteration"] <= last_iteration]
    rows, columns = (len(metrics), len(settings)) if len(settings) > 1 else (1, len(metrics))
    drawing = style.new_figure(rows, columns, height=1.9 if rows > 1 else 2.6)
    axes = drawing.subplots(
        rows, columns, squeeze=False, sharex=True, sharey="row" if len(settings) > 1 else False
    )
    grid, parts = axes if len(settings) > 1 else axes.T, []
    for row, metric in zip(grid, metrics, strict=True):
        for ax, setting in zip(row, settings, strict=True):
            one = curves[curves["setting"] == setting]
            parts.append(panels.trials_and_mean(ax, one, metric, None if laptop else last_iteration))
            style.iteration_ticks(ax.xaxis)
        row[0].set_xlim(0, last_iteration)
        row[0].set_ylabel(tables.METRICS[metric])
        row[0].set_ylim(*(None, None) if laptop else limits[metric])
    for ax, setting in zip(grid[0], settings, strict=True):
        style.remark(ax, setting)
    for ax in axes[-1]:
        ax.set_xlabel("Training Iterations")
    style.legend(drawing, panels.trial_handles(curves["network"].iloc[0], not laptop))
    return drawing, pd.concat(parts, ignore_index=True)


@style.styled
def compare_settings(frame: pd.DataFrame, metrics: Iterable[str]) -> Drawing:
    """Final numbers per value of the column `setting`, a panel per metric; the paper's dense network in grey."""
    metrics = list(metrics)
    drawing = style.new_figure(1, len(metrics), height=2.4)
    axes = drawing.subplots(1, len(metrics), squeeze=False)[0]
    parts = [panels.settings_strip(ax, frame, metric) for ax, metric in zip(axes, metrics, strict=True)]
    table = pd.concat(parts, ignore_index=True)
    with_paper = table["source"].eq("paper").any()
    style.legend(drawing, panels.trial_handles(frame["network"].iloc[0], with_paper, dots=True))
    return drawing, table


@style.styled
def lines(frame: pd.DataFrame, *, panel: str, series: str, x: str, y: str) -> Drawing:
    """A panel per value of one column, a line per value of another, named where it ends; up to four lines.

    Panels and lines stand in order of appearance; the first line has Lenet's hue and is solid. The table is the frame.
    """
    names, dashes = list(frame[panel].unique()), ("-", (0, (5, 1.5)), (0, (3, 1, 1, 1)), (0, (1, 1.5)))
    drawing = style.new_figure(1, 2, height=2.4)
    axes = drawing.subplots(1, len(names), sharey=True, squeeze=False)[0]
    axes[0].set(ylim=(-0.02 * frame[y].max(), 1.05 * frame[y].max()), ylabel=_words(y))
    for ax, name in zip(axes, names, strict=True):
        ends = []
        for number, (label, rows) in enumerate(frame[frame[panel] == name].groupby(series, sort=False)):
            hue = style.NEUTRAL if number else style.color("lenet")
            ax.plot(rows[x], rows[y], color=hue, linestyle=dashes[number])
            ends.append((label, hue, rows[y].iloc[-1]))
        style.margin_labels(ax, ends)
        style.remark(ax, name)
        ax.set_xlabel(_words(x))
    return drawing, frame


def _words(column):
    return column.replace("_", " ").title()
