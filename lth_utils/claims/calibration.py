"""How do both readings judge trials that are right, and trials that are wrong? Post hoc, 2026-11-27.

Right are the paper's own trials, and fresh ones drawn around its plotted means with the spread of its bars. Wrong are a
world where tickets learn like their own reinits, and our records with the names of two arms exchanged. A verdict on
ours means as much as it differs from the verdicts on these.
"""

from collections import Counter
from collections.abc import Iterable

import numpy as np
import pandas as pd

from lth_utils import claims, paper
from lth_utils.claims import second_reading
from lth_utils.claims.statistics import expected_range
from lth_utils.paper import figures

SEED = 20261127
PAPER_TRIALS = 5  # behind a plotted mean; where it averages more runs, each trial has several
FROZEN = ("met", "failed", "inconclusive")  # outcomes of a condition under the frozen rule
COUNTED = (*FROZEN, "reproduced", "not reproduced", "shown", "open", "against", "agrees", "differs")

WORLDS = {  # name -> five trials, from our records, the plotted points and a generator; "ours" draws nothing
    "the paper's own trials": lambda ours, truth, generator: paper_records(truth, generator, own=True),
    "five new trials, truth as plotted": lambda ours, truth, generator: paper_records(truth, generator),
    "tickets that are their own reinits": lambda ours, truth, generator: paper_records(
        tickets_like_reinits(truth), generator
    ),
    "ours": lambda ours, truth, generator: ours,
    "ours, tickets and reinits swapped": lambda ours, truth, generator: swapped(
        ours, "winning_ticket", "random_reinit"
    ),
    "ours, tickets and random networks swapped": lambda ours, truth, generator: swapped(
        ours, "winning_ticket", "random_sparsity"
    ),
}


def table(
    frame: pd.DataFrame,
    network: str = "lenet",
    draws: int = 5,
    ids: Iterable[str] | None = None,
    worlds: Iterable[str] = WORLDS,
) -> pd.DataFrame:
    """One network's scored conditions in both readings, for our records and for the stand-ins, one row per world.

    frame, ids: as for `claims.compare`. Counts are means over as many simulations as the column "draws" says, from the
    seed of the row. Only conditions that the paper's plots over P_m can decide are counted, in all rows alike; a claim
    is reproduced if those of its conditions are met.
    """
    ours = frame[(frame["network"] == network) & (frame["study"] == "paper")]
    truth = plotted_points(network)
    decidable = claims.compare(paper_records(truth, _generator(SEED)), ids).query("outcome in @FROZEN")
    decidable = pd.MultiIndex.from_frame(decidable[["claim", "condition"]])
    rows = []
    for name in worlds:
        seed = SEED + list(WORLDS).index(name)
        count, generator = 1 if name.startswith("ours") else draws, _generator(seed)
        frames = (WORLDS[name](ours, truth, generator) for _ in range(count))
        rows.append({"trials of": name, "draws": count, "seed": seed} | judged(frames, decidable))
    return pd.DataFrame(rows)


def _generator(seed):
    return np.random.Generator(np.random.PCG64(seed))


def judged(frames: Iterable[pd.DataFrame], decidable: pd.MultiIndex) -> dict[str, float]:
    """Mean numbers over the frames: of conditions by outcome, direction and size, and of claims by verdict."""
    counts = []
    for frame in frames:
        both = [rule(frame, decidable.unique("claim")) for rule in (claims.compare, second_reading.read)]
        compared, read = (
            part[pd.MultiIndex.from_frame(part[decidable.names]).isin(decidable)] for part in both
        )
        verdicts = claims.verdicts(compared).query("verdict != 'inconclusive'")["verdict"]
        words = Counter([*compared["outcome"], *verdicts, *read["direction"], *read["size"]])
        counts.append({word: words[word] for word in COUNTED})
    return pd.DataFrame(counts).mean().to_dict()


def plotted_points(network: str) -> pd.DataFrame:
    """`figures.points` of a network with `spread`, the standard deviation of one run, from the bars."""
    points = figures.points().query("network == @network")
    return points.assign(spread=(points["max"] - points["min"]) / points["runs"].map(expected_range))


def tickets_like_reinits(points: pd.DataFrame) -> pd.DataFrame:
    """The points with each pruned ticket's mean and spread replaced by its reinit's; tickets without one are dropped."""
    on = ["procedure", "percent_remaining", "metric"]
    pruned = (points["arm"] == "winning_ticket") & (points["percent_remaining"] < 100)
    reinits = points.loc[points["arm"] == "random_reinit", [*on, "mean", "spread"]]
    tickets = points[pruned].drop(columns=["mean", "spread"]).merge(reinits, on=on)
    return pd.concat([points[~pruned], tickets], ignore_index=True)


def swapped(frame: pd.DataFrame, first: str, second: str) -> pd.DataFrame:
    """The records with the names of two arms exchanged."""
    return frame.assign(arm=frame["arm"].replace({first: second, second: first}))


def paper_records(points: pd.DataFrame, generator: np.random.Generator, own: bool = False) -> pd.DataFrame:
    """Records of five trials at the paper's scale, one per plotted point and trial.

    own: trials with the plotted mean, minimum and maximum, the others at random between them; else normal ones around
    the plotted mean. Arms are independent. The dense network is that of the iterative plots; there are no training
    curves.
    """
    points = points[(points["percent_remaining"] < 100) | (points["procedure"] == "iterative")]
    values = [(_own(point, generator) if own else _fresh(point, generator)) for point in points.itertuples()]
    long = points.assign(value=[list(runs.reshape(PAPER_TRIALS, -1).mean(axis=1)) for runs in values])
    long = long.assign(trial=[range(PAPER_TRIALS)] * len(long)).explode(["value", "trial"])
    keys = [*figures.SERIES, "percent_remaining", "trial"]
    records = long.astype({"value": float}).pivot(index=keys, columns="metric", values="value").reset_index()
    records.loc[records["percent_remaining"] == 100, "arm"] = "dense"
    lengths = {network: paper.protocol(network).training_iterations for network in set(points["network"])}
    records["training_iterations"] = records["network"].map(lengths)
    records["early_stop_iteration"] = records[["early_stop_iteration", "training_iterations"]].min(axis=1)
    empty = {
        f"curve_{name}": [np.array([])] * len(records)
        for name in ("iteration", "validation_loss", "test_accuracy")
    }
    return records.assign(
        study="paper", scale="paper", precision="float32", diverged=False, replicate=0, **empty
    )


def _fresh(point, generator):
    return generator.normal(point.mean, point.spread, point.runs)


def _own(point, generator):
    """Runs in random order: the smallest, the largest, and between them others that make the mean right."""
    inner = generator.uniform(point.min, point.max, point.runs - 2)
    target = np.clip((point.runs * point.mean - point.min - point.max) / len(inner), point.min, point.max)
    end = point.min if inner.mean() > target else point.max  # pulled towards this end, none leaves the bar
    inner = end + (inner - end) * (target - end) / (inner.mean() - end) if point.max > point.min else inner
    return generator.permutation([point.min, point.max, *inner])
