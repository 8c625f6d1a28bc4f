"""Do our trials agree with the paper? The ledger's conditions decided by rule, claim by claim; curves scored.

The ledger (paper/claims.csv) was frozen before the runs; nothing here or in a notebook writes an outcome by hand. A
condition is met when the 95 % interval over trials lies inside its bounds, failed when it lies outside, inconclusive
when it straddles one, or with fewer than three trials. With sixty claims at 95 % a few misfire by chance.
"""

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import pandas as pd

from lth_utils import paper
from lth_utils.claims.grids import grid
from lth_utils.claims.measures import Sample, measure
from lth_utils.claims.statistics import (
    FEWEST_TRIALS,
    Interval,
    decision,
    geometric_interval,
    ratio_interval,
    t_interval,
    trials_to_decide,
)

INTERVALS = {"mean": t_interval, "log": geometric_interval}
OUTCOMES = ("met", "failed", "inconclusive", "reduced scale", "not run", "chosen")
VERDICTS = ("reproduced", "partly reproduced", "not reproduced", "inconclusive", "not run", "reduced scale")
DIGITS = {"pp": 2, "percent": 2, "ratio": 2, "iterations": 0, "percent_remaining": 2, "correlation": 2}
SUFFIXES = {
    "pp": " pp",
    "percent": " %",
    "ratio": "",
    "iterations": " it.",
    "percent_remaining": " %",
    "correlation": "",
}


@dataclass(frozen=True)
class Decision:
    """What our trials say about one condition; `reason` says why when they decide nothing."""

    interval: Interval
    outcome: str
    reason: str = ""


def ledger(ids: Iterable[str] | None = None) -> pd.DataFrame:
    """The frozen ledger, one row per condition; text cells are "" where blank, bounds infinite where one-sided.

    ids: claims such as "C09", or None for all; KeyError for one that the ledger lacks.
    """
    table = paper.claims().copy()
    numeric = ["value", "lower", "upper", "threshold"]
    text = [name for name in table if name not in numeric]
    table[text] = table[text].astype("string").fillna("").astype(object)
    table["lower"] = table["lower"].fillna(-math.inf)
    table["upper"] = table["upper"].fillna(math.inf)
    if ids is None:
        return table
    unknown = sorted(set(ids) - set(table["claim"]))
    if unknown:
        raise KeyError(f"no such claim: {', '.join(unknown)}")
    return table[table["claim"].isin(ids)].reset_index(drop=True)


def decide(condition: pd.Series, sample: Sample) -> Decision:
    """The rule of the module docstring; a condition that chose a setting is "chosen", reduced scale gets no outcome."""
    interval = _interval(sample)
    if condition["scored"] == "no":
        return Decision(interval, "chosen", "; ".join(filter(None, (condition["note"], sample.problem))))
    if not sample.trials and not sample.problem:
        return Decision(interval, "not run")
    if sample.scales != ("paper",):
        return Decision(interval, "reduced scale", "; ".join(filter(None, (*sample.scales, sample.problem))))
    if sample.problem:
        return Decision(interval, "inconclusive", sample.problem)
    if interval.trials < FEWEST_TRIALS:
        return Decision(interval, "inconclusive", f"fewer than {FEWEST_TRIALS} trials")
    bounds = condition["lower"], condition["upper"]
    outcome = decision(interval.low, interval.high, *bounds)
    return Decision(
        interval, outcome, "" if outcome != "inconclusive" else _missing(interval, sample, bounds)
    )


def _interval(sample):
    if sample.reference is not None:
        found = ratio_interval(sample.values, sample.reference)
    else:
        found = INTERVALS[sample.scale](sample.values)
    low = -math.inf if sample.open_low else found.low
    high = math.inf if sample.open_high else found.high
    return Interval(found.estimate, low, high, found.trials, found.spread)


def _missing(interval, sample, bounds):
    """What would decide a straddling condition: how many trials, or longer runs."""
    if sample.open_low or sample.open_high:
        return "censored: longer or deeper runs would decide"
    estimate = interval.estimate
    if sample.scale == "log":
        estimate, *bounds = (math.log(x) if x > 0 else -math.inf for x in (estimate, *bounds))
    needed = trials_to_decide(estimate, interval.spread, *bounds)
    return (
        f"about {needed} trials would decide" if needed else "on the bound: no number of trials would decide"
    )


def compare(frame: pd.DataFrame, ids: Iterable[str] | None = None) -> pd.DataFrame:
    """One row per condition of the named claims: what the paper says, what our records say, and the outcome.

    note: the precision of runs of the paper's length where it is not the paper's float32, for beside the number.
    frame: run records; only study "paper" counts. Raises ValueError when two records mean the same run, for instance
    when scales are mixed: load one scale per network.
    """
    frames = dict(list(frame[frame["study"] == "paper"].groupby("network"))) if len(frame) else {}
    rows = []
    for _, condition in ledger(ids).iterrows():
        ours = frames.get(condition["network"])
        sample = Sample() if ours is None else measure(ours, condition)
        decided = decide(condition, sample)
        interval, reason = decided.interval, "; ".join(filter(None, (sample.remark, decided.reason)))
        keep = ["claim", "condition", "rank", "section", "figure", "network", "statement", "measure", "unit"]
        rows.append(
            {name: condition[name] for name in keep}
            | {"paper_says": condition["paper_says"], "paper_figure": condition["paper_figure"]}
            | {
                "ours": interval.estimate,
                "low": interval.low,
                "high": interval.high,
                "trials": interval.trials,
            }
            | {"trial_values": tuple(float(value) for value in sample.per_trial())}
            | {"rule": rule(condition), "outcome": decided.outcome, "reason": reason, "note": _note(sample)}
        )
    return pd.DataFrame(rows)


def _note(sample):
    """What stands beside a number of the paper's scale; reduced scale names its many differences elsewhere."""
    differing = (name for name in sample.precisions if name != "float32")
    return ", ".join(differing) if sample.scales == ("paper",) else ""


def rule(condition: pd.Series) -> str:
    """The bounds as a reader writes them: ">= 0.3 pp", "0.47 to 0.77"."""
    lower, upper, unit = condition["lower"], condition["upper"], SUFFIXES[condition["unit"]]
    if math.isinf(upper):
        return f">= {lower:g}{unit}"
    return f"<= {upper:g}{unit}" if math.isinf(lower) else f"{lower:g} to {upper:g}{unit}"


def verdict(outcomes: Iterable[str]) -> str:
    """The verdict of one claim from its conditions' outcomes; chosen ones do not count."""
    count = Counter(outcome for outcome in outcomes if outcome != "chosen")
    if not count.total() or count["not run"] == count.total():
        return "not run"
    if count["met"] == count.total():
        return "reproduced"
    if count["met"] and count["failed"]:
        return "partly reproduced"
    if count["failed"] == count.total():
        return "not reproduced"
    return "reduced scale" if count["reduced scale"] + count["not run"] == count.total() else "inconclusive"


def verdicts(comparison: pd.DataFrame) -> pd.DataFrame:
    """One row per claim of a `compare` table: its verdict and how many of its conditions had which outcome."""
    rows = []
    for claim, conditions in comparison.groupby("claim", sort=False):
        count = Counter(conditions["outcome"])
        detail = ", ".join(f"{count[outcome]} {outcome}" for outcome in OUTCOMES if count[outcome])
        first = conditions.iloc[0]
        facts = {name: first[name] for name in ("rank", "section", "figure", "statement")}
        rows.append(
            {"claim": claim, **facts, "verdict": verdict(conditions["outcome"]), "conditions": detail}
        )
    return pd.DataFrame(rows)


def comparison_text(comparison: pd.DataFrame) -> str:
    """`compare` as stable plain text: a line per claim with its verdict, three per condition."""
    lines = []
    for claim, conditions in comparison.groupby("claim", sort=False):
        first = conditions.iloc[0]
        lines += [
            f"{claim} ({first['rank']}) {first['statement']}",
            f"    verdict: {verdict(conditions['outcome'])}",
        ]
        for row in conditions.itertuples():
            note = f" ({row.reason})" if row.reason else ""
            lines += [f"  {row.condition}  {row.measure}: {row.outcome}{note}"]
            lines += [f"     rule {row.rule} | {_paper_text(row)} | ours: {our_number(row)}"]
        lines.append("")
    return "\n".join(lines).rstrip("\n")


def _paper_text(row):
    numbers = {"text": row.paper_says, "plot": row.paper_figure}
    return "paper: " + (
        ", ".join(f"{where} {number}" for where, number in numbers.items() if number) or "no number"
    )


def our_number(row) -> str:
    """Our estimate with its 95 % interval, number of trials and note; "-" without runs, "open" at a censored end."""
    if not row.trials:
        return "-"
    digits = DIGITS[row.unit]
    ours, low, high = (
        f"{round(value, digits) + 0.0:.{digits}f}" if math.isfinite(value) else "open"
        for value in (row.ours, row.low, row.high)
    )
    interval = f" [{low}, {high}]" if row.trials > 1 else ""
    return f"{ours}{interval}{SUFFIXES[row.unit]}, n={row.trials}" + (f", {row.note}" if row.note else "")


def verdicts_text(table: pd.DataFrame) -> str:
    """`verdicts` as stable plain text, one line per claim."""
    width = max(map(len, VERDICTS))
    return "\n".join(
        f"{row.claim} {row.rank}  {row.verdict:<{width}}  {row.statement} ({row.conditions})"
        for row in table.itertuples()
    )


PAPER_METRICS = {  # axis label of the paper's plots over P_m -> column of the records
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


def curve_score(frame: pd.DataFrame, figure: str, panel: str) -> pd.DataFrame:
    """Per series of one panel over P_m: at which share of the common rungs we agree, and how many rungs we have.

    Agreement at a rung: our mean +- t-interval (a single trial: its value) meets the paper's min-max bar. A rung with
    a diverged run counts as common and disagreeing. ValueError for a panel that is not drawn over P_m.
    """
    curves = paper.curves()
    rows = curves[(curves["fig"].astype(str) == str(figure)) & (curves["panel"].astype(str) == str(panel))]
    if rows.empty or rows["metric"].iloc[0] not in PAPER_METRICS:
        raise ValueError(f"figure {figure}, panel {panel} is no panel over P_m")
    metric, scores = PAPER_METRICS[rows["metric"].iloc[0]], []
    for name, bars in rows.groupby("series", sort=False):
        series = paper_series(figure, bars["title"].fillna("").iloc[0], name)
        bars = bars.drop_duplicates("pm_percent")  # three rungs carry the end of their bar as a second point
        ours = grid(frame[frame["study"] == "paper"], metric, list(bars["pm_percent"]), **series)
        common = [
            rung for rung in ours.values if ours.values[rung].notna().any() or ours.diverged[rung].any()
        ]
        lows, highs = bars.set_index("pm_percent")["min"], bars.set_index("pm_percent")["max"]
        agree = [_meets(ours.values[r], lows[r], highs[r]) and not ours.diverged[r].any() for r in common]
        scores.append(
            {"figure": str(figure), "panel": str(panel), "metric": metric, **series, "paper_rungs": len(bars)}
            | {"common_rungs": len(common), "agreeing_rungs": sum(agree), "coverage": len(common) / len(bars)}
            | {"score": sum(agree) / len(common) if common else math.nan}
        )
    return pd.DataFrame(scores)


def _meets(values, low, high):
    ours = t_interval(values.dropna())
    ends = (ours.low, ours.high) if ours.trials > 1 else (ours.estimate, ours.estimate)
    return bool(ends[0] <= high and low <= ends[1])


def paper_series(figure: str, title: str, series: str) -> dict[str, str]:
    """network, variant, arm and procedure of a series as the paper's legends name it."""
    name = f"{title} {series}".lower()
    network = next((key for key, label in paper.NETWORK_LABELS.items() if label.lower() in name), "lenet")
    arm = "random_reinit" if "reinit" in name else "random_sparsity" if "random" in name else "winning_ticket"
    procedure = "one_shot" if "oneshot" in name else "continued" if "continued" in name else "iterative"
    variant = "conv_rate_10" if str(figure) == "1" and network == "conv6" else ""
    return {
        "network": network,
        "variant": "dropout" if "dropout" in name else variant,
        "arm": arm,
        "procedure": procedure,
    }
