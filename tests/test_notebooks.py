"""The committed notebooks meet every rule, and each way to break one turns a check red."""

import copy
import os
import re
import shutil
import subprocess
import sys
import tomllib

import jupytext
import nbformat
import pytest
from nbformat import v4

from lth_utils import notebooks
from lth_utils.notebooks import rules

# Every notebook of the project: one that vanishes fails here, and a new one is added here.
EXPECTED: list[str] = [
    "00_report",
    "01_mnist_baseline",
    "02_figure_1",
    "03_fully_connected",
    "04_convolutional",
    "05a_torch_prune",
    "05b_one_fault_at_a_time",
]

TINY = (
    notebooks.HEADER
    + """
# %% [markdown]
# # 07 Does a tiny notebook pass?
# The user name of the checking machine may stand in prose: adam.

# %% tags=["parameters"]
profile = "report"
num_trials = 2
rate = 0.2
seeds: tuple = (0, 1)

# %%
from IPython.display import display

from lth_utils import notebooks

print(notebooks.check_profile(profile))

# %%
display({"image/png": "aGVsbG8="}, raw=True)

# %% tags=["nbval-check-output"]
print(f"{num_trials} trials")
print("mean accuracy 0.9766, figures/07_curve.png, see example.org/a/b and 3/4/5")
"""
)


# --- the committed notebooks ------------------------------------------------------------------------------------


def test_the_notebooks_are_the_expected_ones():
    assert notebooks.names() == EXPECTED, "tests/test_notebooks.py lists the notebooks that must exist"


@pytest.mark.parametrize("name", notebooks.names())
def test_committed_notebook_is_paired_run_and_clean(name):
    py, ipynb = notebooks.FOLDER / f"{name}.py", notebooks.FOLDER / f"{name}.ipynb"
    assert not notebooks.pair_problems(py, ipynb)
    assert not notebooks.run_problems(ipynb)
    assert not notebooks.picture_problems(ipynb, notebooks.ROOT / "figures")


def test_no_executed_notebook_stands_without_its_source():
    assert {path.stem for path in notebooks.FOLDER.glob("*.ipynb")} <= set(notebooks.names())


def test_jupytext_is_configured_like_the_header_of_the_notebooks():
    configured = tomllib.loads((notebooks.ROOT / "jupytext.toml").read_text())
    assert configured == {"formats": "ipynb,py:percent", **rules.FILTERS}
    written = jupytext.writes(notebooks.normalise(v4.new_notebook()), fmt="py:percent")
    assert written.startswith(notebooks.HEADER), "so that saving in JupyterLab leaves the header alone"


# --- a good notebook, and every way to spoil it -----------------------------------------------------------------


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """A folder with one tiny notebook that `report` has executed; never changed by a test."""
    folder = tmp_path_factory.mktemp("good") / "notebooks"
    folder.mkdir()
    (folder.parent / "figures").mkdir()
    (folder.parent / "figures" / "07_curve.png").write_bytes(b"hello")
    (folder / "07_tiny.py").write_text(TINY)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(notebooks.ROOT))  # as if the package were not installed
        told = []
        assert notebooks.report(folder / "build", folder, told.append) == [folder / "07_tiny.ipynb"]
    assert len(told) == 1 and told[0].startswith("07_tiny at profile report: ")
    return folder


@pytest.fixture
def spoiled(good, tmp_path):
    """A copy of the good folder, for spoiling."""
    shutil.copytree(good.parent, tmp_path / "project", ignore=shutil.ignore_patterns("build"))
    return tmp_path / "project" / "notebooks"


def test_a_good_notebook_has_no_problem(good):
    assert notebooks.committed_problems(good) == []


def test_normal_form_keeps_sources_tags_and_outputs_and_is_stable(good):
    executed = rules.read(good / "07_tiny.ipynb")
    text = nbformat.writes(executed)
    assert nbformat.writes(notebooks.normalise(executed)) == text == nbformat.writes(executed)
    assert [cell.get("execution_count") for cell in executed.cells] == [None, 1, 2, 3, 4]
    assert [cell.id for cell in executed.cells] == [f"cell-{n:03d}" for n in range(5)]
    assert executed.cells[-1].metadata == {"tags": ["nbval-check-output"]}
    assert executed.cells[-1].outputs[0].text.startswith("2 trials\nmean accuracy 0.9766")


def test_normal_form_undoes_what_papermill_and_nbclient_add(good):
    clean = rules.read(good / "07_tiny.ipynb")
    noisy = copy.deepcopy(clean)
    for count, cell in enumerate(noisy.cells):
        cell.id = f"random{count}"
        cell.metadata.update(papermill={"duration": count}, execution={"iopub.status.busy": "now"})
        cell.metadata.setdefault("tags", [])
        if cell.cell_type == "code":
            cell.execution_count += 7
    (text,) = noisy.cells[-1].outputs
    noisy.cells[-1].outputs = [v4.new_output("stream", text=part) for part in text.text.splitlines(True)]
    noisy.cells.insert(2, v4.new_code_cell("profile = 1", metadata={"tags": ["injected-parameters"]}))
    noisy.metadata.update(papermill={"input_path": "x"}, widgets={})
    assert nbformat.writes(notebooks.normalise(noisy)) == nbformat.writes(clean)


def _stream(text, name="stdout"):
    return lambda nb: nb.cells[-1].outputs.append(v4.new_output("stream", name=name, text=text))


def _source(number, source):
    return lambda nb: nb.cells[number].update(source=source)


def _tags(number, *tags):
    return lambda nb: nb.cells[number].metadata.update(tags=list(tags))


def _counts(*counts):
    def spoil(nb):
        for cell, count in zip(nb.cells[1:], counts, strict=True):
            cell.execution_count = count

    return spoil


def _insert(number, cell):
    return lambda nb: nb.cells.insert(number, cell)


ERROR = v4.new_output(
    "error", ename="ValueError", evalue="no", traceback=["/usr/lib/x.py:3", "ValueError: no"]
)
SABOTAGES = {
    "all counts cleared": (_counts(None, None, None, None), "counts are not 1 to 4"),
    "one count cleared": (_counts(1, 2, None, 3), "counts are not 1 to 4"),
    "cells run out of order": (_counts(1, 3, 2, 4), "counts are not 1 to 4"),
    "a kernel that went on": (_counts(5, 6, 7, 8), "counts are not 1 to 4"),
    "an error": (
        lambda nb: nb.cells[-1].outputs.append(ERROR),
        "failed with ValueError",
    ),
    "tqdm on stderr": (_stream(" 10%|# | 1/10", "stderr"), "wrote to stderr"),
    "tqdm on stdout": (_stream("\r 10%|# | 1/10"), "progress bar"),
    "a widget": (
        lambda nb: nb.cells[3].outputs[0].data.update({"application/vnd.jupyter.widget-view+json": {}}),
        "progress bar",
    ),
    "an absolute path": (
        _stream("saved to /home/someone/figures/a.png"),
        "absolute path: '/home/someone/figures/a.png'",
    ),
    "a Windows path": (_stream(r"saved to C:\Users\someone"), "absolute path"),
    "a path below home": (_stream("~/lottery/figures"), "absolute path"),
    "metadata of papermill": (lambda nb: nb.metadata.update(papermill={}), "papermill"),
    "a cell's timing": (lambda nb: nb.cells[1].metadata.update(papermill={"duration": 1}), "papermill"),
    "other noise": (lambda nb: nb.cells[1].metadata.update(collapsed=True), "not in normal form"),
    "an injected cell": (
        _insert(2, v4.new_code_cell("rate = 1", metadata={"tags": ["injected-parameters"]})),
        "injected-parameters is banned",
    ),
    "no parameters": (_tags(1), "exactly one cell tagged 'parameters', there are 0"),
    "two parameters cells": (_tags(3, "parameters"), "exactly one cell tagged 'parameters', there are 2"),
    "a derived parameter": (_source(1, 'profile = "report"\nn = 2 * 3'), "not `n = 2 * 3`"),
    "a counted-up parameter": (_source(1, 'profile = "report"\nn += 1'), "not `n += 1`"),
    "a parameters cell with a typo": (_source(1, "profile = = 1"), "is not Python"),
    "an object's address": (_stream("<Axes at 0x7f3a0c1b2d>"), "memory address"),
    "a parameter that is a call": (_source(1, 'profile = "report"\nprint()'), "not `print()`"),
    "run at another profile": (_source(1, 'profile = "quick"'), 'must say `profile = "report"`'),
    "no profile printed": (lambda nb: nb.cells[2].outputs.clear(), "does not print"),
    "no image": (lambda nb: nb.cells[3].outputs.clear(), "no image"),
    "a picture twice": (lambda nb: nb.cells[3].outputs.append(nb.cells[3].outputs[0]), "same picture twice"),
    "no checked table": (_tags(4), "no checked table"),
    "an empty checked table": (lambda nb: nb.cells[4].outputs.clear(), "prints nothing"),
    "a skipped cell": (_tags(3, "nbval-skip"), "nbval-skip is banned"),
    "an ignored output": (_tags(3, "nbval-ignore-output"), "nbval-ignore-output is banned"),
    "an ignoring comment": (_source(3, "# NBVAL_IGNORE_OUTPUT\n1"), "NBVAL_IGNORE_OUTPUT is banned"),
    "rcParams": (_source(3, 'style.rcParams["font.size"] = 3'), "drawing belongs"),
    "plt": (_source(3, "plots.plt.plot([1])"), "drawing belongs"),
    "an import of pyplot": (_source(3, "import matplotlib.pyplot as drawing"), "drawing belongs"),
    "an import from matplotlib": (_source(3, "from matplotlib import cm"), "drawing belongs"),
    "a colour": (_source(3, 'draw(x, "#D55E00")'), "colours belong"),
    "a colour by name": (_source(3, 'draw(x, color="red")'), "colours belong"),
    "swapped colours": (_source(3, 'draw(colours={"lenet": "C1"})'), "colours belong"),
    "a magic": (_source(3, "%matplotlib inline"), "not plain Python"),
    "a huge file": (_stream("x" * 1_000_000), "the limit is 1,000,000"),
}


@pytest.mark.parametrize("sabotage", SABOTAGES)
def test_a_spoiled_run_is_noticed(sabotage, spoiled):
    spoil, expected = SABOTAGES[sabotage]
    path = spoiled / "07_tiny.ipynb"
    notebook = rules.read(path)
    spoil(notebook)
    nbformat.write(notebook, path)
    assert expected in "\n".join(notebooks.run_problems(path))


def test_the_user_name_is_noticed_unless_it_is_a_word_of_the_notebook(spoiled, monkeypatch):
    path = spoiled / "07_tiny.ipynb"
    notebook = rules.read(path)
    _stream("trained by grace with adam, root of all")(notebook)
    nbformat.write(notebook, path)
    found = {}
    for user in ("grace", "adam", "root", "race"):
        monkeypatch.setattr("getpass.getuser", lambda user=user: user)
        found[user] = any("user's name" in line for line in notebooks.run_problems(path))
    assert found == {"grace": True, "adam": False, "root": False, "race": False}


def test_claim_ids_and_an_announced_exception_are_no_problem(spoiled):
    path = spoiled / "07_tiny.ipynb"
    notebook = rules.read(path)
    notebook.cells[
        3
    ].source = 'claims.compare(runs, ["C4", "C05"], kind="about")\nfigure, table = plots.curves(runs)'
    notebook.cells[3].metadata.tags = ["raises-exception"]
    notebook.cells[3].outputs.append(copy.deepcopy(ERROR))
    nbformat.write(notebooks.normalise(notebook), path)
    assert notebooks.run_problems(path) == []


PAIR_SABOTAGES = {
    "an edited source": ("num_trials = 2", "num_trials = 3", "cell 1: its source is"),
    "an edited sentence": ("Does a tiny", "Will a tiny", "cell 0: its source is"),
    "a changed tag": ('tags=["nbval-check-output"]', 'tags=["nbval-skip"]', "cell 4: its tags"),
    "another cell type": ("# %% [markdown]", "# %% [raw]", "cell 0: its type"),
    "a new last cell": ('3/4/5")\n', '3/4/5")\n\n# %%\n1 + 1\n', "cell 5 stands only in 07_tiny.py"),
    "a lost header": ("python3", "python4", "common header"),
}


@pytest.mark.parametrize("sabotage", PAIR_SABOTAGES)
def test_a_source_that_was_not_synced_is_noticed(sabotage, spoiled):
    old, new, expected = PAIR_SABOTAGES[sabotage]
    py = spoiled / "07_tiny.py"
    assert old in TINY
    py.write_text(TINY.replace(old, new))
    assert expected in "\n".join(notebooks.pair_problems(py, spoiled / "07_tiny.ipynb"))


def test_a_picture_replaced_in_the_notebook_or_in_figures_is_noticed(spoiled):
    (spoiled.parent / "figures" / "07_curve.png").write_bytes(b"other")
    problem = "07_tiny: cell 3: its picture is no file of figures/: run `make report`"
    assert notebooks.committed_problems(spoiled) == [problem]


def test_half_a_pair_is_noticed(spoiled):
    (spoiled / "07_tiny.ipynb").rename(spoiled / "08_lost.ipynb")
    assert notebooks.committed_problems(spoiled) == [
        "07_tiny: 07_tiny.ipynb does not exist: run `make report`",
        "08_lost: 08_lost.ipynb has no 08_lost.py",
    ]


# --- parameters -------------------------------------------------------------------------------------------------

DECLARED = {"profile": "report", "num_trials": 2, "rate": 0.2, "seeds": (0, 1), "live": False, "any": None}


def test_only_what_differs_from_the_defaults_is_passed_on():
    given = {"profile": "report", "num_trials": 3, "rate": 1, "seeds": [5], "any": "x"}
    assert notebooks.check_parameters(DECLARED, given) == {
        "num_trials": 3,
        "rate": 1,
        "seeds": [5],
        "any": "x",
    }


@pytest.mark.parametrize(
    "given, error, message",
    [
        (
            {"num_trails": 3},
            ValueError,
            "no parameter num_trails; the notebook declares profile, num_trials, rate",
        ),
        ({"profile": "quik"}, ValueError, "profile must be one of 'report', 'quick', 'paper', not 'quik'"),
        ({"profile": 3}, TypeError, "profile must be of type str"),
        ({"num_trials": "3"}, TypeError, "num_trials must be of type int, like its default 2: '3'"),
        ({"num_trials": True}, TypeError, "must be of type int"),
        ({"num_trials": 3.0}, TypeError, "must be of type int"),
        ({"rate": "1e-3"}, TypeError, "must be of type float"),
        ({"live": 1}, TypeError, "must be of type bool"),
        ({"seeds": 1}, TypeError, "must be of type tuple"),
    ],
)
def test_wrong_parameters_give_one_readable_error(given, error, message):
    with pytest.raises(error, match=re.escape(message)):
        notebooks.check_parameters(DECLARED, given)


def test_a_renamed_parameter_stops_the_run_before_anything_is_written(spoiled):
    with pytest.raises(ValueError, match="07_tiny: no parameter trials"):
        notebooks.execute(spoiled / "07_tiny.py", spoiled / "out.ipynb", {"trials": 3})
    assert not (spoiled / "out.ipynb").exists()


@pytest.mark.parametrize("profile", ["Report", "", None, 1, ["report"]])
def test_check_profile_names_the_allowed_values(profile):
    with pytest.raises(ValueError, match="'report', 'quick', 'paper', not"):
        notebooks.check_profile(profile)


def test_a_notebook_imports_this_module_cheaply():
    heavy = {"papermill", "jupytext", "nbformat", "nbclient", "torch", "pandas", "matplotlib"}
    code = f"import sys, lth_utils.notebooks; print(*({heavy!r} & set(sys.modules)))"
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, cwd=notebooks.ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == done.stderr == ""


# --- execution --------------------------------------------------------------------------------------------------


def test_execution_uses_this_python_in_the_notebooks_folder_and_is_silent(tmp_path, monkeypatch, capfd):
    foreign = tmp_path / "kernels" / "python3"
    foreign.mkdir(parents=True)
    (foreign / "kernel.json").write_text(
        '{"argv": ["false"], "display_name": "foreign", "language": "python"}'
    )
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    folder = tmp_path / "a {brace}"
    folder.mkdir()
    print_facts = "import os, sys\nprint(profile, num_trials, sys.executable, os.getcwd())"
    cells = [v4.new_code_cell('profile = "report"\nnum_trials = 2', metadata={"tags": ["parameters"]})]
    nbformat.write(v4.new_notebook(cells=[*cells, v4.new_code_cell(print_facts)]), folder / "07_facts.ipynb")
    output = folder / "build" / "07_facts.ipynb"
    assert (
        notebooks.execute(folder / "07_facts.ipynb", output, {"profile": "quick", "num_trials": 3}) == output
    )
    executed = rules.read(output)
    assert executed.cells[1].metadata.tags == ["injected-parameters"]
    assert executed.cells[-1].outputs[0].text == f"quick 3 {sys.executable} {folder}\n"
    assert capfd.readouterr() == ("", "")


class Terminal:
    """A stderr that says it is a terminal and keeps what is written."""

    def __init__(self):
        self.written = ""

    def write(self, text):
        self.written += text

    def flush(self):
        pass

    def isatty(self):
        return True


def test_a_failing_cell_is_told_in_a_few_lines_and_stops_the_run(tmp_path, monkeypatch):
    failing = '\n\n# %%\nimport json\n\njson.loads("{")\n\n# %%\nprint("never reached")\n'
    (tmp_path / "07_tiny.py").write_text(TINY + failing)
    (tmp_path / "08_later.py").write_text(TINY)
    monkeypatch.setenv("PYTHONPATH", str(notebooks.ROOT))
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with pytest.raises(notebooks.NotebookError) as caught:
        notebooks.run_all("quick", tmp_path / "build", tmp_path)
    message = str(caught.value)
    assert "07_tiny at profile quick: cell [6] failed" in message
    assert 'json.loads("{")' in message and "JSONDecodeError: Expecting property name" in message
    assert "json/decoder.py" in message and len(message.splitlines()) < 12 and "\x1b" not in message
    assert caught.value.__cause__ is None and caught.value.__suppress_context__
    assert "07 Does a tiny notebook pass? [07_tiny at profile quick]" in terminal.written
    executed = rules.read(tmp_path / "build" / "notebooks" / "07_tiny.ipynb")
    assert "JSONDecodeError" in str(executed.cells) and "never reached\\n" not in str(executed.cells)
    assert not (tmp_path / "build" / "notebooks" / "08_later.ipynb").exists()


def test_report_replaces_nothing_unless_every_notebook_is_clean(spoiled, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(notebooks.ROOT))
    (spoiled / "08_warns.py").write_text(TINY + '\nimport sys\n\nprint("careful", file=sys.stderr)\n')
    before = (spoiled / "07_tiny.ipynb").read_bytes()
    os.utime(spoiled / "07_tiny.ipynb", (0, 0))
    with pytest.raises(notebooks.NotebookError, match="08_warns: cell 4: it wrote to stderr: 'careful'"):
        notebooks.report(spoiled / "build", spoiled)
    assert {path.name for path in spoiled.iterdir()} == {
        "07_tiny.py",
        "07_tiny.ipynb",
        "08_warns.py",
        "build",
    }
    assert (spoiled / "07_tiny.ipynb").stat().st_mtime == 0
    assert (spoiled / "build" / "notebooks" / "07_tiny.ipynb").read_bytes() == before, (
        "a second run, the same bytes"
    )


def test_no_notebook_at_all_is_an_error(tmp_path):
    with pytest.raises(notebooks.NotebookError, match="no notebook"):
        notebooks.run_all("quick", tmp_path / "build", tmp_path)


# --- strict nbval -----------------------------------------------------------------------------------------------

SANITIZE = notebooks.ROOT / "tests" / "nbval_sanitize.cfg"


def test_strict_nbval_sees_one_edited_digit_and_nothing_else(spoiled):
    text = (spoiled / "07_tiny.ipynb").read_text()
    assert text.count("accuracy 0.9766, ") == 2, "once in the source, once in the output"
    head, tail = text.split("accuracy 0.9766, ", 1)
    (spoiled / "07_tiny.ipynb").write_text(f"{head}accuracy 0.9767, {tail}")
    options = "-q -p nbval.plugin -p no:cacheprovider --nbval --nbval-current-env --nbval-sanitize-with"
    command = [sys.executable, "-m", "pytest", "-c", os.devnull, *options.split(), SANITIZE, spoiled]
    environment = os.environ | {"PYTHONPATH": str(notebooks.ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run(command, cwd=spoiled, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "1 failed, 3 passed" in done.stdout, done.stdout[-3000:]
    assert "0.9767" in done.stdout


def test_the_sanitizer_hides_addresses_and_folders_but_no_result():
    pairs = re.findall(r"^regex: (.*)\nreplace: (.*)$", SANITIZE.read_text(), re.M)
    assert len(pairs) == SANITIZE.read_text().count("regex: ") == 3

    def sanitized(text):
        for pattern, replacement in pairs:
            text = re.sub(pattern, replacement, text)
        return text

    results = [
        "0.9766 in 12.5 s",
        "98.06 %",
        "torch 2.14.1 on cpu",
        "0x1a2b3c4d",
        "1/2/3",
        "n=5/5",
        "2026-01-02 03:04:05",
    ]
    assert [sanitized(text) for text in results] == results
    assert sanitized("<Axes at 0x7f3a0c1b2d>") == "<Axes at ADDRESS>"
    assert sanitized("/home/someone/lottery/a.csv") == "FOLDER/a.csv"
