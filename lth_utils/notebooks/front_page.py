"""The generated parts of README.md, from the adopted records: cog puts them between their marks in that file."""

import json

import pandas as pd

from lth_utils import ROOT, claims, paper, records
from lth_utils.notebooks import summaries
from lth_utils.notebooks.summaries import Table

UNDECIDED = ("not run", "reduced scale")


def verdicts() -> str:
    """How many claims have which verdict, then a row for each of the paper's central claims that has been decided."""
    comparison = claims.compare(summaries.scored(records.read_adopted()))
    central = claims.verdicts(comparison).query("rank == 'A'")
    rows = []
    for found in central[~central["verdict"].isin(UNDECIDED)].itertuples():
        conditions = comparison[(comparison["claim"] == found.claim) & (comparison["trials"] > 0)]
        one = next(conditions.itertuples())
        numbers = f"{one.measure}: {summaries.paper_number(one)}", claims.our_number(one)
        notebook = summaries.notebook_link(summaries.notebook_of(one.section, one.network), "notebooks/")
        rows.append((found.claim, found.verdict, found.conditions, found.statement, *numbers, notebook))
    heads = ("", "verdict", "conditions", "the paper says", "one number of it", "ours, 95 % interval")
    left = [
        f"- {word}, without a verdict: {' '.join(which)}"
        for word, which in central.groupby("verdict")["claim"]
        if word in UNDECIDED
    ]
    claim_count = comparison["claim"].nunique()
    counts = f"**Of {claim_count} claims of the paper: {summaries.counts_text(comparison)}.**"
    return "\n".join([counts, "", Table((*heads, "notebook"), rows).markdown(), "", *left])


def costs() -> str:
    """What the adopted runs cost, and what they were trained on."""
    runs = records.read_adopted()
    rows = [
        (paper.NETWORK_LABELS[network], scale, study, *summaries.costs(group))
        for (network, scale, study), group in runs.groupby(["network", "scale", "study"])
    ]
    table = Table(("network", "scale", "study", *summaries.COST_HEADS), rows).markdown()
    return f"{table}\n\nTrained on: {'; '.join(sorted(set(runs['device'])))}."


def bench() -> str:
    """Milliseconds per network and iteration of every case of `make bench`, and the machine that they belong to."""
    measured = json.loads((ROOT / "figures" / "bench.json").read_text(encoding="utf-8"))
    rows = []
    for (network, case), cells in pd.DataFrame(measured["rows"]).groupby(["network", "case"], sort=False):
        each = zip(cells["milliseconds"], cells["stack"], cells["percent_remaining"])
        times = ", ".join(f"{time:.3g} ({stack} at {percent:.3g} %)" for time, stack, percent in each)
        rows.append((paper.NETWORK_LABELS[network], case, times))
    heads = ("network", "case", "ms per network and iteration (networks at once, at P_m)")
    where = measured["machine"]
    machine = (
        f"{where['processor']}, {where['cores']} cores, {where['threads']} thread(s), torch {where['torch']}"
    )
    ratios = "; ".join(f"{name} {ratio:.2f}" for name, ratio in measured["ratios"].items())
    return f"{Table(heads, rows).markdown()}\n\nRatios of this run: {ratios}.\nMeasured on: {machine}."
