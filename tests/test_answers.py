"""Commands that answer: what they print agrees with the store, and --json is valid JSON and nothing else."""

import json
import shutil

import pandas as pd
import pytest
import synthetic
from one_command import assert_one_line, redirect, run

from lth_utils import answers, claims, data, experiments, faults, spot_check, verify, workers
from lth_utils.campaign import Campaign
from lth_utils.paper import figures
from lth_utils.records import Store


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A store that a campaign left: dense networks and first tickets of three trials."""
    folder = tmp_path_factory.mktemp("trained")
    plan = synthetic.runs(synthetic.tickets(1, 3))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(data, "load", synthetic.load)
        patch.setattr("lth_utils.campaign.code_version", lambda: "abc")
        Campaign(plan, Store(folder)).work()
    return folder, plan


@pytest.fixture
def store(trained, tmp_path, monkeypatch):
    """That store, its dense networks adopted; planned are these runs and three more tickets."""
    folder, plan = shutil.copytree(trained[0], tmp_path / "records"), trained[1]
    redirect(monkeypatch, folder)
    Store(folder).adopt(Store(folder).rows().query("arm == 'dense'"))
    deeper = synthetic.runs(synthetic.tickets(2, 3))
    other = synthetic.runs(synthetic.tickets(0, 2), network="conv2", scale="reduced")
    monkeypatch.setattr(answers, "waves", lambda: {"one": plan, "two": deeper, "three": other})
    monkeypatch.setattr(workers, "default_workers", lambda device: 2)
    monkeypatch.setattr(verify.notebooks, "committed_problems", list)
    return folder


def asked(capsys, *arguments):
    status, shown, message = run(capsys, *arguments, "--json")
    assert status == 0 and message == ""
    return json.loads(shown, parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))


# --- plan and records --------------------------------------------------------------------------------------------------------


def test_the_plan_counts_what_is_done_missing_and_adopted(capsys, store):
    rows = asked(capsys, "plan")
    names = ("wave", "network", "scale", "planned", "done", "missing", "adopted")
    assert [tuple(row[name] for name in names) for row in rows] == [
        ("one", "lenet", "paper", 6, 6, 0, 3),
        ("two", "lenet", "paper", 9, 6, 3, 3),
        ("three", "conv2", "reduced", 2, 0, 2, 0),
    ]


def test_hours_follow_from_how_long_finished_runs_took(capsys, store):
    seconds = Store(store).rows()["cpu_seconds"].sum()
    hours = {row["wave"]: row["hours"] for row in asked(capsys, "plan")}
    assert hours["one"] == 0 and hours["three"] is None  # no run of Conv-2 has been timed
    assert hours["two"] == pytest.approx(
        seconds / 3600 / 6 * 3 / 2
    )  # six runs took that long; three on two cores
    _, shown, _ = run(capsys, "plan")
    assert [line.split()[-1] for line in shown.splitlines()[1:4]] == ["0.0", f"{hours['two']:.1f}", "-"]


def test_a_plan_is_cut_to_a_network_or_a_scale_that_exists(capsys, store):
    assert [row["wave"] for row in asked(capsys, "plan", "--network", "lenet")] == ["one", "two"]
    assert [row["wave"] for row in asked(capsys, "plan", "--scale", "reduced")] == ["three"]
    for wish in (["--network", "lenet5"], ["--scale", "huge"]):
        status, _, message = run(capsys, "plan", *wish)
        assert status == 1
        assert_one_line(message, wish[1])


def test_records_are_listed_by_arm_with_rounds_trials_and_adoption(capsys, store):
    dense, tickets = asked(capsys, "records")
    assert (dense["arm"], dense["rounds"], dense["trials"], dense["adopted"]) == ("dense", [0], [0, 1, 2], 3)
    assert (tickets["arm"], tickets["rounds"], tickets["runs"], tickets["adopted"]) == (
        "winning_ticket",
        [1],
        3,
        0,
    )
    _, shown, _ = run(capsys, "records")
    assert "0-2" in shown and shown.splitlines()[-1] == "6 runs in 2 files, 3 of them adopted"


def test_an_empty_store_is_said_to_be_empty(capsys, tmp_path, monkeypatch):
    redirect(monkeypatch, tmp_path / "nothing")
    assert run(capsys, "records")[:2] == (0, "0 runs in 0 files, 0 of them adopted\n")
    assert asked(capsys, "records") == []


@pytest.mark.parametrize(
    ("numbers", "text"), [([0, 1, 2, 4], "0-2, 4"), ([3], "3"), ([], ""), ({9, 7, 8, 1}, "1, 7-9")]
)
def test_numbers_are_written_as_ranges(numbers, text):
    assert answers.ranges(numbers) == text


# --- claims and figures ------------------------------------------------------------------------------------------------------


def test_claims_are_those_of_the_rooms_and_cut_by_name_and_rank(capsys, store):
    every = asked(capsys, "claims")
    assert [row["claim"] for row in every] == list(dict.fromkeys(claims.ledger()["claim"]))
    central = asked(capsys, "claims", "--rank", "A")
    assert {row["rank"] for row in central} == {"A"} and 0 < len(central) < len(every)
    assert [row["claim"] for row in asked(capsys, "claims", "C05", "C04")] == ["C04", "C05"]
    conditions = asked(capsys, "claims", "C04", "--conditions")
    assert len(conditions) > 1 and {"rule", "ours", "paper_says", "outcome"} <= set(conditions[0])


def test_claims_are_decided_from_adopted_records_only(capsys, store):
    compared = asked(capsys, "claims", "C02", "--conditions")
    assert {row["outcome"] for row in compared} == {"not run"}
    _, shown, _ = run(capsys, "claims", "C02")
    assert shown.splitlines()[-1].startswith("claims: 0 reproduced") and "1 not run" in shown


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["claims", "C99"], ["C99", "C01 to C60"]),
        (["claims", "--rank", "Z"], ["'Z'", "A, B"]),
        (["figure", "2"], ["'2'", "1, 3, 4"]),
        (["figure", "4", "--out", "figure.pdf"], ["figure.pdf", ".png"]),
        (["verify", "--seed", "1"], ["--retrain"]),
        (["verify", "--retrain", "7"], ["6 are stored"]),
    ],
)
def test_what_does_not_exist_ends_in_one_line_that_names_what_does(capsys, store, arguments, words):
    status, _, message = run(capsys, *arguments)
    assert status == 1
    assert_one_line(message, *words)


def test_a_figure_is_drawn_from_adopted_records_where_it_was_asked_for(capsys, store, tmp_path):
    out = tmp_path / "drawn" / "ours.png"
    status, shown, _ = run(capsys, "figure", "4", "--out", str(out))
    assert status == 0 and out.exists() and out.with_suffix(".csv").exists()
    table = pd.read_csv(out.with_suffix(".csv"))
    assert (table["source"] == "ours").sum() > 0 and set(
        table.query("source == 'ours'")["percent_remaining"]
    ) == {100}
    assert f"{(table['source'] == 'ours').sum()} points of ours" in shown


def test_figures_of_curves_and_of_several_networks_go_into_build_by_default(
    capsys, store, tmp_path, monkeypatch
):
    monkeypatch.setattr(answers, "ROOT", tmp_path)
    for name in ("1", "3", "6"):
        assert run(capsys, "figure", name)[0] == 0
        assert (tmp_path / "build" / "figures" / f"figure_{name}.png").exists()


def test_every_figure_of_the_paper_is_offered():
    assert set(answers.FIGURES) == {*figures.FIGURES, *figures.WHILE_TRAINING}


# --- verify ------------------------------------------------------------------------------------------------------------------


def test_verify_says_of_each_check_that_it_is_fine(capsys, store):
    status, shown, _ = run(capsys, "verify")
    assert status == 0
    assert [line.split(":")[0] for line in shown.splitlines()[:-1]] == [
        f"ok     {name}"
        for name in ("data mnist", "data cifar10", "records", "masks", "manifest", "notebooks")
    ]


def test_verify_names_what_is_wrong_and_ends_with_status_1(capsys, store, monkeypatch):
    monkeypatch.setattr(verify.notebooks, "committed_problems", lambda: ["01: " + "long " * 100 + "end"])
    status, shown, _ = run(capsys, "verify")
    assert status == 1 and "WRONG  notebooks" in shown
    (line,) = (line for line in shown.splitlines() if "01: long" in line)
    assert len(line) < 320 and line.endswith("end")


def test_runs_are_retrained_and_both_numbers_shown(capsys, store):
    status, shown, _ = run(capsys, "verify", "--retrain", "2", "--seed", "3")
    assert status == 0 and "--seed 3" in shown and shown.count("percent_remaining of the mask") == 2
    found = asked(capsys, "verify", "--retrain", "1", "--seed", "3", "--iterations", "2")
    (one,) = found["retrained"]
    assert one["ok"] and one["iterations"] == 2 and {"recorded", "retrained"} <= set(one["comparisons"][0])
    assert all(check["ok"] for check in found["checks"])


def test_a_run_that_comes_out_otherwise_ends_with_status_1(capsys, store, monkeypatch):
    draw = spot_check.draw

    def altered(frame, count, seed):
        return [
            row | {"curve_validation_loss": row["curve_validation_loss"] + 1}
            for row in draw(frame, count, seed)
        ]

    monkeypatch.setattr(spot_check, "draw", altered)
    status, shown, _ = run(capsys, "verify", "--retrain", "1", "--iterations", "2")
    assert status == 1 and shown.count("outside") == 2 and "something is wrong" in shown


def test_the_report_may_show_every_planned_experiment_and_the_faults():
    named = answers.waves()
    assert experiments.waves().items() < named.items()
    assert named["notebook 05b"] == faults.plan()
