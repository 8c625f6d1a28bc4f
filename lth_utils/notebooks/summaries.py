"""The tables of the verdict page and of the README: claims, curve scores, runs and costs, differences, what is missing.

Records and the ledger in, `Table` out; nothing here is decided or typed by hand: verdicts come from `claims`, the
paper's numbers from its two tables. Knows no file but the folder of notebooks, whose names it links to.
"""

import html
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pandas as pd

from lth_utils import ROOT, claims, paper, plots
from lth_utils.claims import second_reading
from lth_utils.claims.curves import curve_score
from lth_utils.plots import printed, style, tables

NAMES = paper.NETWORK_LABELS | {"vgg19": "VGG-19", "resnet18": "Resnet-18"}  # the ledger speaks of these too
ADDED = ("direction", "p", "holm", "theirs", "theirs_half", "difference", "half_width", "size")
ADDED += ("inside", "equivalent", "plot_inside")
WORDS = ("shown", "open", "against", "agrees", "differs")
COST_HEADS = ("runs", "diverged", "million iterations", "wall hours", "processor hours")
LINK = re.compile(r"\[([^\]]*)\]\(([^)]*)\)")  # the only markup of a cell


@dataclass(frozen=True)
class Table:
    """Text cells under heads; as plain text, HTML (a notebook shows both) and Markdown, always the same bytes.

    A cell may hold links, [text](address). strong: numbers of the rows that head a group.
    """

    heads: Sequence[str]
    rows: Sequence[Sequence[str]]
    strong: frozenset[int] = frozenset()

    def __repr__(self):
        lines = [[LINK.sub(r"\1", cell) for cell in row] for row in [self.heads, *self.rows]]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in lines)

    def _repr_html_(self):
        lines = ["<table>", f"<thead>{_html_row('th', self.heads)}</thead>", "<tbody>"]
        lines += [_html_row("th" if n in self.strong else "td", row) for n, row in enumerate(self.rows)]
        return "\n".join([*lines, "</tbody>", "</table>"])

    def markdown(self) -> str:
        """A Markdown table; it ends without a newline."""
        lines = [self.heads, ["---"] * len(self.heads), *self.rows]
        return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in lines)


def _html_row(tag, cells):
    shown = (LINK.sub(r'<a href="\2">\1</a>', html.escape(cell, quote=False)) for cell in cells)
    return "<tr>" + "".join(f'<{tag} style="text-align: left">{cell}</{tag}>' for cell in shown) + "</tr>"


def scored(frame: pd.DataFrame) -> pd.DataFrame:
    """The runs that claims are compared with: study "paper", one scale per network, the paper's own where it exists."""
    runs = frame[frame["study"] == "paper"]
    at_paper_scale = set(runs.loc[runs["scale"] == "paper", "network"])
    return runs[(runs["scale"] == "paper") | ~runs["network"].isin(at_paper_scale)]


def notebook_of(section: str, network: str) -> str:
    """Name of the notebook that decides a claim, "" where none is planned."""
    if network not in paper.NETWORK_LABELS:
        return ""
    if "1" in section.split(", "):
        return "02_figure_1"
    return "03_fully_connected" if network == "lenet" else "04_convolutional"


def notebook_link(name: str, folder: str = "") -> str:
    """A link to a notebook from a page that lies in, or above, the folder of notebooks; text while it is to come."""
    if not name:
        return "none planned"
    there = (ROOT / "notebooks" / f"{name}.py").exists()
    return f"[{name}]({folder}{name}.ipynb)" if there else f"{name} (to come)"


def counts_text(comparison: pd.DataFrame) -> str:
    """The number of claims of each verdict, "4 reproduced, 0 partly reproduced, ..."; reduced scale only where it is."""
    count = Counter(claims.verdicts(comparison)["verdict"])
    said = {word: word for word in claims.VERDICTS} | {"reduced scale": "run at reduced scale only"}
    return ", ".join(f"{count[word]} {said[word]}" for word in said if count[word] or word != "reduced scale")


def conditions(frame: pd.DataFrame, ids: Iterable[str] | None = None) -> pd.DataFrame:
    """Every condition in both readings: `claims.compare`, and beside it the columns that `second_reading.read` adds.

    Blank where the second reading reads nothing: reduced scale, too few trials, diverged runs, no runs.
    """
    compared, read = claims.compare(frame, ids), second_reading.read(frame, ids)
    read = read.reindex(columns=["claim", "condition", *ADDED])
    table = compared.merge(read, how="left", on=["claim", "condition"])
    return table.fillna({"direction": "", "size": ""})


def per_claim(table: pd.DataFrame) -> pd.DataFrame:
    """One row per claim and network of a table of `conditions` that has been run at the paper's scale.

    direction, size: one word if all its conditions share it, else how many have which; "-" where there is none. verdict:
    of the frozen rule, on the whole claim. The other columns are those of its first condition that has a direction, or
    else a size.
    """
    verdict = table.groupby("claim")["outcome"].agg(claims.verdict)
    run = table[(table["trials"] > 0) & ~table["outcome"].isin(["reduced scale", "not run"])]
    rows = []
    for (claim, _), of_claim in run.groupby(["claim", "network"], sort=False):
        first = min(range(len(of_claim)), key=lambda n: list(of_claim[["direction", "size"]].iloc[n] == ""))
        said = {part: _counted(of_claim[part]) for part in ("direction", "size")}
        rows.append(of_claim.iloc[first].to_dict() | said | {"verdict": verdict[claim]})
    return pd.DataFrame(rows, columns=[*table, "verdict"])


def _counted(words):
    count = Counter(filter(None, words))
    if len(count) < 2:
        return next(iter(count), "-")
    return ", ".join(f"{count[word]} {word}" for word in WORDS if count[word])


def paper_number(row) -> str:
    """What the paper says about a condition: its text, its plot, or both where they differ."""
    unit = claims.SUFFIXES[row.unit]
    said, drawn = str(row.paper_says), str(row.paper_figure)
    if said and drawn and said != drawn:
        return f"{said}{unit} (plot {drawn})"
    return f"{said or drawn}{unit}" if said or drawn else "no number"


def claims_table(comparison: pd.DataFrame) -> Table:
    """Every claim with its verdict; below it each condition, for claims that have runs."""
    rows, strong = [], set()
    for claim, conditions in comparison.groupby("claim", sort=False):
        first, verdict = conditions.iloc[0], claims.verdict(conditions["outcome"])
        more = f" and {len(conditions) - 1} more" if len(conditions) > 1 else ""
        number = paper_number(first) + more if verdict == "not run" else ""
        link = notebook_link(notebook_of(first["section"], first["network"]))
        strong.add(len(rows))
        rows.append((f"{claim} {first['rank']}", verdict, first["statement"], number, "", link))
        for row in conditions.itertuples() if verdict != "not run" else ():
            outcome = f"{row.outcome} ({row.reason})" if row.reason else row.outcome
            numbers = paper_number(row), claims.our_number(row)
            rows.append((row.condition, outcome, row.measure, *numbers, row.rule))
    heads = ("claim", "verdict / outcome", "the paper says / we measured", "paper", "ours, 95 % interval")
    return Table((*heads, "notebook / rule"), rows, frozenset(strong))


def scores_table(frame: pd.DataFrame) -> Table:
    """One row per panel of the paper's figures over P_m: how many of its rungs we have, and where the curves meet."""
    rows = []
    for figure, panel in ((name, panel) for name, panels in plots.FIGURES.items() for panel in panels):
        scores = curve_score(frame, figure, panel.paper)
        have = f"{scores['common_rungs'].sum()} of {scores['paper_rungs'].sum()}"
        agree = [
            f"{printed.series_label(row)} {row['agreeing_rungs']} of {row['common_rungs']}"
            for _, row in scores[scores["common_rungs"] > 0].iterrows()
        ]
        rows.append((figure, panel.paper, tables.METRICS[panel.metric], have, "; ".join(agree) or "not run"))
    heads = ("figure", "panel", "measure", "rungs that we have", "of these, our interval meets its bar")
    return Table(heads, rows)


def runs_table(frame: pd.DataFrame) -> Table:
    """What was trained: rounds, trials and redraws of every arm, and what it cost."""
    rows = []
    for names, group in frame.groupby(["study", "network", "scale", "arm", "procedure"]):
        study, network, scale, arm, procedure = names
        what = f"{paper.NETWORK_LABELS[network]} {style.ARM_LABELS[arm]}, {style.PROCEDURE_LABELS[procedure]}"
        if group["variant"].nunique() > 1:
            what += f", {group['variant'].nunique()} settings"
        redraws = group.groupby(["variant", "trial", "pruning_round"]).size()
        amount = _range(group["pruning_round"]), str(group["trial"].nunique()), _range(redraws)
        rows.append((f"{what} ({study})", scale, *amount, *costs(group)))
    return Table(("runs of", "scale", "rounds", "trials", "redraws", *COST_HEADS), rows)


def _range(values):
    low, high = int(values.min()), int(values.max())
    return str(low) if low == high else f"{low} to {high}"


def costs(group: pd.DataFrame) -> tuple[str, ...]:
    """The cells under COST_HEADS: runs, diverged ones, iterations, wall time, processor time as far as it is known."""
    known = group["cpu_seconds"].dropna()
    processor = f"{known.sum() / 3600:.2f}"
    if len(known) < len(group):
        processor = f"{processor} ({len(known)} of {len(group)} runs)" if len(known) else "not recorded"
    iterations = group["training_iterations"].astype(float).sum() / 1e6
    numbers = str(len(group)), str(int(group["diverged"].sum())), f"{iterations:.2f}"
    return (*numbers, f"{group['wall_seconds'].sum() / 3600:.2f}", processor)


def differences_table(frame: pd.DataFrame) -> Table:
    """What differs from the paper's protocol, as the records themselves say."""
    rows = []
    for names, group in frame.groupby(["study", "network", "scale", "variant", "protocol_differences"]):
        study, network, scale, variant, differences = names
        setting = variant or "(paper)"
        label = paper.NETWORK_LABELS[network]
        rows.append((study, label, scale, setting, differences or "none", str(len(group))))
    return Table(("study", "network", "scale", "setting", "field: main setting -> this run", "runs"), rows)


def machines_table(frame: pd.DataFrame) -> Table:
    """On what, with which torch and in which arithmetic the runs were trained."""
    count = frame.groupby(["device", "torch_version", "precision"]).size()
    rows = [(*names, str(number)) for names, number in count.items()]
    return Table(("device", "torch version", "precision", "runs"), rows)


def undecided_table(comparison: pd.DataFrame, verdict: str) -> Table:
    """The claims that are "not run" or "reduced scale", gathered by the notebook that decides them."""
    verdicts = comparison.groupby("claim")["outcome"].transform(claims.verdict)
    chosen = comparison[verdicts == verdict]
    first = chosen.drop_duplicates("claim")
    places = [notebook_of(section, network) for section, network in zip(first["section"], first["network"])]
    rows = []
    for name, group in first.groupby(places, sort=False):
        concerned = set(chosen.loc[chosen["claim"].isin(group["claim"]), "network"])
        concerned = concerned & set(paper.NETWORK_LABELS) or concerned  # others have no plan
        networks = ", ".join(NAMES[network] for network in NAMES if network in concerned)
        rows.append((notebook_link(name), networks, str(len(group)), " ".join(group["claim"])))
    return Table(("notebook", "networks", "claims", "which"), rows)


def text_against_plot() -> Table:
    """Conditions that the paper's own plot fails: its number lies outside the bounds that follow from the text."""
    ledger = claims.ledger()
    drawn = pd.to_numeric(ledger["paper_figure"], errors="coerce")
    fails = (ledger["paper_says"] != "") & ((drawn < ledger["lower"]) | (drawn > ledger["upper"]))
    rows = []
    for row in ledger[fails].itertuples():
        unit = claims.SUFFIXES[row.unit]
        numbers = f"{row.paper_says}{unit}", claims.rule(row._asdict()), f"{row.paper_figure}{unit}"
        rows.append((f"{row.claim} {row.condition}", row.measure, *numbers))
    return Table(("claim", "measure", "text", "so we ask for", "the paper's plot"), rows)
