"""Small-sample statistics of paired trials: intervals, rank correlation, three-way decisions, trials still needed.

Plain numbers in, plain numbers out: knows nothing of networks, records or claims.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy import integrate, stats

CONFIDENCE = 0.95
FEWEST_TRIALS = 3  # fewer decide nothing
MOST_TRIALS = 1000  # beyond this, "more trials" is no answer


@dataclass(frozen=True)
class Interval:
    """An interval over trials (of 95 % unless asked otherwise); `spread`: standard deviation of one trial, NaN for one."""

    estimate: float
    low: float
    high: float
    trials: int
    spread: float


def t_interval(values: Sequence[float], confidence: float = CONFIDENCE) -> Interval:
    """Mean of one value per trial with its t-interval; the ends are NaN for fewer than two trials."""
    values = np.asarray(values, dtype=float)
    count = len(values)
    if count < 2:
        return Interval(float(values.mean()) if count else math.nan, math.nan, math.nan, count, math.nan)
    mean, spread = float(values.mean()), float(values.std(ddof=1))
    half = t_quantile(count, confidence) * spread / math.sqrt(count)
    return Interval(mean, mean - half, mean + half, count, spread)


def ratio_interval(
    numerators: Sequence[float], denominators: Sequence[float], confidence: float = CONFIDENCE
) -> Interval:
    """Ratio of the two means over paired trials, with Fieller's interval.

    A ratio r lies inside when the paired t-test of numerator - r * denominator against 0 accepts it, so the interval
    speaks about the ratio of means that a paper's plot shows, and a slow trial weighs no more than a fast one. It is
    unbounded (-inf, inf) when the denominators' mean cannot be told from zero.
    """
    above, below = np.asarray(numerators, dtype=float), np.asarray(denominators, dtype=float)
    count = len(above)
    ratio = float(above.mean() / below.mean()) if count else math.nan
    if count < 2:
        return Interval(ratio, math.nan, math.nan, count, math.nan)
    spread = float((above - ratio * below).std(ddof=1) / abs(below.mean()))
    (var_above, cov), (_, var_below) = np.cov(above, below) * t_quantile(count, confidence) ** 2 / count
    a, b = below.mean() ** 2 - var_below, above.mean() * below.mean() - cov
    if a <= 0:
        return Interval(ratio, -math.inf, math.inf, count, spread)
    root = math.sqrt(max(0.0, b * b - a * (above.mean() ** 2 - var_above)))
    return Interval(ratio, float(b - root) / a, float(b + root) / a, count, spread)


def geometric_interval(values: Sequence[float], confidence: float = CONFIDENCE) -> Interval:
    """Geometric mean with the t-interval of the logarithms; `spread` is that of the logarithms."""
    logs = t_interval(np.log(np.asarray(values, dtype=float)), confidence)
    return Interval(*(math.exp(x) for x in (logs.estimate, logs.low, logs.high)), logs.trials, logs.spread)


def t_quantile(count: int, confidence: float = CONFIDENCE) -> float:
    """The two-sided quantile of Student's t for `count` trials."""
    return float(stats.t.ppf((1 + confidence) / 2, count - 1))


@cache
def expected_range(count: int) -> float:
    """Mean distance from the smallest to the largest of `count` standard normal values: 2.326 for 5, 3.078 for 10."""
    normal = stats.norm(0, 1)
    return float(integrate.quad(lambda x: 1 - normal.cdf(x) ** count - normal.sf(x) ** count, -10, 10)[0])


def rank_correlation(first: Sequence[float], second: Sequence[float]) -> float:
    """Spearman's rank correlation, ties sharing their mean rank; 0 where one side does not vary."""
    constant = min(np.ptp(first), np.ptp(second)) == 0
    return 0.0 if constant else float(stats.spearmanr(first, second).statistic)


def decision(low: float, high: float, lower: float, upper: float) -> str:
    """met: the interval lies inside [lower, upper]; failed: outside; inconclusive: it straddles a bound."""
    if lower <= low and high <= upper:
        return "met"
    if high < lower or upper < low:
        return "failed"
    return "inconclusive"


def trials_to_decide(estimate: float, spread: float, lower: float, upper: float) -> int | None:
    """Fewest trials whose interval would clear the bounds, if estimate and spread stayed as they are.

    None where no number up to MOST_TRIALS would: the estimate lies on, or all but on, a bound.
    """
    distances = [abs(estimate - bound) for bound in (lower, upper) if math.isfinite(bound)]
    distance = min(distances, default=math.inf)
    counts = np.arange(FEWEST_TRIALS, MOST_TRIALS + 1)
    half_widths = stats.t.ppf((1 + CONFIDENCE) / 2, counts - 1) * spread / np.sqrt(counts)
    enough = counts[half_widths < distance]
    return int(enough[0]) if len(enough) else None
