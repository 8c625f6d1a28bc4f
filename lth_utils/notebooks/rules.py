"""The form of a notebook's two files, and the rules for committing them.

The source of truth is ``NN_question.py``; the ``.ipynb`` beside it holds the same cells plus the outputs of a
clean run. Every check returns sentences that a person can act on. Nothing here knows what a notebook says.
"""

import ast
import base64
import re
from itertools import zip_longest
from pathlib import Path
from typing import Any

METADATA = {  # of every executed notebook; the filters stand in jupytext.toml, too
    "jupytext": {
        "cell_metadata_filter": "tags,-all",
        "notebook_metadata_filter": "jupytext,kernelspec,-jupytext.text_representation.jupytext_version",
    },
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def read(path: Path) -> Any:
    """Read a notebook from .py (percent format) or .ipynb."""
    if path.suffix == ".py":
        import jupytext

        return jupytext.read(path, fmt="py:percent")
    import nbformat

    return nbformat.read(path, as_version=4)


def title(notebook: Any) -> str:
    """The first heading of the highest level, as "04 Do convolutional networks ...", else "untitled"."""
    prose = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    heading = re.search(r"^# +(.+)$", prose, re.M)
    return heading[1] if heading else "untitled"


def tags(cell: Any) -> list[str]:
    """The tags of a cell, in the order written."""
    return list(cell.metadata.get("tags", []))


def declared_parameters(notebook: Any) -> dict[str, Any]:
    """Name -> default of the one cell tagged "parameters".

    Raises ValueError unless there is exactly one such cell and it only assigns literals to names: overrides go
    in *after* this cell, so a derived value would silently keep its default.
    """
    cells = [cell for cell in notebook.cells if "parameters" in tags(cell)]
    if len(cells) != 1:
        raise ValueError(f"there must be exactly one cell tagged 'parameters', there are {len(cells)}")
    parameters = {}
    for statement in ast.parse(cells[0].source).body:
        try:
            (target,) = statement.targets
            parameters[target.id] = ast.literal_eval(statement.value)
        except (AttributeError, ValueError):
            line = ast.unparse(statement)
            raise ValueError(f"the parameters cell may hold only `name = literal`, not `{line}`") from None
    return parameters


def normalise(notebook: Any) -> Any:
    """Fix ids and metadata in place, so that the same cells and outputs always make the same file."""
    from nbformat import from_dict

    notebook.metadata = from_dict(METADATA)
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number:03d}"
        cell.metadata = from_dict({"tags": tags(cell)} if tags(cell) else {})
    return notebook


def problems(py: Path, ipynb: Path, figures: Path) -> list[str]:
    """What keeps the two files of a notebook from being committed beside a folder of figures; [] if nothing does."""
    if not ipynb.exists():
        return [f"{ipynb.name} does not exist: run `make report`"]
    return [*pair_problems(py, ipynb), *run_problems(ipynb), *figure_problems(ipynb, figures)]


def pair_problems(py: Path, ipynb: Path) -> list[str]:
    """The first cell that differs in type, source or tags: after an inserted one every later cell differs."""
    for number, (ours, theirs) in enumerate(zip_longest(read(py).cells, read(ipynb).cells)):
        if ours is None or theirs is None:
            return [f"cell {number} stands only in {(ipynb if ours is None else py).name}"]
        for name, our, their in zip(("type", "source", "tags"), _facts(ours), _facts(theirs)):
            if our != their:
                problem = f"cell {number}: its {name} is {our!r} in {py.name} but {their!r} in {ipynb.name}"
                return [f"{problem} (edit the .py, then `make report`)"]
    return []


def _facts(cell: Any) -> tuple[str, str, list[str]]:
    return cell.cell_type, cell.source, tags(cell)


def run_problems(ipynb: Path) -> list[str]:
    """What shows that the outputs are not those of one clean run from top to bottom at profile "report"."""
    notebook = read(ipynb)
    found = []
    try:
        if declared_parameters(notebook).get("profile") != "report":
            found.append('the parameters cell must say `profile = "report"`')
    except ValueError as error:
        found.append(str(error))
    code = {number: cell for number, cell in enumerate(notebook.cells) if cell.cell_type == "code"}
    counts = [cell.execution_count for cell in code.values() if cell.source.strip()]
    if counts != list(range(1, len(counts) + 1)):
        found.append(f"the execution counts are not 1 to {len(counts)}: {counts}")
    for number, cell in code.items():
        for output in cell.outputs:
            if output.output_type == "error":
                found.append(f"cell {number}: it failed with {output.ename}: {output.evalue}")
            if output.get("name") == "stderr":
                found.append(f"cell {number}: it wrote to stderr: {output.text.strip()[:200]!r}")
    return found


def figure_problems(ipynb: Path, figures: Path) -> list[str]:
    """Pictures that are not, byte for byte, a .png of the folder with its .csv beside it: nbval looks at no image."""
    files = {path.read_bytes(): path for path in figures.glob("*.png")}
    outputs = [
        (number, output)
        for number, cell in enumerate(read(ipynb).cells)
        for output in cell.get("outputs", [])
        if "image/png" in output.get("data", {})
    ]
    found = [] if outputs else ["it shows no image"]
    for number, output in outputs:
        file = files.get(base64.b64decode(output.data["image/png"]))
        if file is None:
            found.append(f"cell {number}: its picture is no file of {figures.name}/: run `make report`")
        elif not file.with_suffix(".csv").exists():
            found.append(f"cell {number}: {file.name} has no {file.stem}.csv beside it")
    return found
