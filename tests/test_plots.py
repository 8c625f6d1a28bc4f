"""Every figure type: its table is its input and the paper's numbers, its files never change by themselves."""

import io
import itertools
import math
import subprocess
import sys

import matplotlib
import numpy as np
import pandas as pd
import pytest
from IPython.core.formatters import DisplayFormatter
from matplotlib import colors
from matplotlib._pylab_helpers import Gcf
from PIL import Image

from lth_utils import paper, plots
from lth_utils.paper.figures import PAPER_METRICS
from lth_utils.plots import pictures, style, tables

METRICS = [*tables.FIVE_PANELS, "validation_accuracy_at_early_stop"]
FIGURES = sorted(plots.FIGURES, key=int)


def runs(
    network="lenet",
    arm="winning_ticket",
    procedure="iterative",
    trials=2,
    replicates=1,
    rounds=(3, 7),
    **more,
):
    """Records of one series: metrics are simple functions of round, trial and replicate."""
    rows = []
    for rung, trial, replicate in itertools.product(rounds, range(trials), range(replicates)):
        row = dict(
            network=network, arm=arm, procedure=procedure, trial=trial, replicate=replicate, scale="paper"
        )
        row |= dict(variant="", pruning_round=rung, percent_remaining=paper.percent_remaining(network, rung))
        row |= dict(
            training_iterations=paper.protocol(network).training_iterations,
            early_stop_iteration=4000 + 100 * rung + 1000 * trial,
        )
        row |= {metric: 0.96 + 0.001 * rung + 0.01 * trial + 0.002 * replicate for metric in METRICS[1:]}
        rows.append(row | more)
    return pd.DataFrame(rows)


def lenet():
    """Dense, tickets and all controls of Lenet, two trials, two rungs."""
    arms = [
        ("dense", "iterative", (0,)),
        ("winning_ticket", "iterative", (3, 7)),
        ("random_reinit", "iterative", (3, 7)),
    ]
    arms += [("random_sparsity", "iterative", (3, 7)), ("winning_ticket", "continued", (3, 7))]
    arms += [("winning_ticket", "one_shot", (3, 7)), ("random_reinit", "one_shot", (3, 7))]
    return pd.concat([runs("lenet", *arm[:2], rounds=arm[2]) for arm in arms], ignore_index=True)


def curves(arms=(("dense", 0), ("winning_ticket", 3), ("winning_ticket", 7), ("random_reinit", 3)), last=400):
    """Rows of records.curves: two trials, an evaluation every 100 iterations."""
    rows = []
    for (arm, rung), trial, iteration in itertools.product(arms, range(2), range(100, last + 1, 100)):
        row = dict(network="lenet", arm=arm, procedure="iterative", trial=trial, replicate=0, scale="paper")
        row |= dict(percent_remaining=paper.percent_remaining("lenet", rung), iteration=iteration, variant="")
        row |= dict(
            validation_loss=30 / iteration + trial, validation_accuracy=0.9, test_accuracy=0.95 + trial / 100
        )
        rows.append(row)
    return pd.DataFrame(rows)


def ours(table):
    return table[table["source"] == "ours"].reset_index(drop=True)


def drawn_lines(ax):
    return [np.column_stack(line.get_data()).astype(float) for line in ax.lines]


def is_drawn(ax, x, y):
    points = np.column_stack([x, y])
    return any(
        len(line) == len(points) and np.allclose(line, points, equal_nan=True) for line in drawn_lines(ax)
    )


def paper_csv(figure, panel):
    rows = paper.curves()
    return rows[(rows["fig"].astype(str) == figure) & (rows["panel"].astype(str) == panel)]


def test_table_holds_exactly_the_means_and_extremes_of_the_records():
    frame = runs(rounds=(3, 7, 12))
    figure, table = plots.against_percent_remaining(frame, "test_accuracy_at_early_stop")
    by_rung = frame.groupby("percent_remaining", sort=False)["test_accuracy_at_early_stop"]
    assert list(table["percent_remaining"]) == sorted(by_rung.groups, reverse=True)
    for column, expected in (
        ("mean", by_rung.mean()),
        ("minimum", by_rung.min()),
        ("maximum", by_rung.max()),
    ):
        np.testing.assert_allclose(table[column], expected)
    assert set(table["trials"]) == {2}
    assert is_drawn(figure.axes[0], table["percent_remaining"], table["mean"])


def test_every_trial_is_drawn_as_a_dot():
    figure, table = plots.against_percent_remaining(runs(trials=3), "test_accuracy_at_early_stop")
    values = sorted(float(value) for row in table["trial_values"] for value in row.split())
    assert any(sorted(line[:, 1]) == pytest.approx(values) for line in drawn_lines(figure.axes[0]))


def test_replicates_are_averaged_within_their_trial_first():
    frame = pd.concat([runs(trials=1, replicates=3), runs(trials=2).query("trial == 1")])
    _, table = plots.against_percent_remaining(frame, "test_accuracy_at_end")
    assert set(table["trials"]) == {2}
    assert table["mean"][0] == pytest.approx(((0.963 + 0.965 + 0.967) / 3 + 0.973) / 2)


def test_dense_network_is_the_black_first_point_of_every_ticket_series_only():
    figure, table = plots.against_percent_remaining(lenet(), "test_accuracy_at_end")
    first = table[table["percent_remaining"] == 100]
    assert set(first["procedure"]) == {"iterative", "one_shot", "continued"}
    assert set(first["arm"]) == {"winning_ticket"}
    squares = [line for line in figure.axes[0].lines if line.get_marker() == "s" and len(line.get_xdata())]
    assert {colors.to_hex(line.get_color()) for line in squares} == {style.DENSE}


def with_dropout():
    """Dense Conv-2 and its tickets with and without dropout, and tickets of Conv-4 that have no dropout records."""
    parts = [runs("conv2", "dense", rounds=(0,)), runs("conv2"), runs("conv4")]
    changes = {"variant": "dropout", "test_accuracy_at_early_stop": 0.8, "training_iterations": 60_000}
    parts += [runs("conv2", "dense", rounds=(0,), **changes), runs("conv2", **changes)]
    return pd.concat(parts, ignore_index=True)


def test_dropout_is_drawn_beside_the_tickets_and_the_dense_network_without_it():
    figure, table = plots.figure_6(with_dropout())
    accuracy = ours(table[table["panel"] == "2"])
    assert set(accuracy["network"]) == {"conv2"}
    for procedure, dense in (("iterative", 0.965), ("dropout", 0.8)):
        rows = accuracy[accuracy["procedure"] == procedure]
        assert list(rows["trials"]) == [2, 2, 2] and rows["mean"].iloc[0] == pytest.approx(dense)
        assert is_drawn(figure.axes[1], rows["percent_remaining"], rows["mean"])
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["no tickets of Conv-4, Conv-6 yet"] * 2


def test_figure_14_can_leave_out_networks_whose_panel_stands_elsewhere():
    figure, table = plots.figure_14(lenet(), ("conv2", "conv6"))
    assert [ax.get_title(loc="left").split(":")[0] for ax in figure.axes] == ["Conv-2", "Conv-6"]
    assert set(table["panel"]) == {"2", "4"}


def test_the_papers_procedures_differ_in_lightness_as_ours_do():
    figure, table = plots.figure_9(lenet().iloc[:0])
    grey = {}
    for procedure, rows in table[table["panel"] == "1"].groupby("procedure"):
        (line,) = (line for line in figure.axes[0].lines if np.array_equal(line.get_ydata(), rows["mean"]))
        grey[procedure] = colors.to_rgb(line.get_color())[0]
    assert grey["continued"] < grey["iterative"]


def test_hue_is_the_network_line_style_the_arm_lightness_the_procedure():
    frame = pd.concat(
        [runs("conv2"), runs("conv2", "random_reinit", trials=3), runs(procedure="one_shot", trials=4)]
    )
    figure, table = plots.against_percent_remaining(frame, "test_accuracy_at_end")
    looks = {}
    for (network, arm, _), rows in table.groupby(tables.SERIES):
        (line,) = (line for line in figure.axes[0].lines if np.array_equal(line.get_ydata(), rows["mean"]))
        looks[network, arm] = (colors.to_hex(line.get_color()).upper(), line.get_linestyle())
    assert looks["conv2", "winning_ticket"] == ("#0072B2", "-")
    assert looks["conv2", "random_reinit"] == ("#0072B2", "--")
    assert looks["lenet", "winning_ticket"] == ("#EAAE80", "-")


def test_axis_is_logarithmic_reversed_and_ticked_at_real_rungs():
    figure, _ = plots.against_percent_remaining(runs(rounds=range(19)), "test_accuracy_at_end")
    ax = figure.axes[0]
    assert ax.get_xscale() == "log" and ax.xaxis_inverted()
    labels = [label.get_text() for label in ax.get_xticklabels()]
    assert labels == ["100", "51.3", "26.3", "13.5", "7.0", "3.6", "1.9"]


def test_two_records_of_the_same_run_are_refused():
    with pytest.raises(ValueError, match="same run"):
        plots.against_percent_remaining(pd.concat([runs(), runs()]), "test_accuracy_at_end")


def test_scales_are_never_averaged_together():
    with pytest.raises(ValueError, match="never averaged"):
        plots.against_percent_remaining(
            pd.concat([runs(), runs(rounds=(8,), scale="reduced")]), "test_accuracy_at_end"
        )


def test_a_minimum_at_the_last_evaluation_is_marked_as_a_lower_bound():
    frame = runs(trials=1)
    frame.loc[1, "early_stop_iteration"] = 50_000
    figure, table = plots.against_percent_remaining(frame, "early_stop_iteration")
    assert list(table["censored"]) == [0, 1]
    marks = [line.get_ydata() for line in figure.axes[0].lines if line.get_marker() == "^"]
    assert [list(mark) for mark in marks] == [[50_000]]


@pytest.mark.parametrize("name", FIGURES)
def test_composed_figure_draws_its_records_over_the_papers_numbers(name):
    figure, table = getattr(plots, f"figure_{name}")(lenet())
    panels = plots.FIGURES[name]
    assert len(panels) == table["panel"].nunique()
    for number, (ax, panel) in enumerate(zip(figure.axes, panels), 1):
        assert ax.xaxis_inverted()
        rows = table[table["panel"] == str(number)]
        theirs, plotted = rows[rows["source"] == "paper"], paper_csv(name, panel.paper)
        for ours_, csv in (
            ("percent_remaining", "pm_percent"),
            ("mean", "mean"),
            ("minimum", "min"),
            ("maximum", "max"),
        ):
            np.testing.assert_array_equal(np.sort(theirs[ours_]), np.sort(plotted[csv]))
        for _, line in rows.groupby(["source", *tables.SERIES], sort=False):
            assert is_drawn(ax, line["percent_remaining"], line["mean"])
        drawn = set(zip(ours(rows)["arm"], ours(rows)["procedure"]))
        assert drawn == (set(panel.series) if "lenet" in panel.networks else set())


@pytest.mark.parametrize("name", FIGURES)
def test_paper_panels_show_the_metric_that_we_draw_over_them(name):
    for panel in plots.FIGURES[name]:
        shown = {PAPER_METRICS[label] for label in paper_csv(name, panel.paper)["metric"]}
        assert shown == {panel.metric}
        series = tables.paper_rows(name, panel.paper, panel.metric)
        assert set(series["network"]) == set(panel.networks)
        assert set(zip(series["arm"], series["procedure"])) == set(panel.series)


def test_a_paper_panel_of_another_metric_is_refused():
    with pytest.raises(ValueError, match="shows early_stop_iteration"):
        plots.against_percent_remaining(runs(), "test_accuracy_at_end", paper_panel=("4", "1"))


def test_panels_without_records_show_the_papers_curves_and_say_so():
    figure, table = plots.figure_1(lenet())
    remarks = [ax.get_title(loc="left") for ax in figure.axes]
    assert [plots.NO_RECORDS in remark for remark in remarks] == [False, True, False, True]
    assert set(table.loc[table["panel"] == "2", "source"]) == {"paper"}


def test_a_network_that_is_missing_among_others_is_named():
    figure, _ = plots.figure_1(pd.concat([runs("conv2"), runs("conv4")], ignore_index=True))
    remarks = [ax.get_title(loc="left") for ax in figure.axes]
    assert remarks == [plots.NO_RECORDS, "no tickets of Conv-6 yet"] * 2


def test_the_conv6_of_figure_1_is_pruned_more_slowly_and_a_stand_in_is_named():
    usual = runs("conv6")
    named = ["Conv-6 pruned" in ax.get_title(loc="left") for ax in plots.figure_1(usual)[0].axes]
    assert named == [False, True, False, True]
    slower = usual.assign(variant="conv_rate_10", early_stop_iteration=7)
    figure, table = plots.figure_1(pd.concat([usual, slower], ignore_index=True))
    assert not any("Conv-6 pruned" in ax.get_title(loc="left") for ax in figure.axes)
    assert set(ours(table[table["panel"] == "2"])["mean"]) == {7}


def test_figures_leave_variants_out_that_they_are_not_about():
    variants = [runs("conv2").assign(variant=name, early_stop_iteration=7) for name in ("float32", "dropout")]
    _, table = plots.figure_5(pd.concat([runs("conv2"), *variants], ignore_index=True))
    assert 7 not in set(ours(table)["mean"])


def test_no_records_at_all_still_draw_the_paper():
    _, table = plots.figure_9(runs().iloc[:0])
    assert set(table["source"]) == {"paper"}


def test_quick_records_are_compared_with_nothing_and_named_laptop_scale():
    figure, table = plots.figure_9(lenet().assign(scale="quick"))
    assert set(table["source"]) == {"ours"}
    assert {ax.get_title(loc="left") for ax in figure.axes} == {style.LAPTOP}
    assert len(ours(plots.figure_3(curves().assign(scale="quick"))[1])) > 0


def test_panels_without_quick_records_stay_empty_and_say_so():
    figure, table = plots.figure_1(lenet().assign(scale="quick"))
    assert set(table["panel"]) == {"1", "3"}
    assert [ax.get_title(loc="left") for ax in figure.axes] == [style.LAPTOP, "no records yet"] * 2


def test_reduced_scale_is_named_in_every_panel():
    figure, _ = plots.figure_9(lenet().assign(scale="reduced"))
    assert {ax.get_title(loc="left") for ax in figure.axes} == {"scale reduced"}


@pytest.mark.parametrize(("name", "metric"), [("3", "test_accuracy"), ("11", "validation_loss")])
def test_curves_while_training_are_the_records_over_the_papers_numbers(name, metric):
    frame = curves()
    figure, table = getattr(plots, f"figure_{name}")(frame)
    assert sorted(table["panel"].unique()) == ["1", "2", "3"]
    for panel, ax in zip("123", figure.axes):
        rows = table[table["panel"] == panel]
        theirs = rows[rows["source"] == "paper"]
        np.testing.assert_array_equal(np.sort(theirs["mean"]), np.sort(paper_csv(name, panel)["mean"]))
        for (arm, rung), line in ours(rows).groupby(["arm", "percent_remaining"]):
            chosen = frame[(frame["arm"] == arm) & (frame["percent_remaining"] == rung)]
            np.testing.assert_allclose(line["mean"], chosen.groupby("iteration")[metric].mean())
            assert is_drawn(ax, line["iteration"], line["mean"])
    third = ours(table[table["panel"] == "3"])
    assert set(zip(third["arm"], third["percent_remaining"].round(1))) == {
        ("dense", 100.0), ("winning_ticket", 51.3), ("winning_ticket", 21.1), ("random_reinit", 51.3)
    }  # fmt: skip


def test_iterations_that_one_trial_was_not_evaluated_at_are_left_out():
    frame = curves()
    frame.loc[(frame["trial"] == 1) & (frame["iteration"] == 200), "test_accuracy"] = math.nan
    table = tables.by_iteration(frame, "test_accuracy", tables.SERIES)
    assert sorted(table["iteration"].unique()) == [100, 300, 400]


def test_paired_differences_are_taken_within_trials_with_their_t_interval():
    frame = pd.concat([runs(trials=3), runs(arm="random_reinit", trials=3, replicates=2)], ignore_index=True)
    frame.loc[frame["arm"] == "random_reinit", "test_accuracy_at_end"] -= 0.005 * frame["trial"]
    figure, table = plots.paired_differences(frame, "test_accuracy_at_end", "winning_ticket", "random_reinit")
    differences = np.array([-0.001, 0.004, 0.009])
    half = 4.302653 * differences.std(ddof=1) / math.sqrt(3)
    np.testing.assert_allclose(table["mean"], 0.004)
    np.testing.assert_allclose(table["interval_low"], 0.004 - half, rtol=1e-5)
    np.testing.assert_allclose(table["interval_high"], 0.004 + half, rtol=1e-5)
    assert is_drawn(figure.axes[0], table["percent_remaining"], table["mean"])


def test_paired_differences_from_dense_use_the_same_trials_dense_network():
    _, table = plots.paired_differences(lenet(), "early_stop_iteration", "winning_ticket", "dense")
    assert list(table.loc[table["procedure"] == "iterative", "mean"]) == [300.0, 700.0]


def test_difference_panels_stand_side_by_side_and_are_numbered():
    comparisons = [
        ("early_stop_iteration", "winning_ticket", "dense"),
        ("test_accuracy_at_end", "winning_ticket", "random_reinit"),
    ]
    figure, table = plots.difference_panels(lenet(), comparisons)
    assert len(figure.axes) == 2
    for number, (ax, comparison) in enumerate(zip(figure.axes, comparisons), 1):
        _, alone = plots.paired_differences(lenet(), *comparison)
        panel = table[table["panel"] == str(number)].drop(columns="panel").reset_index(drop=True)
        pd.testing.assert_frame_equal(panel, alone)
        assert any(
            is_drawn(ax, rows["percent_remaining"], rows["mean"]) for _, rows in alone.groupby("procedure")
        )
    (legend,) = figure.legends
    named = [text.get_text() for text in legend.get_texts()]
    assert named == ["Lenet", "Lenet, one-shot", "Lenet, continued"]


def test_intervals_are_printed_signed_at_the_rungs_that_were_drawn():
    frame = pd.concat([runs(trials=3), runs(arm="random_reinit", trials=3)], ignore_index=True)
    frame.loc[frame["arm"] == "random_reinit", "test_accuracy_at_end"] -= 0.01 + 0.001 * frame["trial"]
    _, table = plots.paired_differences(frame, "test_accuracy_at_end", "winning_ticket", "random_reinit")
    title, line = plots.intervals(table, [51.3, 13.5]).splitlines()
    assert title == "Test accuracy at the end (pp): winning ticket minus random reinit"
    assert line.split() == ["51.3", "%", "+1.10", "[+0.85,", "+1.35]", "n=3"]


def test_differences_of_iterations_are_labelled_in_thousands_like_iterations():
    frame = pd.concat([runs(trials=2), runs(arm="random_reinit", trials=2)], ignore_index=True)
    frame.loc[frame["arm"] == "random_reinit", "early_stop_iteration"] += 10_000
    figure, _ = plots.paired_differences(frame, "early_stop_iteration", "winning_ticket", "random_reinit")
    figure.canvas.draw()
    labels = {label.get_text() for label in figure.axes[0].get_yticklabels()}
    assert {"0", "-10K"} <= labels and not any(label.endswith("000") for label in labels)


def test_one_trial_is_printed_without_an_interval():
    frame = pd.concat([runs(trials=1), runs(arm="random_reinit", trials=1)], ignore_index=True)
    _, table = plots.paired_differences(frame, "test_accuracy_at_end", "winning_ticket", "random_reinit")
    assert plots.intervals(table, [51.3]).split()[-3:] == ["%", "+0.00", "n=1"]


def test_learning_curves_draw_and_list_every_trial():
    frame = pd.concat([curves((("dense", 0),)).assign(setting=name) for name in ("with", "without")])
    figure, table = plots.learning_curves(frame, paper_dense=True)
    assert len(figure.axes) == 4
    assert [ax.get_title(loc="left") for ax in figure.axes[:2]] == ["with", "without"]
    single = table[table["source"] == "trial"]
    assert len(single) == 2 * len(frame)
    for _, line in single[single["setting"] == "with"].groupby(["metric", "trial"]):
        assert any(is_drawn(ax, line["iteration"], line["mean"]) for ax in figure.axes)


def test_learning_curves_of_one_setting_stand_side_by_side():
    figure, _ = plots.learning_curves(curves((("dense", 0),)).assign(setting="Adam"))
    assert len(figure.axes) == 2
    assert all(ax.get_xlabel() for ax in figure.axes)


def test_a_loss_that_is_not_finite_is_said_in_the_panel():
    frame = curves((("dense", 0),)).assign(setting="Adam, 1.0")
    frame.loc[frame["trial"] == 1, "validation_loss"] = math.inf
    figure, table = plots.learning_curves(frame, ["validation_loss"])
    assert "loss of 1 trials" in figure.axes[0].texts[0].get_text()
    assert np.isfinite(table["mean"]).all()


def test_settings_are_compared_beside_the_papers_dense_network():
    frame = pd.concat([runs(arm="dense", rounds=(0,)).assign(setting=name) for name in ("raw", "norm")])
    figure, table = plots.compare_settings(frame, ["early_stop_iteration", "test_accuracy_at_end"])
    assert len(figure.axes) == 2
    assert list(ours(table)["setting"]) == ["raw", "norm"] * 2
    theirs = table[table["source"] == "paper"]
    expected = paper_csv("12", "1").query("round == 0 and series == 'Winning Ticket (Iterative)'")
    assert theirs["mean"].iloc[0] == expected["mean"].iloc[0]


def test_weight_images_share_one_symmetric_scale():
    weights = np.stack([np.full((28, 28), 0.5), np.full((28, 28), -1.0), np.eye(28)])
    figure, table = plots.weight_images(weights)
    assert {image.get_clim() for ax in figure.axes for image in ax.images} == {(-1.0, 1.0)}
    assert list(table["nonzero"]) == [784, 784, 28]
    assert list(table["minimum"]) == [0.5, -1.0, 0.0]


@pytest.mark.parametrize("shape", [(5, 28, 28), (5, 1, 28, 28), (5, 3, 32, 32)])
def test_gallery_shows_each_image_under_its_title(shape):
    images = np.arange(np.prod(shape)).reshape(shape) % 256
    figure, table = plots.gallery(images.astype(np.uint8), [f"digit {i}" for i in range(5)], columns=4)
    assert sum(len(ax.images) for ax in figure.axes) == 5
    assert list(table["title"]) == [f"digit {i}" for i in range(5)]


def test_rungs_print_the_drawn_values_with_fixed_decimals():
    _, table = plots.against_percent_remaining(lenet(), "test_accuracy_at_end", paper_panel=("12", "4"))
    text = plots.rungs(table[table["procedure"] == "iterative"], [100, 51.3, 21.1, 7.0])
    assert text.splitlines()[:4] == [
        "Test accuracy at the end (%)",
        "                                  n    100   51.3   21.1    7.0",
        "Lenet winning ticket (ours)       2  96.50  96.80  97.20      -",
        "Lenet winning ticket (paper)         98.23  98.27  98.27  98.16",
    ]


def test_rungs_give_the_range_of_n_over_the_rungs_that_were_asked_for():
    frame = lenet()
    fewer = frame[frame["pruning_round"].eq(0) | frame["trial"].eq(0)]
    _, table = plots.against_percent_remaining(fewer, "test_accuracy_at_end")
    ticket = [plots.rungs(table, at).splitlines()[2].split()[4] for at in ([100], [51.3], [100, 51.3])]
    assert ticket == ["2", "1", "1-2"]


def test_a_legend_that_is_too_wide_for_its_figure_takes_another_row():
    figure = style.new_figure(1, 2)
    style.legend(
        figure, [style.sample(f"the {number}. of several rather long labels") for number in range(5)]
    )
    (legend,) = figure.legends
    assert legend.get_window_extent().width <= figure.bbox.width
    assert len(legend.get_texts()) == 5


def test_rungs_of_learning_curves_are_iterations():
    table = tables.by_iteration(curves(), "test_accuracy", [*tables.SERIES, "percent_remaining"])
    line = plots.rungs(table, [100, 400]).splitlines()[2]
    assert line == "Lenet dense at 100 % (ours)                2  95.50  95.50"


def test_alt_text_says_where_each_series_starts_turns_and_ends():
    text = plots.alt_text(plots.against_percent_remaining(runs(), "early_stop_iteration")[1])
    expected = (
        "Early-stop iteration, Lenet winning ticket: 4800 at 51.3 %; lowest 4800 at 51.3 %; 5200 at 21.1 %."
    )
    assert text == expected


def test_redrawn_figure_has_identical_bytes_and_names_no_version(tmp_path):
    for folder in ("a", "b"):
        plots.save(*plots.figure_9(lenet()), "09", folder=tmp_path / folder)
    first, second = ((tmp_path / folder / "09.png").read_bytes() for folder in "ab")
    assert first == second
    assert (tmp_path / "a/09.csv").read_bytes() == (tmp_path / "b/09.csv").read_bytes()
    assert b"oftware" not in first and matplotlib.__version__.encode() not in first
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == ["09.csv", "09.png"]


def test_saved_picture_keeps_hues_that_cover_few_pixels(tmp_path):
    networks = plots.figures.CONVS
    frame = pd.concat([runs(rounds=range(1, 19)), *[runs(name, rounds=(3,), trials=1) for name in networks]])
    picture = plots.save(*plots.figure_1(frame), "name", folder=tmp_path)
    pixels = np.asarray(Image.open(io.BytesIO(picture.png)).convert("RGB"), int).reshape(-1, 3)
    for network in networks:  # a point and a name in its colour
        hue = np.array(colors.to_rgb(style.HUES[network])) * 255
        assert np.abs(pixels - hue).max(axis=1).min() < 16


def test_a_network_without_records_is_named_in_the_grey_of_its_curve():
    figure, _ = plots.figure_1(runs("conv2"))
    named = {text.get_text(): text.get_color() for text in figure.axes[1].texts}
    assert named == {"Conv-2": style.color("conv2"), "Conv-4": style.PAPER, "Conv-6": style.PAPER}


def test_saved_csv_holds_the_table(tmp_path):
    _, table = drawing = plots.against_percent_remaining(runs(), "test_accuracy_at_end")
    plots.save(*drawing, "table", folder=tmp_path)
    pd.testing.assert_frame_equal(
        pd.read_csv(tmp_path / "table.csv", dtype={"trial_values": str}),
        table,
        check_dtype=False,
        rtol=1e-5,
    )


@pytest.mark.parametrize(
    ("profile", "folder"), [("quick", "build/figures"), ("report", "build/report/figures")]
)
def test_no_profile_writes_what_git_tracks(tmp_path, monkeypatch, profile, folder):
    monkeypatch.setattr(pictures, "ROOT", tmp_path)
    plots.save(*plots.against_percent_remaining(runs(), "test_accuracy_at_end"), "name", profile)
    assert {path.parent.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("name.*")} == {folder}


def test_interrupted_save_leaves_the_old_figure_whole(tmp_path, monkeypatch):
    drawing = plots.against_percent_remaining(runs(), "test_accuracy_at_end")
    plots.save(*drawing, "name", folder=tmp_path)
    before = (tmp_path / "name.png").read_bytes()
    monkeypatch.setattr(pictures.records.os, "replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        plots.save(
            *plots.paired_differences(lenet(), "test_accuracy_at_end", "winning_ticket", "dense"),
            "name",
            folder=tmp_path,
        )
    assert (tmp_path / "name.png").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["name.csv", "name.png"]


def test_a_notebook_shows_the_saved_picture_once_with_its_alt_text(tmp_path):
    picture = plots.save(
        *plots.against_percent_remaining(runs(), "test_accuracy_at_end"), "name", folder=tmp_path
    )
    data, metadata = DisplayFormatter().format(picture)
    assert sorted(data) == ["image/png", "text/plain"]
    assert data["text/plain"] == picture.alt and "0x" not in picture.alt
    assert metadata["image/png"]["alt"].startswith("Test accuracy at the end, Lenet winning ticket")


def test_drawing_leaves_no_global_state_behind():
    settings = dict(matplotlib.rcParams)
    plots.figure_9(lenet())
    assert dict(matplotlib.rcParams) == settings
    assert not Gcf.figs


def test_drawing_needs_neither_torch_nor_pyplot():
    code = "import sys, lth_utils.plots; print({'torch', 'matplotlib.pyplot'} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"
