"""Run the notebooks with papermill, and replace the committed ones only by runs without a problem.

This room knows profiles, parameters and files; the rules for a notebook's two files stand in ``rules``. Notebook
tools are imported inside functions, so that a notebook may import this module for ``check_profile`` at no cost.
"""

import shutil
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from lth_utils import ROOT
from lth_utils.notebooks import rules

FOLDER = ROOT / "notebooks"
BUILD = ROOT / "build"
REPORT = BUILD / "report"  # plots.save draws into its folder figures
PROFILES = {
    "report": "committed records are read, nothing is trained",
    "quick": "laptop scale, trained on this machine into build/, compared with no claim",
    "paper": "missing runs are trained at the paper's scale, then records are read",
}
Tell = Callable[[str], None]


class NotebookError(RuntimeError):
    """A notebook failed or may not be committed; the message is meant to be read without a traceback."""


def _silent(line: str) -> None:
    pass


def check_profile(profile: str) -> str:
    """Return one line that names the profile and what it does, for a notebook to print.

    Raises ValueError, naming the allowed values, for anything else than "report", "quick" or "paper".
    """
    if profile not in list(PROFILES):
        raise ValueError(f"profile must be one of {', '.join(map(repr, PROFILES))}, not {profile!r}")
    return f"profile {profile}: {PROFILES[profile]}"


def names(folder: Path = FOLDER) -> list[str]:
    """Names of all notebooks in order: every NN*_*.py of the folder, without the suffix."""
    return sorted(path.stem for path in folder.glob("[0-9][0-9]*_*.py"))


def committed_problems(folder: Path = FOLDER) -> list[str]:
    """All problems of all notebooks of a folder (figures/ stands beside it), each line starting with a name."""
    found = []
    for name in names(folder):
        files = folder / f"{name}.py", folder / f"{name}.ipynb"
        found += [f"{name}: {problem}" for problem in rules.problems(*files, folder.parent / "figures")]
    orphans = {path.stem for path in folder.glob("*.ipynb")} - set(names(folder))
    return found + [f"{name}: {name}.ipynb has no {name}.py" for name in sorted(orphans)]


def execute(path: Path, output: Path, parameters: Mapping[str, Any]) -> Path:
    """Run a notebook (.py or .ipynb) in its own folder; write it to output, cell by cell; return output.

    Raises ValueError for a parameter that the notebook does not declare, before anything runs (papermill would
    only warn and use the default), and NotebookError for a cell that fails.
    """
    import papermill

    path, output = Path(path).resolve(), Path(output).resolve()
    notebook = rules.normalise(rules.read(path))
    declared = rules.declared_parameters(notebook)
    if unknown := sorted(set(parameters) - set(declared)):
        known = ", ".join(declared)
        raise ValueError(f"{path.stem}: no parameter {', '.join(unknown)}; the notebook declares {known}")
    changed = {name: value for name, value in parameters.items() if value != declared[name]}
    output.parent.mkdir(parents=True, exist_ok=True)
    settings = {
        "cwd": path.parent,
        "progress_bar": {"desc": path.stem, "disable": None},  # None: on a terminal only
        "coalesce_streams": True,
    }
    try:
        papermill.execute_notebook(notebook, str(output), changed, **settings)
    except papermill.PapermillExecutionError as error:
        failure = f"cell [{error.exec_count}] failed\n{error.source}\n{error.ename}: {error.evalue}"
        raise NotebookError(f"{path.stem}: {failure}\nAll of it is in {output}") from None
    except RuntimeError as error:  # the kernel died or did not start
        raise NotebookError(f"{path.stem}: {error} (out of memory?), see {output}") from None
    return output


def run_all(
    profile: str,
    out_dir: Path = BUILD,
    folder: Path = FOLDER,
    tell: Tell = _silent,
    only: Iterable[str] = (),
) -> list[Path]:
    """Execute every notebook of a folder, or those named, at one profile into out_dir/notebooks; return the paths.

    tell: called with one line per finished notebook. Stops at the first notebook that fails (NotebookError).
    """
    check_profile(profile)
    chosen = list(only) or names(folder)
    if not chosen:
        raise NotebookError(f"there is no notebook NN_question.py in {folder}")
    written = []
    for name in chosen:
        start = time.monotonic()
        output = Path(out_dir).resolve() / "notebooks" / f"{name}.ipynb"
        written.append(execute(folder / f"{name}.py", output, {"profile": profile}))
        tell(f"{name} at profile {profile}: {time.monotonic() - start:.0f} s, {output}")
    return written


def report(
    out_dir: Path = REPORT, folder: Path = FOLDER, tell: Tell = _silent, only: Iterable[str] = ()
) -> list[Path]:
    """Execute notebooks at profile "report", check them, then replace the committed .ipynb files and figures/.

    Everything is written to out_dir first, which is emptied before, and moves only if no notebook has a problem;
    otherwise NotebookError, with nothing replaced. only: names, all notebooks by default. Returns the replaced paths.
    """
    import nbformat

    shutil.rmtree(out_dir, ignore_errors=True)
    executed = run_all("report", out_dir, folder, tell, only)
    found = []
    for path in executed:
        nbformat.write(rules.normalise(rules.read(path)), path)
        lines = rules.problems(folder / f"{path.stem}.py", path, out_dir / "figures")
        found += [f"{path.stem}: {line}" for line in lines]
    if found:
        raise NotebookError("\n".join(["the committed notebooks stay as they were:", *found]))
    shutil.copytree(out_dir / "figures", folder.parent / "figures", dirs_exist_ok=True)
    return [Path(shutil.copyfile(path, folder / path.name)) for path in executed]
