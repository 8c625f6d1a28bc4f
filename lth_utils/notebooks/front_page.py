"""The generated parts of README.md, from the adopted records: cog puts them between their marks in that file."""

import json

from lth_utils import ROOT, claims, paper, records
from lth_utils.notebooks import summaries
from lth_utils.notebooks.summaries import Table

UNDECIDED = ("not run", "reduced scale")
ANSWER = (("lenet", 7), ("lenet", 15), ("conv2", 7), ("conv2", 14))  # P_m about 21 % and 4 %
ANSWER_HEADS = {
    "dense": "dense network",
    "winning_ticket": "winning ticket",
    "random_reinit": "its mask, new weights",
    "random_sparsity": "random mask and weights",
}


def answer() -> str:
    """Tickets beside their dense network and both controls: accuracy where validation loss is lowest, and when that is."""
    runs, rows = summaries.scored(records.read_adopted()), []
    runs = runs[(runs["variant"] == "") & (runs["procedure"] == "iterative")]
    for network, pruning_round in ANSWER:
        mine = runs[(runs["network"] == network) & runs["pruning_round"].isin([0, pruning_round])]
        trials = (
            mine.groupby(["arm", "trial"])
            .mean(numeric_only=True)
            .groupby("arm")
            .mean()
            .loc[list(ANSWER_HEADS)]
        )
        kept = f"{trials['percent_remaining']['winning_ticket']:.1f} %"
        cells = [
            f"{100 * row.test_accuracy_at_early_stop:.2f} % at {row.early_stop_iteration:,.0f}"
            for row in trials.itertuples()
        ]
        rows.append((paper.NETWORK_LABELS[network], kept, *cells))
    return Table(("network", "weights left", *ANSWER_HEADS.values()), rows).markdown()


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
    """What the adopted runs cost, per scale and study, and what they were trained on."""
    runs, rows = records.read_adopted(), []
    kinds = ["study", "scale", runs["network"] == "lenet", runs["device"].str[:3]]
    for (study, scale, _, device), group in runs.groupby(kinds):
        names = ", ".join(paper.NETWORK_LABELS[network] for network in sorted(set(group["network"])))
        where = "processor cores" if device == "cpu" else group["device"].iloc[0]
        rows.append((names, scale, study, where, *summaries.costs(group)))
    return Table(("networks", "scale", "study", "on", *summaries.COST_HEADS), sorted(rows)).markdown()


def bench() -> str:
    """The ratios of `make bench`, and the machine that they belong to."""
    measured = json.loads((ROOT / "figures" / "bench.json").read_text(encoding="utf-8"))
    where = measured["machine"]
    ratios = "; ".join(f"{name} {ratio:.2f}" for name, ratio in measured["ratios"].items())
    return f"{ratios} ({where['processor']}, {where['cores']} cores, torch {where['torch']})."
