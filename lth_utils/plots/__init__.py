"""Tidy records in, (figure, table) out; the table holds exactly what was drawn, in one long format.

`figures` composes whole figures, `panels` draws one set of axes, `tables` has the numbers, `style` the look; `save` alone
writes, and returns the picture that a notebook cell ends with. Bars are minimum to maximum over trials, faint dots single
trials, grey the paper's own curves.
"""

from functools import partial

from lth_utils.paper.figures import FIGURES
from lth_utils.plots.figures import (
    NO_RECORDS,
    against_percent_remaining,
    compare_settings,
    difference_panels,
    figure,
    learning_curves,
)
from lth_utils.plots.pictures import gallery, save, weight_images
from lth_utils.plots.printed import alt_text, intervals, rungs

__all__ = ["FIGURES", "NO_RECORDS", "against_percent_remaining", "alt_text", "compare_settings"]
__all__ += [
    "difference_panels",
    "figure",
    "gallery",
    "intervals",
    "learning_curves",
    "rungs",
    "save",
    "weight_images",
]

figure_1, figure_3, figure_4, figure_5, figure_6 = (
    partial(figure, name) for name in ("1", "3", "4", "5", "6")
)
figure_9, figure_11, figure_12 = (partial(figure, name) for name in ("9", "11", "12"))
figure_13, figure_14 = (partial(figure, name) for name in ("13", "14"))
