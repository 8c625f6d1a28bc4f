"""Run the notebooks: papermill with checked parameters, and a report that is never half-written.

This room knows profiles, kernels and files; the form of a notebook file and the rules it must meet stand in
``rules.py`` and are offered from here. It refuses to know what a notebook says. Notebook tools are
imported inside functions, so that a notebook may import this module for ``check_profile`` at no cost.
"""

import re
import tempfile
import textwrap
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

from lth_utils import ROOT
from lth_utils.notebooks.rules import (  # offered from here
    HEADER,
    KERNEL,
    declared_parameters,
    normalise,
    pair_problems,
    picture_problems,
    read,
    run_problems,
    title,
)

__all__ = ["FOLDER", "HEADER", "PROFILES", "NotebookError", "check_parameters", "check_profile"]
__all__ += ["committed_problems", "execute", "names", "normalise", "pair_problems"]
__all__ += ["picture_problems", "report", "run_all", "run_problems"]

FOLDER = ROOT / "notebooks"
BUILD = ROOT / "build"
PROFILES = {
    "report": "committed records are read, nothing is trained",
    "quick": "laptop scale, trained on this machine into build/, compared with no claim",
    "paper": "missing runs are trained at the paper's scale, then records are read",
}
BAR = "{desc}: {n_fmt}/{total_fmt} cells, {elapsed}"
TERMINAL_CODE = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
Tell = Callable[[str], None]


class NotebookError(RuntimeError):
    """A notebook failed or may not be committed; the message is meant to be read without a traceback."""


def _silent(line: str) -> None:
    pass


def check_profile(profile: str) -> str:
    """Return one line that names the profile and what it does, for a notebook to print.

    Raises ValueError, naming the allowed values, for anything else than "report", "quick" or "paper".
    """
    if not isinstance(profile, str) or profile not in PROFILES:
        raise ValueError(f"profile must be one of {', '.join(map(repr, PROFILES))}, not {profile!r}")
    return f"profile {profile}: {PROFILES[profile]}"


def check_parameters(declared: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the given parameters that differ from the declared defaults, ready for papermill.

    A value has the type of its default; an int passes for a float, a list for a tuple, anything for None.
    Raises ValueError for an undeclared name or an unknown profile, TypeError for a wrong type.
    """
    if unknown := sorted(set(given) - set(declared)):
        raise ValueError(f"no parameter {', '.join(unknown)}; the notebook declares {', '.join(declared)}")
    for name, value in given.items():
        default = declared[name]
        allowed = {float: (float, int), tuple: (tuple, list)}.get(type(default), (type(default),))
        if default is not None and type(value) not in allowed:
            kind = type(default).__name__
            raise TypeError(f"{name} must be of type {kind}, like its default {default!r}: {value!r}")
    if "profile" in declared:
        check_profile(given.get("profile", declared["profile"]))
    return {name: value for name, value in given.items() if value != declared[name]}


def names(folder: Path = FOLDER) -> list[str]:
    """Names of all notebooks in order: every NN*_*.py of the folder, without the suffix."""
    return sorted(path.stem for path in folder.glob("[0-9][0-9]*_*.py"))


def committed_problems(folder: Path = FOLDER) -> list[str]:
    """All problems of all notebooks of a folder (figures/ stands beside it), each line starting with a name."""
    found = []
    for name in names(folder):
        py, ipynb = folder / f"{name}.py", folder / f"{name}.ipynb"
        problems = pair_problems(py, ipynb)
        if ipynb.exists():
            problems += run_problems(ipynb) + picture_problems(ipynb, folder.parent / "figures")
        found += [f"{name}: {problem}" for problem in problems]
    orphans = {path.stem for path in folder.glob("*.ipynb")} - set(names(folder))
    return found + [f"{name}: {name}.ipynb has no {name}.py" for name in sorted(orphans)]


def execute(path: Path, output: Path, parameters: Mapping[str, Any]) -> Path:
    """Run a notebook (.py or .ipynb), write it with its outputs cell by cell while it runs, return output.

    The kernel is the Python that runs this function, whatever kernels the user has installed; it works in the
    notebook's folder. A terminal shows title, profile, cells and elapsed time; anything else stays silent.
    Raises ValueError or TypeError for parameters, before anything runs, and NotebookError for a failing cell.
    """
    import nbformat
    import papermill

    path, output = Path(path).resolve(), Path(output).resolve()
    notebook = read(path)
    try:
        declared = declared_parameters(notebook)
        changed = check_parameters(declared, parameters)
    except (ValueError, TypeError) as error:
        raise type(error)(f"{path.stem}: {error}") from None
    label = f"{path.stem} at profile {(declared | changed).get('profile')}"
    output.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, output)
    file = str(output).replace("{", "{{").replace("}", "}}")  # papermill takes braces in a path for fields
    bar = {
        "desc": f"{textwrap.shorten(title(notebook), 60, placeholder='...')} [{label}]",
        "disable": None,
        "bar_format": BAR,
    }
    kernel = {"kernel_name": KERNEL["name"], "language": KERNEL["language"], "cwd": path.parent}
    with tempfile.TemporaryFile() as log:
        own = _own_kernel(log)
        try:
            papermill.execute_notebook(
                file, file, changed, progress_bar=bar, kernel_manager_class=own, **kernel
            )
        except papermill.PapermillExecutionError as error:
            raise NotebookError(f"{label}: {_failure(error)}\nAll of it is in {output}") from None
        except RuntimeError as error:  # the kernel died or did not start
            log.seek(0)
            last_words = log.read()[-2000:].decode(errors="replace")
            raise NotebookError(f"{label}: {error} (out of memory?), see {output}\n{last_words}") from None
    return output


def run_all(profile: str, out_dir: Path = BUILD, folder: Path = FOLDER, tell: Tell = _silent) -> list[Path]:
    """Execute every notebook of a folder at one profile into out_dir/notebooks; return the written paths.

    tell: called with one line per finished notebook. Stops at the first notebook that fails (NotebookError).
    """
    check_profile(profile)
    if not names(folder):
        raise NotebookError(f"there is no notebook NN_question.py in {folder}")
    written = []
    for name in names(folder):
        start = time.monotonic()
        output = Path(out_dir).resolve() / "notebooks" / f"{name}.ipynb"
        written.append(execute(folder / f"{name}.py", output, {"profile": profile}))
        tell(f"{name} at profile {profile}: {time.monotonic() - start:.0f} s, {output}")
    return written


def report(out_dir: Path = BUILD / "report", folder: Path = FOLDER, tell: Tell = _silent) -> list[Path]:
    """Execute every notebook at profile "report", check them all, then replace the committed .ipynb files.

    They run in out_dir and move over whole, by rename, and only if every one of them ran without a problem;
    otherwise NotebookError, with no notebook replaced and the runs left in out_dir; figures/ are new by then. The
    generated parts of the README beside the folder follow. Returns the replaced paths.
    """
    import nbformat

    from lth_utils import records

    executed = run_all("report", out_dir, folder, tell)
    problems = []
    for path in executed:
        nbformat.write(normalise(read(path)), path)
        problems += [f"{path.stem}: {line}" for line in pair_problems(folder / f"{path.stem}.py", path)]
        problems += [f"{path.stem}: {line}" for line in run_problems(path)]
    if problems:
        place = (
            f"The runs are in {executed[0].parent}. figures/ and the manifest are new already: mend the problem and "
            "`make report` again, or `git restore figures notebooks/records/_manifest.csv`"
        )
        raise NotebookError("\n".join(["the committed notebooks stay as they were:", *problems, place]))
    for path in executed:
        records.write_bytes(folder / path.name, path.read_bytes())
    if (readme := folder.parent / "README.md").exists():
        from lth_utils.notebooks import front_page

        front_page.refresh(readme)
    return [folder / path.name for path in executed]


def _failure(error: Any) -> str:
    """The failing cell, the error and where it came from (our own code before a library's); no traceback."""
    source = textwrap.indent(error.source, "    ")
    trace = TERMINAL_CODE.sub("", "\n".join(error.traceback))
    places = re.findall(r"^File (.+:\d+), in ([\w.]+)", trace, re.M)
    places.sort(key=lambda place: "lth_utils" in place[0])  # stable: the innermost stays last
    place = "\n    from {}, in {}".format(*places[-1]) if places else ""
    return f"cell [{error.exec_count}] failed\n{source}\n{error.ename}: {error.evalue}{place}"


def _own_kernel(log: IO[bytes]) -> type:
    """A kernel manager that starts this very Python; what the kernel itself says on stderr goes to log."""
    from ipykernel.kernelspec import make_ipkernel_cmd
    from jupyter_client import AsyncKernelManager
    from jupyter_client.kernelspec import KernelSpec

    class OwnKernel(AsyncKernelManager):
        @property
        def kernel_spec(self) -> KernelSpec:
            return KernelSpec(argv=make_ipkernel_cmd(), language=KERNEL["language"])

        async def start_kernel(self, **options: Any) -> None:
            await super().start_kernel(stderr=log, **options)

    return OwnKernel
