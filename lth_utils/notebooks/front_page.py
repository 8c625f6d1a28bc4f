"""The generated parts of README.md: each stands between two comments and is written from records, never by hand.

    <!-- generated: NAME -->
    what `parts` says under NAME
    <!-- end -->

Knows README.md, the folders that it links to, and the records; what a number means stands in `summaries`.
"""

import json
import re
from pathlib import Path

import pandas as pd

from lth_utils import ROOT, claims, experiments, paper, records
from lth_utils.notebooks import rules, summaries
from lth_utils.notebooks.summaries import Table
from lth_utils.plots import style

README = ROOT / "README.md"
PART = re.compile(r"(<!-- generated: ([\w-]+) -->\n)(.*?)(<!-- end -->)", re.S)
EXAMPLE = ("C17", "C18")  # tickets against random reinitialisation, both at 21.1 %
EXAMPLE_ROUND = 7
TRIAL_TRAINED_ALONE = 5  # the other chains share their processes with others
WITHOUT_VERDICT = {"reduced scale": "at reduced scale", "not run": "not run"}
UNDECIDED = {"reduced scale": "numbers at reduced scale, no verdict", "not run": "not run"}


def refresh(path: Path = README) -> list[str]:
    """Write the generated parts of a README anew; returns the names of those that changed."""
    text = path.read_text(encoding="utf-8")
    new = fill(text, parts())
    names = [
        old[2] for old, now in zip(PART.finditer(text), PART.finditer(new), strict=True) if old[3] != now[3]
    ]
    if names:
        records.write_bytes(path, new.encode())
    return names


def stale(path: Path = README) -> list[str]:
    """Names of the generated parts that no longer say what the records say."""
    now = parts()
    return [
        found[2] for found in PART.finditer(path.read_text(encoding="utf-8")) if found[3] != now.get(found[2])
    ]


def fill(text: str, content: dict[str, str]) -> str:
    """The text with every part replaced by its content; ValueError unless text and content name the same parts."""
    named = [found[2] for found in PART.finditer(text)]
    if sorted(named) != sorted(content):
        raise ValueError(f"README.md marks the parts {sorted(named)}, but there are {sorted(content)}")
    return PART.sub(lambda found: found[1] + content[found[2]] + found[4], text)


def parts(frame: pd.DataFrame | None = None, root: Path = ROOT) -> dict[str, str]:
    """Name -> Markdown of every generated part, from the adopted runs unless others are given.

    Only the chain of `whole_chain` is always looked for among all committed records.
    """
    runs = records.read_adopted() if frame is None else frame
    comparison = claims.compare(summaries.scored(runs))
    content = {
        "counts": counts(comparison),
        "verdicts": verdicts(comparison, root),
        "example": example(comparison, runs, root),
        "costs": f"{costs(runs)}\n{whole_chain(records.read())}",
        "notebooks": notebook_list(root),
        "bench": bench(root),
    }
    return {name: text.rstrip("\n") + "\n" for name, text in content.items()}


def counts(comparison: pd.DataFrame) -> str:
    """One sentence with the number of claims of each verdict."""
    claim_count, condition_count = comparison["claim"].nunique(), len(comparison)
    return (
        f"**Of {claim_count} claims of the paper: {summaries.counts_text(comparison)}.** They were written down as "
        f"{condition_count} conditions\nwith bounds before anything was trained, and are decided from records by rule."
    )


def verdicts(comparison: pd.DataFrame, root: Path = ROOT) -> str:
    """The claims of rank A that have a verdict, a row each, and one line per group of those that have none yet."""
    chosen = comparison[comparison["rank"] == "A"]
    rows = []
    for claim, conditions in chosen.groupby("claim", sort=False):
        verdict = claims.verdict(conditions["outcome"])
        if verdict in UNDECIDED:
            continue
        first = next((row for row in conditions.itertuples() if row.trials), next(conditions.itertuples()))
        outcomes = conditions.loc[conditions["outcome"] != "chosen", "outcome"]
        count = outcomes.value_counts()
        counted = [f"{count.get('met', 0)} of {len(outcomes)} met"]
        counted += [f"{count[name]} {words}" for name, words in WITHOUT_VERDICT.items() if name in count]
        decided = f"{verdict} ({', '.join(counted)})"
        numbers = f"{first.measure}: {summaries.paper_number(first)}", claims.our_number(first)
        link = summaries.notebook_link(summaries.notebook_of(first.section, first.network), "notebooks/")
        rows.append((claim, decided, first.statement, *numbers, _figure_link(first.figure, root), link))
    heads = ("", "verdict", "the paper says", "one number of it", "ours, 95 % interval", "figure", "notebook")
    missing = [
        f"- {words}, {place}, {networks}: {which}"
        for verdict, words in UNDECIDED.items()
        for place, networks, _, which in summaries.undecided_table(chosen, verdict, "notebooks/").rows
    ]
    table = [Table(heads, rows).markdown(), ""] if rows else []
    return "\n".join([*table, *missing])


def example(comparison: pd.DataFrame, runs: pd.DataFrame, root: Path = ROOT) -> str:
    """From one claim to its evidence: verdict, figure, records and the command that retrains them."""
    lines = []
    for claim in EXAMPLE:
        conditions = comparison[comparison["claim"] == claim]
        row = next(conditions.itertuples())
        numbers = f"{row.measure}: paper {summaries.paper_number(row)}, ours {claims.our_number(row)}"
        numbers += f"; asked for {row.rule}"
        if row.trials:
            ahead = row.low > (1 if row.unit == "ratio" else 0)
            leaves = "leaves no room" if ahead else "leaves room"
            numbers += f"; the 95 % interval {leaves} for a ticket that is not ahead"
        verdict = claims.verdict(conditions["outcome"])
        lines.append(f"- {claim} **{verdict}**: {row.statement.lstrip('. ')} ({numbers})")
    arms = ["winning_ticket", "random_reinit"]
    mine = runs[(runs["study"] == "paper") & (runs["network"] == "lenet") & runs["arm"].isin(arms)]
    usual = (mine["procedure"] == "iterative") & (mine["variant"] == "")
    count = (usual & (mine["pruning_round"] == EXAMPLE_ROUND)).sum()
    named = ", ".join(f'"{arm}"' for arm in arms)
    query = f'arm=[{named}], procedure="iterative", variant="", pruning_round={EXAMPLE_ROUND}, adopted=True'
    return "\n".join(
        [
            *lines,
            f"- the figure that shows it, by the paper's number: {_figure_link(row.figure, root)}",
            f"- the {count} records behind it, of [notebooks/records](notebooks/records):",
            f'  `records.load(network="lenet", {query})`',
        ]
    )


def _figure_link(label: str, root: Path) -> str:
    """The paper's figure linked to our picture of it: of those that the label names, the last one that we have drawn.

    The verdict page's own copy comes last.
    """
    numbers = re.findall(r"\d+", str(label))
    tables = sorted(
        (root / "figures").glob("[0-9]*.csv"), key=lambda path: (path.name.startswith("00"), path.name)
    )
    drawn = {}  # number of the paper's figure -> our first picture of it
    for path in tables:
        columns = pd.read_csv(path, nrows=1, dtype=str)
        for number in columns.get("figure", ()):
            drawn.setdefault(number, path.stem)
    for number in reversed(numbers):
        if number in drawn:
            return f"[{label}](figures/{drawn[number]}.png)"
    return f"{label} (to come)" if numbers else "-"


def costs(runs: pd.DataFrame) -> str:
    """Measured cost per scale, of Lenet and of the convolutional networks, and how to make the same runs again."""
    rows, is_lenet = [], runs["network"].eq("lenet").rename("lenet")
    for (study, scale, _), group in runs.groupby(["study", "scale", is_lenet]):
        by_network = dict(list(group.groupby("network")))
        names = ", ".join(paper.NETWORK_LABELS[network] for network in by_network)
        again = "<br>".join(
            _again(network, scale, set(own["run_key"])) for network, own in by_network.items()
        )
        again = "`.venv/bin/python -m lth_utils faults`" if study == "faults" else again
        rows.append((f"{names}, scale {scale} ({study})", *summaries.costs(group), again))
    machines = "; ".join(sorted(set(runs["device"])))
    table = Table(("runs of", *summaries.COST_HEADS, "made again by"), rows).markdown()
    return f"{table}\n\nTrained on: {machines}. Wall hours are per process and include every pause of a busy machine."


def _again(network: str, scale: str, keys: set[str]) -> str:
    """The command that trains these runs of one network again, with the first wave that holds them all."""
    command = f"make train NETWORK={network} SCALE={scale}"
    waves = experiments.LENET_WAVES if network == "lenet" else experiments.PAPER_WAVES
    waves = {"paper": waves, "reduced": experiments.REDUCED_WAVES.get(network, ())}.get(scale, ())
    for wave in waves:
        if keys <= {run.key for run in experiments.plan(network, scale, wave)}:
            return f"`{command} ARGS='--wave {wave}'`"
    return f"`{command}`"


def whole_chain(stored: pd.DataFrame) -> str:
    """Wall time of the one chain that one process trained without a pause, from dense to the end, adopted or not."""
    tickets = stored["arm"].isin(["dense", "winning_ticket"]) & stored["procedure"].eq("iterative")
    mine = stored[tickets & stored["study"].eq("paper") & stored["network"].eq("lenet")]
    alone = (
        mine.groupby("file")["run_key"].transform("count").eq(1)
    )  # a stack shares its seconds among its runs
    mine = mine[alone & mine["scale"].eq("paper") & mine["trial"].eq(TRIAL_TRAINED_ALONE)]
    again = (
        f"`make train ARGS='--wave 4 --trials {TRIAL_TRAINED_ALONE} --arms dense,winning_ticket --workers 1'`"
    )
    levels = paper.PLOTTED_ROUNDS["lenet"] + 1
    if len(mine) < levels:
        return f"One whole chain of Lenet's tickets in one go: not measured yet ({again})."
    iterations, minutes = mine["training_iterations"].iloc[0], mine["wall_seconds"].sum() / 60
    return (
        f"One whole chain of Lenet's tickets in one go: {levels} levels of {iterations:,} iterations in {minutes:.0f} "
        f"minutes (trial {TRIAL_TRAINED_ALONE} on\n{mine['device'].iloc[0]}; {again})."
    )


def notebook_list(root: Path = ROOT) -> str:
    """Every notebook with the question in its title."""
    lines = []
    for path in sorted((root / "notebooks").glob("[0-9]*.py")):
        title = re.sub(r"^\d+\w? ", "", rules.title(rules.read(path)))
        lines.append(f"- [{path.stem}](notebooks/{path.stem}.ipynb): {title}")
    return "\n".join(lines)


def bench(root: Path = ROOT) -> str:
    """Milliseconds per network and iteration of every case of `make bench`, and their ratios, if it has been run."""
    path = root / "figures" / "bench.json"
    if not path.exists():
        return "Not measured yet: `make bench` fills this table."
    measured = json.loads(path.read_text(encoding="utf-8"))
    rows = []
    for (network, case), cells in pd.DataFrame(measured["rows"]).groupby(["network", "case"], sort=False):
        times = [
            f"{row.milliseconds:.3g} ({row.stack} at {style.percent(row.percent_remaining)} %)"
            for row in cells.itertuples()
        ]
        rows.append((paper.NETWORK_LABELS[network], case, ", ".join(times)))
    where = measured["machine"]
    heads = ("network", "case", "ms per network and iteration (networks at once, at P_m)")
    machine = (
        f"{where['processor']}, {where['cores']} cores, {where['threads']} thread(s), torch {where['torch']}"
    )
    ratios = "; ".join(f"{name} {ratio:.2f}" for name, ratio in measured["ratios"].items())
    return f"{Table(heads, rows).markdown()}\n\nRatios of this run: {ratios}.\nMeasured on: {machine}."
