"""Settings side by side: labels, tables by trial, verdicts, and the distance from the paper's curves."""

import math

import pandas as pd
import pytest
from synthetic import record

from lth_utils import plots, records
from lth_utils.plots import comparisons

LABELS = {"": "constant", "step_decay": "decayed"}


def runs(scale="short", trials=3):
    """Two settings of a dense Lenet; the decayed one is 0.01 more accurate in every trial."""
    rows = [
        record(
            variant=variant,
            study="baseline",
            scale=scale,
            arm="dense",
            pruning_round=0,
            trial=trial,
            percent_remaining=100.0,
            test_accuracy_at_early_stop=0.97 + 0.001 * trial + bonus,
            early_stop_iteration=1000 * (trial + 1),
        )
        for variant, bonus in (("step_decay", 0.01), ("", 0.0))
        for trial in range(trials)
    ]
    return pd.DataFrame(rows)


def drawn():
    """A drawn table of learning curves: "near" lies on the paper's two points or inside its bar, "far" misses both."""
    points = {("ours", "near"): (0.10, 0.09), ("ours", "far"): (0.14, 0.12), ("trial", "far"): (0.20, 0.01)}
    points |= {("paper", setting): (0.10, 0.08) for setting in ("near", "far")}
    rows = [
        (*series, iteration + 0.9 * (series[0] == "paper"), mean)
        for series, means in points.items()
        for iteration, mean in zip((1000, 1100), means, strict=True)
    ]
    table = pd.DataFrame(rows, columns=["source", "setting", "iteration", "mean"]).assign(
        metric="validation_loss"
    )
    bars = (table["source"] == "paper") & (table["iteration"] > 1050)
    table.loc[bars, ["minimum", "maximum"]] = 0.07, 0.10
    return table


def test_variants_are_labelled_in_the_order_asked_for():
    frame = comparisons.labelled(runs(), LABELS)
    assert list(frame["setting"].unique()) == ["constant", "decayed"]
    assert set(frame.loc[frame["setting"] == "decayed", "variant"]) == {"step_decay"}
    quick = comparisons.labelled(runs("quick"), LABELS)
    assert list(quick["setting"].unique()) == ["constant (laptop scale)", "decayed (laptop scale)"]


def test_a_variant_without_runs_is_an_error():
    with pytest.raises(KeyError, match="no rows of variant 'unit_norm'"):
        comparisons.labelled(runs(), {"": "raw", "unit_norm": "norm"})


def test_values_stand_by_setting_and_trial():
    values = comparisons.by_trial(comparisons.labelled(runs(), LABELS), "test_accuracy_at_early_stop")
    assert list(values.index) == ["constant", "decayed"] and list(values.columns) == [0, 1, 2]
    assert values.loc["decayed", 2] == pytest.approx(0.982)
    assert values.diff().iloc[1].tolist() == pytest.approx([0.01] * 3)


def test_text_adds_mean_and_range_with_fixed_decimals():
    frame = comparisons.labelled(runs(), LABELS)
    values = comparisons.by_trial(frame, "test_accuracy_at_early_stop")
    assert comparisons.text(values, "test_accuracy_at_early_stop").splitlines() == [
        "Test accuracy at early-stop (%)   trial 0  trial 1  trial 2     mean      min      max",
        "constant                            97.00    97.10    97.20    97.10    97.00    97.20",
        "decayed                             98.00    98.10    98.20    98.10    98.00    98.20",
    ]
    iterations = comparisons.text(comparisons.by_trial(frame, "early_stop_iteration"), "early_stop_iteration")
    assert iterations.splitlines()[1].split() == ["constant", "1000", "2000", "3000", "2000", "1000", "3000"]


def test_text_of_an_evaluation_that_was_not_made_says_so():
    curves = records.curves(runs().assign(run_key="x"))
    nothing = comparisons.labelled(curves, LABELS).query("iteration == 4600")
    values = comparisons.by_trial(nothing, "validation_accuracy")
    assert (
        comparisons.text(values, "validation_accuracy")
        == "Validation accuracy: not evaluated at this scale\n"
    )


def test_interval_and_verdict_are_decided_by_the_t_interval():
    values = [0.97, 0.98, 0.99]
    half = 4.302653 * 0.01 / math.sqrt(3)
    assert (
        comparisons.interval(values)
        == f"98.00 %, 95 % interval {98 - 100 * half:.2f} to {98 + 100 * half:.2f}"
    )
    assert comparisons.interval([-0.01, -0.01], "points") == "-1.00 points, 95 % interval -1.00 to -1.00"
    assert comparisons.verdict(values, 0.9, 1.0).endswith("asked for 90.00 to 100.00: inconclusive")
    assert comparisons.verdict(values, 0.9, 1.01).endswith(": reproduced")
    assert comparisons.verdict(values, 0.9, 0.95).endswith(": not reproduced")


def test_distance_and_bars_compare_the_same_evaluation():
    distance = comparisons.distance_from_paper(drawn())
    assert list(distance.columns) == ["near", "far"]
    assert distance.loc["validation_loss"].tolist() == pytest.approx([0.01 / math.sqrt(2), 0.04])
    assert comparisons.inside_paper_bars(drawn()).loc["validation_loss"].tolist() == ["1 of 1", "0 of 1"]


def test_bars_of_curves_and_of_final_numbers_stand_in_one_table():
    final = comparisons.labelled(runs(), LABELS)
    _, table = plots.compare_settings(final, ["early_stop_iteration", "validation_loss_at_early_stop"])
    inside = comparisons.inside_paper_bars(pd.concat([table, drawn().replace({"near": "constant"})]))
    assert inside.loc["early_stop_iteration", "constant"] == "0 of 1", "2,000 lies below the paper's bar"
    assert inside.loc["validation_loss", "constant"] == "1 of 1"
    assert "validation_loss_at_early_stop" not in inside.index, "the paper plots none"


def test_the_papers_dense_network_is_one_line():
    line = "the paper (digitized): mean 4401, minimum 2101, maximum 5701\n"
    assert comparisons.paper_range("lenet", "early_stop_iteration") == line
    with pytest.raises(ValueError):
        comparisons.paper_range("lenet", "validation_loss_at_early_stop")
