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

COLUMNS = 5
METRICS = ("test_accuracy_at_early_stop", "early_stop_iteration")
SHORT_LABELS = {METRICS[0]: "Accuracy at\nearly-stop", METRICS[1]: "Early-stop\niteration"}
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
    frame = frame[frame["percent_remaining"] > LAST_RUNG]
    table = pd.concat([tables.over_trials(frame, metric, by).assign(metric=metric) for metric in METRICS])
    width = min(len(order), COLUMNS)
    blocks = math.ceil(len(order) / width)
    figure = style.new_figure(2 * blocks, 2, height=1.12 if blocks > 1 else 1.5)
    axes = figure.subplots(2 * blocks, width, squeeze=False, sharex=True)
    for place in range(blocks * width):
        column = [axes[2 * (place // width) + row, place % width] for row in range(2)]
        if place >= len(order):
            for ax in column:
                ax.set_axis_off()
            continue
        for ax, metric in zip(column, METRICS):
            shown = table[(table["metric"] == metric) & table["variant"].isin(["", order[place]])]
            _panel(ax, shown, frame["network"].iloc[0], metric, (limits or {}).get(metric))
            if place % width == 0:
                ax.set_ylabel(SHORT_LABELS[metric])
            elif limits:
                ax.tick_params(labelleft=False)
        column[1].tick_params(labelbottom=place + width >= len(order))
        setting = shown.loc[shown["variant"] == order[place], "setting"].iloc[0]
        style.remark(column[0], setting)
    figure.supxlabel("Percent of Weights Remaining", fontsize=8)
    hue = style.color(frame["network"].iloc[0])
    style.legend(
        figure,
        [style.sample("correct protocol", color=style.DENSE), style.sample("with the fault", color=hue)],
    )
    return figure, table[table["variant"].isin(["", *order])].reset_index(drop=True)


def _panel(ax, rows, network, metric, limits):
    for variant, line in sorted(rows.groupby("variant"), key=lambda group: group[0] != ""):
        hue = style.color(network) if variant else style.DENSE
        x = line["percent_remaining"]
        ax.vlines(x, line["minimum"], line["maximum"], color=hue, linewidth=0.7, alpha=0.6)
        ax.plot(x, line["mean"], color=hue, linewidth=1.1, marker="o", markersize=1.8)
    style.percent_axis(ax, RUNGS)
    ax.set_xlim(108, LAST_RUNG)
    ax.set_xticks(RUNGS, [style.percent(rung) for rung in RUNGS])
    ax.set_xlabel("")
    style.value_axis(ax, metric, "", limits)
    ax.yaxis.set_major_locator(MaxNLocator(3, steps=[1, 2, 5]))
    worst = line["mean"].min()
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
    rungs = frame.loc[frame["variant"] == "", "percent_remaining"]
    rung = tables.nearest_rung(rungs.unique(), READ_AT, factor=1.1)
    names = frame.drop_duplicates("variant").set_index("variant")["setting"].drop("")
    table = pd.DataFrame({"variant": names.index, "setting": names.to_numpy(), "percent_remaining": rung})
    for metric in (*METRICS, "test_accuracy_at_end"):
        values = at_percent(frame, metric, rung)
        pairs = [(values.loc[""] - values.loc[name]).dropna() for name in names.index]
        found = [t_interval(pair.tolist()) for pair in pairs]
        table["trials"] = [interval.trials for interval in found]
        for part in ("estimate", "low", "high"):
            table[f"{metric}_{part}"] = [getattr(interval, part) for interval in found]
    return table.sort_values(f"{METRICS[0]}_estimate", ascending=False, ignore_index=True)


def ranking(table: pd.DataFrame) -> str:
    """The table of `costs` as plain text, dearest fault first: accuracies in percentage points, losses positive."""
    width = table["setting"].str.len().max() + 2
    heads = ("at early-stop (pp)", "at the end (pp)", "iterations earlier")
    lines = [f"{'fault':<{width}}" + "".join(f"{head:>26}" for head in heads) + "    n"]
    for row in table.to_dict("records"):
        cells = [
            _cell(row, metric) for metric in (METRICS[0], "test_accuracy_at_end", "early_stop_iteration")
        ]
        lines.append(f"{row['setting']:<{width}}" + "".join(f"{cell:>26}" for cell in cells))
        lines[-1] += f"{row['trials']:>5}"
    return "\n".join(lines)


def _cell(row, metric):
    estimate, low, high = (row[f"{metric}_{part}"] for part in ("estimate", "low", "high"))
    if "accuracy" in metric:
        texts = [f"{100 * value:+.2f}" for value in (estimate, low, high)]
    else:
        texts = [f"{value:+.0f}" for value in (estimate, low, high)]
    return texts[0] if math.isnan(low) else f"{texts[0]} [{texts[1]}, {texts[2]}]"


def judged(table: pd.DataFrame, variant: str, least: float) -> str:
    """Whether a fault costs at least so much accuracy (a fraction) at early-stop, decided by its interval."""
    (row,) = table[table["variant"] == variant].to_dict("records")
    ends = row[f"{METRICS[0]}_low"], row[f"{METRICS[0]}_high"]
    word = VERDICTS[decision(*ends, least, math.inf)]
    asked = f"asked for at least {100 * least:.2f} pp"
    return f"{row['setting']}: {_cell(row, METRICS[0])} pp, n={row['trials']}; {asked}: {word}"
