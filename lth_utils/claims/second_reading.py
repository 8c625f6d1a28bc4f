"""A second reading of the same conditions: direction apart from size. Post hoc, 2026-11-27; replaces no verdict.

It was defined after the frozen rule had been applied to five trials of Lenet and of Conv-2. That rule wants a whole
95 % interval inside bounds made for a point estimate, so that trials of the paper's own leave many conditions open
(figures/00_calibration.csv). Here a condition is read in parts, each with its error, per network:

direction: is there the effect that the claim speaks of, whatever its size? "shown" where the 95 % interval excludes no
    effect on the claim's side, "against" where it does on the other, else "open"; "" where the claim names no side.
size: "agrees" where the 95 % interval of ours minus the paper's plot, with the errors of both, holds zero, else
    "differs". Its half-width stands beside it: a wide "agrees" knows nothing. The paper's error comes from its bars.
inside, equivalent: our estimate lies in the frozen bounds; so does its 90 % interval (the equivalence test at 5 %).
plot_inside: whether the paper's plot itself does. Where not, text and plot of the paper disagree: a fact about it.
holm: the p-values of all directions that are read together, adjusted after Holm.
"""

import math
from functools import partial

import numpy as np
import pandas as pd
from scipy import stats

from lth_utils import claims
from lth_utils.claims.grids import SAME_RUNG
from lth_utils.claims.measures import LOWER_IS_BETTER, Sample, arms_of, complete, measure, parse_rungs
from lth_utils.claims.statistics import CONFIDENCE, FEWEST_TRIALS, Interval, expected_range
from lth_utils.paper import figures

LEVEL = 1 - CONFIDENCE
NO_EFFECT = {"ratio": 1.0, "crossing_ratio": 1.0}
NO_EFFECT |= dict.fromkeys(["difference", "rank_correlation", "rank_agreement"], 0.0)
RESAMPLES, SEED = 2_000, 20261127


def read(frame: pd.DataFrame, ids=None) -> pd.DataFrame:
    """One row per scored condition that has three trials of the paper's scale: the parts of the module docstring.

    frame: as for `claims.compare`. Numbers are in the condition's unit. Conditions whose runs diverged, lack rungs or
    are too few are left out; the frozen table says why.
    """
    runs = {network: rows for network, rows in frame[frame["study"] == "paper"].groupby("network")}
    rows, points = [], figures.points()
    for _, condition in claims.ledger(ids).query("scored == 'yes'").iterrows():
        if condition["network"] not in runs:
            continue
        sample = measure(runs[condition["network"]], condition)
        if sample.scales == ("paper",) and not sample.problem and len(sample.trials) >= FEWEST_TRIALS:
            rows.append(_row(condition, sample, points))
    table = pd.DataFrame(rows)
    table["holm"] = holm(table["p"]) if rows else ()
    return table


def by_claim(table: pd.DataFrame) -> pd.DataFrame:
    """Per claim and network of a table of `read`: how many of its conditions have which direction, size and outcome."""
    counts = {
        part: pd.crosstab([table["claim"], table["network"]], table[part]).drop(columns="", errors="ignore")
        for part in ("direction", "size", "frozen")
    }
    return pd.concat(counts, axis=1)


def _row(condition, sample, points):
    found = claims.interval_of(sample)
    facts = {name: condition[name] for name in ("claim", "condition", "network", "measure", "unit")}
    facts |= {"ours": found.estimate, "low": found.low, "high": found.high, "trials": found.trials}
    facts |= direction(condition, sample) | size(condition, sample, points)
    return facts | {"frozen": claims.decide(condition, sample).outcome} | against_bounds(condition, sample)


def against_bounds(condition: pd.Series, sample: Sample) -> dict:
    """The frozen bounds as they were meant, for a point, and as an equivalence test; and whether the plot is inside."""
    lower, upper = condition["lower"], condition["upper"]
    narrow = claims.interval_of(sample, 1 - 2 * LEVEL)
    plot = pd.to_numeric(condition["paper_figure"], errors="coerce")
    return {
        "inside": lower <= narrow.estimate <= upper,
        "equivalent": lower <= narrow.low and narrow.high <= upper,
        "plot_inside": math.isnan(plot) or lower <= plot <= upper,
    }


def sense(condition: pd.Series) -> int:
    """1 where the frozen bounds put the effect above none, -1 below, 0 where they speak of no direction."""
    none = NO_EFFECT.get(condition["quantity"], math.nan)
    return int(condition["lower"] >= none) - int(condition["upper"] <= none)


def direction(condition: pd.Series, sample: Sample) -> dict:
    """direction and its two-sided p-value, NaN without a direction; a censored end can speak for its own side only."""
    claimed = sense(condition)
    if not claimed:
        return {"direction": "", "p": math.nan}
    effect = _effect(sample, NO_EFFECT[condition["quantity"]])
    sign = np.sign(effect.mean())
    censored = sample.open_low if sign > 0 else sample.open_high
    p = 1.0 if censored else _p_value(effect)
    return {"direction": "open" if p >= LEVEL else "shown" if sign == claimed else "against", "p": p}


def _effect(sample, none):
    """Per trial what is zero on average where there is no effect; of a ratio Fieller's numerator - none * denominator."""
    if sample.reference is not None:
        return sample.values - none * sample.reference
    return np.log(sample.values / none) if sample.scale == "log" else sample.values - none


def _p_value(values):
    if np.ptp(values) == 0:  # no spread, no t-test: iterations come in steps, rank correlations end at one
        return float(values[0] == 0)
    return float(stats.ttest_1samp(values, 0).pvalue)


def holm(p_values: pd.Series) -> pd.Series:
    """p-values adjusted after Holm for all that are no NaN together."""
    known = p_values.dropna().sort_values()
    steps = known * np.arange(len(known), 0, -1)
    return steps.cummax().clip(upper=1.0).reindex(p_values.index)


def size(condition: pd.Series, sample: Sample, points: pd.DataFrame) -> dict:
    """The paper's plotted number, ours minus it, half of their 95 % intervals (Welch), and whether they agree.

    Blank for what the plots over P_m do not show with bars, for geometric means, and for censored readings.
    """
    theirs, errors = plotted(condition, points)
    if math.isnan(theirs) or sample.scale == "log" or sample.open_low or sample.open_high:
        names = ("theirs", "theirs_half", "difference", "half_width")
        return dict.fromkeys(names, math.nan) | {"size": ""}
    ours = claims.interval_of(sample)
    half = _half_width([(ours.spread / math.sqrt(ours.trials), ours.trials), *errors])
    difference = ours.estimate - theirs
    word = "agrees" if abs(difference) <= half else "differs"
    found = {"theirs": theirs, "theirs_half": _half_width(errors)}
    return found | {"difference": difference, "half_width": half, "size": word}


def _half_width(errors):
    """Half of the 95 % interval of a sum of means with these (standard errors, runs), after Welch and Satterthwaite."""
    variance = sum(error**2 for error, _ in errors)
    freedom = variance**2 / sum(error**4 / (count - 1) for error, count in errors)
    return float(stats.t.ppf(1 - LEVEL / 2, freedom)) * math.sqrt(variance)


def plotted(condition: pd.Series, points: pd.DataFrame) -> tuple[float, list[tuple[float, int]]]:
    """The paper's number for a value, difference or ratio, from its plotted means, and (standard error, runs) per arm.

    points: `paper.figures.points`. NaN for other quantities and where a rung is not plotted. Arms and rungs count as
    independent.
    """
    if condition["quantity"] not in ("value", "difference", "ratio"):
        return math.nan, []
    rungs, spelled = parse_rungs(condition["percent_remaining"]), condition["reference_percent_remaining"]
    names = [[condition[name] for name in ("variant", "arm", "procedure")]]
    ladders = [rungs]
    if condition["reference_arm"]:
        names.append([condition[f"reference_{name}"] for name in ("variant", "arm", "procedure")])
        ladders.append(rungs if spelled == "same" else parse_rungs(spelled) * len(rungs))
    for mine, other in zip(names, names[::-1]):
        if mine[1] == "dense":  # the 100 % point of the tickets of the same plot
            mine[1:] = "winning_ticket", other[2]
    points = points[(points["network"] == condition["network"]) & (points["metric"] == condition["metric"])]
    arms = [_series(points, *pair) for pair in zip(names, ladders)]
    return (math.nan, []) if any(arm is None for arm in arms) else _contrast(condition, arms)


def _series(points, names, rungs):
    rows = points[(points[["variant", "arm", "procedure"]] == names).all(axis=1)]
    found = [rows[np.abs(np.log(rows["percent_remaining"] / rung)) < SAME_RUNG] for rung in rungs]
    if not all(len(rung) == 1 for rung in found):
        return None
    found = pd.concat(found, ignore_index=True)
    spread = (found["max"] - found["min"]) / found["runs"].map(expected_range)
    return found.assign(error=spread / np.sqrt(found["runs"]))


def _contrast(condition, arms):
    """Means and errors over the rungs used; the rungs of one arm count as moving together, which errs on the wide side."""
    ratio = condition["quantity"] == "ratio"
    means = arms[0]["mean"]
    if len(arms) == 2:
        means = means / arms[1]["mean"] if ratio else means - arms[1]["mean"]
    used = {"highest": [means.idxmax()], "lowest": [means.idxmin()]}.get(condition["over"], means.index)
    levels = [arm.loc[used, ["mean", "error"]].mean() for arm in arms]
    runs = [int(arm["runs"].iloc[0]) for arm in arms]
    if ratio:
        quotient, below = levels[0]["mean"] / levels[1]["mean"], levels[1]["mean"]
        return quotient, [
            (levels[0]["error"] / below, runs[0]),
            (quotient * levels[1]["error"] / below, runs[1]),
        ]
    factor = 100.0 if condition["unit"] in ("pp", "percent") else 1.0
    estimate = levels[0]["mean"] - (levels[1]["mean"] if len(levels) == 2 else 0.0)
    return factor * estimate, [(factor * level["error"], count) for level, count in zip(levels, runs)]


def of_mean_curve(frame: pd.DataFrame, condition: pd.Series) -> Interval:
    """A crossing or location where a plot shows it: on the mean curve over trials, with a bootstrap interval over trials.

    Percentiles of RESAMPLES resamples. The frozen reading averages each trial's own crossing, the extreme of many draws.
    Trials that lack a rung take no part. The low end is open where the mean curve has not crossed by its last rung.
    """
    arms = arms_of(frame, condition, condition["metric"])
    curves, sample = complete(
        *(arm.under(list(arms[0].values)) if arm is not arms[0] else arm for arm in arms)
    )
    if len(sample.trials) < FEWEST_TRIALS:
        return Interval(math.nan, math.nan, math.nan, len(sample.trials), math.nan)
    where = partial(_location, condition, [curve.to_numpy() for curve in curves], list(curves[0]))
    draws = np.random.Generator(np.random.PCG64(SEED)).integers(
        len(sample.trials), size=(RESAMPLES, len(sample.trials))
    )
    found = np.array([where(trials) for trials in draws])
    low, high = np.quantile(found, [LEVEL / 2, 1 - LEVEL / 2], method="closest_observation")
    last = condition["quantity"] == "crossing" and low == curves[0].columns[-1]
    estimate = where(np.arange(len(sample.trials)))
    return Interval(estimate, -math.inf if last else float(low), float(high), len(sample.trials), math.nan)


def _location(condition, curves, rungs, trials):
    subject, *reference = (curve[trials].mean(axis=0) for curve in curves)
    if condition["quantity"] == "location_of_highest":
        return rungs[subject.argmax()]
    if condition["quantity"] == "location_of_lowest":
        return rungs[subject.argmin()]
    target = reference[0] if reference else float(condition["threshold"])
    fine = np.flatnonzero(subject <= target if condition["metric"] in LOWER_IS_BETTER else subject >= target)
    return rungs[fine[-1]] if len(fine) else 100.0
