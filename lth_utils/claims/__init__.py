"""Do our trials agree with the paper? The ledger's conditions decided by rule, claim by claim.

The ledger (paper/claims.csv) is frozen; nothing here or in a notebook writes an outcome by hand. A
condition is met when the 95 % interval over trials lies inside its bounds, failed when it lies outside, inconclusive
when it straddles one, or with fewer than three trials. With sixty claims at 95 % a few misfire by chance.
"""

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import pandas as pd

from lth_utils import paper
from lth_utils.claims.measures import Sample, join, measure
from lth_utils.claims.statistics import (
    CONFIDENCE,
    FEWEST_TRIALS,
    Interval,
    decision,
    geometric_interval,
    ratio_interval,
    t_interval,
    trials_to_decide,
)

OUTCOMES = ("met", "failed", "inconclusive", "reduced scale", "not run", "chosen")
VERDICTS = ("reproduced", "partly reproduced", "not reproduced", "inconclusive", "not run", "reduced scale")
NUMERIC = ("value", "lower", "upper", "threshold")  # columns of the ledger; the others are text
SHOWN = ["claim", "condition", "rank", "section", "figure", "network", "statement", "measure", "unit"]
SHOWN += ["paper_says", "paper_figure"]
SUFFIXES = {"pp": " pp", "percent": " %", "percent_remaining": " %", "iterations": " it."}
SUFFIXES |= {"ratio": "", "correlation": ""}


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
    table = paper.claims().fillna({"lower": -math.inf, "upper": math.inf})
    text = [name for name in table if name not in NUMERIC]
    table[text] = table[text].astype("string").fillna("").astype(object)
    if ids is None:
        return table
    if unknown := sorted(set(ids) - set(table["claim"])):
        raise KeyError(f"no such claim: {', '.join(unknown)}")
    return table[table["claim"].isin(ids)].reset_index(drop=True)


def decide(condition: pd.Series, sample: Sample) -> Decision:
    """The rule of the module docstring; a condition that chose a setting is "chosen", reduced scale gets no outcome."""
    interval = interval_of(sample)
    if condition["scored"] == "no":
        return Decision(interval, "chosen", join(condition["note"], sample.problem))
    if not sample.trials and not sample.problem:
        return Decision(interval, "not run")
    if sample.scales != ("paper",):
        return Decision(interval, "reduced scale", join(*sample.scales, sample.problem))
    if sample.problem:
        return Decision(interval, "inconclusive", sample.problem)
    if interval.trials < FEWEST_TRIALS:
        return Decision(interval, "inconclusive", f"fewer than {FEWEST_TRIALS} trials")
    bounds = condition["lower"], condition["upper"]
    outcome = decision(interval.low, interval.high, *bounds)
    return Decision(interval, outcome, _needed(interval, sample, bounds) if outcome == "inconclusive" else "")


def interval_of(sample: Sample, confidence: float = CONFIDENCE) -> Interval:
    """The sample's estimate with its interval, whose ends are infinite where a censored reading leaves them open."""
    if sample.reference is not None:
        found = ratio_interval(sample.values, sample.reference, confidence)
    else:
        found = (geometric_interval if sample.scale == "log" else t_interval)(sample.values, confidence)
    low = -math.inf if sample.open_low else found.low
    high = math.inf if sample.open_high else found.high
    return Interval(found.estimate, low, high, found.trials, found.spread)


def _needed(interval, sample, bounds):
    """What would decide a straddling condition: how many trials, or longer runs."""
    if sample.open_low or sample.open_high:
        return "censored: longer or deeper runs would decide"
    estimate = interval.estimate
    if sample.scale == "log":
        estimate, *bounds = (math.log(x) if x > 0 else -math.inf for x in (estimate, *bounds))
    count = trials_to_decide(estimate, interval.spread, *bounds)
    return f"about {count} trials would decide" if count else "on the bound: no number of trials would decide"


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
        found = decided.interval
        rows.append(
            condition[SHOWN].to_dict()
            | {"ours": found.estimate, "low": found.low, "high": found.high, "trials": found.trials}
            | {"trial_values": tuple(float(value) for value in sample.per_trial())}
            | {"rule": rule(condition), "outcome": decided.outcome}
            | {"reason": join(sample.remark, decided.reason), "note": _note(sample)}
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
    digits = 0 if row.unit == "iterations" else 2
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
