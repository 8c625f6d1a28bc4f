"""Run records that repeat the paper's own plotted means: what its plots alone say about its claims.

Not a test: a generator for test_claims. Every run that any condition of the ledger asks for gets a row; a measure that
the shipped curves do not show (deeper networks, points outside a plot's axis) gets a placeholder.
"""

import numpy as np
import pandas as pd

from lth_utils import claims, paper
from lth_utils.claims import measures
from lth_utils.claims.measures import Sample
from lth_utils.paper import figures

ITERATIONS = {"lenet": 50_000, "conv2": 20_000, "conv4": 25_000, "conv6": 30_000}
PLACEHOLDERS = dict.fromkeys(figures.PAPER_METRICS.values(), 0.5) | {"early_stop_iteration": 10_000.0}
ACCURACY, STOP = "test_accuracy_at_early_stop", "early_stop_iteration"
LENET = {"network": "lenet", "variant": "", "procedure": "iterative"}
CONV6_REINIT = {"network": "conv6", "variant": "", "arm": "random_reinit", "procedure": "iterative"}
OFF_AXIS = (CONV6_REINIT, 5.086, "early_stop_iteration", 22_000.0)  # Figure 5 ends at 20,000 iterations


def run(trial, percent_remaining=100.0, **measures):
    """One record of a Lenet: dense at 100 %, else a ticket, unless said otherwise."""
    record = LENET | {"study": "paper", "scale": "paper", "precision": "float32", "diverged": False}
    record |= {"trial": trial, "replicate": 0, "percent_remaining": percent_remaining, STOP: 4_000}
    arm = "dense" if percent_remaining == 100 else "winning_ticket"
    return record | {"arm": arm, "training_iterations": 50_000} | measures


def records(rungs, metric=ACCURACY):
    """One record per value of {P_m: one value per trial}; None is a missing run."""
    runs = [(t, p, value) for p, values in rungs.items() for t, value in enumerate(values)]
    return pd.DataFrame([run(t, p, **{metric: value}) for t, p, value in runs if value is not None])


def gains(dense=(0.97,) * 3, ticket=(0.98, 0.981, 0.982), rung=21.07):
    return records({100.0: dense, rung: ticket})


def condition(**changes):
    """A condition on Lenet tickets at 21.07 %: the accuracy gained over the dense network, at least 0.3 pp."""
    return pd.Series(claims.ledger(["C09"]).iloc[0].to_dict() | {"percent_remaining": "21.07"} | changes)


def around(*values, **more):
    """A sample of the paper's scale with these values, one per trial."""
    return Sample(tuple(range(len(values))), np.array(values, dtype=float), scales=("paper",), **more)


def paper_means() -> pd.DataFrame:
    """One row per plotted point over P_m, and one outside its plot: series, percent_remaining, metric, mean."""
    series, rung, metric, mean = OFF_AXIS
    outside = {**series, "percent_remaining": rung, "metric": metric, "mean": mean}
    return pd.concat([figures.points(), pd.DataFrame([outside])], ignore_index=True)


def needed_runs() -> pd.DataFrame:
    """Every (network, variant, arm, procedure, P_m) that the ledger reads; the dense network once per variant."""
    needed = set()
    for row in claims.ledger().itertuples():
        rungs = row.percent_remaining
        needed |= {(row.network, row.variant, row.arm, row.procedure, r) for r in measures.parse_rungs(rungs)}
        if row.reference_arm:
            spelled = row.reference_percent_remaining
            reference = (row.network, row.reference_variant, row.reference_arm, row.reference_procedure)
            needed |= {(*reference, r) for r in measures.parse_rungs(rungs if spelled == "same" else spelled)}
    names = ["network", "variant", "arm", "procedure", "percent_remaining"]
    runs = pd.DataFrame(sorted(needed), columns=names)
    runs.loc[runs["percent_remaining"] == 100, ["arm", "procedure"]] = ["dense", "iterative"]
    return runs.drop_duplicates(ignore_index=True)


def training_curves() -> dict[tuple[str, float], dict[str, np.ndarray]]:
    """(arm, P_m as Figure 3 labels it) -> the mean curves of Figures 3 and 11, on one grid of iterations."""
    curves = paper.curves()
    found = {}
    for name, points in curves[curves["fig"] == 3].groupby("series"):
        losses = (
            curves[(curves["fig"] == 11) & (curves["series"] == name)].drop_duplicates("x").sort_values("x")
        )
        points = points.drop_duplicates("x").sort_values("x")
        grid = np.arange(1.0, 27_000.0, 100.0)
        accuracy = np.interp(grid, points["x"], points["mean"], right=np.nan)
        loss = np.interp(grid, losses["x"], losses["mean"])
        label = float(name.split()[0])
        arm = "random_reinit" if "reinit" in name else "winning_ticket" if label < 100 else "dense"
        found[arm, label] = {
            "curve_iteration": grid,
            "curve_validation_loss": loss,
            "curve_test_accuracy": accuracy,
            "curve_validation_accuracy": accuracy,
        }
    return found


def paper_frame(
    trials: int = 3, noise: float = 1e-5, seed: int = 0, dense_of: str = "iterative"
) -> pd.DataFrame:
    """Records of scale "paper" whose measures are the paper's means times (1 + noise * standard normal).

    dense_of: the procedure whose 100 % point is Lenet's dense network; the one-shot plots have dense trials of their own.
    """
    generator, means, curves = np.random.Generator(np.random.PCG64(seed)), paper_means(), training_curves()
    keys = ["network", "variant", "arm", "procedure"]
    plotted = {key: table for key, table in means.groupby(keys)}
    records = []
    for run in needed_runs().to_dict("records"):
        series = (run["network"], run["variant"], run["arm"], run["procedure"])
        if run["arm"] == "dense":
            series = (*series[:2], "winning_ticket", dense_of if run["network"] == "lenet" else "iterative")
        values = PLACEHOLDERS | _at(plotted.get(series), run["percent_remaining"])
        logged = _curves_of(run, curves) if run["network"] == "lenet" else {}
        replicates = 2 if run["arm"] == "random_reinit" else 1
        for trial, replicate in np.ndindex(trials, replicates):
            noisy = {
                name: value * (1 + noise * generator.standard_normal()) for name, value in values.items()
            }
            records.append(run | noisy | _constants(run) | logged | {"trial": trial, "replicate": replicate})
    frame = pd.DataFrame(records)
    return frame.assign(run_key=frame.index.astype(str))


def _at(table, percent_remaining):
    if table is None:
        return {}
    close = np.abs(np.log(table["percent_remaining"] / percent_remaining)) < 0.01
    return dict(zip(table.loc[close, "metric"], table.loc[close, "mean"]))


def _curves_of(run, curves):
    for (arm, label), logged in curves.items():
        if (
            arm == run["arm"]
            and abs(label - run["percent_remaining"]) < 0.06
            and run["procedure"] == "iterative"
        ):
            return logged
    return {}


def _constants(run):
    length = ITERATIONS.get(run["network"], 112_000) * (3 if run["variant"] == "dropout" else 1)
    iterations = np.array([10_000.0, 30_000.0])
    return {
        "study": "paper",
        "scale": "paper",
        "precision": "float32",
        "diverged": False,
        "training_iterations": length,
        "curve_iteration": iterations,
        "curve_validation_loss": np.ones(2),
        "curve_test_accuracy": np.full(2, 0.5),
        "curve_validation_accuracy": np.full(2, 0.5),
    }
