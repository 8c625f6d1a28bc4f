"""One function per figure type: tidy records in, (figure, table) out; the table holds exactly what was drawn.

`save` alone writes, and returns the picture that a notebook cell ends with. Bars are minimum to maximum over trials,
faint dots single trials, grey the paper's own curves. The look is `style`, the numbers are `tables`.
"""

from collections.abc import Iterable

import pandas as pd

from lth_utils.plots import panels, style, tables
from lth_utils.plots.differences import difference_panels, intervals, paired_differences
from lth_utils.plots.figures import (
    FIGURES,
    NO_RECORDS,
    figure_1,
    figure_3,
    figure_4,
    figure_5,
    figure_6,
    figure_9,
    figure_11,
    figure_12,
    figure_13,
    figure_14,
)
from lth_utils.plots.panels import Drawing, against_percent_remaining
from lth_utils.plots.pictures import Picture, gallery, save, weight_images
from lth_utils.plots.tables import alt_text, rungs

__all__ = [  # with the functions below, all that a notebook needs
    "FIGURES",
    "NO_RECORDS",
    "Drawing",
    "Picture",
    "against_percent_remaining",
    "alt_text",
    "difference_panels",
    "figure_1",
    "figure_3",
    "figure_4",
    "figure_5",
    "figure_6",
    "figure_9",
    "figure_11",
    "figure_12",
    "figure_13",
    "figure_14",
    "gallery",
    "intervals",
    "paired_differences",
    "rungs",
    "save",
    "weight_images",
]


@style.styled
def learning_curves(
    curves: pd.DataFrame,
    metrics: Iterable[str] = ("validation_loss", "validation_accuracy"),
    *,
    limits: dict[str, tuple[float, float]] | None = None,
    last_iteration: int | None = None,
    paper_dense: bool = False,
) -> Drawing:
    """Small multiples: a row per metric, a column per value of the column `setting`, a thin line per trial.

    curves: rows of records.curves with a column `setting` that names the columns of the figure, in order of
    appearance. limits: metric -> y axis. paper_dense: the paper's dense Lenet (Figures 3, 11) in grey underneath.
    """
    metrics, settings = list(metrics), list(curves["setting"].unique())
    last_iteration = last_iteration or curves["iteration"].max()
    curves = curves[curves["iteration"] <= last_iteration]
    if len(settings) > 1:
        figure = style.new_figure(len(metrics), len(settings), height=1.9 if len(metrics) > 1 else 2.4)
        axes = figure.subplots(len(metrics), len(settings), squeeze=False, sharex=True, sharey="row")
    else:
        figure = style.new_figure(1, len(metrics), height=2.6)
        axes = figure.subplots(1, len(metrics), squeeze=False).T
    parts = []
    for row, metric in enumerate(metrics):
        for ax, setting in zip(axes[row], settings, strict=True):
            table = panels.trials_and_mean(ax, curves[curves["setting"] == setting], metric)
            if paper_dense:
                theirs = tables.paper_dense_curve(metric)
                theirs = theirs[theirs["iteration"] <= last_iteration]
                ax.plot(theirs["iteration"], theirs["mean"], color=style.PAPER, zorder=1)
                table = pd.concat([table, theirs.assign(setting=setting)], ignore_index=True)
            parts.append(table)
            if row == 0:
                style.remark(ax, setting)
        axes[row, 0].set_ylabel(tables.METRICS[metric])
        axes[row, 0].set_ylim(*(limits or {}).get(metric, (None, None)))
    for ax in figure.axes:
        ax.set_xlim(0, last_iteration)
        style.iteration_ticks(ax.xaxis)
        if ax.get_subplotspec().is_last_row():
            ax.set_xlabel("Training Iterations")
    style.legend(figure, panels.trial_handles(curves["network"].iloc[0], paper_dense))
    return figure, pd.concat(parts, ignore_index=True)


@style.styled
def compare_settings(frame: pd.DataFrame, metrics: Iterable[str]) -> Drawing:
    """Final numbers per value of the column `setting`, a panel per metric; the paper's dense network in grey."""
    metrics = list(metrics)
    figure = style.new_figure(1, len(metrics), height=2.4)
    axes = figure.subplots(1, len(metrics), squeeze=False)[0]
    parts = [panels.settings_strip(ax, frame, metric) for ax, metric in zip(axes, metrics, strict=True)]
    table = pd.concat(parts, ignore_index=True)
    style.legend(
        figure, panels.trial_handles(frame["network"].iloc[0], (table["source"] == "paper").any(), dots=True)
    )
    return figure, table
