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
others, which rank or compare readings, a remark says so. A crossing at the last rung that was trained is open below.
Where some trials lack a rung that others have, only those others count. A diverged run decides nothing.
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
    quantity = QUANTITIES[condition["quantity"]]
    arms = arms_of(frame, condition, condition["metric"])
    if quantity is _rank_agreement:
        arms += arms_of(frame, condition, f"iterations_to_accuracy@{condition['threshold']}")
    sample = quantity(condition, *arms)
    if quantity is not _compare and sample.trials and any(arm.censored.any(axis=None) for arm in arms):
        sample = replace(sample, remark=join(sample.remark, "censored readings count as they stand"))
    scales, precisions = (
        tuple(sorted(set().union(*sets)))
        for sets in ([arm.scales for arm in arms], [arm.precisions for arm in arms])
    )
    return replace(sample, scales=scales, precisions=precisions)


def parse_rungs(text: str) -> list[float]:
    """The P_m (percent) that a ledger cell lists, falling."""
    return [float(word) for word in str(text).split()]


def join(*parts: str) -> str:
    """The parts that are not blank, each once, with semicolons between them."""
    return "; ".join(dict.fromkeys(filter(None, parts)))


def arms_of(frame, condition, metric) -> list[Grid]:
    """The condition's arm and, where it has one, its reference; a single rung of that stands under each of the arm's."""
    rungs = parse_rungs(condition["percent_remaining"])
    names = ("variant", "arm", "procedure")
    network = condition["network"]
    arms = [grid(frame, metric, rungs, network=network, **{name: condition[name] for name in names})]
    if condition["reference_arm"]:
        series = {name: condition[f"reference_{name}"] for name in names}
        same = condition["reference_percent_remaining"] == "same"
        at = rungs if same else parse_rungs(condition["reference_percent_remaining"])
        reference = grid(frame, metric, at, network=network, **series)
        compared = QUANTITIES[condition["quantity"]] is _compare and not same
        arms.append(reference.under(rungs) if compared else reference)
    return arms


def _compare(condition, *arms):
    tables, sample = complete(*arms)
    if not sample.trials:
        return sample
    ratio = condition["quantity"] == "ratio"
    means = _contrast(ratio, *(table.mean() for table in tables))
    used, remark = list(means.index), sample.remark
    if condition["over"] in ("highest", "lowest"):
        used = [means.idxmax() if condition["over"] == "highest" else means.idxmin()]
        remark = join(f"at {used[0]:.4g} %", remark)
    values = [table[used].mean(axis=1).to_numpy() for table in tables]
    open_ends = [bool(arm.censored.loc[list(sample.trials), used].any(axis=None)) for arm in arms]
    sample = replace(sample, remark=remark, **dict(zip(("open_high", "open_low"), open_ends)))
    if ratio:
        return replace(sample, values=values[0], reference=values[1], scale="ratio")
    factor = 100.0 if condition["unit"] in ("pp", "percent") else 1.0
    return replace(sample, values=factor * _contrast(False, *values))


def _contrast(ratio, above, below=None):
    if below is None:
        return above
    return above / below if ratio else above - below


def complete(*arms) -> tuple[list[pd.DataFrame], Sample]:
    """Values of the trials that have, in every arm, each rung that any trial has; and a sample that notes the others."""
    trials = sorted(set.intersection(*(set(arm.values.index) for arm in arms)))
    here = np.logical_and.reduce([arm.present.any().to_numpy() for arm in arms])
    tables = [arm.values.loc[trials, here] for arm in arms]
    problems = [text for arm in arms for text in _diverged(arm.diverged.loc[trials, here])]
    if 0 < here.sum() < len(here):
        problems.append(_missing(~here))
    there = np.hstack([table.notna() for table in tables])
    whole = there.all(axis=1) & here.any()
    remark = "" if problems else _left_out(np.array(trials)[there.any(axis=1) & ~whole])
    kept = tuple(np.array(trials)[whole].tolist())
    return [table[whole] for table in tables], Sample(trials=kept, problem=join(*problems), remark=remark)


def _diverged(table):
    return [
        f"diverged: trial {trial} at {rung:.4g} %"
        for trial, row in table.iterrows()
        for rung in row.index[row]
    ]


def _missing(absent):
    return f"{absent.sum()} of {len(absent)} rungs missing"


def _left_out(trials):
    return f"left out as incomplete: trial {', '.join(map(str, trials))}" if len(trials) else ""


def _crossing(condition, subject, *reference):
    sign = -1.0 if condition["metric"] in LOWER_IS_BETTER else 1.0
    problems = [text for arm in (subject, *reference) for text in _diverged(arm.diverged)]
    targets = pd.Series(float(condition["threshold"]), subject.values.index)
    if reference:
        targets = reference[0].values.iloc[:, 0].reindex(subject.values.index)
    table = subject.values[subject.values.notna().any(axis=1) & targets.notna()]
    trained = {trial: row.loc[: row.last_valid_index()] for trial, row in table.iterrows()}
    deepest = max(map(len, trained.values()), default=0)
    whole = [trial for trial, row in trained.items() if len(row) == deepest and row.notna().all()]
    if not whole:
        problems += [_missing(row.isna()) for row in trained.values() if row.isna().any()]
    kept = {trial: trained[trial] for trial in whole or trained}
    found = {trial: row.index[sign * row >= sign * targets[trial]] for trial, row in kept.items()}
    values = [fine[-1] if len(fine) else 100.0 for fine in found.values()]
    return Sample(
        trials=tuple(map(int, kept)),
        values=np.array(values),
        scale="log",
        open_low=any(value == row.index[-1] for value, row in zip(values, kept.values())),
        problem=join(*problems),
        remark=_left_out([trial for trial in trained if trial not in kept]),
    )


def _crossing_ratio(condition, subject, reference):
    above, below = (_crossing(condition, arm) for arm in (subject, reference))
    upper, lower = (dict(zip(sample.trials, sample.values)) for sample in (above, below))
    trials = tuple(trial for trial in upper if trial in lower)
    return Sample(
        trials=trials,
        values=np.array([upper[trial] / lower[trial] for trial in trials]),
        scale="log",
        open_low=above.open_low,
        open_high=below.open_low,
        problem=join(above.problem, below.problem),
        remark=join(above.remark, below.remark),
    )


def _location(condition, subject):
    (table,), sample = complete(subject)
    if not sample.trials:
        return sample
    where = table.idxmax(axis=1) if condition["quantity"] == "location_of_highest" else table.idxmin(axis=1)
    return replace(sample, values=where.to_numpy(float), scale="log")


def _rank_correlation(condition, subject):
    (table,), sample = complete(subject)
    return replace(sample, values=_correlations(np.broadcast_to(range(table.shape[1]), table.shape), table))


def _rank_agreement(condition, subject, reference, subject_times, reference_times):
    """Over the rungs of both arms together: of each arm the trials that have every rung, then those of both."""
    (first, first_times), one = complete(subject, subject_times)
    (second, second_times), other = complete(reference, reference_times)
    trials = [trial for trial in one.trials if trial in other.trials]
    metric, times = (
        np.hstack([a.loc[trials], b.loc[trials]]) for a, b in ((first, second), (first_times, second_times))
    )
    return Sample(
        trials=tuple(trials),
        values=_correlations(metric, times),
        problem=join(one.problem, other.problem),
        remark=join(one.remark, other.remark),
    )


def _correlations(first, second):
    return np.array([rank_correlation(*pair) for pair in zip(np.asarray(first), np.asarray(second))])


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
