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
from lth_utils.plots.panels import Drawing
from lth_utils.plots.printed import decimals, line

COLUMNS = 5
ACCURACY, ITERATION, AT_END = "test_accuracy_at_early_stop", "early_stop_iteration", "test_accuracy_at_end"
LABELS = {ACCURACY: "Accuracy at\nearly-stop", ITERATION: "Early-stop\niteration"}
LIMITS = {ACCURACY: (0.965, 0.987), ITERATION: (0, 10_000)}  # of the axes, except at laptop scale
RANKED = {ACCURACY: "at early-stop (pp)", AT_END: "at the end (pp)", ITERATION: "iterations earlier"}
READ_AT = 17.0  # percent of weights
RUNGS = [paper.percent_remaining("lenet", pruning_round) for pruning_round in (0, 3, 7)]  # that have a tick
WORDS = {"met": "yes", "failed": "no", "inconclusive": "open"}
LAST_RUNG = 12.0  # percent; a fault that prunes faster goes on, the correct protocol does not


@style.styled
def small_multiples(frame: pd.DataFrame, order: list[str]) -> Drawing:
    """Two panels per fault, one above the other: accuracy and iteration at early-stop over P_m.

    The correct protocol is black in every panel, the fault has the network's hue; bars run from minimum to maximum
    over trials; rungs of less than 12 % of weights are left out. order: variants as they shall stand. Where the mean
    accuracy under a fault leaves the axis, the panel says how far it goes.
    """
    by = ["variant", "setting", "pruning_round", "percent_remaining"]
    frame, hue = frame[frame["percent_remaining"] > LAST_RUNG], style.color(frame["network"].iloc[0])
    table = pd.concat([tables.over_trials(frame, metric, by).assign(metric=metric) for metric in LABELS])
    whole = {ITERATION: (0, 1.05 * frame[ITERATION].max())}
    figure, pairs = _pairs(len(order), whole if "quick" in set(frame["scale"]) else LIMITS)
    for variant, pair in zip(order, pairs):
        for ax, metric in zip(pair, LABELS, strict=True):
            for name, shown in (("", style.DENSE), (variant, hue)):
                rows = table[table["metric"].eq(metric) & table["variant"].eq(name)]
                x = rows["percent_remaining"]
                ax.vlines(x, rows["minimum"], rows["maximum"], color=shown, linewidth=0.7, alpha=0.6)
                ax.plot(x, rows["mean"], color=shown, linewidth=1.1, marker="o", markersize=1.8)
            if (worst := rows["mean"].min()) < ax.get_ylim()[0]:
                where = {"transform": ax.transAxes, "ha": "right", "color": style.NEUTRAL}
                ax.text(0.97, 0.06, f"down to {worst:.3f}", fontsize=6, **where)
        style.remark(pair[0], rows["setting"].iloc[0])
    names = {"correct protocol": style.DENSE, "with the fault": hue}
    style.legend(figure, [style.sample(name, color=shown) for name, shown in names.items()])
    return figure, table[table["variant"].isin(["", *order])].reset_index(drop=True)


def _pairs(count, limits):
    """A figure and its (upper, lower) axes for so many faults, five abreast."""
    width, blocks = min(count, COLUMNS), math.ceil(count / COLUMNS)
    figure = style.new_figure(2 * blocks, 2, height=1.12 if blocks > 1 else 1.5)
    axes = figure.subplots(2 * blocks, width, squeeze=False, sharex=True, sharey="row")
    axes[0, 0].set(xscale="log", xlim=(108, LAST_RUNG))
    axes[0, 0].minorticks_off()
    axes[0, 0].set_xticks(RUNGS, [style.percent(rung) for rung in RUNGS])
    for number, ax in enumerate(axes[:, 0]):
        metric = list(LABELS)[number % 2]
        style.value_axis(ax, metric, LABELS[metric], limits.get(metric))
        ax.yaxis.set_major_locator(MaxNLocator(3, steps=[1, 2, 5]))
    figure.supxlabel("Percent of Weights Remaining", fontsize=8)
    pairs = [axes[2 * block :, column][:2] for block in range(blocks) for column in range(width)]
    for place, (upper, lower) in enumerate(pairs):
        lower.tick_params(labelbottom=place + width >= count)
        for ax in (upper, lower) if place >= count else ():
            ax.set_axis_off()
    return figure, pairs


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
    correct = frame["variant"] == ""
    rung = tables.nearest_rung(frame.loc[correct, "percent_remaining"].unique(), READ_AT, factor=1.1)
    table = frame.loc[~correct, ["variant", "setting"]].drop_duplicates(ignore_index=True)
    table["percent_remaining"] = rung
    for metric in RANKED:
        values = at_percent(frame, metric, rung)
        found = [t_interval((values.loc[""] - values.loc[name]).dropna()) for name in table["variant"]]
        table["trials"] = [interval.trials for interval in found]
        for part in ("estimate", "low", "high"):
            table[f"{metric}_{part}"] = [getattr(interval, part) for interval in found]
    return table.sort_values(f"{ACCURACY}_estimate", ascending=False, ignore_index=True)


def ranking(table: pd.DataFrame, least: float) -> str:
    """The table of `costs` as plain text, dearest fault first: accuracies in percentage points, losses positive.

    The last column judges, by the interval, whether a fault costs at least so much accuracy (a fraction) at early-stop.
    """
    first = table["setting"].str.len().max() + 2
    lines = [line("fault", RANKED.values(), first, 24) + f"    n   {100 * least:g} pp or more?"]
    for row in table.to_dict("records"):
        cells = [_cell(row, metric) for metric in RANKED]
        word = WORDS[decision(row[f"{ACCURACY}_low"], row[f"{ACCURACY}_high"], least, math.inf)]
        lines.append(line(row["setting"], cells, first, 24) + f"{row['trials']:>5}   {word}")
    return "\n".join(lines)


def _cell(row, metric):
    mean, low, high = (decimals(metric, row[f"{metric}_{part}"], "+") for part in ("estimate", "low", "high"))
    return mean if low == "-" else f"{mean} [{low}, {high}]"
