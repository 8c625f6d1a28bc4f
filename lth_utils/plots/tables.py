"""The numbers behind every figure: statistics over trials, the paper's own points, printed rungs. Draws nothing.

Tables are tidy DataFrames, one row per drawn point. `source` is "ours" or "paper"; `mean`, `minimum` and `maximum`
are over trials, with the replicates of a control averaged within their trial first; `trials` is their number and
`trial_values` lists the trials' own values. Accuracies are fractions.
"""

from collections.abc import Iterable
from functools import cache

import pandas as pd

from lth_utils import paper
from lth_utils.claims.grids import readings
from lth_utils.claims.statistics import t_interval
from lth_utils.paper.figures import PAPER_METRICS, paper_series
from lth_utils.plots import style

SERIES = ["network", "arm", "procedure"]
FIVE_PANELS = (  # panels 1 to 5 of Figures 12 and 13
    "early_stop_iteration",
    "test_accuracy_at_early_stop",
    "train_accuracy_at_early_stop",
    "test_accuracy_at_end",
    "train_accuracy_at_end",
)
METRICS = {
    "early_stop_iteration": "Early-stop iteration",
    "test_accuracy_at_early_stop": "Test accuracy at early-stop",
    "train_accuracy_at_early_stop": "Train accuracy at early-stop",
    "validation_accuracy_at_early_stop": "Validation accuracy at early-stop",
    "validation_loss_at_early_stop": "Validation loss at early-stop",
    "test_accuracy_at_end": "Test accuracy at the end",
    "train_accuracy_at_end": "Train accuracy at the end",
    "test_accuracy": "Test accuracy",
    "validation_accuracy": "Validation accuracy",
    "validation_loss": "Validation loss",
}


def over_trials(frame: pd.DataFrame, metric: str, by: list[str]) -> pd.DataFrame:
    """Mean, minimum and maximum over trials of each group; replicates are averaged within their trial first.

    Missing values do not count: `trials` says how many trials stand behind a row.
    """
    per_trial = frame.groupby([*by, "trial"], dropna=False)[metric].mean().dropna()
    groups = per_trial.groupby(level=by, sort=False, dropna=False)
    table = groups.agg(["mean", "min", "max", "count"]).set_axis(
        ["mean", "minimum", "maximum", "trials"], axis=1
    )
    table["trial_values"] = [" ".join(f"{value:.6g}" for value in values) for _, values in groups]
    return table.reset_index()


def with_dense(frame: pd.DataFrame) -> pd.DataFrame:
    """The records with each dense network as the first point of every ticket series of its network."""
    dense = frame[frame["arm"] == "dense"]
    others = frame[frame["arm"] != "dense"]
    series = others[others["arm"] == "winning_ticket"][["network", "variant", "procedure"]].drop_duplicates()
    starts = dense.drop(columns="procedure").merge(series, on=["network", "variant"], how="left")
    starts = starts.fillna({"procedure": "iterative"}).assign(arm="winning_ticket")
    return pd.concat([starts, others], ignore_index=True)


def by_percent_remaining(frame: pd.DataFrame, metric: str) -> pd.DataFrame:
    """One row per series and rung, the dense network first in every ticket series.

    `censored` counts trials whose validation loss was lowest at their last evaluation: an early-stop iteration there
    is only a lower bound.
    Raises ValueError when two records would mean the same run or when scales would be averaged together.
    """
    identity = [*SERIES, "trial", "replicate", "pruning_round"]
    if frame.duplicated(identity).any():
        raise ValueError("two records mean the same run: filter variant, study and scale before drawing")
    if frame.groupby("network")["scale"].nunique().gt(1).any():
        raise ValueError(f"scales are never averaged together: {sorted(frame['scale'].unique())}")
    by = [*SERIES, "pruning_round", "percent_remaining"]
    runs = with_dense(frame.assign(censored=readings(frame, metric)[1]))
    table = over_trials(runs, metric, by)
    late = runs.groupby([*by, "trial"])["censored"].any().groupby(level=by).sum().rename("censored")
    table = in_order(table.join(late, on=by), [*SERIES, "percent_remaining"])
    table.insert(0, "source", "ours")
    table.insert(0, "metric", metric)
    return table.drop(columns="pruning_round")


def in_order(table: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Rows in the order of networks, arms and procedures that every legend keeps; P_m falls, the rest rises."""
    ranks = {"network": paper.NETWORK_LABELS, "arm": paper.ARMS, "procedure": style.PROCEDURE_LABELS}
    keys = pd.DataFrame(index=table.index)
    for name in by:
        order = list(ranks.get(name, ()))
        keys[name] = table[name].map(order.index) if order else table[name]
    ascending = [name != "percent_remaining" for name in by]
    return table.loc[keys.sort_values(by, ascending=ascending, kind="stable").index].reset_index(drop=True)


def paired(frame: pd.DataFrame, metric: str, arm_a: str, arm_b: str) -> pd.DataFrame:
    """Per-trial differences arm_a - arm_b at every rung that both reached, with the 95 % t-interval of their mean.

    arm_b "dense" compares every rung of arm_a with the same trial's dense network.
    """
    by = ["network", "procedure", "pruning_round", "percent_remaining", "trial"]
    a, b = (frame[frame["arm"] == arm].groupby(by)[metric].mean().reset_index() for arm in (arm_a, arm_b))
    on = ["network", "trial"] if arm_b == "dense" else ["network", "procedure", "pruning_round", "trial"]
    both = a.merge(b[[*on, metric]], on=on, suffixes=("", "_b"))
    both["difference"] = both[metric] - both[f"{metric}_b"]
    table = over_trials(both, "difference", by[:-1]).drop(columns="pruning_round")
    table = in_order(table, ["network", "procedure", "percent_remaining"])
    intervals = [t_interval([float(value) for value in values.split()]) for values in table["trial_values"]]
    table["interval_low"] = [interval.low for interval in intervals]
    table["interval_high"] = [interval.high for interval in intervals]
    table.insert(0, "source", "ours")
    table.insert(0, "metric", metric)
    table.insert(3, "arm", f"{arm_a} - {arm_b}")
    return table


def by_iteration(curves: pd.DataFrame, metric: str, by: list[str]) -> pd.DataFrame:
    """Mean, minimum and maximum over trials at every iteration where all trials of a group were evaluated."""
    table = over_trials(curves.dropna(subset=[metric]), metric, [*by, "iteration"]).drop(
        columns="trial_values"
    )
    complete = table.groupby(by, dropna=False)["trials"].transform("max") == table["trials"]
    table = in_order(table[complete], [*by, "iteration"])
    table.insert(0, "source", "ours")
    table.insert(0, "metric", metric)
    return table


def nearest_rung(available: Iterable[float], target: float, factor: float = 1.0) -> float | None:
    """The available P_m that prints like the target, else the closest one within `factor` of it, else None."""
    closest = min(available, key=lambda value: abs(value - target), default=None)
    if closest is None or not (abs(closest - target) < 0.051 or 1 / factor < closest / target < factor):
        return None
    return closest


def paper_rows(figure: str, panel: str, metric: str) -> pd.DataFrame:
    """The paper's plotted points of one panel, in the columns of our tables; P_m curves or training curves.

    Raises ValueError for a panel that does not exist or shows another metric.
    """
    if (figure, panel) not in _paper_panels():
        raise ValueError(f"curves.csv holds no figure {figure}, panel {panel}")
    rows = _paper_panels()[figure, panel]
    shown = {PAPER_METRICS.get(label, label.lower().replace(" ", "_")) for label in rows["metric"]}
    if shown != {metric}:
        raise ValueError(f"figure {figure}, panel {panel} shows {', '.join(shown)}, not {metric}")
    titles, names = rows["title"].fillna("").astype(str), rows["series"].astype(str)
    identities = [paper_series(figure, title, name) for title, name in zip(titles, names, strict=True)]
    table = pd.DataFrame(identities, columns=[*SERIES, "variant"], index=rows.index)
    table["procedure"] = table["procedure"].mask(table.pop("variant") == "dropout", "dropout")
    if (rows["xlabel"] == "Training Iterations").any():
        table["percent_remaining"] = [float(name.split()[0]) for name in names]
        table.loc[table["percent_remaining"] > 99.95, "arm"] = "dense"
        table["iteration"] = rows["x"]
    else:
        table["percent_remaining"] = rows["pm_percent"]
    table[["mean", "minimum", "maximum"]] = rows[["mean", "min", "max"]]
    table = in_order(table, [*SERIES, "percent_remaining"])
    table.insert(0, "source", "paper")
    table.insert(0, "metric", metric)
    return table


@cache
def _paper_panels():
    """(figure, panel) -> its rows of curves.csv; read once, never changed."""
    curves = paper.curves().astype({"fig": str, "panel": str})
    return {key: rows for key, rows in curves.groupby(["fig", "panel"], sort=False)}


def paper_dense(network: str, metric: str) -> pd.DataFrame:
    """The paper's dense network: mean, minimum and maximum of a metric, or no row where the paper plots none."""
    panels = {name: ("12" if network == "lenet" else "13", str(i)) for i, name in enumerate(FIVE_PANELS, 1)}
    if network == "lenet":
        panels["validation_accuracy_at_early_stop"] = ("9", "2")
    if metric not in panels:
        return paper_rows("12", "1", FIVE_PANELS[0])[:0]
    rows = paper_rows(*panels[metric], metric)
    dense = rows[(rows["network"] == network) & (rows["percent_remaining"] > 99.95)]
    return dense[dense["procedure"] == "iterative"].reset_index(drop=True)


def paper_dense_curve(metric: str) -> pd.DataFrame:
    """The paper's dense Lenet while it trains (mean of 5): test accuracy of Figure 3, validation loss of Figure 11."""
    figure = {"test_accuracy": "3", "validation_loss": "11"}.get(metric)
    if figure is None:
        return paper_rows("3", "1", "test_accuracy")[:0]
    rows = paper_rows(figure, "1", metric)
    return rows[rows["percent_remaining"] > 99.95].reset_index(drop=True)


def series_label(row) -> str:
    """What a reader calls a series: "Lenet winning ticket, one-shot"; iterative pruning goes without saying."""
    values = [row.get(name) for name in SERIES]
    network, arm, procedure = (value if isinstance(value, str) else "" for value in values)
    words = [paper.NETWORK_LABELS.get(network, network), style.ARM_LABELS.get(arm, arm)]
    label = " ".join(word for word in words if word)
    if procedure not in ("", "iterative"):
        label += f", {style.PROCEDURE_LABELS[procedure]}"
    return f"{label} [{row['setting']}]" if isinstance(row.get("setting"), str) else label


def decimals(metric: str, value: float) -> str:
    """A value as a reader wants it: iterations whole, accuracies in percent with two decimals, losses with four."""
    if pd.isna(value):
        return "-"
    if "accuracy" in metric:
        return f"{100 * value:.2f}"
    return f"{value:.4f}" if "loss" in metric else f"{value:.0f}"


def rungs(table: pd.DataFrame, at: list[float]) -> str:
    """The drawn means at named rungs (or named iterations of learning curves), as plain text of fixed decimals.

    at: P_m values as the paper prints them (51.3 finds 51.28), or iterations (the evaluation at most 60 away).
    A dash stands where nothing is drawn, and series without any of the rungs are left out. Accuracies are in
    percent; n is the number of trials behind a row, or its range.
    """
    over_iterations = "iteration" in table
    axis, reach = ("iteration", 60) if over_iterations else ("percent_remaining", 0.051)
    heads = [f"{value:g}" if over_iterations else style.percent(value) for value in at]
    at, lines = list(at), []
    for keys, drawn in _series(table[table["source"] != "trial"]):
        far = [(drawn[axis] - target).abs() for target in at]
        found = [drawn.loc[x.idxmin()] if len(x) and x.min() < reach else None for x in far]
        rows = [row for row in found if row is not None]
        if not rows:
            continue
        cells = ["-" if row is None else decimals(keys["metric"], row["mean"]) for row in found]
        counts = sorted({int(row["trials"]) for row in rows if pd.notna(row.get("trials"))})
        lines.append((keys, ["-".join(map(str, counts[:1] + counts[1:][-1:])), *cells]))
    names = [(keys["metric"], keys.get("panel"), _row_name(keys)) for keys, _ in lines]
    lines.sort(key=lambda line: names.index((line[0]["metric"], line[0].get("panel"), _row_name(line[0]))))
    return _aligned(lines, ["n", *heads])


def _series(table):
    """(keys, rows) of each drawn series in drawing order."""
    curve_rung = ["percent_remaining"] if "iteration" in table else []
    names = ["panel", "metric", "source", *SERIES, "setting", *curve_rung]
    by = [name for name in names if name in table]
    for values, drawn in table.groupby(by, sort=False, dropna=False):
        yield dict(zip(by, values, strict=True)), drawn


def _aligned(lines, heads) -> str:
    text, metric, panel = [], None, None
    names = [f"{_row_name(keys)} ({keys['source']})" for keys, _ in lines]
    first = max(map(len, names), default=0)
    width = max([len(cell) for _, cells in lines for cell in cells] + [len(head) for head in heads]) + 2
    for name, (keys, cells) in zip(names, lines, strict=True):
        if (keys["metric"], keys.get("panel")) != (metric, panel):
            metric, panel = keys["metric"], keys.get("panel")
            unit = " (%)" if "accuracy" in metric else ""
            title = f"panel {panel}: " if isinstance(panel, str) and panel else ""
            text += [""] * bool(text) + [f"{title}{METRICS.get(metric, metric)}{unit}"]
            text.append(" " * first + "".join(f"{head:>{width}}" for head in heads))
        text.append(f"{name:<{first}}" + "".join(f"{cell:>{width}}" for cell in cells))
    return "\n".join(text)


def _row_name(keys):
    rung = f" at {style.percent(keys['percent_remaining'])} %" if "percent_remaining" in keys else ""
    return f"{series_label(keys)}{rung}"


def alt_text(table: pd.DataFrame) -> str:
    """One sentence per series of ours, for readers who do not see the picture: where it starts, turns and ends."""
    if "source" not in table:
        return f"{len(table)} images" + (": " + "; ".join(table["title"]) if "title" in table else "")
    sentences = []
    for keys, drawn in _series(table):
        metric = keys["metric"]
        if keys["source"] != "ours" or drawn["mean"].isna().all():
            continue
        best = drawn["mean"].idxmax() if "accuracy" in metric else drawn["mean"].idxmin()
        places = [drawn.index[0], best, drawn.index[-1]]
        start, turn, end = (
            f"{decimals(metric, drawn.loc[i, 'mean'])} at {_place(drawn.loc[i])}" for i in places
        )
        extreme = "highest" if "accuracy" in metric else "lowest"
        sentences.append(
            f"{METRICS.get(metric, metric)}, {_row_name(keys)}: {start}; {extreme} {turn}; {end}."
        )
    return "\n".join(sentences) or "No measurements of ours; the paper's curves alone."


def _place(row):
    if "iteration" in row:
        return f"iteration {row['iteration']:.0f}"
    return f"{style.percent(row['percent_remaining'])} %"
