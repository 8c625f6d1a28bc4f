"""Tidy records in, (figure, table) out; the table holds exactly what was drawn, in one long format.

`figures` composes whole figures, `panels` draws one set of axes, `tables` has the numbers, `style` the look; `save` alone
writes, and returns the picture that a notebook cell ends with. Bars are minimum to maximum over trials, faint dots single
trials, grey the paper's own curves.
"""

from lth_utils.paper.figures import FIGURES
from lth_utils.plots.figures import (
    NO_RECORDS,
    compare_settings,
    difference_panels,
    figure,
    learning_curves,
    lines,
)
from lth_utils.plots.forest import forest
from lth_utils.plots.pictures import gallery, save
from lth_utils.plots.printed import alt_text, intervals

__all__ = ["FIGURES", "NO_RECORDS", "alt_text", "compare_settings", "difference_panels", "figure", "forest"]
__all__ += ["gallery", "intervals", "learning_curves", "lines", "save"]
