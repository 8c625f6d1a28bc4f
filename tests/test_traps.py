"""Figures about pitfalls: their table is their frame, and the eye is led to the line that is right."""

import pandas as pd

from lth_utils.plots import style, traps


def test_survivors_are_drawn_with_the_true_line_alone_coloured_and_solid():
    rows = [
        (method, measure, pruning_round, 100 - 10 * pruning_round * step)
        for step, (method, measure) in enumerate([("kept", "weights"), ("kept", "mass"), ("gone", "weights")])
        for pruning_round in range(2)
    ]
    frame = pd.DataFrame(rows, columns=["method", "measure", "pruning_round", "percent"])
    figure, table = traps.survivors_by_round(frame)
    (ax,) = figure.axes
    assert table is frame and len(ax.lines) == 3
    for line, (_, drawn) in zip(ax.lines, frame.groupby(["method", "measure"], sort=False), strict=True):
        assert list(line.get_ydata()) == list(drawn["percent"])
    coloured = [line.get_color() == style.color("lenet") for line in ax.lines]
    solid = [line.get_linestyle() == "-" for line in ax.lines]
    assert coloured == [True, True, False] and solid == [True, False, True]
    assert [text.get_text() for text in ax.texts] == ["kept: weights", "kept: mass", "gone: weights"]


def test_drift_has_a_panel_per_setting_and_one_label_for_optimizers_that_end_alike():
    rows = [
        (setting, name, iteration, iteration * slope)
        for setting, slopes in {"kept": (0.3, 0.1, 0.0), "new": (0.0, 0.1, 0.0)}.items()
        for name, slope in zip(("momentum", "decay", "plain"), slopes, strict=True)
        for iteration in range(2)
    ]
    frame = pd.DataFrame(rows, columns=["setting", "optimizer", "iteration", "distance"])
    figure, table = traps.drift_of_pruned_weights(frame)
    assert table is frame and [len(ax.lines) for ax in figure.axes] == [3, 3]
    labels = [[text.get_text() for text in ax.texts] for ax in figure.axes]
    assert labels == [["momentum", "decay", "plain"], ["all others", "decay"]]
    assert list(figure.axes[0].lines[0].get_ydata()) == [0, 0.3]
