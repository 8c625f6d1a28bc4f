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
    """What is shown, then a row for each of the paper's central claims that has been decided, then the others."""
    table = summaries.conditions(summaries.scored(records.read_adopted()))
    rows = []
    for row in summaries.per_claim(table).query("rank == 'A'").itertuples():
        numbers = f"{row.measure}: {summaries.paper_number(row)}", claims.our_number(row)
        notebook = summaries.notebook_link(summaries.notebook_of(row.section, row.network), "notebooks/")
        name = f"{row.claim} {paper.NETWORK_LABELS[row.network]}"
        rows.append((name, row.statement, row.direction, row.size, row.verdict, *numbers, notebook))
    heads = (
        "",
        "the paper says",
        "direction",
        "size",
        "frozen verdict",
        "one number of it",
        "ours, 95 % interval",
    )
    central = claims.verdicts(table).query("rank == 'A'")
    left = [
        f"- {word}, without a verdict: {' '.join(which)}"
        for word, which in central.groupby("verdict")["claim"]
        if word in UNDECIDED
    ]
    sentences = summaries.headline(table)
    frozen = f"Frozen verdicts on {table['claim'].nunique()} claims: {summaries.counts_text(table)}."
    found = [f"- {sentence}" for sentence in [*(sentences[1:] or sentences), frozen]]
    return "\n".join([*found, "", Table((*heads, "notebook"), rows).markdown(), "", *left])


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
