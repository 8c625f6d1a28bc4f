"""What a condition of a claim measures: one value per trial, the two arms of a comparison within the same trial.

Refuses to know what the paper says about the value: bounds and verdicts are the business of `claims`.

Quantities. value, difference, ratio: the metric of an arm, minus or over that of a reference arm. crossing: the
smallest P_m of the ladder at which a trial is no worse than its own dense network, 100 where no rung is (with a
`threshold`: no worse than that); crossing_ratio: one arm's crossing over another's. location_of_highest, _lowest: the
P_m of the extreme. rank_correlation: Spearman's, between pruning and the metric. rank_agreement: Spearman's, over the
rungs of both arms, between the metric and the iterations to the test accuracy `threshold`.
Over several rungs, highest and lowest take the rung whose mean over trials is extreme, as a reader of the paper's mean
curves does; one trial's own extreme would be the luckiest of many draws. P_m are compared as logarithms: the rungs of
a ladder are evenly spaced there, so an interval means the same number of pruning rounds everywhere.
Censored readings stay in: of value, difference and ratio the side on which the truth may lie is marked open, of the
others, which rank or compare readings, a remark says so.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from lth_utils.claims.grids import Grid, grid
from lth_utils.claims.statistics import rank_correlation

LOWER_IS_BETTER = ("early_stop_iteration",)


@dataclass(frozen=True)
class Sample:
    """One value per trial, ready to be decided upon.

    scale: what its interval is about: "mean", "ratio" (of the means of values and reference), "log" (geometric mean).
    open_low, open_high: a censored reading lets the truth lie lower or higher. problem: why nothing can be decided
    from it; remark: worth a note. scales, precisions: those of the records behind it.
    """

    trials: tuple[int, ...] = ()
    values: np.ndarray = field(default_factory=lambda: np.array([]))
    reference: np.ndarray | None = None
    scale: str = "mean"
    open_low: bool = False
    open_high: bool = False
    problem: str = ""
    remark: str = ""
    scales: tuple[str, ...] = ()
    precisions: tuple[str, ...] = ()

    def per_trial(self) -> np.ndarray:
        """The values as a reader wants to see them, ratios divided out."""
        return self.values if self.reference is None else self.values / self.reference


def measure(frame: pd.DataFrame, condition: pd.Series) -> Sample:
    """The per-trial values that decide a condition (a row of the ledger, blanks as ""), from records of one study."""
    quantity = condition["quantity"]
    subject, reference = _arms(frame, condition, condition["metric"])
    if quantity == "rank_agreement":
        times = _arms(frame, condition, f"iterations_to_accuracy@{condition['threshold']}")
        subject, reference = subject.beside(reference), times[0].beside(times[1])
    arms = [subject] if reference is None else [subject, reference]
    scales, precisions = (
        tuple(sorted(set().union(*(getattr(arm, name) for arm in arms)))) for name in ("scales", "precisions")
    )
    sample = QUANTITIES[quantity](condition, subject, reference)
    if QUANTITIES[quantity] is not _compare and sample.trials and _any_censored(subject, reference):
        sample = replace(sample, remark=_join(sample.remark, "censored readings count as they stand"))
    return replace(sample, scales=scales, precisions=precisions)


def _any_censored(*grids):
    return any(bool(one.censored.any(axis=None)) for one in grids if one is not None)


def parse_rungs(text: str) -> list[float]:
    """The P_m (percent) that a ledger cell lists, falling."""
    return [float(word) for word in str(text).split()]


def _arms(frame, condition, metric) -> tuple[Grid, Grid | None]:
    """Grids of the condition's arm and of its reference arm, the latter's only rung under each of the former's."""
    rungs = parse_rungs(condition["percent_remaining"])
    names = ("network", "variant", "arm", "procedure")
    subject = grid(frame, metric, rungs, **{name: condition[name] for name in names})
    if not condition["reference_arm"]:
        return subject, None
    series = {name: condition[f"reference_{name}"] for name in names[1:]}
    spelled = condition["reference_percent_remaining"]
    at = rungs if spelled == "same" else parse_rungs(spelled)
    reference = grid(frame, metric, at, network=condition["network"], **series)
    compared = condition["quantity"] in ("difference", "ratio") and spelled != "same"
    return subject, reference.repeated(rungs) if compared else reference


def _compare(condition, subject, reference):
    x, y, sample = _complete(subject, reference)
    if not sample.trials:
        return sample
    ratio = condition["quantity"] == "ratio"
    means = x.mean()
    if y is not None:
        means = means / y.mean() if ratio else means - y.mean()
    used, remark = list(x), sample.remark
    if condition["over"] in ("highest", "lowest"):
        used = [means.idxmax() if condition["over"] == "highest" else means.idxmin()]
        remark = _join(f"at {used[0]:.4g} %", remark)
    above, below = x[used].mean(axis=1).to_numpy(), None if y is None else y[used].mean(axis=1).to_numpy()
    sample = replace(
        sample,
        remark=remark,
        open_high=bool(subject.censored.loc[x.index, used].any(axis=None)),
        open_low=y is not None and bool(reference.censored.loc[x.index, used].any(axis=None)),
    )
    if ratio:
        return replace(sample, values=above, reference=below, scale="ratio")
    factor = 100.0 if condition["unit"] in ("pp", "percent") else 1.0
    return replace(sample, values=factor * (above if below is None else above - below))


def _complete(subject, reference=None):
    """Tables of the trials that have every rung that any has, in both arms, and a sample that notes the others."""
    grids = [subject] if reference is None else [subject, reference]
    trials = sorted(set.intersection(*(set(g.values.index) for g in grids)))
    columns = list(zip(*(list(g.values) for g in grids)))
    here = [
        all(g.values[c].notna().any() or g.diverged[c].any() for g, c in zip(grids, cs)) for cs in columns
    ]
    tables, failures = [], []
    for position, one in enumerate(grids):
        present = [cs[position] for cs, kept in zip(columns, here) if kept]
        tables.append(one.values.loc[trials, present])
        failures += _diverged(one.diverged.loc[trials, present])
    there = pd.concat(tables, axis=1).notna()
    whole = list(there.index[there.all(axis=1)]) if any(here) else []
    partial = [str(trial) for trial in there.index[there.any(axis=1)] if trial not in whole]
    if any(here) and not all(here):
        failures.append(f"{here.count(False)} of {len(here)} rungs missing")
    remark = f"left out as incomplete: trial {', '.join(partial)}" if partial and not failures else ""
    sample = Sample(trials=tuple(map(int, whole)), problem=_join(*failures), remark=remark)
    tables = [table.loc[whole] for table in tables]
    return tables[0], (tables[1] if reference is not None else None), sample


def _diverged(table):
    places = np.argwhere(table.to_numpy(dtype=bool))
    return [f"diverged: trial {table.index[i]} at {abs(table.columns[j]):.4g} %" for i, j in places]


def _join(*parts):
    return "; ".join(dict.fromkeys(part for part in parts if part))


def _crossing(condition, subject, reference):
    sign = -1.0 if condition["metric"] in LOWER_IS_BETTER else 1.0
    problems = _diverged(subject.diverged) + (_diverged(reference.diverged) if reference is not None else [])
    found, open_low = {}, False
    for trial, row in subject.values.iterrows():
        target = float(condition["threshold"]) if reference is None else _cell(reference.values, trial)
        last = row.last_valid_index()
        if last is None or np.isnan(target):
            continue
        row = row.loc[:last]
        if row.isna().any():
            problems.append(f"{int(row.isna().sum())} of {len(row)} rungs missing")
        fine = row[sign * row >= sign * target]
        found[int(trial)] = float(fine.index[-1]) if len(fine) else 100.0
        open_low |= found[int(trial)] == last
    values = np.array(list(found.values()))
    return Sample(
        trials=tuple(found), values=values, scale="log", open_low=open_low, problem=_join(*problems)
    )


def _cell(table, trial):
    return float(table.loc[trial].iloc[0]) if trial in table.index else np.nan


def _crossing_ratio(condition, subject, reference):
    above, below = (_crossing(condition, one, None) for one in (subject, reference))
    trials = tuple(trial for trial in above.trials if trial in below.trials)
    upper, lower = (dict(zip(sample.trials, sample.values)) for sample in (above, below))
    values = np.array([upper[trial] / lower[trial] for trial in trials])
    problem = _join(above.problem, below.problem)
    return Sample(
        trials, values, None, "log", open_low=above.open_low, open_high=below.open_low, problem=problem
    )


def _location(condition, subject, reference):
    table, _, sample = _complete(subject)
    if not sample.trials:
        return sample
    where = table.idxmax(axis=1) if condition["quantity"] == "location_of_highest" else table.idxmin(axis=1)
    return replace(sample, values=where.to_numpy(float), scale="log")


def _rank_correlation(condition, subject, reference):
    table, _, sample = _complete(subject)
    order = range(table.shape[1])
    return replace(sample, values=np.array([rank_correlation(order, row) for row in table.to_numpy()]))


def _rank_agreement(condition, subject, reference):
    first, second, sample = _complete(subject, reference)
    pairs = zip(first.to_numpy(), second.to_numpy()) if sample.trials else ()
    return replace(sample, values=np.array([rank_correlation(*pair) for pair in pairs]))


QUANTITIES: dict[str, Callable] = {
    "value": _compare,
    "difference": _compare,
    "ratio": _compare,
    "crossing": _crossing,
    "crossing_ratio": _crossing_ratio,
    "location_of_highest": _location,
    "location_of_lowest": _location,
    "rank_correlation": _rank_correlation,
    "rank_agreement": _rank_agreement,
}
