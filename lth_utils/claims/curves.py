"""How many of the paper's plotted points our trials meet, panel by panel."""

import math

import pandas as pd

from lth_utils import paper
from lth_utils.claims.grids import grid
from lth_utils.claims.statistics import t_interval
from lth_utils.paper.figures import PAPER_METRICS, paper_series


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
        common = [bar for bar in bars.itertuples() if ours.present[bar.pm_percent].any()]
        agreeing = sum(_meets(ours, bar) for bar in common)
        scores.append(
            {"figure": str(figure), "panel": str(panel), "metric": metric, **series, "paper_rungs": len(bars)}
            | {"common_rungs": len(common), "agreeing_rungs": agreeing, "coverage": len(common) / len(bars)}
            | {"score": agreeing / len(common) if common else math.nan}
        )
    return pd.DataFrame(scores)


def _meets(ours, bar):
    found = t_interval(ours.values[bar.pm_percent].dropna())
    low, high = (found.low, found.high) if found.trials > 1 else (found.estimate, found.estimate)
    return bool(low <= bar.max and bar.min <= high) and not ours.diverged[bar.pm_percent].any()
