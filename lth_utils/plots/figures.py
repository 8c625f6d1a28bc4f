"""The paper's figures, panel by panel: which metric, networks and series each shows, over the paper's own curves.

Takes tidy records (curves for Figures 3 and 11) and returns (figure, table); what is missing from a panel, and any
scale but the paper's, stands above it.
"""

import math
from dataclasses import dataclass, replace

import pandas as pd

from lth_utils import paper
from lth_utils.plots import panels, style, tables
from lth_utils.plots.panels import Drawing

NO_RECORDS = "no records yet, the paper's curves alone"
TICKET, REINIT, RANDOM = "winning_ticket", "random_reinit", "random_sparsity"
ITERATIVE = ((TICKET, "iterative"), (REINIT, "iterative"))
ONE_SHOT = ((TICKET, "one_shot"), (REINIT, "one_shot"))
CONVS = ("conv2", "conv4", "conv6")


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One panel of a figure over P_m: what is measured, on which networks, in which series."""

    metric: str
    paper: str  # number of the same panel in the paper's figure
    networks: tuple[str, ...] = ("lenet",)
    series: tuple[tuple[str, str], ...]  # (arm, procedure)
    limits: tuple[float, float]  # y axis; what lies outside leaves the picture as it does in the paper's
    variants: tuple[str, ...] = ("",)  # of the runs that it shows
    scale: str = "log"
    heading: str = ""


def _panels(metrics, networks, series, limits, first=1, variants=("",)):
    numbered = enumerate(zip(metrics, limits, strict=True), first)
    return tuple(
        Panel(
            metric=metric,
            paper=str(number),
            networks=networks,
            series=series,
            limits=limit,
            variants=variants,
        )
        for number, (metric, limit) in numbered
    )


AT_EARLY_STOP = tables.FIVE_PANELS[:3]
LENET_LIMITS = ((0, 40_000), (0.94, 0.99), (0.94, 1.001), (0.94, 0.99), (0.94, 1.001))
CONV_LIMITS = ((0, 20_000), (0.55, 0.85), (0.55, 1.005), (0.55, 0.85), (0.55, 1.005))
AGAINST_RANDOM = ((TICKET, "iterative"), (RANDOM, "iterative"))
THREE_ARMS = (*ITERATIVE, (RANDOM, "iterative"))
WITH_AND_WITHOUT_DROPOUT = ((TICKET, "iterative"), (TICKET, "dropout"))
SLOWER_CONV6 = "conv_rate_10"  # Figure 1 prunes the convolutions of Conv-6 by 10 % per round, others by 15 %


def _figure_1_row(metric, first, lenet_limits, conv_limits):
    lenet = Panel(metric=metric, paper=str(first), series=AGAINST_RANDOM, limits=lenet_limits)
    variants = ("", SLOWER_CONV6)
    conv = replace(lenet, paper=str(first + 1), networks=CONVS, limits=conv_limits, variants=variants)
    return lenet, conv


LENET_FIVE = _panels(tables.FIVE_PANELS, ("lenet",), (*ITERATIVE, *ONE_SHOT), LENET_LIMITS)
ONE_SHOT_ALONE = _panels(AT_EARLY_STOP[:2], ("lenet",), ONE_SHOT, LENET_LIMITS[:2], first=5)
CONV_FIVE = _panels(tables.FIVE_PANELS, CONVS, ITERATIVE, CONV_LIMITS)
FIGURES = {  # the paper's figure -> its panels, left to right, top to bottom
    "1": (
        *_figure_1_row(AT_EARLY_STOP[0], 1, (0, 50_000), (0, 30_000)),
        *_figure_1_row(AT_EARLY_STOP[1], 3, (0.9, 0.99), (0.55, 0.85)),
    ),
    "4": (
        *(replace(panel, heading="(a)") for panel in LENET_FIVE[:3]),
        replace(LENET_FIVE[3], heading="(b)"),
        *(replace(panel, scale="linear", heading="(c)") for panel in ONE_SHOT_ALONE),
    ),
    "5": CONV_FIVE[:4],
    "6": _panels(
        AT_EARLY_STOP[:2],
        CONVS,
        WITH_AND_WITHOUT_DROPOUT,
        ((0, 40_000), (0.65, 0.85)),
        variants=("", "dropout"),
    ),
    "9": _panels(
        ("early_stop_iteration", "validation_accuracy_at_early_stop"),
        ("lenet",),
        ((TICKET, "iterative"), (TICKET, "continued")),
        ((0, 50_000), (0.88, 1.0)),
    ),
    "12": LENET_FIVE,
    "13": CONV_FIVE,
    "14": (
        *(
            Panel(
                metric="test_accuracy_at_end",
                paper=str(number),
                networks=(network,),
                series=THREE_ARMS,
                limits=(0.88, 0.99) if network == "lenet" else (0.55, 0.85),
                heading=paper.NETWORK_LABELS[network],
            )
            for number, network in enumerate(("lenet", *CONVS), 1)
        ),
    ),
}


def figure_1(frame: pd.DataFrame) -> Drawing:
    """Winning tickets against random sparse networks. Until there are Conv-6 runs at the rate of this figure, those
    at the usual rate stand in, and the panels say so."""
    slower = frame["variant"] == SLOWER_CONV6
    replaced = frame["network"].isin(frame.loc[slower, "network"]) & ~slower
    return _compose("1", frame[~replaced])


def figure_4(frame: pd.DataFrame) -> Drawing:
    """Lenet: tickets and reinits, iterative and one-shot; the last two panels are one-shot on a linear axis."""
    return _compose("4", frame)


def figure_5(frame: pd.DataFrame) -> Drawing:
    """Conv-2/4/6: tickets and random reinits."""
    return _compose("5", frame)


def figure_6(frame: pd.DataFrame) -> Drawing:
    """Conv-2/4/6: tickets with dropout and, for the networks that have such records, without."""
    dropout = frame["variant"] == "dropout"
    both = frame["network"].isin(frame.loc[dropout, "network"])
    return _compose("6", frame.assign(procedure=frame["procedure"].mask(dropout, "dropout"))[both])


def figure_9(frame: pd.DataFrame) -> Drawing:
    """Lenet: resetting to the initial weights against continued training (Appendix B)."""
    return _compose("9", frame)


def figure_12(frame: pd.DataFrame) -> Drawing:
    """Figure 4's measures and train accuracy at the end (Appendix D)."""
    return _compose("12", frame)


def figure_13(frame: pd.DataFrame) -> Drawing:
    """Figure 5's measures and train accuracy at the end (Appendix D)."""
    return _compose("13", frame)


def figure_14(frame: pd.DataFrame, networks: tuple[str, ...] = ("lenet", *CONVS)) -> Drawing:
    """Tickets, random reinits and random sparsity at the end of training, one panel per network (Appendix E)."""
    return _compose("14", frame, networks)


def figure_3(curves: pd.DataFrame) -> Drawing:
    """Lenet's test accuracy while it trains, at the paper's rungs; takes the rows of records.curves."""
    return _while_training("3", curves, "test_accuracy", limits=(0.94, 0.99), last_iteration=18_000)


def figure_11(curves: pd.DataFrame) -> Drawing:
    """Lenet's validation loss while it trains: it falls, bottoms out and rises; takes the rows of records.curves."""
    return _while_training("11", curves, "validation_loss", limits=(0.04, 0.2), last_iteration=27_000)


@style.styled
def _compose(name, frame, networks=("lenet", *CONVS)):
    """One of the paper's figures over P_m: its panels on these networks, one legend, the paper in grey underneath.

    Up to three panels stand in one row, more in two; they keep their numbers in FIGURES[name].
    """
    shown = {
        str(number): panel
        for number, panel in enumerate(FIGURES[name], 1)
        if set(panel.networks) <= set(networks)
    }
    rows = 1 if len(shown) <= 3 else 2
    columns = math.ceil(len(shown) / rows)
    figure = style.new_figure(rows, columns, height=2.7 if rows == 1 else 2.2)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    laptop = "quick" in set(frame["scale"]) if len(frame) else False
    parts = []
    for ax, (number, panel) in zip(axes, shown.items(), strict=False):
        chosen = _select(frame, panel)
        _remark(ax, chosen, panel, laptop)
        if laptop and not len(chosen):
            ax.set_axis_off()
            continue
        paper_panel = None if laptop else (name, panel.paper)
        limits = None if laptop else panel.limits
        _, table = panels.against_percent_remaining(
            chosen, panel.metric, ax=ax, paper_panel=paper_panel, scale=panel.scale, limits=limits
        )
        table.insert(0, "panel", number)
        parts.append(table)
    for ax in axes[len(shown) :]:
        ax.set_axis_off()
    table = pd.concat(parts, ignore_index=True)
    style.legend(figure, panels.handles(table))
    table.insert(0, "figure", name)
    return figure, table


def _select(frame, panel):
    """The records that a panel shows, of any; the dense network belongs to its tickets."""
    if not len(frame):
        return frame
    series = pd.Series(zip(frame["arm"], frame["procedure"], strict=True), index=frame.index)
    wanted = series.isin(panel.series) | (frame["arm"] == "dense")
    return frame[wanted & frame["network"].isin(panel.networks) & frame["variant"].isin(panel.variants)]


def _remark(ax, frame, panel, laptop):
    """Above the panel: what is missing from it, and any scale but the paper's."""
    present = set(frame["network"]) if len(frame) else set()
    missing = [paper.NETWORK_LABELS[name] for name in panel.networks if name not in present]
    scales = sorted(set(frame["scale"]) - {"paper"}) if len(frame) else []
    remarks = []
    if not present:
        remarks.append("no records yet" if laptop else NO_RECORDS)
    elif missing:
        remarks.append(f"no tickets of {', '.join(missing)} yet")
    if scales:
        other = set(frame.loc[frame["scale"] != "paper", "network"])
        names = ", ".join(paper.NETWORK_LABELS[name] for name in panel.networks if name in other)
        whose = f"{names}: " if present - other else ""
        remarks.append(style.LAPTOP if laptop else f"{whose}scale {', '.join(scales)}")
    if SLOWER_CONV6 in panel.variants and "conv6" in present and SLOWER_CONV6 not in set(frame["variant"]):
        remarks.append("our Conv-6 pruned by 15 %, not 10 %")
    style.remark(ax, ": ".join(part for part in (panel.heading, "; ".join(remarks)) if part))


RUNGS_WHILE_TRAINING = (  # Figures 3 and 11, left to right: (arm, P_m) of every curve
    ((TICKET, 100), (TICKET, 51.3), (TICKET, 21.1)),
    ((TICKET, 100), (TICKET, 21.1), (TICKET, 7.0), (TICKET, 3.6), (TICKET, 1.9)),
    ((TICKET, 100), (TICKET, 51.3), (TICKET, 21.1), (REINIT, 51.3), (REINIT, 21.1)),
)


@style.styled
def _while_training(name, curves, metric, *, limits, last_iteration):
    """Figure 3 or 11: Lenet's curves at the paper's rungs, or at the closest rungs that a quick profile has."""
    figure = style.new_figure(1, 3, height=2.9)
    laptop = "quick" in set(curves["scale"]) if len(curves) else False
    parts = []
    axes = figure.subplots(1, 3, sharey=True)
    for number, (ax, wanted) in enumerate(zip(axes, RUNGS_WHILE_TRAINING, strict=True), 1):
        chosen = _select_rungs(curves, wanted, last_iteration)
        table = panels.while_training(ax, chosen, metric, None if laptop else (name, str(number)))
        if not laptop:
            ax.set_xlim(0, last_iteration)
            ax.set_ylim(*limits)
        if not len(chosen) or laptop:
            style.remark(ax, style.LAPTOP if laptop else NO_RECORDS)
        table.insert(0, "panel", str(number))
        parts.append(table)
    figure.axes[0].set_ylabel(tables.METRICS[metric])
    table = pd.concat(parts, ignore_index=True)
    style.legend(figure, panels.rung_handles(table))
    table.insert(0, "figure", name)
    return figure, table


def _select_rungs(curves, wanted, last_iteration):
    """The curves of the wanted (arm, P_m) pairs; P_m = 100 is the dense network."""
    usual = curves["procedure"].eq("iterative") & curves["variant"].eq("")
    curves = curves[usual & (curves["iteration"] <= last_iteration)]
    parts = [curves[:0]]
    for arm, rung in wanted:
        of_arm = curves[curves["arm"] == ("dense" if rung == 100 else arm)]
        nearest = tables.nearest_rung(of_arm["percent_remaining"].unique(), rung, factor=1.25)
        if nearest is not None:
            parts.append(of_arm[of_arm["percent_remaining"] == nearest])
    return pd.concat(parts).drop_duplicates() if len(parts) > 1 else parts[0]
