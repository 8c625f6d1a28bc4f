"""README, CONTRIBUTING and the verdict page say what the records say, in every state that the records can be in."""

import math
import re

import pandas as pd
import pytest
import synthetic
import yaml
from cogapp import Cog
from paper_frame import paper_frame

from lth_utils import ROOT, claims, notebooks, paper, records
from lth_utils.notebooks import front_page, summaries
from lth_utils.notebooks.summaries import Table
from lth_utils.records import Store

UNMEASURED = {"protocol_differences": "", "device": "cpu", "torch_version": "2", "precision": "float32"}
README = (ROOT / "README.md").read_text(encoding="utf-8")
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def lenet():
    """Records as if all of Lenet had been run and had come out like the paper's plots."""
    frame = paper_frame()
    frame = frame[frame["network"] == "lenet"].assign(**UNMEASURED, wall_seconds=36.0, cpu_seconds=math.nan)
    return frame.assign(pruning_round=frame["percent_remaining"].rank(method="dense").astype(int))


@pytest.fixture(scope="module")
def nothing(tmp_path_factory):
    """The state before the first run: no record at all."""
    return Store(tmp_path_factory.mktemp("empty")).rows()


# --- README.md and CONTRIBUTING.md -------------------------------------------------------------------------------


def test_the_readme_says_what_the_records_say_and_cog_mends_it_where_it_does_not(tmp_path):
    stale = re.sub(r"\d+ are open", "99 are open", README, count=1)
    assert stale != README and README.count("[[[cog") == 4
    (tmp_path / "README.md").write_text(stale, encoding="utf-8")
    Cog().callable_main(["cog", "--verbosity=0", "-r", str(tmp_path / "README.md")])
    assert (tmp_path / "README.md").read_text(encoding="utf-8") == README, "run `make report`"


def test_the_verdicts_of_the_readme_follow_the_records(lenet, nothing, monkeypatch):
    central = set(claims.ledger().query("rank == 'A'")["claim"])
    shown = []
    for frame in (nothing, lenet):
        monkeypatch.setattr(records, "read_adopted", lambda frame=frame: frame)
        shown.append(front_page.verdicts())
        assert central <= set(re.findall(r"\bC\d\d\b", shown[-1])), "no central claim is hidden"
    before, after = shown
    assert "Frozen verdicts on 60 claims: 0 reproduced" in before and "60 not run." in before
    assert "No claim has been tested" in before
    assert re.search(
        r"^\| C18 Lenet \|.*\| shown \| agrees \| reproduced \|.* 0\.4[78] \[0\.4\d, 0\.4\d\] pp, n=3",
        after,
        re.M,
    )
    assert re.search(r"^- not run, without a verdict: .*C23", after, re.M)


@pytest.mark.parametrize("text", [README, CONTRIBUTING], ids=["README", "CONTRIBUTING"])
def test_links_of_a_page_lead_somewhere(text):
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in link]
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_the_readme_leads_to_every_notebook_by_its_question():
    for name in notebooks.names():
        question = notebooks.rules.title(notebooks.rules.read(notebooks.FOLDER / f"{name}.py")).split(" ", 1)[
            1
        ]
        assert f"- [{name}](notebooks/{name}.ipynb): {question}\n" in README


def test_every_column_of_the_records_is_documented_with_its_type_and_its_values():
    documented = re.findall(r"^\| `(\w+)` \| ([\w<>]+) \|(.*)$", CONTRIBUTING, re.M)
    schema = [(field.name, str(field.type).replace("item: ", "")) for field in records.SCHEMA]
    assert [row[:2] for row in documented] == schema
    meaning = {name: text for name, _, text in documented}
    known = {"network": paper.NETWORK_LABELS, "arm": paper.ARMS, "procedure": paper.PROCEDURES}
    assert [(name, v) for name, values in known.items() for v in values if v not in meaning[name]] == []


def test_the_records_can_be_loaded_as_documented():
    assert 'pandas.read_parquet("notebooks/records")' in CONTRIBUTING
    frame = pd.read_parquet(records.COMMITTED)
    assert list(frame.columns) == records.SCHEMA.names and len(frame) >= len(records.committed().manifest())


def test_citation_file_names_the_paper():
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "authors", "license"} <= set(cited)
    assert [author["family-names"] for author in cited["references"][0]["authors"]] == ["Frankle", "Carbin"]


# --- the tables of the verdict page ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def both(lenet):
    """Both readings of all claims, on records of Lenet that came out like the paper's plots."""
    return summaries.conditions(lenet)


def test_every_condition_stands_in_the_table_of_both_readings(both, nothing):
    ledger = claims.ledger()
    for table in (both, summaries.conditions(nothing)):
        assert table[summaries.KEY].equals(ledger[summaries.KEY])
    assert summaries.per_claim(table).empty and not table["direction"].any()
    (row,) = both[
        both["measure"] == "test accuracy at early-stop, ticket minus reinit at 21.1 %"
    ].itertuples()
    assert (row.outcome, row.rule, row.direction, row.size) == ("met", "0.3 to 0.7 pp", "shown", "agrees")
    assert row.low < row.theirs < row.high and row.theirs_half < 0.2


def test_a_claim_is_one_row_per_network_that_was_run_at_the_papers_scale(both):
    each = summaries.per_claim(both)
    assert set(each["network"]) == {"lenet"} and not each["claim"].duplicated().any()
    run = both.loc[both["trials"] > 0, ["claim", "outcome"]].query("outcome != 'chosen'")
    assert set(each["claim"]) == set(run["claim"])
    reduced = summaries.per_claim(both.assign(outcome="reduced scale"))
    assert reduced.empty


def test_words_of_a_claim_are_counted_where_its_conditions_differ(both):
    rows = both[both["claim"] == "C01"].assign(
        direction=["", "open", "shown"], size=["differs", "differs", ""]
    )
    (row,) = summaries.per_claim(rows).itertuples()
    assert (row.direction, row.size, row.condition) == ("1 shown, 1 open", "differs", "b")
    (row,) = summaries.per_claim(rows.assign(direction="", size="")).itertuples()
    assert (row.direction, row.size) == ("-", "-")


def test_the_headline_counts_directions_and_sizes_and_names_what_is_not_shown(both):
    sentences = summaries.headline(both)
    count = both["direction"].value_counts()
    told = (
        f"Of {count.drop('').sum()} conditions that name a direction, {count['shown']} are shown, 0 are open"
    )
    assert f"{told} and {count['against']} speak against the paper" in sentences[1]
    differs = both.assign(size=both["size"].mask(both["claim"].eq("C18"), "differs"))
    assert "1 differ (claims: C18)" in summaries.headline(differs)[2]
    against = both.assign(direction=both["direction"].mask(both["claim"].eq("C18"), "against"))
    last = summaries.headline(against)[-1]
    assert "C18" in last and "C18" not in sentences[-1]
    table = summaries.claims_table(summaries.per_claim(against))
    assert [table.rows[n][0] for n in table.strong if table.rows[n][2] == "against"] == ["C18"]


def test_points_that_meet_the_papers_bars_are_counted_once(lenet):
    worse = lenet.assign(test_accuracy_at_early_stop=0.5)
    (right, have), (wrong, same) = (
        map(int, re.findall(r"\d+", summaries.overlap(frame))) for frame in (lenet, worse)
    )
    assert have - 1 <= right <= have  # one point has a placeholder
    assert have == same < len(paper.curves()) and 0 < wrong < have - 50


def test_costs_say_what_is_missing():
    group = pd.DataFrame(
        {"training_iterations": [50_000] * 2, "diverged": [False, True], "wall_seconds": [1800.0] * 2}
    )
    cells = [summaries.costs(group.assign(cpu_seconds=s)) for s in (math.nan, 900.0, [900.0, math.nan])]
    assert cells[0] == ("2", "1", "0.10", "1.00", "not recorded")
    assert [cell[-1] for cell in cells[1:]] == ["0.50", "0.25 (1 of 2 runs)"]


def test_every_network_scale_and_study_has_its_own_row_of_costs(monkeypatch):
    kinds = [("lenet", "paper"), ("lenet", "faults"), ("conv2", "paper"), ("conv2", "paper")]
    rows = [synthetic.record(cpu_seconds=3600.0, network=network, study=study) for network, study in kinds]
    monkeypatch.setattr(records, "read_adopted", lambda: pd.DataFrame(rows))
    shown = [line for line in front_page.costs().splitlines() if " paper |" in line]
    assert [line.split(" | ")[:5] for line in shown] == [
        ["| Conv-2", "paper", "paper", "processor cores", "2"],
        ["| Lenet", "paper", "faults", "processor cores", "1"],
        ["| Lenet", "paper", "paper", "processor cores", "1"],
    ]


def test_a_network_is_scored_at_one_scale_its_own_where_it_has_one():
    frame = pd.DataFrame(
        [("lenet", "paper"), ("lenet", "short"), ("conv2", "reduced")], columns=["network", "scale"]
    )
    assert list(summaries.scored(frame.assign(study="paper"))["scale"]) == ["paper", "reduced"]
    assert not len(summaries.scored(frame.assign(study="baseline")))


def test_a_table_is_the_same_in_text_html_and_markdown():
    table = Table(("a", "b"), [("1 < 2 & 3", "[x|y](z.ipynb)"), ("", "long cell")], frozenset({1}))
    assert repr(table) == "a          b\n1 < 2 & 3  x|y\n           long cell"
    assert '<td style="text-align: left">1 &lt; 2 &amp; 3</td>' in table._repr_html_()
    assert '<a href="z.ipynb">x|y</a>' in table._repr_html_() and table._repr_html_().count("<th") == 5
    assert table.markdown().splitlines()[2] == "| 1 < 2 & 3 | [x\\|y](z.ipynb) |"


def test_a_number_names_its_unit_its_interval_and_its_trials():
    row = pd.Series({"unit": "pp", "ours": -0.0001, "low": -math.inf, "high": 0.256, "trials": 5, "note": ""})
    assert claims.our_number(row) == "0.00 [open, 0.26] pp, n=5"
    assert claims.our_number(row.replace({5: 0})) == "-"
    assert claims.our_number(row.replace({"": "bfloat16"})) == "0.00 [open, 0.26] pp, n=5, bfloat16"
    row = pd.Series({"unit": "ratio", "paper_says": "2.51", "paper_figure": "2.155"})
    assert summaries.paper_number(row) == "2.51 (plot 2.155)"
