"""A forest plot: contrasts one below the other, ours and the paper's with their errors, over the frozen bounds.

Takes the conditions of claims in both readings (`notebooks.summaries.conditions`); decides nothing.
"""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, NullLocator

from lth_utils import paper
from lth_utils.plots import style
from lth_utils.plots.panels import Drawing

LABELS = {"pp": "difference in accuracy, percentage points", "ratio": "ratio of iterations"}
NO_EFFECT = {"pp": 0.0, "ratio": 1.0}
FACTORS = (0.25, 0.5, 1, 2, 4)  # ticks of ratios
BOUND = "#EDEDED"
ROW = 0.15  # inches
OPEN_END = 0.04  # share of the axis beyond the outermost end


@style.styled
def forest(table: pd.DataFrame) -> Drawing:
    """A panel per network and kind of contrast, a row per contrast that was measured; hollow: its direction is open.

    Accuracies are contrasted by differences, iterations by ratios; of conditions on the same numbers, such as text and
    plot of the paper, the last one is drawn. The table that is returned keeps what is not drawn: its `panel` is blank.
    """
    known = table["direction"].ne("") | table["size"].ne("")
    drawn = table[known & table["quantity"].isin(["difference", "ratio"])]
    drawn = drawn.drop_duplicates(["network", "unit", "ours", "low", "high"], keep="last")
    groups = [
        (unit, network, rows)
        for unit in LABELS
        for network, rows in drawn[drawn["unit"] == unit].groupby("network", sort=False)
    ]
    figure = style.new_figure(height=ROW * (len(drawn) + 4 * len(groups)), width=style.DOUBLE)
    axes = figure.subplots(len(groups), squeeze=False, height_ratios=[len(rows) + 1 for *_, rows in groups])
    panels = pd.Series("", table.index)
    for number, (ax, (unit, network, rows)) in enumerate(zip(axes[:, 0], groups, strict=True), 1):
        _panel(ax, rows, unit, style.color(network))
        style.remark(ax, f"{paper.NETWORK_LABELS[network]}: {LABELS[unit]}")
        panels[rows.index] = str(number)
    style.legend(figure, _handles())
    return figure, table.assign(panel=panels)


def _panel(ax: Axes, rows: pd.DataFrame, unit: str, hue) -> None:
    y, theirs = (
        np.arange(len(rows)),
        (rows["theirs"] - rows["theirs_half"], rows["theirs"] + rows["theirs_half"]),
    )
    ax.set_xscale("log" if unit == "ratio" else "linear")
    low, high = _limits(pd.concat([rows["low"], rows["high"], *theirs]), unit)
    left, right = rows["lower"].clip(low, high), rows["upper"].clip(low, high)
    ax.barh(y, right - left, left=left, height=0.86, color=BOUND, zorder=0)
    ax.axvline(NO_EFFECT[unit], color=style.DENSE, linewidth=0.6, zorder=1)
    ax.hlines(y + 0.2, *theirs, color=style.PAPER, linewidth=1.0)
    ax.plot(rows["theirs"], y + 0.2, "D", color=style.PAPER, markersize=2.4)
    ax.hlines(y - 0.14, rows["low"], rows["high"], color=hue, linewidth=1.1)
    for place, row in zip(y, rows.itertuples()):
        fill = "white" if row.direction == "open" else hue
        ax.plot(row.ours, place - 0.14, "o", color=hue, markerfacecolor=fill, markersize=3.4)
    names = rows["measure"].str.replace(r"^(Lenet|Conv-2): | \((text|plot)\)$", "", regex=True)
    ax.set_yticks(y, rows["claim"] + "  " + names, fontsize=6)
    ax.set(xlim=(low, high), ylim=(len(rows) - 0.4, -0.6))
    ax.tick_params(axis="y", length=0)
    if unit == "ratio":
        ax.xaxis.set(major_locator=FixedLocator(FACTORS), minor_locator=NullLocator())
        ax.xaxis.set_major_formatter("{x:g}")


def _limits(ends, unit):
    """The axis holds every finite end, and no effect."""
    ends = ends[np.isfinite(ends)].tolist() + [NO_EFFECT[unit]]
    if unit == "ratio":
        ends = [end for end in ends if end > 0]
        return min(ends) / 1.1, max(ends) * 1.1
    margin = OPEN_END * (max(ends) - min(ends))
    return min(ends) - margin, max(ends) + margin


def _handles():
    look = {"color": style.NEUTRAL, "marker": "o", "markersize": 3.4}
    return [
        style.sample("ours, 95 % interval", **look),
        style.sample("ours, direction open", **look, markerfacecolor="white"),
        style.sample("the paper's plot, 95 % interval", color=style.PAPER, marker="D", markersize=2.4),
        style.sample("inside the frozen bounds", color=BOUND, linewidth=6),
    ]
