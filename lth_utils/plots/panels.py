"""What is drawn on one set of axes: a metric over P_m, differences over P_m, curves while training, settings compared.

Each function takes axes and tidy records and returns the table of what it drew. Bars are minimum to maximum over trials,
faint dots or lines single trials, grey the paper's own curves.
"""

import textwrap
from collections.abc import Iterable

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lth_utils import paper
from lth_utils.paper import figures as paper_figures
from lth_utils.paper.figures import DRAWN
from lth_utils.plots import printed, style, tables

Drawing = tuple[Figure, pd.DataFrame]
TICKET = "winning_ticket"
BROAD = {"color": "#C4C4C4", "linewidth": 2.6}  # the paper's curves where ours lie on them


def over_percent(
    ax: Axes,
    frame: pd.DataFrame,
    metric: str,
    paper_panel: tuple[str, str] | None = None,
    scale: str = "log",
    limits: tuple[float, float] | None = None,
) -> pd.DataFrame:
    """One metric over P_m: a line per network, arm and procedure of the frame, the dense network first, in black.

    paper_panel: (figure, panel) of the paper whose own curves are drawn in grey underneath.
    scale: of the P_m axis, "log" or "linear" (Figure 4c).
    limits: of the y axis; without them it follows the data, and iterations start at 0.
    """
    parts = [tables.by_percent_remaining(frame, metric)] if len(frame) else []
    parts += [paper_figures.panel_points(*paper_panel, metric)] if paper_panel else []
    table = pd.concat(parts, ignore_index=True)
    ours, theirs = (table[table["source"] == source] for source in ("ours", "paper"))
    for _, rows in theirs.groupby(DRAWN, sort=False):
        _draw_paper(ax, rows, "percent_remaining")
    for _, rows in ours.groupby(DRAWN, sort=False):
        _draw_series(ax, rows)
    style.percent_axis(ax, ladder(table), scale)
    style.value_axis(ax, metric, tables.METRICS[metric], limits)
    _label_networks(ax, theirs if len(theirs) else ours, set(ours["network"]))
    return table


def _draw_series(ax, rows):
    """One series of ours: every trial as a faint dot, bars from minimum to maximum, the line of means on top."""
    first = rows.iloc[0]
    look = style.line(*first[DRAWN])
    _trial_dots(ax, rows, look["color"])
    _bars(ax, rows, "percent_remaining", color=look["color"], linewidth=0.7, alpha=0.6, zorder=3)
    ax.plot(rows["percent_remaining"], rows["mean"], **look, zorder=4)
    late = rows[rows["censored"] > 0]
    ax.plot(late["percent_remaining"], late["mean"], color=look["color"], **style.CENSORED, zorder=5)
    dense = rows[rows["percent_remaining"] > 99.95] if first["arm"] == TICKET else rows[:0]
    ax.plot(dense["percent_remaining"], dense["mean"], **style.DENSE_POINT, zorder=5)
    _bars(ax, dense, "percent_remaining", color=style.DENSE, linewidth=1)


def _bars(ax, rows, x, ends=("minimum", "maximum"), **look):
    ax.vlines(rows[x], rows[ends[0]], rows[ends[1]], **look)


def _trial_dots(ax, rows, hue, beside=1.0):
    """Every trial of every row as a faint dot over `beside` times its P_m."""
    dots = [
        (beside * row.percent_remaining, value)
        for row in rows.itertuples()
        for value in tables.values_of(row)
    ]
    ax.plot(*np.transpose(dots), ".", color=hue, markersize=4, alpha=0.5, markeredgewidth=0, zorder=3)


def _draw_paper(ax, rows, x, **look):
    first = rows.iloc[0]
    _bars(ax, rows, x, color=style.PAPER_BAR, linewidth=2.2, zorder=1)
    ax.plot(rows[x], rows["mean"], **(style.paper_line(first["arm"], first["procedure"]) | look))


def _label_networks(ax, table, ours):
    """The networks' names at the right margin, at the height where their ticket lines end, when there are several.

    In colour if the network is among ours, grey like its curve otherwise.
    """
    tickets = table[table["arm"] == TICKET].dropna(subset=["mean"])
    ends = tickets.loc[tickets.groupby("network")["percent_remaining"].idxmin()]
    hues = [style.color(network) if network in ours else style.PAPER for network in ends["network"]]
    if len(ends) > 1:
        style.margin_labels(
            ax, list(zip(ends["network"].map(paper.NETWORK_LABELS), hues, ends["mean"], strict=True))
        )


def ladder(table: pd.DataFrame) -> Iterable[float]:
    """The rungs that may get ticks: the iterative ones of the one network; several networks share no ladder."""
    if table["network"].nunique() > 1:
        return style.SHARED_TICKS
    iterative = table[table["procedure"] == "iterative"]
    return (iterative if len(iterative) else table)["percent_remaining"]


def handles(table: pd.DataFrame) -> list:
    """Legend entries of what a table over P_m holds, in the same order everywhere."""
    ours = table[table["source"] == "ours"]
    shown = ours if len(ours) else table
    networks, entries = shown["network"].unique(), []
    for arm, procedure in dict.fromkeys(zip(shown["arm"], shown["procedure"], strict=True)):
        label = printed.series_label({"arm": arm, "procedure": procedure})
        if len(ours):
            look = style.line(networks[0], arm, procedure, hue=style.NEUTRAL if len(networks) > 1 else None)
        else:
            label, look = f"the paper's {label}", style.paper_line(arm, procedure) | {"zorder": 1}
        entries.append(style.sample(label, **look))
    if (ours["percent_remaining"] > 99.95).any():
        entries.append(style.sample("dense", **style.DENSE_POINT))
    if "censored" in ours and (ours["censored"] > 0).any():
        entries.append(style.sample("minimum at last evaluation", color=style.NEUTRAL, **style.CENSORED))
    if len(ours) and (table["source"] == "paper").any():
        entries.append(style.sample("the paper's curves", color=style.PAPER))
    return entries


def difference(ax: Axes, frame: pd.DataFrame, metric: str, arm_a: str, arm_b: str) -> pd.DataFrame:
    """arm_a - arm_b within each trial over P_m: every trial as a faint dot, the mean, and its 95 % t-interval as a bar
    from three trials on (of two, it would dwarf everything else).

    Where the bar leaves zero aside, the arms differ at that rung. Accuracies in percentage points.
    """
    table = tables.paired(frame, metric, arm_a, arm_b)
    ax.axhline(0, color=style.DENSE, linewidth=0.6)
    for (network, procedure), rows in table.groupby(["network", "procedure"], sort=False):
        look = style.line(network, arm_a, procedure) | {"linestyle": "none"}
        label = printed.with_procedure(paper.NETWORK_LABELS[network], procedure)
        _trial_dots(ax, rows, look["color"], beside=0.94)
        ends = ("interval_low", "interval_high")
        _bars(ax, rows[rows["trials"] > 2], "percent_remaining", ends, color=look["color"], linewidth=1.0)
        ax.plot(rows["percent_remaining"], rows["mean"], **look, label=label)
    if "accuracy" in metric:
        ax.yaxis.set_major_formatter(lambda value, _: f"{100 * value:+.3g}" if value else "0")
    else:
        style.iteration_ticks(ax.yaxis)
    ax.set_ylabel(tables.METRICS[metric] + "\n(percentage points)" * ("accuracy" in metric))
    style.remark(ax, f"{style.ARM_LABELS[arm_a]}\nminus {style.ARM_LABELS[arm_b]}")
    return table


def while_training(ax: Axes, curves: pd.DataFrame, metric: str, paper_panel=None) -> pd.DataFrame:
    """One metric while training: a line per arm and rung of the curves, a pale band from minimum to maximum.

    Iterations at which not every trial of a line was evaluated are left out; paper_panel (figure, panel) is drawn
    in grey underneath.
    """
    by = [*DRAWN, "percent_remaining"]
    parts = [tables.by_iteration(curves, metric, by)] if len(curves) else []
    parts += [paper_figures.panel_points(*paper_panel, metric)] if paper_panel else []
    table = pd.concat(parts, ignore_index=True)
    for (source, _, arm, _, rung), rows in table.groupby(["source", *by], sort=False):
        if source == "paper":
            _draw_paper(ax, rows, "iteration", **BROAD)
            continue
        x, hue = rows["iteration"], style.rung_color(rung)
        ax.fill_between(x, rows["minimum"], rows["maximum"], color=hue, alpha=0.12, linewidth=0)
        ax.plot(x, rows["mean"], color=hue, linestyle=style.LINES[arm], linewidth=1.2, zorder=4)
    ax.set_xlabel("Training Iterations")
    return table


def rung_handles(table: pd.DataFrame) -> list:
    """Legend entries of curves while training: one per rung and arm of ours, then the paper."""
    entries = []
    ours = table[table["source"] == "ours"]
    for arm, rung in dict.fromkeys(zip(ours["arm"], ours["percent_remaining"], strict=True)):
        remark = "" if arm == TICKET else f" ({style.ARM_LABELS[arm]})"
        look = {"color": style.rung_color(rung), "linestyle": style.LINES[arm]}
        entries.append(style.sample(f"{style.percent(rung)} %{remark}", **look))
    if (table["source"] == "paper").any():
        entries.append(style.sample("the paper's curves", **BROAD))
    return entries


def trial_handles(network: str, with_paper: bool, dots: bool = False) -> list:
    """Legend entries of drawings that show single trials and their mean."""
    hue = style.color(network)
    trial = {"marker": "o", "linestyle": "none", "alpha": 0.5} if dots else {"linewidth": 0.7, "alpha": 0.4}
    entries = [style.sample("one trial", color=hue, **trial), style.sample("mean", color=hue, linewidth=1.4)]
    if with_paper:
        entries.append(style.sample("the paper's dense network", color=style.PAPER))
    return entries


def trials_and_mean(
    ax: Axes, curves: pd.DataFrame, metric: str, paper_until: int | None = None
) -> pd.DataFrame:
    """Learning curves of one setting: a thin line per trial and the mean of all trials on top.

    paper_until: the paper's dense Lenet, where it plots this metric, is drawn in grey up to that iteration.
    """
    by, hue = ["network", "setting"], style.color(curves["network"].iloc[0])
    curves = curves.dropna(subset=[metric])
    single = curves[[*by, "trial", "replicate", "iteration", metric]].rename(columns={metric: "mean"})
    table = tables.by_iteration(curves, metric, by)
    for _, rows in single.groupby(["trial", "replicate"]):
        ax.plot(rows["iteration"], rows["mean"], color=hue, linewidth=0.7, alpha=0.4)
    ax.plot(table["iteration"], table["mean"], color=hue, linewidth=1.4)
    parts = [table, single.assign(metric=metric, source="trial")]
    if paper_until:
        theirs = paper_figures.dense_curve(metric).assign(setting=curves["setting"].iloc[0])
        parts.append(theirs[theirs["iteration"] <= paper_until])
        ax.plot(parts[-1]["iteration"], parts[-1]["mean"], color=style.PAPER, zorder=1)
    return pd.concat(parts, ignore_index=True)


def settings_strip(ax: Axes, frame: pd.DataFrame, metric: str) -> pd.DataFrame:
    """One metric per setting: a dot per trial, a bar from minimum to maximum, a dash at the mean.

    The paper's dense network, where it plots this metric, is the grey line across with its own bar as a grey band.
    """
    table, hue = tables.by_setting(frame, metric), style.color(frame["network"].iloc[0])
    theirs = paper_figures.dense(frame["network"].iloc[0], metric)
    for row in theirs.itertuples():
        ax.axhspan(row.minimum, row.maximum, color=style.PAPER_BAR, alpha=0.5, linewidth=0, zorder=0)
        ax.axhline(row.mean, color=style.PAPER, zorder=1)
    ax.vlines(table.index, table["minimum"], table["maximum"], color=hue, linewidth=0.8)
    ax.plot(table.index, table["mean"], "_", color=hue, markersize=14, markeredgewidth=1.4)
    for row in table.itertuples():
        values = tables.values_of(row)
        look = {"color": hue, "alpha": 0.5, "markersize": 3, "markeredgewidth": 0}
        ax.plot([row.Index] * len(values), values, "o", **look)
    width = max(6, 24 // len(table))
    ax.set_xticks(table.index, [textwrap.fill(setting, width) for setting in table["setting"]])
    ax.set_xlim(-0.6, len(table) - 0.4)
    style.value_axis(ax, metric, tables.METRICS[metric])
    return pd.concat([table, theirs], ignore_index=True)
