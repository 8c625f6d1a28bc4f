"""The second reading and its calibration, on hand-sized samples, on the paper's own bars and on swapped arms."""

import functools
import math

import numpy as np
import pandas as pd
import pytest
from paper_frame import around, condition
from paper_frame import records as hand_made
from scipy import stats

from lth_utils import ROOT, claims
from lth_utils.claims import calibration, second_reading
from lth_utils.claims.statistics import expected_range, ratio_interval, t_interval
from lth_utils.notebooks import summaries
from lth_utils.paper import figures
from lth_utils.records import read_adopted

sample, condition = around, functools.partial(condition, paper_figure="")
FEW = ["C02", "C09", "C15", "C16", "C59"]


@pytest.fixture(scope="module")
def truth():
    return calibration.plotted_points("lenet")


@pytest.fixture(scope="module")
def papers_own(truth):
    return calibration.paper_records(truth, np.random.Generator(np.random.PCG64(0)), own=True)


# --- direction


@pytest.mark.parametrize(
    ("quantity", "lower", "upper", "sense"),
    [
        ("difference", 0.3, math.inf, 1),
        ("difference", -math.inf, 0.0, -1),
        ("difference", -0.8, 0.8, 0),  # that two arms do not differ has no direction
        ("difference", -math.inf, 0.35, 0),
        ("ratio", 0.47, 0.77, -1),
        ("ratio", 1.5, math.inf, 1),
        ("rank_correlation", 0.8, math.inf, 1),
        ("value", 97.0, 98.0, 0),
    ],
)
def test_the_frozen_bounds_say_which_side_a_claim_is_on(quantity, lower, upper, sense):
    assert second_reading.sense(condition(quantity=quantity, lower=lower, upper=upper)) == sense


@pytest.mark.parametrize(
    ("bounds", "values", "ends", "word"),
    [
        ({"lower": 0.3}, (0.1, 0.12, 0.11), {}, "shown"),  # however small the effect
        ({"lower": 0.3}, (-0.1, -0.12, -0.11), {}, "against"),
        ({"lower": 0.3}, (-0.1, 0.2, 0.1), {}, "open"),
        ({"lower": 0.3}, (1.0, 1.0, 1.0), {}, "shown"),  # without spread there is no test
        ({"lower": 0.3}, (0.0, 0.0, 0.0), {}, "open"),
        (
            {"lower": 0.3},
            (1.2, 1.21, 1.22),
            {"open_high": True},
            "shown",
        ),  # a censored reading speaks for one side
        ({"lower": -math.inf, "upper": 0.0}, (-1.2, -1.21, -1.22), {"open_high": True}, "open"),
    ],
)
def test_a_direction_is_shown_or_spoken_against_or_open(bounds, values, ends, word):
    assert second_reading.direction(condition(**bounds), sample(*values, **ends))["direction"] == word


def test_a_ratio_is_tested_as_its_interval_is_made():
    generator = np.random.Generator(np.random.PCG64(2))
    for _ in range(20):
        above, below = generator.normal(1.4, 0.3, 5), generator.normal(1.0, 0.2, 5)
        interval = ratio_interval(above, below)
        found = second_reading.direction(
            condition(quantity="ratio", lower=1.1), sample(*above, reference=below, scale="ratio")
        )
        assert (found["p"] < 0.05) == (not interval.low <= 1 <= interval.high)


def test_holm_multiplies_the_smallest_by_all_and_never_falls():
    adjusted = second_reading.holm(pd.Series([0.01, math.nan, 0.04, 0.03]))
    assert adjusted.dropna().tolist() == pytest.approx([0.03, 0.06, 0.06]) and math.isnan(adjusted[1])


# --- the frozen bounds


def test_bounds_hold_a_point_an_interval_of_90_percent_or_one_of_95():
    values = (0.2, 0.4, 0.6, 0.5)
    low_90, low_95 = (t_interval(values, confidence).low for confidence in (0.90, 0.95))
    found = {
        lower: second_reading.against_bounds(condition(lower=lower), sample(*values))
        for lower in (0.5, (low_90 + 0.425) / 2, (low_95 + low_90) / 2)
    }
    assert [row["inside"] for row in found.values()] == [False, True, True]
    assert [row["equivalent"] for row in found.values()] == [False, False, True]
    assert claims.decide(condition(lower=(low_95 + low_90) / 2), sample(*values)).outcome == "inconclusive"


# --- size


def test_the_papers_errors_come_from_its_bars():
    assert [expected_range(count) for count in (5, 10, 25)] == pytest.approx([2.326, 3.078, 3.931], abs=5e-4)
    point = {"network": "lenet", "variant": "", "arm": "winning_ticket", "procedure": "iterative", "runs": 5}
    point |= {"percent_remaining": 21.07, "metric": "test_accuracy_at_early_stop"}
    points = pd.DataFrame([point | {"mean": 0.981, "min": 0.980, "max": 0.982}])
    value = condition(quantity="value", reference_arm="", unit="percent")
    theirs, ((error, runs),) = second_reading.plotted(value, points)
    assert (theirs, runs) == (pytest.approx(98.1), 5) and error == pytest.approx(0.2 / 2.32593 / math.sqrt(5))


def test_sizes_are_compared_as_welch_does(truth):
    value = condition(quantity="value", reference_arm="", unit="percent")
    theirs, ((error, runs),) = second_reading.plotted(value, truth)
    for shift in (0.05, 0.1, 0.2, 0.4):
        ours = theirs + shift + np.array([-0.1, 0.0, 0.05, 0.05, 0.0])
        found = second_reading.size(value, sample(*ours), truth)
        welch = stats.ttest_ind_from_stats(
            ours.mean(), ours.std(ddof=1), 5, theirs, error * math.sqrt(runs), runs, equal_var=False
        )
        assert (found["size"] == "differs") == (welch.pvalue < 0.05)
        assert found["difference"] == pytest.approx(shift)
        assert found["theirs_half"] == pytest.approx(stats.t.ppf(0.975, runs - 1) * error)


def test_the_plotted_numbers_are_those_of_the_ledger():
    points, compared = figures.points(), 0
    for _, row in claims.ledger().iterrows():
        theirs, _ = second_reading.plotted(row, points)
        ledgers = pd.to_numeric(row["paper_figure"], errors="coerce")
        if not math.isnan(theirs + ledgers):
            compared += 1
            assert theirs == pytest.approx(ledgers, rel=0.006, abs=0.006), row["measure"]
    assert compared >= 120


def test_a_point_is_plotted_once_with_the_runs_behind_it():
    points = figures.points()
    assert not points.duplicated([*figures.SERIES, "percent_remaining", "metric"]).any()
    runs = points.groupby(["network", "arm"])["runs"].agg(set)
    assert runs["lenet", "random_reinit"] == {25} and runs["conv2", "random_reinit"] == {15}
    assert runs["lenet", "random_sparsity"] == {5, 10} and runs["conv6", "winning_ticket"] == {5}


# --- crossings of mean curves


def test_a_crossing_of_the_mean_curve_is_not_the_mean_of_crossings():
    frame = hand_made({100.0: (0.97,) * 3, 51.28: (0.98,) * 3, 21.07: (0.969, 0.969, 0.975)})
    crossing = condition(quantity="crossing", percent_remaining="51.28 21.07", unit="percent_remaining")
    found = second_reading.of_mean_curve(frame, crossing)
    assert (found.estimate, found.low, found.high, found.trials) == (21.07, -math.inf, 51.28, 3)
    highest = condition(quantity="location_of_highest", percent_remaining="51.28 21.07", reference_arm="")
    assert second_reading.of_mean_curve(frame, highest).estimate == 51.28


# --- the whole table, and its calibration


def test_trials_of_the_papers_own_agree_in_size_and_go_against_no_claim(papers_own):
    table = second_reading.read(papers_own, FEW)
    assert len(table) == 18 and (table["trials"] == 5).all()
    assert set(table["size"]) - {""} == {"agrees"} and "against" not in set(table["direction"])
    assert table["difference"].abs().max() / table["half_width"].max() < 0.1
    assert (table["inside"] | ~table["plot_inside"] | table["size"].eq("")).all()
    assert not (table["equivalent"] & ~table["inside"]).any()
    counts = second_reading.by_claim(table)
    assert counts["size", "agrees"].sum() == table["size"].eq("agrees").sum()
    assert counts.loc[("C16", "lenet"), ("direction", "shown")] == 2 and len(counts) == len(FEW)
    assert (table["frozen"].eq("met") <= table["equivalent"]).all()
    denied = second_reading.read(papers_own, ["C07"]).set_index("condition")["plot_inside"]
    assert denied.to_dict() == {"a": False, "b": True, "c": True, "d": True}  # by the paper's own plot


def test_swapped_arms_speak_against_the_paper(papers_own):
    swapped = calibration.swapped(papers_own, "winning_ticket", "random_reinit")
    table = second_reading.read(swapped, FEW)
    assert table["direction"].eq("against").sum() >= 2 and table["size"].eq("differs").sum() >= 5


def test_reduced_diverged_and_too_few_runs_are_not_read(papers_own):
    assert second_reading.read(papers_own.assign(scale="reduced"), ["C09"]).empty
    assert second_reading.read(papers_own.assign(diverged=True), ["C09"]).empty
    assert second_reading.read(papers_own[papers_own["trial"] < 2], ["C09"]).empty


def test_the_papers_own_trials_keep_its_means_and_bars(truth, papers_own):
    tickets = papers_own[(papers_own["arm"] == "winning_ticket") & (papers_own["procedure"] == "iterative")]
    found = tickets.groupby("percent_remaining")["test_accuracy_at_early_stop"].agg(["mean", "min", "max"])
    wanted = truth[truth["metric"] == "test_accuracy_at_early_stop"].query("arm == 'winning_ticket'")
    wanted = wanted[wanted["procedure"] == "iterative"].set_index("percent_remaining")[found.columns]
    found = found.dropna()  # some means lie outside a plot
    assert np.abs(found - wanted.loc[found.index]).max().max() < 2e-4


def test_calibration_tells_right_trials_from_wrong_ones(papers_own):
    table = calibration.table(papers_own, draws=1, ids=FEW).set_index("trials of")
    own, reinits = table.loc["the paper's own trials"], table.loc["tickets that are their own reinits"]
    assert own["failed"] == 0 and own["met"] > own["inconclusive"]
    assert reinits["failed"] >= 2 and table.loc["ours, tickets and reinits swapped", "failed"] >= 5
    frozen = table[list(calibration.FROZEN)].sum(axis=1)
    assert frozen.nunique() == 1 and own["against"] == 0 and reinits["against"] >= 1
    assert own["agrees"] > reinits["agrees"] and reinits["differs"] >= 3
    alone = calibration.table(papers_own, draws=1, ids=FEW, worlds=[reinits.name]).set_index("trials of")
    assert alone.loc[reinits.name].equals(reinits), "a row has a seed of its own"


def test_the_committed_calibration_is_that_of_the_adopted_records():
    world = "ours, tickets and reinits swapped"
    (row,) = calibration.table(summaries.scored(read_adopted()), worlds=[world]).to_dict("records")
    committed = pd.read_csv(ROOT / "figures" / "00_calibration.csv", index_col="trials of")
    assert committed.loc[world].to_dict() == pytest.approx({k: v for k, v in row.items() if k in committed})
    assert list(committed.index) == list(calibration.WORLDS)
