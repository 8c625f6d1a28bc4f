"""What the paper's figures show: which metric, networks and series stand in which panel, and the points that it plots.

Points have the columns of our own tables: metric, source, network, arm, procedure, percent_remaining (or iteration), mean,
minimum, maximum. Dropout (Figure 6) is named like a procedure of its own.
"""

from dataclasses import dataclass
from functools import cache

import pandas as pd

from lth_utils.paper import ARMS, NETWORK_LABELS, PROCEDURES, curves

PAPER_METRICS = {  # axis label of the plots over P_m -> column of the records
    "Early-Stop Iteration (Val.)": "early_stop_iteration",
    "Accuracy at Early-Stop (Test)": "test_accuracy_at_early_stop",
    "Accuracy at Early-Stop (Train)": "train_accuracy_at_early_stop",
    "Accuracy at Early-Stop (Val.)": "validation_accuracy_at_early_stop",
    "Accuracy at Iteration 50K (Test)": "test_accuracy_at_end",
    "Accuracy at Iteration 50000 (Train)": "train_accuracy_at_end",
    "Accuracy at Iteration 20/25/30K (Test)": "test_accuracy_at_end",
    "Accuracy at Iteration 20/25/30K (Train)": "train_accuracy_at_end",
    "Test Accuracy at Final Iteration": "test_accuracy_at_end",
}
FIVE_PANELS = (  # panels 1 to 5 of Figures 12 and 13
    "early_stop_iteration",
    "test_accuracy_at_early_stop",
    "train_accuracy_at_early_stop",
    "test_accuracy_at_end",
    "train_accuracy_at_end",
)
SERIES = ["network", "variant", "arm", "procedure"]
RUNS = {"lenet": 25, "conv2": 15, "conv4": 15, "conv6": 15}  # behind a plotted mean of reinits; of tickets: 5
DRAWN = ["network", "arm", "procedure"]  # tell the lines of a figure apart
CONVS = ("conv2", "conv4", "conv6")
SLOWER_CONV6 = "conv_rate_10"  # Figure 1 prunes the convolutions of Conv-6 by 10 % per round, others by 15 %


@dataclass(frozen=True)
class Panel:
    """One panel over P_m: what is measured, on which networks, in which series."""

    paper: str  # number of the same panel in the paper's figure
    metric: str
    limits: tuple[float, float]  # y axis; what lies outside leaves the picture as it does the paper's
    networks: tuple[str, ...]
    series: tuple[tuple[str, str], ...]  # (arm, procedure)
    variants: tuple[str, ...] = ("",)  # of the runs that it shows
    scale: str = "log"  # of the P_m axis
    heading: str = ""


def _panels(metrics, limits, networks, series, heading=""):
    numbered = enumerate(zip(metrics, limits, strict=True), 1)
    return tuple(
        Panel(str(n), metric, limit, networks, series, heading=heading) for n, (metric, limit) in numbered
    )


ITERATION, TEST, _, TEST_AT_END, _ = FIVE_PANELS
TICKETS, REINITS = ("winning_ticket", "iterative"), ("random_reinit", "iterative")
RANDOM = ("random_sparsity", "iterative")
DROPOUT, CONTINUED = ("winning_ticket", "dropout"), ("winning_ticket", "continued")
ONE_SHOT = (("winning_ticket", "one_shot"), ("random_reinit", "one_shot"))
LENET, LENET_SERIES = ("lenet",), (TICKETS, REINITS, *ONE_SHOT)
LENET_LIMITS = ((0, 40_000), (0.94, 0.99), (0.94, 1.001), (0.94, 0.99), (0.94, 1.001))
CONV_LIMITS = ((0, 20_000), (0.55, 0.85), (0.55, 1.005), (0.55, 0.85), (0.55, 1.005))
FIGURES = {  # the paper's figure over P_m -> its panels, left to right, top to bottom
    "1": (
        Panel("1", ITERATION, (0, 50_000), LENET, (TICKETS, RANDOM)),
        Panel("2", ITERATION, (0, 30_000), CONVS, (TICKETS, RANDOM), ("", SLOWER_CONV6)),
        Panel("3", TEST, (0.9, 0.99), LENET, (TICKETS, RANDOM)),
        Panel("4", TEST, (0.55, 0.85), CONVS, (TICKETS, RANDOM), ("", SLOWER_CONV6)),
    ),
    "4": (
        *_panels(FIVE_PANELS[:3], LENET_LIMITS[:3], LENET, LENET_SERIES, heading="(a)"),
        Panel("4", TEST_AT_END, LENET_LIMITS[3], LENET, LENET_SERIES, heading="(b)"),
        Panel("5", ITERATION, LENET_LIMITS[0], LENET, ONE_SHOT, scale="linear", heading="(c)"),
        Panel("6", TEST, LENET_LIMITS[1], LENET, ONE_SHOT, scale="linear", heading="(c)"),
    ),
    "5": _panels(FIVE_PANELS[:4], CONV_LIMITS[:4], CONVS, (TICKETS, REINITS)),
    "6": (
        Panel("1", ITERATION, (0, 40_000), CONVS, (TICKETS, DROPOUT), ("", "dropout")),
        Panel("2", TEST, (0.65, 0.85), CONVS, (TICKETS, DROPOUT), ("", "dropout")),
    ),
    "9": (
        Panel("1", ITERATION, (0, 50_000), LENET, (TICKETS, CONTINUED)),
        Panel("2", "validation_accuracy_at_early_stop", (0.88, 1.0), LENET, (TICKETS, CONTINUED)),
    ),
    "12": _panels(FIVE_PANELS, LENET_LIMITS, LENET, LENET_SERIES),
    "13": _panels(FIVE_PANELS, CONV_LIMITS, CONVS, (TICKETS, REINITS)),
    "14": tuple(
        Panel(
            str(number),
            TEST_AT_END,
            limits,
            (network,),
            (TICKETS, REINITS, RANDOM),
            heading=NETWORK_LABELS[network],
        )
        for number, (network, limits) in enumerate(
            [("lenet", (0.88, 0.99)), *((network, (0.55, 0.85)) for network in CONVS)], 1
        )
    ),
}
WHILE_TRAINING = {  # Figures 3 and 11: metric of Lenet, y axis, x axis and its scale
    "3": ("test_accuracy", (0.94, 0.99), (200, 18_000), "log"),  # most happens in the first 5,000 iterations
    "11": ("validation_loss", (0.04, 0.2), (0, 27_000), "linear"),
}
RUNGS_WHILE_TRAINING = (  # their three panels: (arm, P_m) of every curve
    (("dense", 100), ("winning_ticket", 51.3), ("winning_ticket", 21.1)),
    (("dense", 100), *(("winning_ticket", rung) for rung in (21.1, 7.0, 3.6, 1.9))),
    (("dense", 100), *((arm, rung) for arm in ("winning_ticket", "random_reinit") for rung in (51.3, 21.1))),
)


def paper_series(figure: str, title: str, series: str) -> dict[str, str]:
    """network, variant, arm and procedure of a series, from the figure's number, a panel's title and its legend."""
    name = f"{title} {series}".lower()
    network = next((key for key, label in NETWORK_LABELS.items() if label.lower() in name), "lenet")
    arm = "random_reinit" if "reinit" in name else "random_sparsity" if "random" in name else "winning_ticket"
    procedure = "one_shot" if "oneshot" in name else "continued" if "continued" in name else "iterative"
    variant = SLOWER_CONV6 if str(figure) == "1" and network == "conv6" else ""
    return {
        "network": network,
        "variant": "dropout" if "dropout" in name else variant,
        "arm": arm,
        "procedure": procedure,
    }


def in_order(table: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Rows in the order of networks, arms and procedures that every legend keeps; P_m falls, the rest rises."""
    ranks = {"network": list(NETWORK_LABELS), "arm": ARMS, "procedure": (*PROCEDURES, "dropout")}
    keys = pd.DataFrame(
        {name: table[name].map(ranks[name].index) if name in ranks else table[name] for name in by}
    )
    ascending = [name != "percent_remaining" for name in by]
    return table.loc[keys.sort_values(by, ascending=ascending, kind="stable").index].reset_index(drop=True)


@cache
def _plotted():
    """Every plotted point: figure, panel, metric as records name it, SERIES, percent_remaining or iteration, mean, ..."""
    rows = curves().fillna({"title": ""})
    series = [paper_series(row.fig, row.title, row.series) for row in rows.itertuples()]
    table = pd.concat([rows[["fig", "panel"]].astype(str), pd.DataFrame(series)], axis=1)
    table["metric"] = rows["metric"].replace(PAPER_METRICS).str.lower().str.replace(" ", "_")
    table["percent_remaining"] = rows["pm_percent"]
    training = table["fig"].isin(WHILE_TRAINING)
    table.loc[training, "percent_remaining"] = rows.loc[training, "series"].str.split().str[0].astype(float)
    table.loc[training, "iteration"] = rows.loc[training, "x"]
    table[["mean", "minimum", "maximum"]] = rows[["mean", "min", "max"]]
    return table


def points() -> pd.DataFrame:
    """Every plotted point over P_m once: SERIES, percent_remaining, metric, mean, min, max and the number of runs.

    The dense network is the 100 % point of the tickets of each procedure. A point that several figures show is taken
    from the first. Runs: the grain of the plotted means tells them (25 Lenet reinits a point; the text says 15).
    """
    table = _plotted().query("iteration.isna()").rename(columns={"minimum": "min", "maximum": "max"})
    table["runs"] = table["network"].map(RUNS).where(table["arm"] == "random_reinit", 5)
    table.loc[(table["arm"] == "random_sparsity") & (table["fig"] == "1"), "runs"] = 10
    table = table.drop_duplicates([*SERIES, "percent_remaining", "metric"])
    return table[[*SERIES, "mean", "min", "max", "percent_remaining", "metric", "runs"]]


def panel_points(figure: str, panel: str, metric: str) -> pd.DataFrame:
    """The plotted points of one panel, over P_m or over iterations.

    Raises ValueError for a panel that does not exist or shows another metric.
    """
    rows = _plotted()
    rows = rows[rows["fig"].eq(figure) & rows["panel"].eq(panel)]
    if set(rows["metric"]) != {metric}:
        shown = ", ".join(set(rows["metric"])) or "nothing"
        raise ValueError(f"figure {figure}, panel {panel} shows {shown}, not {metric}")
    table = rows.assign(
        procedure=rows["procedure"].mask(rows["variant"].eq("dropout"), "dropout"), source="paper"
    )
    axes = ["percent_remaining"]
    if figure in WHILE_TRAINING:
        axes.append("iteration")
        table.loc[table["percent_remaining"] > 99.95, "arm"] = "dense"
    shown = ["metric", "source", *DRAWN, *axes, "mean", "minimum", "maximum"]
    return in_order(table, [*DRAWN, "percent_remaining"])[shown]


def dense(network: str, metric: str) -> pd.DataFrame:
    """The paper's dense network: mean, minimum and maximum of a metric, or no row where the paper plots none."""
    places = {name: ("12" if network == "lenet" else "13", str(i)) for i, name in enumerate(FIVE_PANELS, 1)}
    if network == "lenet":
        places["validation_accuracy_at_early_stop"] = ("9", "2")
    if metric not in places:
        return panel_points("12", "1", ITERATION)[:0]
    rows = panel_points(*places[metric], metric)
    wanted = rows["network"].eq(network) & rows["procedure"].eq("iterative")
    return rows[wanted & rows["percent_remaining"].gt(99.95)].reset_index(drop=True)


def dense_curve(metric: str) -> pd.DataFrame:
    """The paper's dense Lenet while it trains (mean of 5): test accuracy of Figure 3, validation loss of Figure 11."""
    for figure, (shown, *_) in WHILE_TRAINING.items():
        if shown == metric:
            rows = panel_points(figure, "1", metric)
            return rows[rows["percent_remaining"] > 99.95].reset_index(drop=True)
    return panel_points("3", "1", "test_accuracy")[:0]
