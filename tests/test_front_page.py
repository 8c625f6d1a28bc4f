"""README, CONTRIBUTING and the verdict page say what the records say, in every state that the records can be in."""

import math
import re

import numpy as np
import pandas as pd
import pytest
import synthetic
import yaml
from paper_frame import paper_frame

from lth_utils import ROOT, claims, experiments, paper, records
from lth_utils.notebooks import front_page, summaries
from lth_utils.notebooks.summaries import Table

MOST_LINES = 150
UNMEASURED = {"protocol_differences": "", "device": "cpu", "torch_version": "2", "precision": "float32"}


@pytest.fixture(scope="module")
def lenet():
    """Records as if all of Lenet had been run and had come out like the paper's plots."""
    frame = paper_frame()
    frame = frame[frame["network"] == "lenet"].assign(**UNMEASURED, wall_seconds=36.0, cpu_seconds=math.nan)
    return frame.assign(pruning_round=frame["percent_remaining"].rank(method="dense").astype(int))


@pytest.fixture(scope="module")
def nothing(tmp_path_factory):
    """The state before the first run: no record at all."""
    return records.read(tmp_path_factory.mktemp("empty"))


# --- README.md ---------------------------------------------------------------------------------------------------


def test_no_generated_part_of_the_readme_is_stale():
    stale = front_page.stale()
    assert not stale, f"README.md is out of date in {', '.join(stale)}: run `make report`"


def test_refresh_mends_a_stale_part_and_nothing_else(tmp_path):
    text = front_page.README.read_text(encoding="utf-8")
    altered = text.replace("**Of 60 claims", "**Of 61 claims", 1)
    assert altered != text
    copy = tmp_path / "README.md"
    copy.write_text(altered, encoding="utf-8")
    assert front_page.stale(copy) == ["counts"]
    assert front_page.refresh(copy) == ["counts"] and front_page.refresh(copy) == []
    assert copy.read_text(encoding="utf-8") == text and front_page.stale(copy) == []


@pytest.mark.parametrize("marked", ["<!-- generated: coutns -->\n<!-- end -->", "no part at all"])
def test_a_readme_with_other_parts_than_there_are_is_refused(marked):
    with pytest.raises(ValueError, match="marks the parts"):
        front_page.fill(marked, {"counts": "60\n"})


def test_the_readme_stays_short_and_names_every_central_claim_in_every_state(lenet, nothing):
    text = front_page.README.read_text(encoding="utf-8")
    central = set(claims.ledger().query("rank == 'A'")["claim"])
    for frame in (nothing, lenet):
        content = front_page.parts(frame)
        assert front_page.fill(text, content).count("\n") <= MOST_LINES
        assert central <= set(re.findall(r"\bC\d\d\b", content["verdicts"]))
    assert text.count("\n") <= MOST_LINES


def test_verdicts_of_the_readme_follow_the_records(lenet, nothing):
    before, after = front_page.parts(nothing), front_page.parts(lenet)
    assert "60 not run." in before["counts"] and " 0 not run" not in before["counts"]
    assert "C18 **not run**" in before["example"] and "the 0 records" in before["example"]
    assert re.search(
        r"^- C18 \*\*reproduced\*\*: .*ours 0\.4[78] \[0\.4\d, 0\.4\d\] pp, n=3; asked for 0\.3 to 0\.7 pp; .* leaves no room",
        after["example"],
        re.M,
    )
    assert "leaves room" not in after["example"] and "leaves" not in before["example"]
    assert re.search(r"^\| C18 \| reproduced \(1 of 1 met\) \|", after["verdicts"], re.M)
    assert re.search(r"^- not run, \[04_convolutional\].*C23", after["verdicts"], re.M)


def test_every_claim_is_counted_once(lenet):
    comparison = claims.compare(lenet)
    counted = summaries.counts(comparison)
    assert sum(counted.values()) == comparison["claim"].nunique() == 60
    assert (
        list(counted)[:5] == list(summaries.VERDICTS)
        and counted["reproduced"] > 5
        and counted["not run"] > 30
    )


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md"])
def test_links_of_a_page_lead_somewhere(name):
    links = re.findall(r"\]\(([^)]+)\)", (ROOT / name).read_text(encoding="utf-8"))
    links = [link for link in links if "://" not in link]
    assert name == "CONTRIBUTING.md" or len(links) >= 8
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_a_claim_links_to_the_picture_that_was_drawn_of_its_figure(tmp_path):
    (tmp_path / "figures").mkdir()
    for name, figure in (("00_copy", "1"), ("02_own", "1"), ("03_fourth", "4"), ("03_twelfth", "12")):
        (tmp_path / "figures" / f"{name}.csv").write_text(f"figure,mean\n{figure},0.5\n")
    assert front_page._figure_link("1", tmp_path) == "[1](figures/02_own.png)"
    assert front_page._figure_link("4 caption, 12", tmp_path) == "[4 caption, 12](figures/03_twelfth.png)"
    assert front_page._figure_link("1, 5", tmp_path) == "[1, 5](figures/02_own.png)"
    assert front_page._figure_link("5", tmp_path) == "5 (to come)"


def test_the_benchmark_appears_once_it_is_measured(tmp_path):
    assert "make bench" in front_page.bench(tmp_path)
    rows = '[{"network": "lenet", "case": "stack", "stack": 5, "percent_remaining": 100.0, "milliseconds": 0.7412}]'
    machine = '{"processor": "p", "cores": 2, "threads": 1, "torch": "2"}'
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "bench.json").write_text(
        f'{{"machine": {machine}, "rows": {rows}, "ratios": {{"a / b": 4.968}}}}'
    )
    shown = front_page.bench(tmp_path)
    assert "| Lenet | stack | 0.741 (5 at 100 %) |" in shown and "Ratios of this run: a / b 4.97." in shown


# --- the tables of the verdict page ------------------------------------------------------------------------------


def test_the_chain_trained_alone_is_quoted_once_it_is_whole():
    levels = [
        synthetic.record(
            arm="winning_ticket" if n else "dense",
            trial=front_page.TRIAL_TRAINED_ALONE,
            pruning_round=n,
            wall_seconds=60.0,
        )
        | {"run_key": str(n), "file": f"{n}.parquet"}
        for n in range(29)
    ]
    assert "29 levels of 200 iterations in 29 minutes" in front_page.whole_chain(pd.DataFrame(levels))
    assert "not measured yet" in front_page.whole_chain(pd.DataFrame(levels[:-1]))
    assert "not measured yet" in front_page.whole_chain(pd.DataFrame(levels).assign(trial=0))
    stacked = [*levels, *(level | {"trial": 6} for level in levels)]
    assert "not measured yet" in front_page.whole_chain(pd.DataFrame(stacked))


def test_no_claim_is_hidden_from_the_verdict_page(lenet, nothing):
    for frame in (nothing, lenet):
        table = summaries.claims_table(claims.compare(frame))
        named = [row[0].split()[0] for n, row in enumerate(table.rows) if n in table.strong]
        assert named == list(claims.ledger()["claim"].unique())
    shown = [
        row for row in table.rows if row[2] == "test accuracy at early-stop, ticket minus reinit at 21.1 %"
    ]
    assert [(row[1], row[5]) for row in shown] == [("met", "0.3 to 0.7 pp")]


def test_claims_without_runs_are_gathered_by_the_notebook_to_come(lenet, nothing):
    for frame in (nothing, lenet):
        comparison = claims.compare(frame)
        table = summaries.undecided_table(comparison, "not run")
        missing = claims.verdicts(comparison).query("verdict == 'not run'")["claim"]
        assert sorted(" ".join(row[3] for row in table.rows).split()) == sorted(missing)
    assert {"VGG-19, Resnet-18"} == {row[1] for row in table.rows if row[0] == "none planned"}
    of_figure_1 = next(row[1] for row in table.rows if "02_figure_1" in row[0])
    assert of_figure_1 == "Conv-2, Conv-4, Conv-6"  # C03 has conditions on each of them


def test_a_panel_is_scored_only_where_there_are_runs(lenet, nothing):
    assert {row[4] for row in summaries.scores_table(nothing).rows} == {"not run"}
    scores = {row[:2]: row[3:] for row in summaries.scores_table(lenet, ["4", "5"]).rows}
    have, agree = scores["4", "2"]
    assert re.match(r"\d\d of \d\d\d", have) and "Lenet random reinit" in agree
    assert scores["5", "1"][1] == "not run"


def test_every_panel_of_every_figure_can_be_scored(lenet):
    assert len(summaries.scores_table(lenet).rows) >= 30


def test_costs_say_what_is_missing():
    group = pd.DataFrame(
        {"training_iterations": [50_000] * 2, "diverged": [False, True], "wall_seconds": [1800.0] * 2}
    )
    cells = {seconds: summaries.costs(group.assign(cpu_seconds=seconds)) for seconds in (math.nan, 900.0)}
    assert cells[math.nan] == ("2", "1", "0.10", "1.00", "not recorded")
    assert cells[900.0][-1] == "0.50"
    assert summaries.costs(group.assign(cpu_seconds=[900.0, math.nan]))[-1] == "0.25 (1 of 2 runs)"


def test_every_kind_of_run_is_made_again_by_its_own_command():
    runs = pd.DataFrame([synthetic.record(cpu_seconds=1.0, study=study) for study in ("paper", "faults")])
    runs["run_key"] = ["a", "b"]
    rows = {
        line.split("(")[1].split(")")[0]: line
        for line in front_page.costs(runs).splitlines()
        if "scale" in line
    }
    assert "`make train NETWORK=lenet SCALE=paper`" in rows["paper"]
    assert "lth_utils faults`" in rows["faults"]


def test_convolutional_networks_of_one_scale_share_a_row_of_costs():
    networks = ("conv2", "lenet", "conv4")
    runs = pd.DataFrame([synthetic.record(cpu_seconds=3600.0, network=network) for network in networks])
    runs["run_key"] = list(networks)
    shown = [line for line in front_page.costs(runs).splitlines() if "scale" in line]
    assert [line.split(",")[0] for line in shown] == ["| Conv-2", "| Lenet"]
    assert "Conv-2, Conv-4, scale paper (paper) | 2 |" in shown[0] and "| 2.00 |" in shown[0]
    commands = [f"`make train NETWORK={network} SCALE=paper`" for network in ("conv2", "conv4")]
    assert f"| {'<br>'.join(commands)} |" in shown[0]


def test_the_command_of_a_cost_names_the_first_wave_that_holds_the_runs():
    first, second = (experiments.plan("conv4", "reduced", wave) for wave in (1, 2))
    for runs, wave in ((first[:2], 1), (first, 1), (second, 2)):
        command = front_page._again("conv4", "reduced", {run.key for run in runs})
        assert command == f"`make train NETWORK=conv4 SCALE=reduced ARGS='--wave {wave}'`"


def test_runs_are_summed_up_per_arm(lenet):
    rows = {row[0]: row for row in summaries.runs_table(lenet.assign(protocol_key="")).rows}
    row = rows["Lenet random reinit, iterative (paper)"]
    assert row[3:5] == ("3", "2") and float(row[8]) == pytest.approx(int(row[5]) * 0.01)


def test_a_network_is_scored_at_one_scale_its_own_where_it_has_one():
    frame = pd.DataFrame(
        [("lenet", "paper"), ("lenet", "short"), ("conv2", "reduced")], columns=["network", "scale"]
    ).assign(study=["paper", "paper", "paper"])
    assert list(summaries.scored(frame)["scale"]) == ["paper", "reduced"]
    assert not len(summaries.scored(frame.assign(study="baseline")))


def test_conditions_that_the_papers_own_plot_fails_are_listed():
    listed = {row[0]: row for row in summaries.text_against_plot().rows}
    assert listed["C17 a"][2:] == ("2.51", "2.16 to 2.86", "2.155")
    assert listed["C07 a"][3:] == ("0.47 to 0.77", "0.805")
    assert "C18 a" not in listed and "C17 b" not in listed


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


# --- CONTRIBUTING.md and CITATION.cff ----------------------------------------------------------------------------


def test_every_column_of_the_records_is_documented_with_its_type():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    documented = re.findall(r"^\| `(\w+)` \| ([\w<>]+) \|", text, re.M)
    assert documented == [(field.name, str(field.type).replace("item: ", "")) for field in records.SCHEMA]


def test_documented_values_are_the_ones_in_use():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    for column, values in (
        ("network", paper.NETWORK_LABELS),
        ("arm", paper.ARMS),
        ("procedure", paper.PROCEDURES),
    ):
        (line,) = re.findall(rf"^\| `{column}` \|.*$", text, re.M)
        assert all(value in line for value in values), column


def test_the_records_can_be_loaded_as_documented():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert 'pandas.read_parquet("notebooks/records")' in text
    frame = pd.read_parquet(records.COMMITTED)
    assert list(frame.columns) == records.SCHEMA.names and len(frame) >= len(records.manifest())
    assert np.array_equal(sorted(frame["network"].unique()), sorted(records.read()["network"].unique()))


def test_citation_file_is_complete():
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "authors"} <= set(cited) and cited["cff-version"] == "1.2.0"
    assert cited["license"] == "MIT" and cited["references"][0]["year"] == 2019
    assert [author["family-names"] for author in cited["references"][0]["authors"]] == ["Frankle", "Carbin"]
