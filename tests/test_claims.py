"""The ledger, its statistics and its verdicts, on hand-sized records and on the paper's own plotted means."""

import hashlib
import math
from importlib.resources import files

import numpy as np
import pandas as pd
import pytest
from paper_frame import needed_runs, paper_frame

from lth_utils import claims
from lth_utils.claims import statistics
from lth_utils.claims.curves import curve_score
from lth_utils.claims.grids import grid
from lth_utils.claims.measures import Sample, measure
from lth_utils.paper.figures import paper_series

LEDGER_SHA256 = "50d77305569cd5c9d64974ebfb3dc88be9ab23a43719436721e8e2d679f946a1"
SECTION_4 = {f"C{number}" for number in range(39, 55)}
ACCURACY = "test_accuracy_at_early_stop"
LENET = {"network": "lenet", "variant": "", "procedure": "iterative"}

# What the paper's own plotted means say against the paper's text. C07, C17: another speed than the text's. C20, C21:
# the one-shot ranges end earlier than the text has it. C60: Conv-6 reinit is visibly better than random sparsity.
PLOTS_CONTRADICT = {("C07", "a"), ("C17", "a"), ("C20", "c"), ("C21", "c"), ("C60", "h"), ("C60", "i")}
# The same for networks that are not trained here, from the ledger's own column of plotted numbers.
PLOTS_CONTRADICT_SECTION_4 = {("C40", "a"), ("C45", "c"), ("C51", "c"), ("C54", "a")}


# --- hand-made records and conditions


def run(trial, percent_remaining=100.0, replicate=0, **measures):
    """One record of a Lenet: dense at 100 %, else a ticket, unless said otherwise."""
    record = LENET | {"study": "paper", "scale": "paper", "precision": "float32", "diverged": False}
    record |= {"training_iterations": 50_000}
    record |= {
        "arm": "dense" if percent_remaining == 100 else "winning_ticket",
        "early_stop_iteration": 4_000,
    }
    record |= {"trial": trial, "replicate": replicate, "percent_remaining": percent_remaining}
    return record | measures


def records(*runs):
    return pd.DataFrame(runs)


def condition(**changes):
    """A condition on Lenet tickets at 21.07 %: the accuracy gained over the dense network, at least 0.3 pp."""
    row = LENET | {"metric": ACCURACY, "quantity": "difference", "over": "", "arm": "winning_ticket"}
    row |= {"percent_remaining": "21.07", "reference_arm": "dense", "reference_procedure": "iterative"}
    row |= {
        "reference_variant": "",
        "reference_percent_remaining": "100",
        "threshold": math.nan,
        "unit": "pp",
    }
    row |= {"lower": 0.3, "upper": math.inf, "scored": "yes", "note": ""}
    return pd.Series(row | changes)


def between(lower=-math.inf, upper=math.inf):
    return condition(lower=lower, upper=upper)


def around(*values, scale="mean", **more):
    return Sample(
        trials=tuple(range(len(values))), values=np.array(values), scale=scale, scales=("paper",), **more
    )


def gains(dense, ticket):
    """Records of as many trials as accuracies are given, dense and at 21.07 %."""
    pairs = zip(dense, ticket, strict=True)
    return records(
        *(run(t, p, **{ACCURACY: a}) for t, ab in enumerate(pairs) for p, a in zip((100.0, 21.07), ab))
    )


# --- the ledger


def test_ledger_is_frozen():
    ledger = files("lth_utils.paper").joinpath("claims.csv").read_bytes()
    assert hashlib.sha256(ledger).hexdigest() == LEDGER_SHA256


def test_ledger_names_every_claim_and_each_condition_once():
    ledger = claims.ledger()
    assert sorted(set(ledger["claim"])) == [f"C{number:02d}" for number in range(1, 61)]
    assert len(ledger) >= 198 and not ledger.duplicated(["claim", "condition"]).any()
    assert set(ledger["rank"]) == {"A", "B", "C"} and (ledger[["statement", "measure", "reason"]] != "").all(
        axis=None
    )


def fits_its_kind(row):
    ends = math.isfinite(row["lower"]), math.isfinite(row["upper"])
    one_sided = {(True, False), (False, True)}
    allowed = {"about": {(True, True)}, "at_least": {(True, False)}, "at_most": {(False, True)}}
    allowed |= {"ordering": one_sided, "crossing": one_sided | {(True, True)}}
    zero = 1 if row["quantity"] == "ratio" else 0
    ordered = row["kind"] != "ordering" or (row["lower"] if ends[0] else row["upper"]) == zero
    crossing = (row["kind"] == "crossing") == (row["quantity"] == "crossing")
    return ends in allowed[row["kind"]] and ordered and crossing and row["lower"] < row["upper"]


def test_bounds_of_every_condition_fit_its_kind():
    rows = claims.ledger().to_dict("records")
    assert [row["claim"] + row["condition"] for row in rows if not fits_its_kind(row)] == []


def test_only_dense_values_of_lenet_and_conv_are_unscored():
    unscored = claims.ledger().query("scored == 'no'")
    assert set(unscored["arm"]) == {"dense"} and set(unscored["quantity"]) == {"value"}
    assert set(unscored["network"]) == {"lenet", "conv2", "conv4", "conv6"} and len(unscored) >= 10


def test_an_unknown_claim_is_an_error():
    with pytest.raises(KeyError, match="C99"):
        claims.ledger(["C09", "C99"])


# --- one condition


def test_point_nine_satisfies_at_least_point_three():
    assert claims.decide(between(lower=0.3), around(0.89, 0.9, 0.91)).outcome == "met"


@pytest.mark.parametrize(
    ("bounds", "value", "outcome"),
    [
        ({"lower": 0.3}, 0.1, "failed"),  # at least
        ({"upper": 0.35}, -0.5, "met"),  # at most: less than zero is no violation
        ({"upper": 0.35}, 0.9, "failed"),
        ({"lower": 0.3, "upper": 0.7}, 0.5, "met"),  # about
        ({"lower": 0.3, "upper": 0.7}, 0.9, "failed"),
        ({"lower": 0.0}, 0.02, "met"),  # ordering
        ({"upper": 0.0}, 0.02, "failed"),
        ({"lower": 2.0, "upper": 6.0}, 3.6, "met"),  # crossing
        ({"upper": 20.0}, 80.0, "failed"),
    ],
)
def test_each_kind_is_decided_by_its_bounds(bounds, value, outcome):
    tight = around(value - 1e-4, value, value + 1e-4)
    assert claims.decide(between(**bounds), tight).outcome == outcome


def test_a_straddling_interval_is_inconclusive_and_says_how_many_trials_would_decide():
    decided = claims.decide(between(lower=0.3), around(0.2, 0.4, 0.6, 0.5))
    assert decided.outcome == "inconclusive" and decided.reason == "about 10 trials would decide"
    spread, distance = np.std([0.2, 0.4, 0.6, 0.5], ddof=1), 0.425 - 0.3
    half_widths = [statistics.t_quantile(n) * spread / math.sqrt(n) for n in (9, 10)]
    assert half_widths[0] > distance > half_widths[1]


def test_trials_of_a_geometric_mean_are_counted_on_the_logarithms():
    values = (20.0, 30.0, 60.0, 40.0)
    logged = claims.decide(between(upper=50.0), around(*values, scale="log"))
    assert logged.reason == claims.decide(between(upper=math.log(50)), around(*np.log(values))).reason
    assert "about" in logged.reason


def test_an_estimate_on_its_bound_is_decided_by_no_number_of_trials():
    assert "no number of trials" in claims.decide(between(lower=0.3), around(0.2, 0.3, 0.4)).reason


def test_fewer_than_three_trials_decide_nothing():
    decided = claims.decide(between(lower=0.3), around(0.9, 0.9))
    assert (decided.outcome, decided.reason) == ("inconclusive", "fewer than 3 trials")


def test_no_trials_means_not_run_and_an_unscored_condition_is_chosen():
    assert claims.decide(between(lower=0.3), Sample()).outcome == "not run"
    assert claims.decide(condition(scored="no"), around(0.1, 0.1, 0.1)).outcome == "chosen"


def test_another_scale_is_compared_without_an_outcome():
    frame = gains([0.97] * 3, [0.98, 0.981, 0.982]).assign(scale="reduced")
    decided = claims.decide(condition(), measure(frame, condition()))
    assert decided.outcome == "reduced scale" and decided.interval.estimate == pytest.approx(1.1)
    frame.loc[frame["percent_remaining"] == 100, "scale"] = "paper"
    assert claims.decide(condition(), measure(frame, condition())).outcome == "reduced scale"


def test_the_papers_length_in_another_precision_is_judged_with_a_note_beside_its_number():
    frame = gains([0.97] * 3, [0.98, 0.981, 0.982]).replace({"percent_remaining": {21.07: 13.52}})
    pair = claims.compare(frame.assign(precision="bfloat16"), ["C09"]).iloc[0]
    assert (pair["outcome"], pair["note"]) == ("met", "bfloat16")
    assert "1.10 [0.85, 1.35] pp, n=3, bfloat16" in claims.comparison_text(pair.to_frame().T)
    assert set(claims.compare(frame, ["C09"])["note"]) == {""}
    reduced = claims.compare(frame.assign(precision="bfloat16", scale="reduced"), ["C09"])
    assert set(reduced["note"]) == {""} and "bfloat16" not in claims.comparison_text(reduced)


def test_precisions_of_one_arm_are_never_averaged_together():
    frame = gains([0.97] * 3, [0.98, 0.981, 0.982]).assign(precision=["float32", "bfloat16"] * 3)
    dense_differs = claims.decide(condition(), measure(frame, condition()))
    assert dense_differs.outcome == "met"
    frame.loc[frame["trial"] == 2, "precision"] = "bfloat16"
    with pytest.raises(ValueError, match="never averaged together: bfloat16, float32"):
        measure(frame, condition())


def test_a_diverged_run_makes_its_condition_inconclusive_by_name():
    frame = gains([0.97] * 4, [0.98, 0.981, 0.982, 0.98])
    frame.loc[(frame["trial"] == 2) & (frame["percent_remaining"] < 100), "diverged"] = True
    decided = claims.decide(condition(), measure(frame, condition()))
    assert (decided.outcome, decided.reason) == ("inconclusive", "diverged: trial 2 at 21.07 %")
    everywhere = measure(frame.assign(diverged=True), condition())
    assert claims.decide(condition(), everywhere).outcome == "inconclusive"


def test_one_diverged_replicate_is_enough():
    frame = gains([0.97] * 3, [0.98, 0.981, 0.982])
    again = frame[frame["percent_remaining"] < 100].assign(replicate=1, diverged=[False, True, False])
    assert "diverged: trial 1" in measure(pd.concat([frame, again]), condition()).problem


# --- one value per trial


def test_replicates_are_averaged_within_their_trial_first():
    first = [run(0, 21.07, replicate, **{ACCURACY: a}) for replicate, a in enumerate((0.97, 0.98, 0.99))]
    frame = records(*first, run(1, 21.07, **{ACCURACY: 0.95}))
    value = condition(quantity="value", reference_arm="", unit="percent")
    assert measure(frame, value).values == pytest.approx([98.0, 95.0])


def test_differences_are_paired_by_trial():
    dense, ticket = [0.96, 0.97, 0.98, 0.99], [0.965, 0.976, 0.984, 0.995]
    paired = claims.decide(condition(), measure(gains(dense, ticket), condition())).interval
    shuffled = claims.decide(condition(), measure(gains(dense, ticket[::-1]), condition())).interval
    assert paired.estimate == pytest.approx(shuffled.estimate) == pytest.approx(0.5)
    assert paired.high - paired.low < (shuffled.high - shuffled.low) / 5


def test_the_order_of_records_does_not_matter():
    frame = gains([0.96, 0.97, 0.98], [0.97, 0.975, 0.99])
    shuffled = frame.sample(frac=1, random_state=0)
    assert (measure(frame, condition()).values == measure(shuffled, condition()).values).all()


def test_a_trial_without_its_partner_is_left_out():
    frame = gains([0.96, 0.97, 0.98], [0.97, 0.975, 0.99])
    frame = frame[(frame["trial"] != 1) | (frame["percent_remaining"] < 100)]
    assert measure(frame, condition()).trials == (0, 2)


def test_two_records_of_one_run_are_an_error():
    frame = gains([0.96, 0.97, 0.98], [0.97, 0.975, 0.99])
    with pytest.raises(ValueError, match="same run"):
        measure(pd.concat([frame, frame.assign(scale="reduced")]), condition())


def test_the_best_rung_is_chosen_by_the_mean_over_trials():
    accuracies = {
        51.28: (0.98, 0.98, 0.98),
        21.07: (0.97, 0.97, 0.999),
    }  # the second mean is lower, one trial higher
    runs = [run(t, p, **{ACCURACY: a}) for p, trials in accuracies.items() for t, a in enumerate(trials)]
    frame = records(*runs, *(run(t, **{ACCURACY: 0.97}) for t in range(3)))
    sample = measure(frame, condition(over="highest", percent_remaining="51.28 21.07"))
    assert sample.values == pytest.approx([1.0, 1.0, 1.0]) and sample.remark == "at 51.28 %"
    assert measure(frame, condition(over="lowest", percent_remaining="51.28 21.07")).remark == "at 21.07 %"


def test_a_missing_rung_leaves_a_condition_over_several_rungs_undecided():
    sample = measure(gains([0.97] * 3, [0.98] * 3), condition(over="mean", percent_remaining="51.28 21.07"))
    assert sample.problem == "1 of 2 rungs missing" and sample.values == pytest.approx([1.0] * 3)


LADDER = (80.04, 64.06, 51.28)
CROSSING = condition(
    quantity="crossing", percent_remaining=" ".join(map(str, LADDER)), unit="percent_remaining"
)


def ladder(trial, dense, accuracies):
    rungs = [run(trial, p, **{ACCURACY: a}) for p, a in zip(LADDER, accuracies)]
    return [run(trial, **{ACCURACY: dense}), *rungs]


def test_a_crossing_over_a_ladder_with_a_gap_is_a_problem():
    runs = [row for t in range(3) for row in ladder(t, 0.97, (0.98, 0.98, 0.96))]
    gap = records(*(row for row in runs if row["percent_remaining"] != 64.06))
    assert "1 of 3 rungs missing" in measure(gap, CROSSING).problem


def test_a_trial_with_missing_rungs_takes_no_part_in_a_crossing():
    whole = [row for t in range(3) for row in ladder(t, 0.97, (0.98, 0.98, 0.96))]
    shallow, with_a_gap = ladder(3, 0.97, (0.96,)), ladder(4, 0.97, (0.98, 0.98, 0.98))
    del with_a_gap[2]
    sample = measure(records(*whole, *shallow, *with_a_gap), CROSSING)
    assert sample.trials == (0, 1, 2) and sample.values == pytest.approx([64.06] * 3)
    assert (sample.remark, sample.problem) == ("left out as incomplete: trial 3, 4", "")
    assert not sample.open_low


def test_ranks_of_censored_readings_carry_a_remark():
    correlation = condition(
        quantity="rank_correlation",
        metric="early_stop_iteration",
        percent_remaining="51.28 21.07",
        reference_arm="",
    )
    stops = [run(t, p, early_stop_iteration=s) for t in range(3) for p, s in ((51.28, 3_000), (21.07, 2_000))]
    assert measure(records(*stops), correlation).remark == ""
    stops[1]["early_stop_iteration"] = 50_000
    assert measure(records(*stops), correlation).remark == "censored readings count as they stand"


def test_a_censored_reference_leaves_the_lower_end_open():
    stops = [run(t, 21.07, early_stop_iteration=4_000) for t in range(3)]
    frame = records(*stops, *(run(t, early_stop_iteration=50_000) for t in range(3)))
    ratio = condition(quantity="ratio", metric="early_stop_iteration", unit="ratio", lower=0.05)
    sample = measure(frame, ratio)
    assert sample.open_low and not sample.open_high
    assert claims.decide(ratio, sample).outcome == "inconclusive"


def test_crossing_is_the_smallest_rung_no_worse_than_the_trials_own_dense_network():
    dipping = ladder(0, 0.97, (0.98, 0.96, 0.96))
    returning = ladder(
        1, 0.97, (0.96, 0.97, 0.96)
    )  # back at dense on the second rung: ties count as no worse
    never = ladder(2, 0.99, (0.98, 0.98, 0.98))
    sample = measure(records(*dipping, *returning, *never), CROSSING)
    assert sample.values == pytest.approx([80.04, 64.06, 100.0]) and not sample.open_low
    geometric = claims.decide(CROSSING, sample).interval
    assert geometric.estimate == pytest.approx((80.04 * 64.06 * 100) ** (1 / 3))


def test_a_crossing_at_the_last_rung_leaves_the_lower_end_open():
    runs = [run for trial in range(3) for run in ladder(trial, 0.97, (0.98, 0.98, 0.98))]
    sample = measure(records(*runs), CROSSING)
    assert sample.open_low and sample.values == pytest.approx([51.28] * 3)
    bounded = condition(**{**CROSSING, "lower": 10.0, "upper": 60.0})
    assert claims.decide(bounded, sample).outcome == "inconclusive"
    assert (
        claims.decide(condition(**{**CROSSING, "lower": -math.inf, "upper": 60.0}), sample).outcome == "met"
    )


def test_early_stopping_crosses_downwards():
    stops = {100.0: 4_000, 80.04: 3_000, 64.06: 4_000, 51.28: 5_000}
    frame = records(*(run(0, p, early_stop_iteration=stop) for p, stop in stops.items()))
    assert measure(frame, condition(**{**CROSSING, "metric": "early_stop_iteration"})).values == [64.06]


def test_a_minimum_at_the_last_evaluation_is_only_a_lower_bound():
    stops = [run(t, 21.07, early_stop_iteration=50_000) for t in range(3)]
    frame = records(*stops, *(run(t, early_stop_iteration=4_000 + t) for t in range(3)))
    ratio = condition(quantity="ratio", metric="early_stop_iteration", unit="ratio", lower=3.0)
    assert claims.decide(ratio, measure(frame, ratio)).outcome == "met"
    about = condition(**{**ratio, "upper": 20.0})
    decided = claims.decide(about, measure(frame, about))
    assert decided.outcome == "inconclusive" and "censored" in decided.reason


def test_time_to_accuracy_reads_each_trials_own_curve_up_to_the_first_gap():
    def curve(trial, *accuracies):
        return run(
            trial, 21.07, curve_iteration=[100, 200, 300, 400], curve_test_accuracy=np.array(accuracies)
        )

    frame = records(
        curve(0, 0.9, 0.98, 0.97, 0.99), curve(1, 0.9, 0.9, np.nan, 0.99), curve(2, *[np.nan] * 3, 0.99)
    )
    times = grid(frame, "iterations_to_accuracy@0.98", [21.07], arm="winning_ticket", **LENET)
    assert times.values[21.07].tolist()[:2] == [200, 200] and np.isnan(times.values.loc[2, 21.07])
    assert times.censored[21.07].tolist() == [False, True, False]


def test_validation_loss_rise_is_late_loss_over_the_minimum():
    losses = {"curve_iteration": [100, 200, 1_000, 1_400], "curve_validation_loss": [0.4, 0.1, 0.2, 0.3]}
    frame = records(run(0, 21.07, **losses))
    rise = grid(frame, "validation_loss_rise@1200", [21.07], arm="winning_ticket", **LENET)
    assert rise.values.loc[0, 21.07] == pytest.approx(2.5)


def test_growth_is_a_rank_correlation_and_the_lowest_rung_is_found_per_trial():
    stops = {80.04: 4_000, 64.06: 3_000, 51.28: 5_000}
    frame = records(
        *(run(t, p, early_stop_iteration=stop + t) for p, stop in stops.items() for t in range(3))
    )
    shared = {
        "metric": "early_stop_iteration",
        "percent_remaining": CROSSING["percent_remaining"],
        "reference_arm": "",
    }
    growth = measure(frame, condition(quantity="rank_correlation", unit="correlation", **shared))
    assert growth.values == pytest.approx([0.5] * 3)
    lowest = measure(frame, condition(quantity="location_of_lowest", unit="percent_remaining", **shared))
    assert lowest.values == pytest.approx([64.06] * 3) and lowest.scale == "log"


# --- statistics


def test_a_t_interval_is_that_of_the_tables():
    interval = statistics.t_interval([1.0, 2.0, 3.0])
    assert (interval.estimate, interval.low, interval.high) == pytest.approx(
        (2.0, 2 - 2.484138, 2 + 2.484138)
    )


def test_ratio_interval_is_about_the_ratio_of_means():
    above, below = [1.0, 2.0, 3.0], [1.0, 4.0, 4.0]
    assert statistics.ratio_interval(above, below).estimate == pytest.approx(2 / 3)
    halves = statistics.ratio_interval([1.0, 2.0, 3.0], [2.0] * 3).spread
    assert halves == pytest.approx(statistics.t_interval([0.5, 1.0, 1.5]).spread)
    constant, plain = statistics.ratio_interval(above, [2.0] * 3), statistics.t_interval(above)
    assert (constant.low, constant.high) == pytest.approx((plain.low / 2, plain.high / 2))
    ends = statistics.ratio_interval([5.0, 6.0, 7.0, 6.5], [2.0, 2.2, 2.5, 2.1])
    for end in (ends.low, ends.high):  # where the paired t-test is just significant
        residual = statistics.t_interval(
            np.array([5.0, 6.0, 7.0, 6.5]) - end * np.array([2.0, 2.2, 2.5, 2.1])
        )
        assert min(abs(residual.low), abs(residual.high)) == pytest.approx(0, abs=1e-9)


def test_ratio_to_a_mean_that_may_be_zero_is_unbounded():
    interval = statistics.ratio_interval([1.0, 1.1, 0.9], [-1.0, 0.1, 1.1])
    assert math.isinf(interval.low) and math.isinf(interval.high)


def test_ratio_intervals_cover_the_truth_about_95_times_in_100():
    generator = np.random.Generator(np.random.PCG64(1))
    hits = 0
    for below in generator.normal(4.0, 1.0, (1000, 5)):
        interval = statistics.ratio_interval(2 * below + generator.normal(0, 1, 5), below)
        hits += interval.low <= 2 <= interval.high
    assert 930 <= hits <= 970


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


def test_without_records_every_claim_is_not_run():
    table = claims.verdicts(claims.compare(pd.DataFrame()))
    assert len(table) == 60 and set(table["verdict"]) == {"not run"}


def test_comparison_prints_as_stable_text():
    pairs = {13.52: (0.9741, 0.9742, 0.9743, 0.9744), 100.0: (0.97, 0.97, 0.97, 0.97)}
    frame = records(
        *(run(t, p, **{ACCURACY: a}) for p, accuracies in pairs.items() for t, a in enumerate(accuracies))
    )
    comparison = claims.compare(frame, ["C09"])
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


def test_other_studies_do_not_count():
    frame = (
        gains([0.97] * 3, [0.98] * 3).assign(study="faults").replace({"percent_remaining": {21.07: 13.52}})
    )
    assert claims.verdicts(claims.compare(frame, ["C09"]))["verdict"].tolist() == ["not run"]


# --- curves


def test_curve_score_counts_rungs_where_the_interval_meets_the_bar():
    inside = [
        run(t, 100.0, early_stop_iteration=4_000 + t) for t in range(3)
    ]  # the paper's bar: 2,101 to 5,701
    outside = [run(t, 80.04, early_stop_iteration=9_000 + t) for t in range(3)]  # 3,201 to 7,101
    single = [run(0, 64.06, early_stop_iteration=4_500)]  # 3,601 to 5,101
    lost = [run(t, 51.28, early_stop_iteration=4_000 + t, diverged=t == 0) for t in range(3)]
    scores = curve_score(records(*inside, *outside, *single, *lost), "4", "1")
    ours = scores[(scores["arm"] == "winning_ticket") & (scores["procedure"] == "iterative")].iloc[0]
    assert (ours["paper_rungs"], ours["common_rungs"], ours["agreeing_rungs"]) == (25, 4, 2)
    assert (ours["score"], ours["coverage"]) == pytest.approx((0.5, 4 / 25))
    below = curve_score(records(*(r | {"early_stop_iteration": 100} for r in outside)), "4", "1")
    assert below["common_rungs"].sum() == 1 and below["agreeing_rungs"].sum() == 0
    reinit = scores[(scores["arm"] == "random_reinit") & (scores["procedure"] == "iterative")].iloc[0]
    assert reinit["common_rungs"] == 0 and math.isnan(reinit["score"])
    with pytest.raises(ValueError, match="no panel"):
        curve_score(records(*inside), "3", "1")


def test_figure_1_prunes_the_convolutions_of_conv6_at_another_rate():
    assert paper_series("1", "", "Conv-6 [random]")["variant"] == "conv_rate_10"
    assert paper_series("6", "", "Conv-6 dropout") == {
        "network": "conv6",
        "variant": "dropout",
        "arm": "winning_ticket",
        "procedure": "iterative",
    }


# --- the paper against itself


@pytest.fixture(scope="module")
def paper_against_itself():
    """Every condition decided on records that repeat the paper's plotted means, the one-shot claims on their own dense."""
    own_dense = ["C20", "C21"]
    shared = claims.compare(paper_frame())
    one_shot = claims.compare(paper_frame(dense_of="one_shot").query("network == 'lenet'"), own_dense)
    return pd.concat([shared[~shared["claim"].isin(own_dense)], one_shot], ignore_index=True)


def test_every_condition_can_be_evaluated(paper_against_itself):
    assert len(paper_against_itself) == len(claims.ledger())
    assert not set(paper_against_itself["outcome"]) & {"not run", "reduced scale"}
    assert (paper_against_itself["trials"] == 3).all() and np.isfinite(paper_against_itself["ours"]).all()


def test_the_papers_own_plots_support_all_but_the_listed_conditions(paper_against_itself):
    trained = paper_against_itself[~paper_against_itself["network"].isin(["vgg19", "resnet18"])]
    table = trained.set_index(["claim", "condition"])["outcome"]
    assert set(table[table == "failed"].index) == PLOTS_CONTRADICT
    assert set(table.unique()) == {"met", "failed", "chosen"}


def test_the_papers_own_plots_reproduce_all_but_five_claims(paper_against_itself):
    ours = paper_against_itself[~paper_against_itself["claim"].isin(SECTION_4)]
    table = claims.verdicts(ours).set_index("claim")["verdict"]
    assert set(table[table != "reproduced"].index) == {claim for claim, _ in PLOTS_CONTRADICT}
    assert set(table[table != "reproduced"]) == {"partly reproduced"}


def test_plotted_numbers_of_the_ledger_are_the_papers(paper_against_itself):
    shown = ~paper_against_itself["network"].isin(["vgg19", "resnet18"])
    exact = ~paper_against_itself["rule"].str.contains("correlation")
    rows = paper_against_itself[shown & exact]
    plotted = pd.to_numeric(rows["paper_figure"], errors="coerce")
    off = (rows["ours"] - plotted).abs() > np.maximum(0.006, 0.006 * plotted.abs())
    beyond = rows["measure"].str.contains("smallest P_m at least as accurate") & np.isinf(rows["low"])
    flat = rows["measure"].str.startswith("P_m of")  # two rungs within 0.01 pp of each other
    assert rows.loc[off & ~beyond & ~flat, "measure"].tolist() == []
    assert plotted.notna().sum() >= 150


def test_plots_of_deeper_networks_contradict_the_listed_conditions():
    ledger = claims.ledger()
    deep = ledger[ledger["claim"].isin(SECTION_4)]
    plotted = pd.to_numeric(deep["paper_figure"], errors="coerce")
    outside = deep[(plotted < deep["lower"]) | (plotted > deep["upper"])]
    assert set(zip(outside["claim"], outside["condition"])) == PLOTS_CONTRADICT_SECTION_4


def test_the_ledger_asks_for_a_bounded_number_of_runs():
    runs = needed_runs()
    lenet = runs[(runs["network"] == "lenet") & (runs["arm"] != "dense")]
    assert lenet.groupby(["arm", "procedure"]).size().to_dict() == {
        ("random_reinit", "iterative"): 20,
        ("random_sparsity", "iterative"): 7,
        ("winning_ticket", "continued"): 4,
        ("winning_ticket", "iterative"): 20,
        ("winning_ticket", "one_shot"): 10,
    }
