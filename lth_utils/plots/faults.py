"""What each fault of notebook 05b costs: small multiples beside the correct protocol, and a ranking near one P_m.

Takes rows of records with a column `setting` that says what a reader calls each variant; variant "" is the correct
protocol. Differences are taken within each trial, whose networks share initial weights and data order.
"""

import math

import numpy as np
import pandas as pd
from matplotlib.ticker import MaxNLocator

from lth_utils import paper
from lth_utils.claims.statistics import decision, t_interval
from lth_utils.plots import style, tables
from lth_utils.plots.comparisons import VERDICTS
from lth_utils.plots.panels import Drawing
from lth_utils.plots.printed import decimals, line

COLUMNS = 5
ACCURACY, ITERATION, AT_END = "test_accuracy_at_early_stop", "early_stop_iteration", "test_accuracy_at_end"
PANELS = {ACCURACY: "Accuracy at\nearly-stop", ITERATION: "Early-stop\niteration"}
RANKED = {ACCURACY: "at early-stop (pp)", AT_END: "at the end (pp)", ITERATION: "iterations earlier"}
READ_AT = 17.0  # percent of weights
RUNGS = [paper.percent_remaining("lenet", pruning_round) for pruning_round in (0, 3, 7)]  # that have a tick
LAST_RUNG = 12.0  # percent; a fault that prunes faster goes on, the correct protocol does not


@style.styled
def small_multiples(
    frame: pd.DataFrame, order: list[str], limits: dict[str, tuple[float, float]] | None = None
) -> Drawing:
    """Two panels per fault, one above the other: accuracy and iteration at early-stop over P_m.

    The correct protocol is black in every panel, the fault has the network's hue; bars run from minimum to maximum
    over trials; rungs of less than 12 % of weights are left out. order: variants as they shall stand. limits: metric
    -> y axis, shared by all panels; where the mean accuracy under a fault leaves it, the panel says how far it goes.
    """
    by = ["variant", "setting", "pruning_round", "percent_remaining"]
    frame, hue = frame[frame["percent_remaining"] > LAST_RUNG], style.color(frame["network"].iloc[0])
    table = pd.concat([tables.over_trials(frame, metric, by).assign(metric=metric) for metric in PANELS])
    width, blocks = min(len(order), COLUMNS), math.ceil(len(order) / COLUMNS)
    figure = style.new_figure(2 * blocks, 2, height=1.12 if blocks > 1 else 1.5)
    axes = figure.subplots(2 * blocks, width, squeeze=False, sharex=True)
    for ax in axes.ravel():
        ax.set_axis_off()
    for place, variant in enumerate(order):
        row, column = 2 * (place // width), place % width
        for ax, (metric, label) in zip(axes[row : row + 2, column], PANELS.items()):
            ax.set_axis_on()
            lines = [table[table["metric"].eq(metric) & table["variant"].eq(name)] for name in ("", variant)]
            _panel(ax, lines, (style.DENSE, hue), metric, limits)
            ax.set_ylabel("" if column else label)
            ax.tick_params(labelleft=not (column and limits))
        ax.tick_params(labelbottom=place + width >= len(order))
        style.remark(axes[row, column], lines[1]["setting"].iloc[0])
    figure.supxlabel("Percent of Weights Remaining", fontsize=8)
    names = {"correct protocol": style.DENSE, "with the fault": hue}
    style.legend(figure, [style.sample(name, color=shown) for name, shown in names.items()])
    return figure, table[table["variant"].isin(["", *order])].reset_index(drop=True)


def _panel(ax, lines, hues, metric, limits):
    for rows, hue in zip(lines, hues):
        x = rows["percent_remaining"]
        ax.vlines(x, rows["minimum"], rows["maximum"], color=hue, linewidth=0.7, alpha=0.6)
        ax.plot(x, rows["mean"], color=hue, linewidth=1.1, marker="o", markersize=1.8)
    style.percent_axis(ax, RUNGS)
    ax.set(xlim=(108, LAST_RUNG), xlabel="")
    ax.set_xticks(RUNGS, [style.percent(rung) for rung in RUNGS])
    limits = (limits or {}).get(metric)
    style.value_axis(ax, metric, "", limits)
    ax.yaxis.set_major_locator(MaxNLocator(3, steps=[1, 2, 5]))
    worst = rows["mean"].min()
    if limits and worst < limits[0]:
        text = f"down to {worst:.3f}"
        ax.text(0.97, 0.06, text, transform=ax.transAxes, fontsize=6, ha="right", color=style.NEUTRAL)


def at_percent(frame: pd.DataFrame, metric: str, percent: float) -> pd.DataFrame:
    """One row per variant and one column per trial: the metric at a P_m, interpolated over log P_m between two rungs.

    Raises ValueError for a chain that does not reach that P_m.
    """
    values = {}
    for (variant, trial), chain in frame.groupby(["variant", "trial"], sort=False):
        chain = chain.sort_values("percent_remaining")
        if chain["percent_remaining"].iloc[0] > percent + 1e-9:
            raise ValueError(f"{variant}, trial {trial}: it never gets down to {percent:.1f} % of weights")
        known = np.log(chain["percent_remaining"]), chain[metric]
        values.setdefault(variant, {})[trial] = float(np.interp(math.log(percent), *known))
    return pd.DataFrame.from_dict(values, orient="index")


def costs(frame: pd.DataFrame) -> pd.DataFrame:
    """What each fault costs near one P_m, dearest first: the correct protocol minus the fault, within each trial.

    Read at the correct protocol's rung nearest to READ_AT. Columns: variant, setting, trials and, for each metric
    (accuracy and iteration at early-stop, accuracy at the end), the mean cost and its 95 % t-interval.
    """
    rung = tables.nearest_rung(
        frame.loc[frame["variant"] == "", "percent_remaining"].unique(), READ_AT, factor=1.1
    )
    table = frame.loc[frame["variant"] != "", ["variant", "setting"]].drop_duplicates(ignore_index=True)
    table["percent_remaining"] = rung
    for metric in (*PANELS, AT_END):
        values = at_percent(frame, metric, rung)
        found = [t_interval((values.loc[""] - values.loc[name]).dropna()) for name in table["variant"]]
        table["trials"] = [interval.trials for interval in found]
        for part in ("estimate", "low", "high"):
            table[f"{metric}_{part}"] = [getattr(interval, part) for interval in found]
    return table.sort_values(f"{ACCURACY}_estimate", ascending=False, ignore_index=True)


def ranking(table: pd.DataFrame) -> str:
    """The table of `costs` as plain text, dearest fault first: accuracies in percentage points, losses positive."""
    first = table["setting"].str.len().max() + 2
    lines = [line("fault", RANKED.values(), first, 26) + "    n"]
    for row in table.to_dict("records"):
        cells = [_cell(row, metric) for metric in RANKED]
        lines.append(line(row["setting"], cells, first, 26) + f"{row['trials']:>5}")
    return "\n".join(lines)


def _cell(row, metric):
    mean, low, high = (decimals(metric, row[f"{metric}_{part}"], "+") for part in ("estimate", "low", "high"))
    return mean if low == "-" else f"{mean} [{low}, {high}]"


def judged(table: pd.DataFrame, variant: str, least: float) -> str:
    """Whether a fault costs at least so much accuracy (a fraction) at early-stop, decided by its interval."""
    (row,) = table[table["variant"] == variant].to_dict("records")
    word = VERDICTS[decision(row[f"{ACCURACY}_low"], row[f"{ACCURACY}_high"], least, math.inf)]
    asked = f"asked for at least {100 * least:.2f} pp"
    return f"{row['setting']}: {_cell(row, ACCURACY)} pp, n={row['trials']}; {asked}: {word}"
