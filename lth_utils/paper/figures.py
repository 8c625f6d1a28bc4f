"""What the paper's figures show: which column of the records an axis is, which series a legend's words name."""

import pandas as pd

from lth_utils.paper import NETWORK_LABELS, curves

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

SERIES = ["network", "variant", "arm", "procedure"]
RUNS = {"lenet": 25, "conv2": 15, "conv4": 15, "conv6": 15}  # behind a plotted mean of reinits; of tickets: 5


def points() -> pd.DataFrame:
    """Every plotted point over P_m once: SERIES, percent_remaining, metric, mean, min, max and the number of runs.

    The dense network is the 100 % point of the tickets of each procedure. A point that several figures show is taken
    from the first. Runs: the grain of the plotted means tells them (25 Lenet reinits a point; the text says 15).
    """
    shown = curves().query("metric in @PAPER_METRICS").fillna({"title": ""})
    names = [paper_series(row.fig, row.title, row.series) for row in shown.itertuples()]
    table = pd.DataFrame(names, index=shown.index).join(shown[["fig", "mean", "min", "max"]])
    table["percent_remaining"] = shown["pm_percent"]
    table["metric"] = shown["metric"].map(PAPER_METRICS)
    table["runs"] = table["network"].map(RUNS).where(table["arm"] == "random_reinit", 5)
    table.loc[(table["arm"] == "random_sparsity") & (table["fig"] == 1), "runs"] = 10
    return table.drop_duplicates([*SERIES, "percent_remaining", "metric"]).drop(columns="fig")


def paper_series(figure: str, title: str, series: str) -> dict[str, str]:
    """network, variant, arm and procedure of a series, from the figure's number, a panel's title and its legend."""
    name = f"{title} {series}".lower()
    network = next((key for key, label in NETWORK_LABELS.items() if label.lower() in name), "lenet")
    arm = "random_reinit" if "reinit" in name else "random_sparsity" if "random" in name else "winning_ticket"
    procedure = "one_shot" if "oneshot" in name else "continued" if "continued" in name else "iterative"
    variant = "conv_rate_10" if str(figure) == "1" and network == "conv6" else ""
    return {
        "network": network,
        "variant": "dropout" if "dropout" in name else variant,
        "arm": arm,
        "procedure": procedure,
    }
