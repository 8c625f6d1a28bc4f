"""The form of a notebook file and the rules for committing one: the half of this room without kernels.

The source of truth is ``NN_question.py``; the ``.ipynb`` beside it holds the same cells plus the outputs of a
clean run. Every check returns sentences that a person can act on. Nothing here knows what a notebook says.
"""

import ast
import base64
import getpass
import re
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any

FILTERS = {  # the same two lines stand in jupytext.toml
    "cell_metadata_filter": "tags,-all",
    "notebook_metadata_filter": "jupytext,kernelspec,-jupytext.text_representation.jupytext_version",
}
KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
HEADER = f"""\
# ---
# jupyter:
#   jupytext:
#     cell_metadata_filter: {FILTERS["cell_metadata_filter"]}
#     notebook_metadata_filter: {FILTERS["notebook_metadata_filter"]}
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#   kernelspec:
#     display_name: {KERNEL["display_name"]}
#     language: {KERNEL["language"]}
#     name: {KERNEL["name"]}
# ---
"""
SIZE_LIMIT = 1_000_000  # bytes of one committed .ipynb
CHECKED = "nbval-check-output"
PAPERMILL_TAGS = {"injected-parameters", "papermill-error-cell-tag"}
BANNED_TAGS = PAPERMILL_TAGS | {"nbval-skip", "nbval-ignore-output", "skip-execution"}
BANNED_COMMENT = re.compile(r"^\s*#+\s*(NBVAL_SKIP|\w+_IGNORE_OUTPUT)\b", re.M)
ABSOLUTE_PATH = re.compile(r"(?<![\w.:/~])~?/(?:[A-Za-z_][\w.@+-]*/)+\S*|\b[A-Z]:\\\w\S*|\bfile:/\S+")
ADDRESS = re.compile(r"\bat 0x[0-9a-fA-F]{6,}")
COLOUR = re.compile(r"#(?:[0-9a-fA-F]{3,4}|[0-9a-fA-F]{6}|[0-9a-fA-F]{8})|(?:tab|xkcd):.+")
COLOUR_ARGUMENT = re.compile(r"\w*colou?rs?|c|fc|ec|mfc|mec|cmap|palette")
DRAWING_MODULES = {"matplotlib", "pylab", "seaborn"}
DRAWING_NAMES = {"plt", "pyplot", "rcParams", "rc_context"}
IMPERSONAL_USERS = {"root", "user", "runner", "test", "jovyan"}  # they name nobody and are words of their own


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
    try:
        statements = ast.parse(cells[0].source).body
    except SyntaxError as error:
        raise ValueError(f"the parameters cell is not Python: {error}") from None
    parameters = {}
    for statement in statements:
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)], value=value) if _is_literal(value):
                parameters[name] = ast.literal_eval(value)
            case ast.AnnAssign(target=ast.Name(id=name), value=value) if _is_literal(value):
                parameters[name] = ast.literal_eval(value)
            case _:
                line = ast.unparse(statement)
                raise ValueError(f"the parameters cell may hold only `name = literal`, not `{line}`")
    return parameters


def _is_literal(node: ast.expr | None) -> bool:
    try:
        ast.literal_eval(node)
    except (ValueError, TypeError):
        return False
    return True


def normalise(notebook: Any) -> Any:
    """Return a copy whose file has the same bytes whenever sources, tags and outputs are the same.

    Kept: cells in order, tags, outputs (pieces of one stream joined, a traceback cut to its last line).
    Fixed: metadata, ids, counts from 1 (a cell without a count keeps none). Dropped: what papermill adds.
    """
    import nbformat
    from nbformat import v4

    make = {"code": v4.new_code_cell, "markdown": v4.new_markdown_cell, "raw": v4.new_raw_cell}
    metadata = {"jupytext": dict(FILTERS), "kernelspec": dict(KERNEL), "language_info": {"name": "python"}}
    clean, count = v4.new_notebook(metadata=metadata), 0
    for cell in notebook.cells:
        if PAPERMILL_TAGS & set(tags(cell)):
            continue
        kept = {"tags": tags(cell)} if tags(cell) else {}
        new = make[cell.cell_type](cell.source, id=f"cell-{len(clean.cells):03d}", metadata=kept)
        if cell.cell_type == "code" and cell.execution_count is not None:
            new.execution_count = count = count + 1
        for output in cell.get("outputs", []):
            _append_output(new, nbformat.from_dict(output))
        clean.cells.append(new)
    nbformat.validate(clean)
    return clean


def _append_output(cell: Any, output: Any) -> None:
    last = cell.outputs[-1] if cell.outputs else {}
    if output.output_type == "stream" == last.get("output_type") and output.name == last.name:
        last.text += output.text
        return
    if output.output_type == "execute_result":
        output.execution_count = cell.execution_count
    if output.output_type == "error":
        output.traceback = [f"{output.ename}: {output.evalue}"]
    cell.outputs.append(output)


def pair_problems(py: Path, ipynb: Path) -> list[str]:
    """How the files of a notebook disagree: the header, and the first cell that differs in type, source or tags."""
    problems = []
    if not py.read_text(encoding="utf-8").startswith(HEADER):
        problems.append(f"{py.name} does not start with the common header (lth_utils.notebooks.HEADER)")
    if not ipynb.exists():
        return [*problems, f"{ipynb.name} does not exist: run `make report`"]
    for number, (ours, theirs) in enumerate(zip_longest(read(py).cells, read(ipynb).cells)):
        if ours is None or theirs is None:
            return [*problems, f"cell {number} stands only in {(ipynb if ours is None else py).name}"]
        for fact, our, their in zip(("type", "source", "tags"), _facts(ours), _facts(theirs), strict=True):
            if our != their:  # the first is enough: after an inserted cell every later one differs
                problem = f"cell {number}: its {fact} is {our!r} in {py.name} but {their!r} in {ipynb.name}"
                return [*problems, f"{problem} (edit the .py, then `make report`)"]
    return problems


def _facts(cell: Any) -> tuple[str, str, list[str]]:
    return cell.cell_type, cell.source, tags(cell)


def run_problems(ipynb: Path) -> list[str]:
    """What keeps an executed notebook from being committed; an empty list if nothing does."""
    import nbformat

    notebook = read(ipynb)
    code = [(number, cell) for number, cell in enumerate(notebook.cells) if cell.cell_type == "code"]
    problems = [*_file_problems(ipynb, notebook), *_evidence_problems([cell for _, cell in code])]
    user = _personal_user_name(notebook)
    for number, cell in code:
        lines = [*_source_problems(cell), *_output_problems(cell, user)]
        problems += [f"cell {number}: {line}" for line in lines]
    if not problems and ipynb.read_text(encoding="utf-8") != nbformat.writes(normalise(notebook)) + "\n":
        problems.append("it is not in normal form: run `make report`")
    return problems


def picture_problems(ipynb: Path, figures: Path) -> list[str]:
    """Pictures of a notebook that are not, byte for byte, a file of the folder of figures (nbval ignores images)."""
    files = {path.read_bytes() for path in figures.glob("*.png")}
    problems = []
    for number, cell in enumerate(read(ipynb).cells):
        pictures = [output.get("data", {}).get("image/png") for output in cell.get("outputs", [])]
        if any(picture and base64.b64decode(picture) not in files for picture in pictures):
            problems.append(f"cell {number}: its picture is no file of {figures.name}/: run `make report`")
    return problems


def _file_problems(ipynb: Path, notebook: Any) -> Iterator[str]:
    if (size := ipynb.stat().st_size) >= SIZE_LIMIT:
        yield f"the file has {size:,} bytes, the limit is {SIZE_LIMIT:,}"
    if any("papermill" in part.metadata for part in (notebook, *notebook.cells)):
        yield "metadata of papermill are left in it"
    try:
        if declared_parameters(notebook).get("profile") != "report":
            yield 'the parameters cell must say `profile = "report"`'
    except ValueError as error:
        yield str(error)


def _evidence_problems(code: list[Any]) -> Iterator[str]:
    counts = [cell.execution_count for cell in code if cell.source.strip()]
    if counts != list(range(1, len(counts) + 1)):
        yield f"the execution counts are not 1 to {len(counts)}: {counts}"
    outputs = [output for cell in code for output in cell.outputs]
    if not any(kind.startswith("image/") for output in outputs for kind in output.get("data", {})):
        yield "it shows no image"
    if not any(CHECKED in tags(cell) for cell in code):
        yield f"it has no checked table (a cell tagged {CHECKED})"
    if not any("profile report:" in _text(output) for output in outputs):
        yield 'it does not print "profile report: ..." (print(notebooks.check_profile(profile)))'


def _source_problems(cell: Any) -> Iterator[str]:
    for tag in sorted(BANNED_TAGS & set(tags(cell))):
        yield f"the tag {tag} is banned"
    for mark in BANNED_COMMENT.findall(cell.source):
        yield f"the comment {mark} is banned"
    try:
        nodes = list(ast.walk(ast.parse(cell.source)))
    except SyntaxError as error:
        nodes = []
        yield f"it is not plain Python (a magic?): {error.msg}"
    for node in nodes:
        if _draws(node):
            yield f"drawing belongs in lth_utils/plots: {ast.unparse(node)}"
        if _colours(node):
            yield f"colours belong in lth_utils/plots: {ast.unparse(node)}"


def _draws(node: ast.AST) -> bool:
    match node:
        case ast.Import(names=names):
            return any(alias.name.split(".")[0] in DRAWING_MODULES for alias in names)
        case ast.ImportFrom(module=str(module)):
            return module.split(".")[0] in DRAWING_MODULES
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name in DRAWING_NAMES
    return False


def _colours(node: ast.AST) -> bool:
    match node:
        case ast.Constant(value=str(text)):
            return bool(COLOUR.fullmatch(text))
        case ast.keyword(arg=str(name)) if COLOUR_ARGUMENT.fullmatch(name):
            return any(isinstance(part, ast.Constant) for part in ast.walk(node.value))
    return False


def _output_problems(cell: Any, user: str) -> Iterator[str]:
    images = [output.get("data", {}).get("image/png") for output in cell.outputs]
    if any(image and images.count(image) > 1 for image in images):
        yield "it shows the same picture twice (end the cell on something else than the figure)"
    if CHECKED in tags(cell) and not any(_text(output).strip() for output in cell.outputs):
        yield f"it is tagged {CHECKED} but prints nothing"
    for output in cell.outputs:
        text = _text(output)
        if output.output_type == "error" and "raises-exception" not in tags(cell):
            yield f"it failed with {output.ename}: {output.evalue}"
        if output.get("name") == "stderr":
            yield f"it wrote to stderr: {text.strip()[:200]!r}"
        if "\r" in text or any("widget" in kind for kind in output.get("data", {})):
            yield "it left a progress bar behind"
        if path := ABSOLUTE_PATH.search(text):
            yield f"its output holds an absolute path: {path[0]!r}"
        if address := ADDRESS.search(text):
            yield f"its output holds a memory address: {address[0]!r}"
        if user and re.search(rf"\b{re.escape(user)}\b", text):
            yield f"its output holds the user's name: {user!r}"


def _text(output: Any) -> str:
    """All text of an output: a stream, an error, and every representation that is not an image."""
    if output.output_type == "stream":
        return output.text
    if output.output_type == "error":
        return "\n".join([f"{output.ename}: {output.evalue}", *output.traceback])
    return "\n".join(str(content) for kind, content in output.data.items() if not kind.startswith("image/"))


def _personal_user_name(notebook: Any) -> str:
    """The name of who runs this check, or "" if it names nobody or is a word of the notebook (adam, say)."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError, ImportError):
        return ""
    words = " ".join(cell.source for cell in notebook.cells).lower()
    return "" if user in IMPERSONAL_USERS or len(user) < 3 or user.lower() in words else user
