"""Every committed figure is what its notebook draws from the committed records: CSVs letter by letter, pictures by pixel."""

import symtable

import jupytext
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from lth_utils import ROOT, notebooks, plots

WRITTEN_BY_REPORT = {
    "00_calibration.csv"
}  # read by the notebook; tests/test_second_reading.py makes a row again
TRAINED_IN_THE_NOTEBOOK = {"05a_drift.csv"}  # a toy, whose last digits are the processor's


def figure_program(name):
    """The code of a notebook without the cells on which no figure rests.

    Backwards, a cell stays if it saves a figure or binds a name that a cell kept so far reads.
    """
    kept, needed = [], set()
    for cell in reversed(jupytext.read(notebooks.FOLDER / f"{name}.py").cells):
        if cell.cell_type == "code":
            module = symtable.symtable(cell.source, name, "exec")
            bound = {s.get_name() for s in module.get_symbols() if s.is_assigned() or s.is_imported()}
            if "plots.save(" in cell.source or bound & needed:
                kept.append(cell.source)
                needed = (needed | set(names_read(module))) - bound
    return "\n".join(reversed(kept))


def names_read(scope):
    for symbol in scope.get_symbols():
        if symbol.is_referenced() and (symbol.is_global() or scope.get_type() == "module"):
            yield symbol.get_name()
    for inner in scope.get_children():
        yield from names_read(inner)


def pixels(path):
    return np.asarray(Image.open(path).convert("RGB"))


@pytest.mark.parametrize("name", notebooks.names())
def test_committed_figures_are_what_the_notebook_draws(name, tmp_path, monkeypatch):
    save = plots.save
    monkeypatch.setattr(plots, "save", lambda *given, **alt: save(*given, **alt, folder=tmp_path))
    monkeypatch.chdir(notebooks.FOLDER)
    exec(compile(figure_program(name), f"{name}.py", "exec"), {})
    committed = list((ROOT / "figures").glob(f"{name.split('_')[0]}_*"))
    committed = [path for path in committed if path.name not in WRITTEN_BY_REPORT]
    assert {path.name for path in committed} == {path.name for path in tmp_path.iterdir()}
    assert committed
    for path in committed:
        drawn = tmp_path / path.name
        if path.suffix == ".png":
            assert np.array_equal(pixels(path), pixels(drawn)), f"{path.name} looks otherwise"
        elif path.name in TRAINED_IN_THE_NOTEBOOK:
            pd.testing.assert_frame_equal(pd.read_csv(path), pd.read_csv(drawn), rtol=1e-4, atol=1e-6)
        else:
            assert path.read_text() == drawn.read_text(), path.name
