"""The ledger, its statistics and its verdicts, on hand-sized records and on the paper's own plotted means."""

import hashlib
import math
from importlib.resources import files

import numpy as np
import pandas as pd
import pytest
from paper_frame import ACCURACY, LENET, STOP, around, condition, gains, paper_frame, records, run

from lth_utils import claims
from lth_utils.claims import statistics
from lth_utils.claims.curves import curve_score
from lth_utils.claims.grids import grid
from lth_utils.claims.measures import measure
from lth_utils.paper.figures import paper_series

LEDGER_SHA256 = "50d77305569cd5c9d64974ebfb3dc88be9ab23a43719436721e8e2d679f946a1"
DEEPER = ["vgg19", "resnet18"]  # not trained here

# What the paper's own plotted means say against the paper's text. C07, C17: another speed than the text's. C20, C21:
# the one-shot ranges end earlier than the text has it. C60: Conv-6 reinit is visibly better than random sparsity.
PLOTS_CONTRADICT = {("C07", "a"), ("C17", "a"), ("C20", "c"), ("C21", "c"), ("C60", "h"), ("C60", "i")}
# The same for deeper networks, from the ledger's own column of plotted numbers.
DEEPER_PLOTS_CONTRADICT = {("C40", "a"), ("C45", "c"), ("C51", "c"), ("C54", "a")}


# --- hand-made records and conditions


def decided(frame, asked):
    return claims.decide(asked, measure(frame, asked))


# --- the ledger


def test_the_ledger_is_frozen_and_an_unknown_claim_is_refused():
    content = files("lth_utils.paper").joinpath("claims.csv").read_bytes()
    assert hashlib.sha256(content).hexdigest() == LEDGER_SHA256
    with pytest.raises(KeyError, match="C99"):
        claims.ledger(["C09", "C99"])


# --- one condition


@pytest.mark.parametrize(
    ("changes", "values", "outcome", "reason"),
    [
        ({}, (0.899, 0.9, 0.901), "met", ""),  # at least 0.3
        ({}, (0.099, 0.1, 0.101), "failed", ""),
        (
            {"lower": -math.inf, "upper": 0.35},
            (-0.501, -0.5, -0.499),
            "met",
            "",
        ),  # less than zero is no violation
        ({"lower": -math.inf, "upper": 0.35}, (0.899, 0.9, 0.901), "failed", ""),
        ({"upper": 0.7}, (0.499, 0.5, 0.501), "met", ""),  # about
        ({"upper": 0.7}, (0.899, 0.9, 0.901), "failed", ""),
        ({"lower": -math.inf, "upper": 0.0}, (0.019, 0.02, 0.021), "failed", ""),  # ordering
        ({}, (0.9, 0.9), "inconclusive", "fewer than 3 trials"),
        ({}, (0.2, 0.3, 0.4), "inconclusive", "on the bound: no number of trials would decide"),
        ({}, (0.2, 0.4, 0.6, 0.5), "inconclusive", "about 10 trials would decide"),
        ({"scored": "no"}, (0.1, 0.1, 0.1), "chosen", ""),
        ({}, (), "not run", ""),
    ],
)
def test_bounds_and_the_number_of_trials_decide(changes, values, outcome, reason):
    found = claims.decide(condition(**changes), around(*values))
    assert (found.outcome, found.reason) == (outcome, reason)


def test_the_trials_that_would_decide_make_an_interval_that_clears_the_bound():
    values = (0.2, 0.4, 0.6, 0.5)
    half_widths = [statistics.t_quantile(n) * np.std(values, ddof=1) / math.sqrt(n) for n in (9, 10)]
    assert half_widths[0] > 0.425 - 0.3 > half_widths[1]
    logarithms = claims.decide(condition(lower=math.exp(0.3)), around(*np.exp(values), scale="log"))
    assert logarithms.reason == "about 10 trials would decide"


def test_another_scale_is_compared_without_an_outcome():
    frame = gains().assign(scale="reduced")
    assert decided(frame, condition()).interval.estimate == pytest.approx(1.1)
    assert decided(frame, condition()).outcome == "reduced scale"
    frame.loc[frame["percent_remaining"] == 100, "scale"] = "paper"
    assert decided(frame, condition()).outcome == "reduced scale"


def test_the_papers_length_in_another_precision_is_judged_with_a_note_beside_its_number():
    frame = gains(rung=13.52)
    pair = claims.compare(frame.assign(precision="bfloat16"), ["C09"]).iloc[0]
    assert (pair["outcome"], pair["note"]) == ("met", "bfloat16")
    assert "1.10 [0.85, 1.35] pp, n=3, bfloat16" in claims.comparison_text(pair.to_frame().T)
    assert set(claims.compare(frame, ["C09"])["note"]) == {""}
    reduced = claims.compare(frame.assign(precision="bfloat16", scale="reduced"), ["C09"])
    assert set(reduced["note"]) == {""} and "bfloat16" not in claims.comparison_text(reduced)


def test_precisions_of_one_arm_are_never_averaged_together():
    frame = gains().assign(precision=["float32"] * 3 + ["bfloat16"] * 3)
    assert decided(frame, condition()).outcome == "met"  # dense and ticket may differ
    frame.loc[frame["trial"] == 2, "precision"] = "bfloat16"
    with pytest.raises(ValueError, match="never averaged together: bfloat16, float32"):
        measure(frame, condition())


def test_a_diverged_run_makes_its_condition_inconclusive_by_name():
    frame = gains((0.97,) * 4, (0.98, 0.981, 0.982, 0.98))
    frame.loc[(frame["trial"] == 2) & (frame["percent_remaining"] < 100), "diverged"] = True
    found = decided(frame, condition())
    assert (found.outcome, found.reason) == ("inconclusive", "diverged: trial 2 at 21.07 %")
    assert measure(frame, condition()).trials == (0, 1, 3)  # it enters no mean either
    assert decided(frame.assign(diverged=True), condition()).outcome == "inconclusive"
    again = frame[frame["percent_remaining"] < 100].assign(replicate=1, diverged=[True, False, False, False])
    both = measure(pd.concat([frame, again]), condition())  # one replicate is enough
    assert both.problem == "diverged: trial 0 at 21.07 %; diverged: trial 2 at 21.07 %"
    assert "diverged" in measure(frame, condition(**CROSSING | {"percent_remaining": "21.07"})).problem


# --- one value per trial


def test_replicates_are_averaged_within_their_trial_first():
    accuracies = [(0, 0, 0.97), (0, 1, 0.98), (0, 2, 0.99), (1, 0, 0.95)]
    frame = pd.DataFrame([run(t, 21.07, replicate=r, **{ACCURACY: a}) for t, r, a in accuracies])
    value = condition(quantity="value", reference_arm="", unit="percent")
    assert measure(frame, value).values == pytest.approx([98.0, 95.0])


def test_differences_are_paired_by_trial_whatever_the_order_of_records():
    dense, ticket = (0.96, 0.97, 0.98, 0.99), (0.965, 0.976, 0.984, 0.995)
    paired = decided(gains(dense, ticket).sample(frac=1, random_state=0), condition()).interval
    crossed = decided(gains(dense, ticket[::-1]), condition()).interval
    assert paired.estimate == pytest.approx(crossed.estimate) == pytest.approx(0.5)
    assert paired.high - paired.low < (crossed.high - crossed.low) / 5


def test_a_trial_without_its_partner_is_left_out_and_two_records_of_one_run_are_an_error():
    assert measure(gains((0.97, None, 0.97)), condition()).trials == (0, 2)
    with pytest.raises(ValueError, match="same run"):
        measure(pd.concat([gains(), gains().assign(scale="reduced")]), condition())


def test_the_best_rung_is_chosen_by_the_mean_over_trials():
    best_trial_elsewhere = {51.28: (0.98, 0.98, 0.98), 21.07: (0.97, 0.97, 0.999)}
    frame = records({100.0: (0.97,) * 3} | best_trial_elsewhere)
    sample = measure(frame, condition(over="highest", percent_remaining="51.28 21.07"))
    assert sample.values == pytest.approx([1.0, 1.0, 1.0]) and sample.remark == "at 51.28 %"
    assert measure(frame, condition(over="lowest", percent_remaining="51.28 21.07")).remark == "at 21.07 %"


def test_over_several_rungs_a_trial_with_missing_ones_takes_no_part():
    over_two = condition(over="mean", percent_remaining="51.28 21.07")
    nowhere = measure(gains(), over_two)
    assert nowhere.problem == "1 of 2 rungs missing" and nowhere.trials == (0, 1, 2)
    frame = records({100.0: (0.97,) * 3, 51.28: (0.98, None, 0.98), 21.07: (0.98,) * 3})
    sample = measure(frame, over_two)
    assert (sample.trials, sample.problem) == ((0, 2), "")
    assert sample.remark == "left out as incomplete: trial 1"


CROSSING = {"quantity": "crossing", "percent_remaining": "80.04 64.06 51.28", "unit": "percent_remaining"}


def ladders(*trials):
    """Records of trials, each given as its accuracies at 100, 80.04, 64.06 and 51.28 %."""
    return records(dict(zip((100.0, 80.04, 64.06, 51.28), zip(*trials))))


def test_crossing_is_the_smallest_rung_no_worse_than_the_trials_own_dense_network():
    dipping, never = (0.97, 0.98, 0.96, 0.96), (0.99, 0.98, 0.98, 0.98)
    returning = (0.97, 0.96, 0.97, 0.96)  # back at dense on the second rung: ties count as no worse
    sample = measure(ladders(dipping, returning, never), condition(**CROSSING))
    assert sample.values == pytest.approx([80.04, 64.06, 100.0]) and not sample.open_low
    geometric = claims.decide(condition(**CROSSING), sample).interval
    assert geometric.estimate == pytest.approx((80.04 * 64.06 * 100) ** (1 / 3))
    stops = records({100.0: [4_000], 80.04: [3_000], 64.06: [4_000], 51.28: [5_000]}, STOP)
    assert measure(stops, condition(**CROSSING | {"metric": STOP})).values == [64.06]  # earlier is better


def test_a_crossing_at_the_last_rung_leaves_the_lower_end_open():
    frame = ladders(*[(0.97, 0.98, 0.98, 0.98)] * 3)
    sample = measure(frame, condition(**CROSSING))
    assert sample.open_low and sample.values == pytest.approx([51.28] * 3)
    assert claims.decide(condition(**CROSSING, lower=10.0, upper=60.0), sample).outcome == "inconclusive"
    assert claims.decide(condition(**CROSSING, lower=-math.inf, upper=60.0), sample).outcome == "met"
    trained_so_far = measure(frame[frame["percent_remaining"] > 60], condition(**CROSSING))
    assert trained_so_far.open_low and trained_so_far.values == pytest.approx([64.06] * 3)


def test_a_trial_with_missing_rungs_takes_no_part_in_a_crossing():
    whole = [(0.97, 0.98, 0.98, 0.96)] * 3
    shallow, with_a_gap = (0.97, 0.96, None, None), (0.97, 0.98, None, 0.98)
    sample = measure(ladders(*whole, shallow, with_a_gap), condition(**CROSSING))
    assert sample.trials == (0, 1, 2) and sample.values == pytest.approx([64.06] * 3)
    assert (sample.remark, sample.problem) == ("left out as incomplete: trial 3, 4", "")
    assert measure(ladders(with_a_gap), condition(**CROSSING)).problem == "1 of 3 rungs missing"
    threshold = CROSSING | {"quantity": "crossing_ratio", "threshold": 0.97}
    same = {"reference_arm": "winning_ticket", "reference_percent_remaining": "same"}
    ratio = measure(ladders(*whole, shallow), condition(**threshold, **same))
    assert ratio.trials == (0, 1, 2) and ratio.remark == "left out as incomplete: trial 3"


def test_a_minimum_at_the_last_evaluation_is_only_a_bound():
    ratio = condition(quantity="ratio", metric=STOP, unit="ratio", lower=3.0)
    late, early = (50_000,) * 3, (4_000, 4_001, 4_002)
    subject = records({100.0: early, 21.07: late}, STOP)
    assert decided(subject, ratio).outcome == "met"
    bounded = decided(subject, ratio.replace({math.inf: 20.0}))
    assert bounded.outcome == "inconclusive" and "censored" in bounded.reason
    reference = measure(records({100.0: late, 21.07: early}, STOP), ratio)
    assert reference.open_low and not reference.open_high


def test_ranks_and_locations_are_per_trial_and_say_where_readings_are_censored():
    frame = records({80.04: (4_000,) * 3, 64.06: (3_000,) * 3, 51.28: (5_000,) * 3}, STOP)
    asked = condition(**CROSSING | {"metric": STOP, "reference_arm": "", "quantity": "rank_correlation"})
    growth = measure(frame, asked)
    assert growth.values == pytest.approx([0.5] * 3) and growth.remark == ""
    lowest = measure(frame, asked.replace("rank_correlation", "location_of_lowest"))
    assert lowest.values == pytest.approx([64.06] * 3) and lowest.scale == "log"
    frame.loc[frame["trial"] == 1, "training_iterations"] = 5_000
    assert measure(frame, asked).remark == "censored readings count as they stand"


def test_rank_agreement_is_over_the_rungs_of_both_arms():
    def curved(trial, rung, stop, hit, **more):
        curve = {
            "curve_iteration": [100, 200, 300],
            "curve_test_accuracy": [0.9 + 0.1 * (i >= hit) for i in range(3)],
        }
        return run(trial, rung, **{STOP: stop}, **curve, **more)

    runs = [(100.0, 300, 2, {}), (21.07, 100, 0, {}), (21.07, 400, 1, {"arm": "random_reinit"})]
    frame = pd.DataFrame([curved(t, p, stop, hit, **more) for t in range(3) for p, stop, hit, more in runs])
    other = {"reference_arm": "random_reinit", "reference_percent_remaining": "21.07", "threshold": 1.0}
    asked = condition(quantity="rank_agreement", metric=STOP, percent_remaining="100 21.07", **other)
    assert measure(frame, asked).values == pytest.approx([0.5] * 3)
    missing = frame[(frame["trial"] != 1) | (frame["arm"] != "random_reinit")]
    assert measure(missing, asked).trials == (0, 2)


def test_time_to_accuracy_reads_each_trials_own_curve_up_to_the_first_gap():
    curves = [(0.9, 0.98, 0.97, 0.99), (0.9, 0.9, np.nan, 0.99), (np.nan, np.nan, np.nan, 0.99)]
    runs = [
        run(t, 21.07, curve_iteration=[100, 200, 300, 400], curve_test_accuracy=c)
        for t, c in enumerate(curves)
    ]
    times = grid(pd.DataFrame(runs), "iterations_to_accuracy@0.98", [21.07], arm="winning_ticket", **LENET)
    assert times.values[21.07].tolist()[:2] == [200, 200] and np.isnan(times.values.loc[2, 21.07])
    assert times.censored[21.07].tolist() == [False, True, False]


def test_validation_loss_rise_is_late_loss_over_the_minimum():
    losses = {"curve_iteration": [100, 200, 1_000, 1_400], "curve_validation_loss": [0.4, 0.1, 0.2, 0.3]}
    frame = pd.DataFrame([run(0, 21.07, **losses)])
    rise = grid(frame, "validation_loss_rise@1200", [21.07], arm="winning_ticket", **LENET)
    assert rise.values.loc[0, 21.07] == pytest.approx(2.5)


# --- statistics


def test_ratio_interval_ends_where_the_paired_t_test_is_just_significant():
    tabled = statistics.t_interval([1.0, 2.0, 3.0])
    assert (tabled.estimate, tabled.low, tabled.high) == pytest.approx((2.0, 2 - 2.484138, 2 + 2.484138))
    above, below = np.array([5.0, 6.0, 7.0, 6.5]), np.array([2.0, 2.2, 2.5, 2.1])
    found = statistics.ratio_interval(above, below)
    assert found.estimate == pytest.approx(above.mean() / below.mean())
    for end in (found.low, found.high):
        residual = statistics.t_interval(above - end * below)
        assert min(abs(residual.low), abs(residual.high)) == pytest.approx(0, abs=1e-9)
    halved, plain = statistics.ratio_interval(above, [2.0] * 4), statistics.t_interval(above / 2)
    assert (halved.low, halved.high, halved.spread) == pytest.approx((plain.low, plain.high, plain.spread))
    near_zero = statistics.ratio_interval([1.0, 1.1, 0.9], [-1.0, 0.1, 1.1])
    assert math.isinf(near_zero.low) and math.isinf(near_zero.high)


# --- verdicts


@pytest.mark.parametrize(
    ("outcomes", "verdict"),
    [
        (["met", "met"], "reproduced"),
        (["met", "failed", "inconclusive", "not run"], "partly reproduced"),
        (["failed", "failed"], "not reproduced"),
        (["met", "inconclusive"], "inconclusive"),
        (["failed", "inconclusive"], "inconclusive"),
        (["met", "not run"], "inconclusive"),
        (["not run", "not run"], "not run"),
        (["reduced scale", "not run"], "reduced scale"),
        (["reduced scale", "met"], "inconclusive"),
        (["chosen", "met"], "reproduced"),
        (["chosen", "not run"], "not run"),
    ],
)
def test_verdict_follows_from_the_outcomes(outcomes, verdict):
    assert claims.verdict(outcomes) == verdict


def test_comparison_prints_as_stable_text():
    comparison = claims.compare(gains((0.97,) * 4, (0.9741, 0.9742, 0.9743, 0.9744), 13.52), ["C09"])
    assert claims.comparison_text(comparison).splitlines() == [
        "C09 (A) At 13.5 % the accuracy at early-stop is more than 0.3 pp higher",
        "    verdict: reproduced",
        "  a  test accuracy at early-stop, 13.5 % minus dense: met",
        "     rule >= 0.3 pp | paper: text >0.3, plot 0.41 | ours: 0.43 [0.40, 0.45] pp, n=4",
        "  b  dense test accuracy at early-stop: chosen (used to choose the pixel scaling)",
        "     rule 97.78 to 98.08 % | paper: plot 97.93 | ours: 97.00 [97.00, 97.00] %, n=4",
    ]
    expected = "C09 A  reproduced         At 13.5 % the accuracy at early-stop is more than 0.3 pp higher (1 met, 1 chosen)"
    assert claims.verdicts_text(claims.verdicts(comparison)) == expected


def test_without_records_and_from_other_studies_a_claim_is_not_run():
    for frame in (gains(rung=13.52).assign(study="faults"), pd.DataFrame()):
        assert claims.verdicts(claims.compare(frame, ["C09"]))["verdict"].tolist() == ["not run"]


# --- curves


def test_curve_score_counts_rungs_where_the_interval_meets_the_bar():
    inside = {100.0: (4_000, 4_001, 4_002)}  # the paper's bar: 2,101 to 5,701
    outside = {80.04: (9_000, 9_001, 9_002)}  # 3,201 to 7,101
    frame = records(inside | outside | {64.06: (4_500,), 51.28: (4_000, 4_001, 4_002)}, STOP)
    frame.loc[frame["percent_remaining"] == 51.28, "diverged"] = [True, False, False]
    scores = curve_score(frame, "4", "1").set_index(["arm", "procedure"])
    ours = scores.loc[("winning_ticket", "iterative")]
    assert (ours["paper_rungs"], ours["common_rungs"], ours["agreeing_rungs"]) == (25, 4, 2)
    assert (ours["score"], ours["coverage"]) == pytest.approx((0.5, 4 / 25))
    reinit = scores.loc[("random_reinit", "iterative")]
    assert reinit["common_rungs"] == 0 and math.isnan(reinit["score"])
    below = curve_score(records({80.04: (100,) * 3}, STOP), "4", "1")
    assert below["common_rungs"].sum() == 1 and below["agreeing_rungs"].sum() == 0
    with pytest.raises(ValueError, match="no panel"):
        curve_score(frame, "3", "1")
    # Figure 1 prunes the convolutions of Conv-6 at another rate.
    assert paper_series("1", "", "Conv-6 [random]")["variant"] == "conv_rate_10"
    assert paper_series("6", "", "Conv-6 dropout")["variant"] == "dropout"


# --- the paper against itself


@pytest.fixture(scope="module")
def paper_against_itself():
    """Every condition decided on records that repeat the paper's plotted means, the one-shot claims on their own dense."""
    own_dense = ["C20", "C21"]
    shared = claims.compare(paper_frame())
    one_shot = claims.compare(paper_frame(dense_of="one_shot").query("network == 'lenet'"), own_dense)
    return pd.concat([shared[~shared["claim"].isin(own_dense)], one_shot], ignore_index=True)


def test_the_papers_own_plots_support_all_but_the_listed_conditions(paper_against_itself):
    assert len(paper_against_itself) == len(claims.ledger())
    assert (paper_against_itself["trials"] == 3).all() and np.isfinite(paper_against_itself["ours"]).all()
    assert not set(paper_against_itself["outcome"]) & {"not run", "reduced scale"}
    table = paper_against_itself.query("network not in @DEEPER").set_index(["claim", "condition"])["outcome"]
    assert set(table[table == "failed"].index) == PLOTS_CONTRADICT
    assert set(table.unique()) == {"met", "failed", "chosen"}
    deep = claims.ledger().query("network in @DEEPER")
    plotted = pd.to_numeric(deep["paper_figure"], errors="coerce")
    outside = deep[(plotted < deep["lower"]) | (plotted > deep["upper"])]
    assert set(zip(outside["claim"], outside["condition"])) == DEEPER_PLOTS_CONTRADICT


def test_plotted_numbers_of_the_ledger_are_the_papers(paper_against_itself):
    rows = paper_against_itself.query("network not in @DEEPER and unit != 'correlation'")
    plotted = pd.to_numeric(rows["paper_figure"], errors="coerce")
    off = (rows["ours"] - plotted).abs() > np.maximum(0.006, 0.006 * plotted.abs())
    beyond = rows["measure"].str.contains("smallest P_m at least as accurate") & np.isinf(rows["low"])
    flat = rows["measure"].str.startswith("P_m of")  # two rungs within 0.01 pp of each other
    assert rows.loc[off & ~beyond & ~flat, "measure"].tolist() == []
    assert plotted.notna().sum() >= 150
