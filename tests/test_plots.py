"""Figures: their tables are the records and the paper's points, what is drawn is the table, files never change by themselves.

How committed figures look is checked by test_figures.
"""

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

from lth_utils import paper, plots, records
from lth_utils.paper import figures
from lth_utils.plots import panels, pictures, style, tables

METRICS = [*figures.FIVE_PANELS, "validation_accuracy_at_early_stop"]


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
        row = {"network": network, "arm": arm, "procedure": procedure, "trial": trial, "replicate": replicate}
        row |= {"scale": "paper", "variant": "", "pruning_round": rung}
        row["percent_remaining"] = paper.percent_remaining(network, rung)
        row["training_iterations"] = paper.protocol(network).training_iterations
        row |= {
            "study": "paper",
            "protocol_key": "",
            "run_key": f"{network} {arm} {procedure} {rung} {trial}",
        }
        row["curve_iteration"] = evaluations = np.arange(100.0, 401.0, 100.0)
        row |= {"curve_validation_loss": 30 / evaluations + trial, "curve_validation_accuracy": [0.9] * 4}
        row |= {"curve_test_accuracy": [0.95 + trial / 100] * 4}
        row["early_stop_iteration"] = 4000 + 100 * rung + 1000 * trial
        row |= dict.fromkeys(METRICS[1:], 0.96 + 0.001 * rung + 0.01 * trial + 0.002 * replicate)
        rows.append(row | more)
    return pd.DataFrame(rows)


def lenet():
    """Dense, tickets and all controls of Lenet, two trials, two rungs."""
    arms = [("winning_ticket", "iterative"), ("random_reinit", "iterative"), ("random_sparsity", "iterative")]
    arms += [("winning_ticket", "continued"), ("winning_ticket", "one_shot"), ("random_reinit", "one_shot")]
    parts = [runs(arm="dense", rounds=(0,)), *(runs("lenet", *arm) for arm in arms)]
    return pd.concat(parts, ignore_index=True)


def curves(*arms):
    """Rows of records.curves of the named arms: two trials, an evaluation every 100 iterations."""
    return records.curves(pd.concat([runs(arm=arm, rounds=(0 if arm == "dense" else 3,)) for arm in arms]))


def over_percent(frame, metric, paper_panel=None):
    figure = style.new_figure()
    return figure, panels.over_percent(figure.subplots(), frame, metric, paper_panel)


def ours(table):
    return table[table["source"] == "ours"].reset_index(drop=True)


def is_drawn(ax, x, y):
    lines = [np.column_stack(line.get_data()).astype(float) for line in ax.lines]
    points = np.column_stack([x, y])
    return any(len(line) == len(points) and np.allclose(line, points, equal_nan=True) for line in lines)


def remarks(figure):
    return [ax.get_title(loc="left") for ax in figure.axes]


def paper_csv(figure, panel):
    rows = paper.curves()
    return rows[(rows["fig"].astype(str) == figure) & (rows["panel"].astype(str) == panel)]


def test_table_holds_exactly_the_means_and_extremes_of_the_records():
    frame = runs(rounds=(3, 7, 12), trials=3)
    figure, table = over_percent(frame, "test_accuracy_at_early_stop")
    by_rung = frame.groupby("percent_remaining", sort=False)["test_accuracy_at_early_stop"]
    assert list(table["percent_remaining"]) == sorted(by_rung.groups, reverse=True)
    for column, expected in {
        "mean": by_rung.mean(),
        "minimum": by_rung.min(),
        "maximum": by_rung.max(),
    }.items():
        np.testing.assert_allclose(table[column], expected)
    assert set(table["trials"]) == {3}
    assert is_drawn(figure.axes[0], table["percent_remaining"], table["mean"])
    dots = [
        (row.percent_remaining, float(value))
        for row in table.itertuples()
        for value in row.trial_values.split()
    ]
    assert len(dots) == 9 and is_drawn(figure.axes[0], *zip(*dots))


def test_replicates_are_averaged_within_their_trial_first():
    frame = pd.concat([runs(trials=1, replicates=3), runs(trials=2).query("trial == 1")])
    _, table = over_percent(frame, "test_accuracy_at_end")
    assert set(table["trials"]) == {2}
    assert table["mean"][0] == pytest.approx(((0.963 + 0.965 + 0.967) / 3 + 0.973) / 2)


def test_dense_network_is_the_black_first_point_of_every_ticket_series_only():
    figure, table = over_percent(lenet(), "test_accuracy_at_end")
    first = table[table["percent_remaining"] == 100]
    assert set(first["procedure"]) == {"iterative", "one_shot", "continued"}
    assert set(first["arm"]) == {"winning_ticket"}
    squares = [line for line in figure.axes[0].lines if line.get_marker() == "s" and len(line.get_xdata())]
    assert {colors.to_hex(line.get_color()) for line in squares} == {style.DENSE}


def test_hue_is_the_network_line_style_the_arm_lightness_the_procedure():
    frame = pd.concat(
        [runs("conv2"), runs("conv2", "random_reinit", trials=3), runs(procedure="one_shot", trials=4)]
    )
    figure, table = over_percent(frame, "test_accuracy_at_end")
    looks = {}
    for (network, arm, _), rows in table.groupby(figures.DRAWN):
        (line,) = (line for line in figure.axes[0].lines if np.array_equal(line.get_ydata(), rows["mean"]))
        looks[network, arm] = (colors.to_hex(line.get_color()).upper(), line.get_linestyle())
    assert looks["conv2", "winning_ticket"] == ("#0072B2", "-")
    assert looks["conv2", "random_reinit"] == ("#0072B2", "--")
    assert looks["lenet", "winning_ticket"] == ("#EAAE80", "-")


@pytest.mark.parametrize(
    ("more", "problem"), [({}, "same run"), ({"rounds": (8,), "scale": "reduced"}, "never averaged")]
)
def test_records_that_may_not_be_averaged_are_refused(more, problem):
    with pytest.raises(ValueError, match=problem):
        over_percent(pd.concat([runs(), runs(**more)]), "test_accuracy_at_end")


def test_a_minimum_at_the_last_evaluation_is_marked_as_a_lower_bound():
    frame = runs(trials=1)
    frame.loc[1, "early_stop_iteration"] = 50_000
    figure, table = over_percent(frame, "early_stop_iteration")
    assert list(table["censored"]) == [0, 1]
    marks = [line.get_ydata() for line in figure.axes[0].lines if line.get_marker() == "^"]
    assert [list(mark) for mark in marks] == [[50_000]]


@pytest.mark.parametrize("name", figures.FIGURES)
def test_a_figure_of_the_paper_draws_our_records_over_its_numbers(name):
    figure, table = plots.figure(name, lenet())
    expected = figures.FIGURES[name]
    assert len(expected) == table["panel"].nunique()
    for number, (ax, panel) in enumerate(zip(figure.axes, expected), 1):
        rows = table[table["panel"] == str(number)]
        theirs, plotted = rows[rows["source"] == "paper"], paper_csv(name, panel.paper)
        assert {figures.PAPER_METRICS[label] for label in plotted["metric"]} == {panel.metric}
        for column, theirs_is in {
            "percent_remaining": "pm_percent",
            "minimum": "min",
            "maximum": "max",
        }.items():
            np.testing.assert_array_equal(np.sort(theirs[column]), np.sort(plotted[theirs_is]))
        assert set(theirs["network"]) == set(panel.networks)
        assert set(zip(theirs["arm"], theirs["procedure"])) == set(panel.series)
        drawn = set(zip(ours(rows)["arm"], ours(rows)["procedure"]))
        assert drawn == (set(panel.series) if "lenet" in panel.networks else set())
        for _, line in rows.groupby(["source", *figures.DRAWN], sort=False):
            assert is_drawn(ax, line["percent_remaining"], line["mean"])


def test_a_paper_panel_of_another_metric_is_refused():
    with pytest.raises(ValueError, match="shows early_stop_iteration"):
        over_percent(runs(), "test_accuracy_at_end", paper_panel=("4", "1"))


def test_what_is_missing_from_a_panel_stands_above_it():
    assert remarks(plots.figure("1", lenet())[0]) == ["", plots.NO_RECORDS] * 2
    two = pd.concat([runs("conv2"), runs("conv4")], ignore_index=True)
    assert remarks(plots.figure("1", two)[0]) == [plots.NO_RECORDS, "no tickets of Conv-6 yet"] * 2
    figure, table = plots.figure("9", lenet().assign(scale="reduced"))
    assert remarks(figure) == ["scale reduced"] * 2
    figure, table = plots.figure("9", runs().iloc[:0])
    assert remarks(figure) == [plots.NO_RECORDS] * 2 and set(table["source"]) == {"paper"}


def test_the_conv6_of_figure_1_is_pruned_more_slowly_and_a_stand_in_is_named():
    usual = runs("conv6")
    named = ["Conv-6 pruned" in remark for remark in remarks(plots.figure("1", usual)[0])]
    assert named == [False, True, False, True]
    slower = usual.assign(variant="conv_rate_10", early_stop_iteration=7)
    figure, table = plots.figure("1", pd.concat([usual, slower], ignore_index=True))
    assert not any("Conv-6 pruned" in remark for remark in remarks(figure))
    assert set(ours(table[table["panel"] == "2"])["mean"]) == {7}


def test_dropout_is_drawn_beside_the_tickets_and_the_dense_network_without_it():
    changes = {"variant": "dropout", "test_accuracy_at_early_stop": 0.8, "training_iterations": 60_000}
    parts = [runs("conv2", "dense", rounds=(0,)), runs("conv2"), runs("conv4")]
    parts += [runs("conv2", "dense", rounds=(0,), **changes), runs("conv2", **changes)]
    figure, table = plots.figure("6", pd.concat(parts, ignore_index=True))
    accuracy = ours(table[table["panel"] == "2"])
    assert set(accuracy["network"]) == {"conv2"}
    for procedure, dense in (("iterative", 0.965), ("dropout", 0.8)):
        rows = accuracy[accuracy["procedure"] == procedure]
        assert list(rows["trials"]) == [2, 2, 2] and rows["mean"].iloc[0] == pytest.approx(dense)
    assert remarks(figure) == ["no tickets of Conv-4, Conv-6 yet"] * 2


def test_figures_leave_out_variants_that_they_are_not_about_and_panels_not_asked_for():
    variants = [runs("conv2").assign(variant=name, early_stop_iteration=7) for name in ("float32", "dropout")]
    _, table = plots.figure("5", pd.concat([runs("conv2"), *variants], ignore_index=True))
    assert 7 not in set(ours(table)["mean"])
    figure, table = plots.figure("14", lenet(), only="24")
    assert [remark.split(":")[0] for remark in remarks(figure)] == ["Conv-2", "Conv-6"]
    assert set(table["panel"]) == {"2", "4"}


def test_quick_records_are_compared_with_nothing_and_named_laptop_scale():
    figure, table = plots.figure("1", lenet().assign(scale="quick"))
    assert remarks(figure) == [style.LAPTOP, "no records yet"] * 2
    assert set(table["panel"]) == {"1", "3"} and set(table["source"]) == {"ours"}
    assert set(plots.figure("3", lenet().assign(scale="quick"))[1]["source"]) == {"ours"}


@pytest.mark.parametrize("name", figures.WHILE_TRAINING)
def test_curves_while_training_are_the_records_over_the_papers_numbers(name):
    frame, metric = lenet(), figures.WHILE_TRAINING[name][0]
    figure, table = plots.figure(name, frame)
    evaluated = records.curves(frame[frame["procedure"] == "iterative"])
    for panel, ax in zip("123", figure.axes, strict=True):
        rows = table[table["panel"] == panel]
        theirs = rows[rows["source"] == "paper"]
        np.testing.assert_array_equal(np.sort(theirs["mean"]), np.sort(paper_csv(name, panel)["mean"]))
        for (arm, rung), line in ours(rows).groupby(["arm", "percent_remaining"]):
            chosen = evaluated[(evaluated["arm"] == arm) & (evaluated["percent_remaining"] == rung)]
            np.testing.assert_allclose(line["mean"], chosen.groupby("iteration")[metric].mean())
            assert is_drawn(ax, line["iteration"], line["mean"])
    third = ours(table[table["panel"] == "3"])
    drawn = set(zip(third["arm"], third["percent_remaining"].round(1)))
    both = {(arm, rung) for arm in ("winning_ticket", "random_reinit") for rung in (51.3, 21.1)}
    assert drawn == {("dense", 100.0), *both}


def test_rungs_are_told_apart_by_colours_of_which_none_is_near_the_papers_grey():
    shown = np.array([style.rung_color(rung)[:3] for rung in (51.3, 21.1, 7.0, 3.6, 1.9)])
    assert (np.ptp(shown, axis=1) > 0.4).all(), "grey has equal channels"
    apart = np.linalg.norm(shown[:, None] - shown, axis=2)[np.triu_indices(5, 1)]
    assert apart.min() > 0.2
    assert style.rung_color(100.0) == style.DENSE


def test_iterations_that_one_trial_was_not_evaluated_at_are_left_out():
    frame = curves("winning_ticket")
    frame.loc[(frame["trial"] == 1) & (frame["iteration"] == 200), "test_accuracy"] = math.nan
    table = tables.by_iteration(frame, "test_accuracy", figures.DRAWN)
    assert sorted(table["iteration"].unique()) == [100, 300, 400]


def against_reinit(trials, change):
    frame = pd.concat([runs(trials=trials), runs(arm="random_reinit", trials=trials)], ignore_index=True)
    frame.loc[frame["arm"] == "random_reinit", "test_accuracy_at_end"] -= change(frame["trial"])
    return plots.difference_panels(frame, [("test_accuracy_at_end", "winning_ticket", "random_reinit")])


def test_paired_differences_are_taken_within_trials_with_their_t_interval():
    figure, table = against_reinit(3, lambda trial: 0.005 * trial)
    half = 4.302653 * 0.005 / math.sqrt(3)
    np.testing.assert_allclose(table["mean"], 0.005)
    np.testing.assert_allclose(table["interval_low"], 0.005 - half, rtol=1e-5)
    np.testing.assert_allclose(table["interval_high"], 0.005 + half, rtol=1e-5)
    assert is_drawn(figure.axes[0], table["percent_remaining"], table["mean"])


def test_paired_differences_from_dense_use_the_same_trials_dense_network():
    pairs = [
        ("early_stop_iteration", "winning_ticket", "dense"),
        ("test_accuracy_at_end", "random_reinit", "dense"),
    ]
    figure, table = plots.difference_panels(lenet(), pairs)
    first = table[table["panel"] == "1"]
    assert list(first.loc[first["procedure"] == "iterative", "mean"]) == [300.0, 700.0]
    assert set(table.loc[table["panel"] == "2", "arm"]) == {"random_reinit - dense"}
    named = [text.get_text() for text in figure.legends[0].get_texts()]
    assert named == ["Lenet", "Lenet, one-shot", "Lenet, continued"]


def test_intervals_are_printed_signed_at_the_rungs_that_were_drawn():
    _, table = against_reinit(3, lambda trial: 0.01 + 0.001 * trial)
    title, line = plots.intervals(table, [51.3, 13.5]).splitlines()
    assert title == "Test accuracy at the end (pp): winning ticket minus random reinit"
    assert line.split() == ["51.3", "%", "+1.10", "[+0.85,", "+1.35]", "n=3"]
    alone = plots.intervals(against_reinit(1, lambda trial: 0 * trial)[1], [51.3])
    assert alone.split()[-3:] == ["%", "+0.00", "n=1"], "one trial has no interval"


def test_learning_curves_draw_and_list_every_trial_over_the_papers():
    frame = pd.concat([curves("dense").assign(setting=name) for name in ("with", "without")])
    limits = {"validation_loss": (0, 1), "validation_accuracy": (0.9, 1)}
    figure, table = plots.learning_curves(frame, list(limits), limits=limits)
    assert len(figure.axes) == 4 and remarks(figure)[:2] == ["with", "without"]
    assert [ax.get_ylim() for ax in figure.axes[::2]] == list(limits.values())
    single = table[table["source"] == "trial"]
    assert len(single) == 2 * len(frame) and set(table["source"]) == {"ours", "trial", "paper"}
    for _, line in single[single["setting"] == "with"].groupby(["metric", "trial"]):
        assert any(is_drawn(ax, line["iteration"], line["mean"]) for ax in figure.axes)
    one = frame[frame["setting"] == "with"].assign(scale="quick")
    alone, table = plots.learning_curves(one, list(limits), limits=limits)
    assert [ax.get_xlabel() for ax in alone.axes] == ["Training Iterations"] * 2
    assert "paper" not in set(table["source"]) and alone.axes[0].get_ylim() != (0, 1)


def test_lines_have_a_panel_per_value_and_are_named_where_they_end():
    values = [(p, s, x, x * (s == "up")) for p in ("left", "right") for s in ("up", "flat") for x in range(3)]
    frame = pd.DataFrame(values, columns=["part", "method", "pruning_round", "percent"])
    figure, table = plots.lines(frame, panel="part", series="method", x="pruning_round", y="percent")
    assert table is frame and remarks(figure) == ["left", "right"]
    for ax in figure.axes:
        assert is_drawn(ax, [0, 1, 2], [0, 1, 2]) and is_drawn(ax, [0, 1, 2], [0, 0, 0])
        assert [text.get_text() for text in ax.texts] == ["up", "flat"]
        assert ax.get_xlabel() == "Pruning Round"


def test_settings_are_compared_beside_the_papers_dense_network():
    frame = pd.concat([runs(arm="dense", rounds=(0,)).assign(setting=name) for name in ("raw", "norm")])
    figure, table = plots.compare_settings(frame, ["early_stop_iteration", "test_accuracy_at_end"])
    assert len(figure.axes) == 2
    assert list(ours(table)["setting"]) == ["raw", "norm"] * 2
    theirs = table[table["source"] == "paper"]
    expected = paper_csv("12", "1").query("round == 0 and series == 'Winning Ticket (Iterative)'")
    assert theirs["mean"].iloc[0] == expected["mean"].iloc[0]


@pytest.mark.parametrize("shape", [(5, 28, 28), (5, 3, 32, 32)])
def test_gallery_shows_each_image_under_its_title(shape):
    images = np.arange(np.prod(shape)).reshape(shape) % 256
    figure, table = plots.gallery(images.astype(np.uint8), [f"digit {i}" for i in range(5)], columns=4)
    assert sum(len(ax.images) for ax in figure.axes) == 5
    assert list(table["title"]) == [f"digit {i}" for i in range(5)]


def test_alt_text_says_where_each_series_starts_turns_and_ends():
    text = plots.alt_text(over_percent(runs(), "early_stop_iteration")[1])
    starts_turns_ends = "4800 at 51.3 %; lowest 4800 at 51.3 %; 5200 at 21.1 %."
    assert text == f"Early-stop iteration, Lenet winning ticket: {starts_turns_ends}"


def test_a_redrawn_figure_has_identical_bytes_names_no_version_and_its_csv_holds_the_table(tmp_path):
    for folder in ("a", "b"):
        _, table = drawing = plots.figure("9", lenet())
        plots.save(*drawing, "09", folder=tmp_path / folder)
    first, second = ((tmp_path / folder / "09.png").read_bytes() for folder in "ab")
    assert first == second
    assert (tmp_path / "a/09.csv").read_bytes() == (tmp_path / "b/09.csv").read_bytes()
    assert b"oftware" not in first and matplotlib.__version__.encode() not in first
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == ["09.csv", "09.png"]
    text = {name: str for name in ("figure", "panel", "trial_values")}
    stored = pd.read_csv(tmp_path / "a/09.csv", dtype=text)
    pd.testing.assert_frame_equal(stored, table, check_dtype=False, rtol=1e-5)


@pytest.mark.parametrize("profile", ["quick", "report", "paper"])
def test_no_profile_draws_into_the_committed_figures(tmp_path, monkeypatch, profile):
    monkeypatch.setattr(pictures, "ROOT", tmp_path)
    plots.save(*over_percent(runs(), "test_accuracy_at_end"), "name", profile)
    (folder,) = {path.parent.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("name.*")}
    assert folder == ("build/figures" if profile == "quick" else "build/report/figures")


def test_an_interrupted_save_leaves_the_old_figure_whole(tmp_path, monkeypatch):
    plots.save(*over_percent(runs(), "test_accuracy_at_end"), "name", folder=tmp_path)
    before = (tmp_path / "name.png").read_bytes()
    monkeypatch.setattr(pictures.kept.os, "replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        plots.save(*plots.figure("9", lenet()), "name", folder=tmp_path)
    assert (tmp_path / "name.png").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["name.csv", "name.png"]


def test_a_notebook_shows_the_saved_picture_once_with_its_alt_text(tmp_path):
    drawing = over_percent(runs(), "test_accuracy_at_end")
    picture = plots.save(*drawing, "name", folder=tmp_path)
    data, metadata = DisplayFormatter().format(picture)
    assert sorted(data) == ["image/png", "text/plain"]
    assert data["text/plain"] == picture.alt and "0x" not in picture.alt
    assert metadata["image/png"]["alt"].startswith("Test accuracy at the end, Lenet winning ticket")


def test_drawing_leaves_no_global_state_behind_and_needs_no_pyplot():
    settings = dict(matplotlib.rcParams)
    plots.figure("9", lenet())
    assert dict(matplotlib.rcParams) == settings
    assert not Gcf.figs
    code = "import sys, lth_utils.plots; print('matplotlib.pyplot' in sys.modules)"
    command = [sys.executable, "-W", "error", "-c", code]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == "False"


# --- forest plot -------------------------------------------------------------------------------------------------


def contrast(**changes):
    row = {
        "claim": "C18",
        "measure": "ticket minus reinit",
        "network": "lenet",
        "unit": "pp",
        "quantity": "difference",
    }
    row |= {"direction": "shown", "size": "agrees", "ours": 0.5, "low": 0.3, "high": 0.7, "theirs": 0.48}
    return row | {"theirs_half": 0.1, "lower": 0.3, "upper": np.inf} | changes


def test_a_forest_has_a_panel_per_network_and_kind_and_keeps_what_it_does_not_draw():
    rows = [
        contrast(),
        contrast(measure="the same numbers"),
        contrast(ours=-0.1, low=-0.4, high=0.2, direction="open"),
    ]
    rows += [
        contrast(
            network="conv2", unit="ratio", quantity="ratio", ours=3.0, low=-np.inf, high=3.5, theirs=np.nan
        )
    ]
    rows += [contrast(quantity="value", unit="percent"), contrast(direction="", size="")]
    figure, table = plots.forest(pd.DataFrame(rows))
    assert table["panel"].tolist() == ["", "1", "1", "2", "", ""]
    first, second = figure.axes
    assert [text.get_text() for text in first.get_yticklabels()] == [
        "C18  the same numbers",
        "C18  ticket minus reinit",
    ]
    faces = [line.get_markerfacecolor() for line in first.lines if line.get_marker() == "o"]
    assert faces[1] == "white" and faces[0] != "white", "an open direction is hollow"
    assert first.get_xlim()[0] < -0.4 and first.get_xlim()[1] > 0.7
    assert second.get_xscale() == "log" and second.get_xlim()[0] < 1 < 3.5 < second.get_xlim()[1]
