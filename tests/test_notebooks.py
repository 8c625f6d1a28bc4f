"""The committed notebooks meet every rule, and each way to break one turns a check red."""

import os
import re
import shutil
import subprocess
import sys
import tomllib

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

TINY = """\
# %% [markdown]
# # 07 Does a tiny notebook pass?

# %% tags=["parameters"]
profile = "report"
num_trials = 2
seeds = (0, 1)

# %%
from pathlib import Path

from IPython.display import display

from lth_utils import notebooks

print(notebooks.check_profile(profile))

# %%
drawn = Path("build/figures")
drawn.mkdir(parents=True, exist_ok=True)
(drawn / "07_curve.csv").write_text("x,y\\n")
(drawn / "07_curve.png").write_bytes(b"hello")
display({"image/png": "aGVsbG8="}, raw=True)

# %% tags=["nbval-check-output"]
print(f"{num_trials} trials", flush=True)
print("mean accuracy 0.9766")
"""


# --- the committed notebooks ------------------------------------------------------------------------------------


def test_the_notebooks_are_the_expected_ones_paired_run_and_clean():
    assert notebooks.names() == EXPECTED, "tests/test_notebooks.py lists the notebooks that must exist"
    assert notebooks.committed_problems() == []


def test_jupytext_is_configured_like_the_executed_notebooks():
    configured = tomllib.loads((notebooks.ROOT / "jupytext.toml").read_text())
    assert configured == {"formats": "ipynb,py:percent", **rules.METADATA["jupytext"]}


# --- a good notebook, and every way to spoil it -----------------------------------------------------------------


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """A project with one tiny notebook that `report` has executed; never changed by a test."""
    folder = tmp_path_factory.mktemp("good") / "notebooks"
    folder.mkdir()
    (folder / "07_tiny.py").write_text(TINY)
    told = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(notebooks.ROOT))  # as if the package were not installed
        assert notebooks.report(folder / "build", folder, told.append) == [folder / "07_tiny.ipynb"]
    assert len(told) == 1 and told[0].startswith("07_tiny at profile report: ")
    return folder


@pytest.fixture
def spoiled(good, tmp_path, monkeypatch):
    """A copy of the good project's notebooks, for spoiling."""
    shutil.copytree(good.parent, tmp_path / "project", ignore=shutil.ignore_patterns("build"))
    monkeypatch.setenv("PYTHONPATH", str(notebooks.ROOT))
    return tmp_path / "project" / "notebooks"


def test_a_good_notebook_has_no_problem_and_nothing_but_cells_outputs_and_tags(good):
    assert notebooks.committed_problems(good) == []
    assert sorted(path.name for path in (good.parent / "figures").iterdir()) == [
        "07_curve.csv",
        "07_curve.png",
    ]
    executed = rules.read(good / "07_tiny.ipynb")
    assert executed.metadata == rules.METADATA
    assert [cell.id for cell in executed.cells] == [f"cell-{n:03d}" for n in range(5)]
    assert executed.cells[3].metadata == {} and executed.cells[4].metadata == {"tags": ["nbval-check-output"]}
    assert executed.cells[4].outputs == [v4.new_output("stream", text="2 trials\nmean accuracy 0.9766\n")]


def _output(number, kind, **content):
    return lambda nb: nb.cells[number].outputs.append(v4.new_output(kind, **content))


def _source(number, source):
    return lambda nb: nb.cells[number].update(source=source)


def _counts(*counts):
    return lambda nb: [cell.update(execution_count=n) for cell, n in zip(nb.cells[1:], counts, strict=True)]


def _tags(number, *tags):
    return lambda nb: nb.cells[number].metadata.update(tags=list(tags))


SABOTAGES = {
    "a notebook that was never executed": (_counts(None, None, None, None), "counts are not 1 to 4"),
    "cells run out of order": (_counts(1, 3, 2, 4), "counts are not 1 to 4"),
    "a kernel that went on": (_counts(5, 6, 7, 8), "counts are not 1 to 4"),
    "an error": (_output(4, "error", ename="ValueError", evalue="no"), "failed with ValueError: no"),
    "a progress bar": (_output(4, "stream", name="stderr", text="10%|# | 1/10"), "wrote to stderr: '10%"),
    "no parameters": (_tags(1), "exactly one cell tagged 'parameters', there are 0"),
    "two parameters cells": (_tags(3, "parameters"), "exactly one cell tagged 'parameters', there are 2"),
    "a derived parameter": (_source(1, 'profile = "report"\nn = 2 * 3'), "not `n = 2 * 3`"),
    "a counted-up parameter": (_source(1, 'profile = "report"\nn += 1'), "not `n += 1`"),
    "a parameter that is a call": (_source(1, 'profile = "report"\nprint()'), "not `print()`"),
    "run at another profile": (_source(1, 'profile = "quick"'), 'must say `profile = "report"`'),
    "no image": (lambda nb: nb.cells[3].outputs.clear(), "it shows no image"),
    "another image": (
        lambda nb: nb.cells[3].outputs[0].data.update({"image/png": "aGkh"}),
        "is no file of figures/",
    ),
}


@pytest.mark.parametrize("sabotage", SABOTAGES)
def test_a_spoiled_run_is_noticed(sabotage, spoiled):
    spoil, expected = SABOTAGES[sabotage]
    notebook = rules.read(spoiled / "07_tiny.ipynb")
    spoil(notebook)
    nbformat.write(notebook, spoiled / "07_tiny.ipynb")
    assert expected in "\n".join(notebooks.committed_problems(spoiled))


@pytest.mark.parametrize(
    "old, new, expected",
    [
        ("num_trials = 2", "num_trials = 3", "cell 1: its source is"),
        ("Does a tiny", "Will a tiny", "cell 0: its source is"),
        ('tags=["nbval-check-output"]', 'tags=["nbval-skip"]', "cell 4: its tags"),
        ("# %% [markdown]", "# %% [raw]", "cell 0: its type"),
        ('0.9766")\n', '0.9766")\n\n# %%\n1 + 1\n', "cell 5 stands only in 07_tiny.py"),
    ],
)
def test_a_source_that_was_not_synced_is_noticed(old, new, expected, spoiled):
    assert old in TINY
    (spoiled / "07_tiny.py").write_text(TINY.replace(old, new))
    assert [expected in line for line in notebooks.committed_problems(spoiled)] == [True]


def test_half_a_pair_is_noticed_and_a_picture_without_its_table(spoiled):
    (spoiled.parent / "figures" / "07_curve.csv").unlink()
    problem = "07_tiny: cell 3: 07_curve.png has no 07_curve.csv beside it"
    assert notebooks.committed_problems(spoiled) == [problem]
    (spoiled / "07_tiny.ipynb").rename(spoiled / "08_lost.ipynb")
    assert notebooks.committed_problems(spoiled) == [
        "07_tiny: 07_tiny.ipynb does not exist: run `make report`",
        "08_lost: 08_lost.ipynb has no 08_lost.py",
    ]


# --- execution --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("profile", ["Report", "", None, 1, ["report"]])
def test_check_profile_names_the_allowed_values(profile):
    with pytest.raises(ValueError, match="'report', 'quick', 'paper', not"):
        notebooks.check_profile(profile)


def test_an_unknown_parameter_stops_the_run_before_anything_is_written(spoiled):
    with pytest.raises(
        ValueError, match="07_tiny: no parameter trials; the notebook declares profile, num_trials"
    ):
        notebooks.execute(spoiled / "07_tiny.py", spoiled / "out.ipynb", {"trials": 3})
    assert not (spoiled / "out.ipynb").exists()


def test_a_notebook_runs_on_this_python_in_its_own_folder_and_in_silence(tmp_path, capfd):
    facts = '# %% tags=["parameters"]\nprofile = "report"\nn = 2\n\n# %%\nimport os, sys\n'
    (tmp_path / "07_facts.py").write_text(facts + "print(profile, n, sys.executable, os.getcwd())\n")
    output = tmp_path / "build" / "07_facts.ipynb"
    assert notebooks.execute(tmp_path / "07_facts.py", output, {"profile": "quick", "n": 3}) == output
    printed = rules.read(output).cells[-1].outputs[0].text
    assert printed == f"quick 3 {sys.executable} {tmp_path}\n"
    assert capfd.readouterr() == ("", "")


def test_a_failing_cell_is_told_in_a_few_lines_and_stops_the_run(spoiled):
    (spoiled / "07_tiny.py").write_text(TINY + '\n# %%\nint("x")\n\n# %%\nprint("never reached")\n')
    (spoiled / "08_later.py").write_text(TINY)
    with pytest.raises(notebooks.NotebookError) as caught:
        notebooks.run_all("quick", spoiled / "build", spoiled)
    lines = str(caught.value).splitlines()
    assert lines[0] == "07_tiny: cell [6] failed" and lines[1] == 'int("x")' and len(lines) == 4
    assert lines[2].startswith("ValueError: invalid literal")
    assert "ValueError" in str(rules.read(spoiled / "build" / "notebooks" / "07_tiny.ipynb").cells)
    assert not (spoiled / "build" / "notebooks" / "08_later.ipynb").exists()


def test_report_replaces_nothing_unless_every_notebook_is_clean(spoiled):
    (spoiled / "08_warns.py").write_text(TINY + '\nimport sys\n\nprint("careful", file=sys.stderr)\n')
    before = (spoiled / "07_tiny.ipynb").read_bytes()
    (spoiled / "07_tiny.ipynb").write_bytes(before + b" ")
    shutil.rmtree(spoiled.parent / "figures")
    with pytest.raises(notebooks.NotebookError, match="08_warns: cell 4: it wrote to stderr: 'careful'"):
        notebooks.report(spoiled / "build", spoiled)
    assert (spoiled / "07_tiny.ipynb").read_bytes() == before + b" "
    assert not (spoiled / "08_warns.ipynb").exists() and not (spoiled.parent / "figures").exists()
    again = (spoiled / "build" / "notebooks" / "07_tiny.ipynb").read_bytes()
    assert again == before, "a second run, the same bytes"


def test_no_notebook_at_all_is_an_error(tmp_path):
    with pytest.raises(notebooks.NotebookError, match="no notebook"):
        notebooks.run_all("quick", tmp_path / "build", tmp_path)


def test_a_notebook_imports_this_room_cheaply():
    heavy = {"papermill", "jupytext", "nbformat", "nbclient", "torch", "pandas", "matplotlib"}
    code = f"import sys, lth_utils.notebooks; print(*({heavy!r} & set(sys.modules)))"
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, cwd=notebooks.ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == done.stderr == ""


# --- strict nbval -----------------------------------------------------------------------------------------------

SANITIZE = notebooks.ROOT / "tests" / "nbval_sanitize.cfg"


def test_strict_nbval_sees_one_edited_digit_and_nothing_else(spoiled):
    notebook = rules.read(spoiled / "07_tiny.ipynb")
    notebook.cells[4].outputs[0].text = "2 trials\nmean accuracy 0.9767\n"
    nbformat.write(notebook, spoiled / "07_tiny.ipynb")
    options = "-q -p nbval.plugin -p no:cacheprovider --nbval --nbval-current-env --nbval-sanitize-with"
    command = [sys.executable, "-m", "pytest", "-c", os.devnull, *options.split(), SANITIZE, spoiled]
    environment = os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
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

    results = ["0.9766 in 12.5 s", "98.06 %", "torch 2.14.1 on cpu", "0x1a2b3c4d", "1/2/3", "n=5/5"]
    assert [sanitized(text) for text in results] == results
    assert sanitized("<Axes at 0x7f3a0c1b2d>") == "<Axes at ADDRESS>"
    assert sanitized("/home/someone/lottery/a.csv") == "FOLDER/a.csv"
