"""Images as figures, and figures as files: a figure is written once and shown once.

`save` returns the picture that a notebook cell ends with, so the file and the notebook hold the same bytes.
"""

import base64
import io
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from PIL import Image

from lth_utils import ROOT, kept
from lth_utils.plots import style
from lth_utils.plots.panels import Drawing
from lth_utils.plots.printed import alt_text


@style.styled
def gallery(images, titles: Iterable[str] = (), *, columns: int = 8) -> Drawing:
    """Images in a grid, each under its title: [n, height, width] grey or [n, 3, height, width] colour, 0 to 255."""
    images = np.asarray(images)
    titles, columns = list(titles) or [""] * len(images), min(columns, len(images))
    rows, lines = -(-len(images) // columns), max(title.count("\n") + bool(title) for title in titles)
    figure = style.new_figure(rows, 2, height=style.DOUBLE / max(columns, 6) + 0.13 * lines)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for ax in axes:
        ax.set_axis_off()
    for ax, image, title in zip(axes, images, titles):
        shown = image if image.ndim == 2 else np.moveaxis(image, 0, -1)
        ax.imshow(shown, cmap="gray_r", vmin=0, vmax=255, interpolation="nearest")
        ax.set_title(title, fontsize=7, pad=2)
    means = images.reshape(len(images), -1).mean(axis=1)
    return figure, pd.DataFrame({"image": range(len(images)), "title": titles, "mean_pixel": means})


class Picture:
    """A saved figure as the value of a notebook cell: shown exactly once, with the alt text as its plain text."""

    def __init__(self, png: bytes, alt: str):
        self.png, self.alt = png, alt

    def __repr__(self):
        return self.alt

    def _repr_mimebundle_(self, include=None, exclude=None):
        content = {"image/png": base64.b64encode(self.png).decode(), "text/plain": self.alt}
        return content, {"image/png": {"alt": " ".join(self.alt.split())}}


def save(
    figure: Figure,
    table: pd.DataFrame,
    name: str,
    profile: str = "report",
    *,
    alt: str = "",
    folder: Path | None = None,
) -> Picture:
    """Write <name>.png and <name>.csv (exactly what was drawn); return the picture that a notebook cell ends with.

    profile "quick" writes to build/figures, the others to build/report/figures, from where `make report` alone
    copies to figures; `folder` overrides both. Nothing in the files names a version, a date or a machine: the same
    table gives the same bytes. alt: alternative text, else one is made from the table.
    """
    drawn_into = ROOT / "build" / ("figures" if profile == "quick" else "report/figures")
    folder = Path(folder or drawn_into)
    picture = Picture(_png(figure), alt or alt_text(table))
    kept.write_bytes(folder / f"{name}.png", picture.png)
    drawn = table.to_csv(index=False, float_format="%.6g", lineterminator="\n")
    kept.write_bytes(folder / f"{name}.csv", drawn.encode())
    return picture


@style.styled
def _png(figure):
    """The figure as PNG bytes. Line drawings keep 256 colours, a third of the size: notebooks of ten stay small."""
    full, small = io.BytesIO(), io.BytesIO()
    figure.savefig(full, format="png", dpi=style.DPI, metadata={"Software": None})
    if any(ax.images for ax in figure.axes):
        return full.getvalue()
    rare_hues_stay = Image.Quantize.MAXCOVERAGE  # the default merges what covers few pixels, as labels do
    image = Image.open(full).convert("RGB").quantize(256, method=rare_hues_stay, dither=Image.Dither.NONE)
    image.save(small, "PNG", optimize=True)
    return small.getvalue()
