"""What the verdict page and the README say: claims in both readings, overlap with the paper's curves, costs.

Records and the ledger in, `Table` out; nothing here is decided or typed by hand: verdicts come from `claims`, the
paper's numbers from its two tables. Knows no file but the folder of notebooks, whose names it links to.
"""

import html
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from lth_utils import ROOT, claims, paper, plots
from lth_utils.claims import second_reading
from lth_utils.claims.curves import curve_score

KEY = ["claim", "condition"]
ADDED = ("direction", "p", "holm", "theirs", "theirs_half", "difference", "half_width", "size")
ADDED += ("inside", "equivalent", "plot_inside")
WORDS = ("shown", "open", "against", "agrees", "differs")
EXAMPLES = {  # conditions that open the report
    "C17b": "Lenet's ticket of 21.1 % of the weights learns {} times as fast as with new initial weights",
    "C18a": "it is {} percentage points more accurate",
    "C23a": "Conv-2's ticket of 8.8 % learns {} times as fast as its dense network",
    "C26a": "its ticket of 4.6 % is {} points more accurate than the dense network",
}
COST_HEADS = ("runs", "diverged", "million iterations", "wall hours", "processor hours")
LINK = re.compile(r"\[([^\]]*)\]\(([^)]*)\)")  # the only markup of a cell


@dataclass(frozen=True)
class Table:
    """Text cells under heads; as plain text, HTML (a notebook shows both) and Markdown, always the same bytes.

    A cell may hold links, [text](address). strong: numbers of the rows in bold.
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
    bounds = claims.ledger(ids)[[*KEY, "quantity", "lower", "upper"]]
    table = compared.merge(bounds, on=KEY).merge(read.reindex(columns=[*KEY, *ADDED]), "left", on=KEY)
    words = ["direction", "size"]
    return table.assign(**table[words].astype(object).fillna(""))


def per_claim(table: pd.DataFrame) -> pd.DataFrame:
    """One row per claim and network of a table of `conditions` that has been run at the paper's scale.

    direction, size: one word if all its conditions share it, else how many have which; "-" where there is none. verdict:
    of the frozen rule, on the whole claim. The other columns are those of its first condition that has a direction, or
    else a size.
    """
    verdict = table.groupby("claim")["outcome"].agg(claims.verdict)
    run = table[(table["trials"] > 0) & table["outcome"].isin(["met", "failed", "inconclusive"])]
    rows = []
    for (claim, _), of_claim in run.groupby(["claim", "network"], sort=False):
        first = min(range(len(of_claim)), key=lambda n: list(of_claim[["direction", "size"]].iloc[n] == ""))
        said = {part: _counted(of_claim[part]) for part in ("direction", "size")}
        rows.append(of_claim.iloc[first].to_dict() | said | {"verdict": verdict[claim]})
    return pd.DataFrame(rows, columns=[*table, "verdict"])


def headline(table: pd.DataFrame) -> list[str]:
    """The answer in sentences, from a table of `conditions`: effects, directions, sizes, and what is not shown."""
    read, each = table[table["inside"].notna()], per_claim(table)
    if read.empty:
        return ["No claim has been tested at the paper's length."]
    words, sizes = (Counter(read[part]) for part in ("direction", "size"))
    holm = (read["direction"].eq("shown") & read["holm"].astype(float).lt(second_reading.LEVEL)).sum()
    effects = [EXAMPLES[key].format(number) for key, number in _intervals(read).items() if key in EXAMPLES]
    differing = " ".join(read.loc[read["size"] == "differs", "claim"].unique()) or "none"
    silent = each[~each["direction"].str.contains("shown|-")].drop_duplicates("claim")
    named = "; ".join(f"{row.claim} ({row.statement})" for row in silent.itertuples()) or "none"
    return [
        f"{'; '.join(effects)} (mean and 95 % interval).",
        f"Of {words['shown'] + words['open'] + words['against']} conditions that name a direction, {words['shown']} "
        f"are shown, {words['open']} are open and {words['against']} speak against the paper; "
        f"{holm} are shown after Holm's correction for all of them.",
        f"Of {sizes['agrees'] + sizes['differs']} sizes that its plots give with an error, {sizes['agrees']} agree "
        f"with ours and {sizes['differs']} differ (claims: {differing}).",
        f"Claims of which no direction is shown: {named}.",
    ]


def _intervals(table):
    """(claim, condition) -> "2.22 [1.57, 3.57]"."""
    rows = zip(table["claim"] + table["condition"], table["ours"], table["low"], table["high"])
    return {key: f"{ours:.2f} [{low:.2f}, {high:.2f}]" for key, ours, low, high in rows}


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


def costs(group: pd.DataFrame) -> tuple[str, ...]:
    """The cells under COST_HEADS: runs, diverged ones, iterations, wall time, processor time as far as it is known."""
    known = group["cpu_seconds"].dropna()
    processor = f"{known.sum() / 3600:.2f}"
    if len(known) < len(group):
        processor = f"{processor} ({len(known)} of {len(group)} runs)" if len(known) else "not recorded"
    iterations = group["training_iterations"].astype(float).sum() / 1e6
    numbers = str(len(group)), str(int(group["diverged"].sum())), f"{iterations:.2f}"
    return (*numbers, f"{group['wall_seconds'].sum() / 3600:.2f}", processor)


def claims_table(each: pd.DataFrame) -> Table:
    """A row per row of `per_claim`, with one number; strong where no direction is shown."""
    rows = []
    for row in each.itertuples():
        ours = claims.our_number(row._replace(trials=1)).partition(",")[0]
        measure = re.sub(r"^(Lenet|Conv-2): | \((text|plot)\)$", "", row.measure)
        number = f"{measure}: {ours} ({row.paper_figure or row.paper_says})"
        rows.append((row.claim, row.statement, row.direction, row.size, row.verdict, number))
    strong = frozenset(np.flatnonzero(~each["direction"].str.contains("shown|-")))
    heads = (
        "",
        "the paper says",
        "direction",
        "size",
        "frozen verdict",
        "one number of it: ours (the paper's)",
    )
    return Table(heads, rows, strong)


def overlap(frame: pd.DataFrame) -> str:
    """How many points of the paper's figures over P_m our intervals meet, of those that we have at its scale."""
    frame = frame[frame["scale"] == "paper"]
    panels = [(figure, panel.paper) for figure, shown in plots.FIGURES.items() for panel in shown]
    scores = pd.concat([curve_score(frame, *panel) for panel in panels]).sort_values("common_rungs")
    series = ["network", "variant", "arm", "procedure", "metric"]
    scores = scores[scores["common_rungs"] > 0].drop_duplicates(
        series, keep="last"
    )  # some panels are drawn twice
    counts = scores.groupby("network")[["agreeing_rungs", "common_rungs"]].sum()
    return "\n".join(
        f"{paper.NETWORK_LABELS[row.Index]}: {row.agreeing_rungs} of {row.common_rungs} points"
        for row in counts.itertuples()
    )
