"""How every figure of the report looks: hues, lines, sizes, axes. Knows nothing of records or statistics.

One channel, one meaning: hue = network, line and marker = arm, lightness = procedure, black = dense, grey = the
paper, and the plasma ramp over log P_m where learning curves of one network overlap.
"""

import math
import textwrap
from collections.abc import Iterable

import matplotlib
import matplotlib.style
from matplotlib import colors
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lth_utils import paper

HUES = {"lenet": "#D55E00", "conv2": "#0072B2", "conv4": "#E69F00", "conv6": "#009E73"}  # Okabe and Ito
DENSE = "#000000"
PAPER = "#8C8C8C"
PAPER_BAR = "#DADADA"
NEUTRAL = "#404040"  # legend samples that stand for an arm in any hue
SINGLE, DOUBLE = 3.4, 7.0  # widths in inches
DPI = 150

ARM_LABELS = {arm: arm.replace("_", " ") for arm in paper.ARMS}
PROCEDURE_LABELS = {"iterative": "iterative", "one_shot": "one-shot", "continued": "continued"}
PROCEDURE_LABELS |= {"dropout": "with dropout"}  # Figure 6: drawn like a procedure of its own
LINES = {"dense": "-", "winning_ticket": "-", "random_reinit": (0, (4, 2)), "random_sparsity": (0, (1, 1.5))}
MARKERS = {"dense": "s", "winning_ticket": "o", "random_reinit": "o", "random_sparsity": "x"}
LIGHTNESS = {"iterative": 0.0, "one_shot": 0.5, "continued": -0.5, "dropout": -0.5}  # share of white or black
PAPER_GREYS = {"iterative": PAPER, "one_shot": "#ADADAD", "continued": "#555555", "dropout": "#555555"}
DENSE_POINT = {"color": DENSE, "marker": "s", "linestyle": "none", "markersize": 3.6}
CENSORED = {"marker": "^", "linestyle": "none", "markersize": 4.5, "markeredgewidth": 0.8}
CENSORED |= {"markerfacecolor": "white"}
LAPTOP = "laptop scale"  # what every number and picture of profile "quick" is marked with
SHARED_TICKS = (100, 50, 20, 10, 5, 2, 1)  # where networks with different ladders share a panel

SETTINGS = {
    "font.size": 8,
    "axes.labelsize": 8,
    "axes.titlesize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7.5,
    "legend.frameon": False,
    "legend.handlelength": 2.6,
    "legend.columnspacing": 1.4,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.formatter.useoffset": False,
    "lines.linewidth": 1.1,
    "lines.markersize": 2.9,
    "axes.xmargin": 0.03,
    "figure.dpi": DPI,
    "figure.constrained_layout.use": True,
    "figure.constrained_layout.h_pad": 0.06,
}
# Usable as a decorator and as a context, any number of times.
styled = matplotlib.style.context(["default", SETTINGS])


def new_figure(rows: int = 1, columns: int = 1, height: float = 2.4, width: float = 0.0) -> Figure:
    """An empty figure outside pyplot: one column is single width, more are double; height in inches per row."""
    return Figure(figsize=(width or (SINGLE if columns == 1 else DOUBLE), height * rows))


def color(network: str, procedure: str = "iterative") -> tuple[float, float, float]:
    """The network's hue at the procedure's lightness."""
    share = LIGHTNESS[procedure]
    return tuple(max(share, 0.0) + (1 - abs(share)) * channel for channel in colors.to_rgb(HUES[network]))


def line(network: str, arm: str, procedure: str = "iterative", hue=None) -> dict:
    """Arguments of Axes.plot for one series of ours, in the network's hue or in another."""
    hue = hue or color(network, procedure)
    look = {"color": hue, "linestyle": LINES[arm], "marker": MARKERS[arm], "markeredgewidth": 0.8}
    return look | {"markerfacecolor": "white" if arm == "random_reinit" else hue, "markeredgecolor": hue}


def paper_line(arm: str, procedure: str) -> dict:
    """Arguments of Axes.plot for the paper's own curve: grey, line style and lightness as ours, no marker."""
    return {"color": PAPER_GREYS[procedure], "linestyle": LINES[arm], "linewidth": 1.0, "zorder": 2}


def rung_color(percent_remaining: float) -> tuple:
    """Plasma without its pale end over log P_m, from 100 % to 1.85 %, nowhere near the paper's grey; dense is black."""
    if percent_remaining >= 99.95:
        return DENSE
    share = math.log(100 / percent_remaining) / math.log(100 / 1.85)
    return matplotlib.colormaps["plasma"](0.88 * min(share, 1.0))


def percent(value: float) -> str:
    """A P_m as the paper prints it: 100, 51.3, 7.0, and two decimals below 1 %."""
    if value >= 99.95:
        return "100"
    return f"{value:.1f}" if value >= 0.995 else f"{value:.2f}"


def percent_axis(ax: Axes, rungs: Iterable[float], scale: str = "log") -> None:
    """100 at the left, shrinking to the right; ticks at the given rungs only, thinned until their labels fit.

    On a log axis every third or, in narrow panels, every sixth round of 20 % keeps its tick.
    """
    values = sorted(set(rungs), reverse=True)
    gap, chosen = 0.55 if _width(ax) > 2.4 else 0.3, values[:1]
    for value in values[1:]:
        if value < gap * chosen[-1] if scale == "log" else chosen[-1] - value > 17:
            chosen.append(value)
    ax.set_xscale(scale)
    ax.minorticks_off()
    ax.set_xticks(chosen, [str(value) if isinstance(value, int) else percent(value) for value in chosen])
    left, right = ax.get_xlim()
    ax.set_xlim(max(left, right), min(left, right))
    ax.set_xlabel("Percent of Weights Remaining" if _width(ax) > 1.3 else "Percent of Weights")


def value_axis(ax: Axes, metric: str, label: str, limits: tuple[float, float] | None = None) -> None:
    """The y axis of a metric: iterations start at 0 and count in thousands."""
    ax.set_ylabel(label)
    if "iteration" in metric:
        ax.set_ylim(bottom=0)
        iteration_ticks(ax.yaxis)
    if limits:
        ax.set_ylim(*limits)


def margin_labels(ax: Axes, labels: list[tuple[str, tuple, float]]) -> None:
    """Coloured (text, color, height in data units) at the right margin, moved apart where they would touch."""
    low, high = ax.get_ylim()
    heights = {text: min(max((height - low) / (high - low), 0.03), 0.97) for text, _, height in labels}
    order = sorted(heights, key=heights.get)
    for below, above in zip(order, order[1:]):
        heights[above] = max(heights[above], heights[below] + 0.075)
    excess = max(0.0, heights[order[-1]] - 0.97)
    for text, hue, _ in labels:
        ax.text(
            1.01, heights[text] - excess, text, color=hue, fontsize=7, va="center", transform=ax.transAxes
        )


def iteration_ticks(axis) -> None:
    """Iterations in thousands (0, 10K, 20K), or in full where the axis is short."""

    def label(value, _):
        longest = max(map(abs, axis.get_view_interval()))
        return f"{value:g}" if not value or longest < 2500 else f"{value / 1000:g}K"

    axis.set_major_formatter(label)


def remark(ax: Axes, text: str) -> None:
    """Small print above a panel, outside its data and no wider: which network, which scale, what is missing."""
    characters = int(22 * _width(ax))  # so many of this size in an inch
    lines = [textwrap.fill(line, characters) for line in text.splitlines()]
    ax.set_title("\n".join(lines), loc="left", fontsize=7, color=NEUTRAL)


def _width(ax):
    """Inches, before the layout is made."""
    return ax.get_position().width * ax.figure.get_figwidth()


def sample(label: str, **keywords) -> Line2D:
    """A legend entry without data."""
    return Line2D([], [], label=label, **keywords)


def legend(figure: Figure, handles: list) -> None:
    """The one legend of a figure, above its panels: as many columns as its width holds, entries read downwards."""
    room = 5 if figure.get_figwidth() > SINGLE else 2
    for rows in range(-(-len(handles) // room), len(handles) + 1):
        drawn = figure.legend(handles=handles, loc="outside upper center", ncols=-(-len(handles) // rows))
        if drawn.get_window_extent().width <= figure.bbox.width:
            return
        drawn.remove()
    raise ValueError("the legend is wider than its figure")
