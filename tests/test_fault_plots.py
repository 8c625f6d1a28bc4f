"""The figure and the ranking of notebook 05b say what the records say."""

import math

import fault_frame
import pytest

from lth_utils import faults
from lth_utils.plots import comparisons
from lth_utils.plots import faults as fault_plots

LABELS = {name: fault.label for name, fault in faults.FAULT.items()}
LADDER = 100 * 0.8**8


@pytest.fixture(scope="module")
def frame():
    return comparisons.labelled(fault_frame.frame(), LABELS)


@pytest.fixture(scope="module")
def table(frame):
    return fault_plots.costs(frame)


def test_faults_are_ranked_by_what_they_cost_within_each_trial(table):
    assert table["variant"].tolist()[:2] == ["stale_optimizer", "no_rewind"]
    assert table["variant"].iloc[-1] == "mask_not_enforced"
    assert set(table["trials"]) == {3} and len(table) == 14
    cost = table.set_index("variant")["test_accuracy_at_early_stop_estimate"]
    assert cost["stale_optimizer"] == pytest.approx(0.6) and cost["mask_not_enforced"] == pytest.approx(
        -0.004
    )
    assert cost["biases_pruned"] == pytest.approx(0, abs=1e-12)


def test_costs_are_read_at_the_rung_nearest_to_17_percent(table):
    assert set(table["percent_remaining"]) == {LADDER} and abs(LADDER - 17) < 0.3


def test_intervals_are_those_of_paired_differences_and_forget_what_trials_share(table):
    row = table.set_index("variant").loc["no_rewind"]
    assert row["test_accuracy_at_early_stop_low"] == pytest.approx(0.02)
    assert row["test_accuracy_at_end_estimate"] == pytest.approx(0.01)
    spread = table.set_index("variant").loc["negatives_frozen"]
    half = 4.302653 * 0.002 / math.sqrt(3)
    assert spread["test_accuracy_at_early_stop_low"] == pytest.approx(0.01 - half)
    assert spread["test_accuracy_at_early_stop_high"] == pytest.approx(0.01 + half)


def test_another_ladder_is_interpolated_over_log_percent(frame):
    rates = frame[frame["variant"] == "rate_41"]
    values = fault_plots.at_percent(rates, "test_accuracy_at_early_stop", 100 * 0.59**3.5)
    assert values.loc["rate_41", 0] == pytest.approx(0.98 - 0.01 * 3.5 / 8)


def test_a_chain_that_is_too_short_is_refused(frame):
    with pytest.raises(ValueError, match=r"never gets down to 1\.0 %"):
        fault_plots.at_percent(frame, "test_accuracy_at_early_stop", 1.0)


def judged(table, least=0.01):
    """Fault -> its line of the printed ranking."""
    names = [LABELS[variant] for variant in table["variant"]]
    head, *lines = fault_plots.ranking(table, least).splitlines()
    assert head.endswith(f"{100 * least:g} pp or more?")
    return dict(zip(names, lines, strict=True))


def test_the_printed_ranking_names_every_fault_with_interval_and_trials(table):
    lines = judged(table)
    assert next(iter(lines)) == "optimizer bound to a replaced model" and len(lines) == 14
    assert all(line.startswith(name) and line.split()[-2] == "3" for name, line in lines.items())
    assert "+60.00 [+60.00, +60.00]" in lines["optimizer bound to a replaced model"]
    assert "+400 [+400, +400]" in lines["stops early, patience 1 epoch"]


@pytest.mark.parametrize(
    ("variant", "least", "word"),
    [("no_rewind", 0.01, "yes"), ("biases_pruned", 0.01, "no"), ("negatives_frozen", 0.009, "open")],
)
def test_a_fault_is_judged_by_its_interval(table, variant, least, word):
    assert judged(table, least)[LABELS[variant]].endswith(f" {word}")


def test_one_trial_judges_nobody():
    frame = comparisons.labelled(fault_frame.frame(trials=1), LABELS)
    line = judged(fault_plots.costs(frame))["optimizer bound to a replaced model"]
    assert "+60.00 " in line and line.split()[-2:] == ["1", "open"]


def test_the_figure_holds_two_panels_per_fault_and_its_table_what_they_show(frame, table):
    figure, drawn = fault_plots.small_multiples(frame, table["variant"].tolist())
    shown = [ax for ax in figure.axes if ax.axison]
    assert len(shown) == 2 * 14 and all(len(ax.lines) == 2 for ax in shown)
    texts = [text.get_text() for ax in shown for text in ax.texts]
    assert texts == ["down to 0.379", "down to 0.959"]
    assert len(drawn) == (14 * 9 + 5) * 2  # faster pruning leaves the figure after its fourth round
    black = drawn[(drawn["variant"] == "") & (drawn["metric"] == "test_accuracy_at_early_stop")]
    assert black["mean"].tolist() == pytest.approx([0.979] * 9)
    assert all(ax.lines[0].get_color() == fault_plots.style.DENSE for ax in shown)


def test_few_faults_leave_no_empty_axes_behind(frame):
    figure, drawn = fault_plots.small_multiples(frame, ["rate_41", "no_rewind"])
    assert sum(ax.axison for ax in figure.axes) == 4
    assert set(drawn["variant"]) == {"", "rate_41", "no_rewind"}


def test_at_laptop_scale_nothing_leaves_its_axes(frame):
    figure, _ = fault_plots.small_multiples(frame.assign(scale="quick"), ["stale_optimizer", "rate_41"])
    ends = [(ax.get_ylim(), line.get_ydata()) for ax in figure.axes for line in ax.lines]
    assert len(ends) == 8 and all(low <= min(y) and max(y) <= high for (low, high), y in ends)
    assert not [text for ax in figure.axes for text in ax.texts]
