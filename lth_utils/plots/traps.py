"""Figures of the notebooks about pitfalls: what people read off a pruned network beside what it is.

The table of a figure is the frame that it was given. Knows nothing of torch or of pruning.
"""

import pandas as pd
from matplotlib.axes import Axes

from lth_utils.plots import style
from lth_utils.plots.panels import Drawing

DASHES = ("-", (0, (5, 1.5)), (0, (3, 1, 1, 1)), (0, (1, 1.5)))  # in order of appearance


@style.styled
def survivors_by_round(frame: pd.DataFrame) -> Drawing:
    """Percent of weights remaining against the pruning round, a line per pair of method and measure.

    frame: columns method, measure, pruning_round, percent (0 to 100). The method that comes first has
    Lenet's hue, later ones are neutral; the measure that comes first is solid and marked, later ones are not.
    """
    figure = style.new_figure(height=2.6, width=5.0)
    ax, labels = figure.subplots(), []
    ax.set_ylim(0, 103)
    methods, measures = list(frame["method"].unique()), list(frame["measure"].unique())
    for (method, measure), rows in frame.groupby(["method", "measure"], sort=False):
        hue = style.NEUTRAL if methods.index(method) else style.color("lenet")
        marker, dashes = ("", DASHES[-1]) if measures.index(measure) else ("o", "-")
        look = {"color": hue, "marker": marker, "linestyle": dashes, "zorder": 3 - methods.index(method)}
        ax.plot(rows["pruning_round"], rows["percent"], **look)
        labels.append((f"{method}: {measure}", hue, rows["percent"].iloc[-1]))
    style.margin_labels(ax, labels)
    ax.set_xticks(sorted(frame["pruning_round"].unique()))
    ax.set(xlabel="Pruning Round", ylabel="Percent Remaining")
    return figure, frame


@style.styled
def drift_of_pruned_weights(frame: pd.DataFrame) -> Drawing:
    """How far pruned weights move while a network trains: a panel per setting, a line per optimizer.

    frame: columns setting, optimizer, iteration, distance; panels and lines in order of appearance,
    at most four lines.
    """
    settings = list(frame["setting"].unique())
    figure = style.new_figure(1, len(settings), height=2.4, width=style.DOUBLE)
    axes = figure.subplots(1, len(settings), squeeze=False, sharey=True)[0]
    axes[0].set_ylim(-0.02 * frame["distance"].max(), 1.05 * frame["distance"].max())
    axes[0].set_ylabel("Largest Shift of a Pruned Weight")
    for ax, setting in zip(axes, settings, strict=True):
        style.remark(ax, setting)
        _optimizer_lines(ax, frame[frame["setting"] == setting])
        ax.set_xlabel("Training Iterations")
    return figure, frame


def _optimizer_lines(ax: Axes, frame: pd.DataFrame) -> None:
    """One line per optimizer; those that end at the same height share the label "all others"."""
    ends = {}
    for number, (name, rows) in enumerate(frame.groupby("optimizer", sort=False)):
        ax.plot(rows["iteration"], rows["distance"], color=style.NEUTRAL, linestyle=DASHES[number])
        ends.setdefault(rows["distance"].iloc[-1], []).append(name)
    labels = [(names[0] if len(names) == 1 else "all others", end) for end, names in ends.items()]
    style.margin_labels(ax, [(text, style.NEUTRAL, end) for text, end in labels])
