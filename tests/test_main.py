"""The command line: help with examples that work, and mistakes that end in one sentence, never in a traceback."""

import re
import shlex
import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from lth_utils import ROOT, commands, data, notebooks, verify
from lth_utils.__main__ import main

COMMANDS = set("claims data plan report run train verify".split())


def run(*arguments):
    """Status, standard output and standard error of one command; what would be a traceback is one here."""
    result = CliRunner().invoke(main, arguments)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


# --- help ------------------------------------------------------------------------------------------------------------


def readable(example):
    name, *words = shlex.split(example)
    main.commands[name].make_context(name, words)


def test_every_command_has_examples_in_its_help_that_can_be_read():
    assert set(main.commands) == COMMANDS
    for name in COMMANDS:
        status, shown, _ = run(name, "--help")
        examples = re.findall(rf"^  python -m lth_utils ({name}.*)$", shown, flags=re.MULTILINE)
        assert status == 0 and examples
        for example in examples:
            readable(example)


def test_pages_notebooks_and_makefile_name_only_commands_that_can_be_read():
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *notebooks.FOLDER.glob("*.py")]
    text = "\n".join(page.read_text(encoding="utf-8") for page in pages)
    named = re.findall(r"python -m lth_utils ([^`\n]+)`", text)
    assert len(named) >= 5
    for example in named:
        readable(example)
    called = set(re.findall(r"\$\(LTH\) ([a-z]+)", (ROOT / "Makefile").read_text(encoding="utf-8")))
    assert {"data", "report", "run", "train"} == called


# --- mistakes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        ("tarin", "Did you mean 'train'?"),
        ("train --netwrok lenet", "Did you mean '--network'?"),
        ("train --network lennet", "did you mean lenet, there are lenet, conv2"),
        ("train --network conv2 --scale papr", "did you mean paper, there are short, reduced, paper"),
        ("train --scale quick", "no scale of lenet is 'quick'"),
        ("train --wave 9", "9"),
        ("train --wave two", "'two' is not a valid integer"),
        ("train --arms dense,lott", "'lott'; there are dense, winning_ticket"),
        ("train --trials 9", "its trials are 0 to 4"),
        ("train --trials one", "written like 0 or 0,1,2, not 'one'"),
        ("train --rounds -1", "-1 is not in the range"),
        ("train --budget soon", "written like 90s, 25m or 3h, not 'soon'"),
        ("train --workers 0", "0 is not in the range"),
        ("train --device abacus", "'abacus' cannot be used here"),
        ("plan --scale huge", "no scale 'huge'; there are"),
        ("claims c99", "no claim 'C99'; did you mean C59, there are C01 to C60"),
        ("claims --rank Z", "there are A, B, C"),
        ("data imagenet", "mnist"),
        ("run", "which notebook?"),
        ("run 03 --all", "which notebook?"),
        ("run 05", "did you mean 05b, there are 00, 01"),
        ("run 03 --profile quik", "no profile 'quik'; did you mean quick, there are report, quick, paper"),
        ("run 03 -p wave", "written like wave=1, not 'wave'"),
        ("run 02 -p wve=1", "no parameter wve; the notebook declares profile, wave"),
        ("verify --seed 1", "give --retrain 1 with them"),
        ("verify --retrain some", "'some' is not a valid integer"),
    ],
)
def test_a_mistake_ends_in_one_sentence_that_says_what_there_is(wish, words):
    status, _, message = run(*wish.split())
    *usage, sentence = message.splitlines()
    assert sentence.startswith("Error: ") and words in sentence
    assert status == (2 if usage else 1)
    assert not usage or "--help' for help." in usage[1]


def test_a_fault_of_ours_keeps_its_traceback(monkeypatch):
    monkeypatch.setattr(commands, "planned", lambda store: {}["no such key"])
    with pytest.raises(KeyError):
        run("plan")


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("25m", 1500), ("3h", 10_800), ("0.5h", 1800)])
def test_times_are_read(text, seconds):
    assert commands.duration(text) == seconds


@pytest.mark.parametrize("text", ["", "m", "-5m", "5 m", "5d", "1h30m", "nan"])
def test_other_times_are_refused(text):
    with pytest.raises(click.BadParameter, match="written like"):
        commands.duration(text)


# --- run -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def executed(monkeypatch):
    """What notebooks.execute was asked for; nothing is executed."""
    asked = []
    monkeypatch.setattr(notebooks, "execute", lambda *arguments: asked.append(arguments))
    return asked


@pytest.mark.parametrize("name", ["2", "02", "02_figure_1"])
def test_a_notebook_runs_by_number_or_name_with_parameters_of_their_types(executed, name):
    status, shown, _ = run(
        "run", name, "--profile", "quick", "-p", "wave=1", "-p", "conv4=", "-p", "conv2=paper 1"
    )
    assert status == 0 and "[1 of 1] 02_figure_1 at profile quick" in shown
    ((source, output, parameters),) = executed
    assert (
        source == notebooks.FOLDER / "02_figure_1.py"
        and output == notebooks.BUILD / "notebooks/02_figure_1.ipynb"
    )
    assert parameters == {"profile": "quick", "wave": 1, "conv4": "", "conv2": "paper 1"}


def test_all_notebooks_run_after_the_data_are_there_and_say_what_was_found(executed, monkeypatch):
    fetched = []
    monkeypatch.setattr(data, "load", lambda name: fetched.append((name, len(executed))))
    monkeypatch.setattr(verify, "check_data", lambda name: verify.Check(name, "fine"))
    monkeypatch.setattr(commands, "conclude", lambda: "tickets win")
    status, shown, _ = run("run", "--all", "--profile", "quick")
    assert status == 0 and fetched == [("mnist", 0), ("cifar10", 0)]
    assert [source.stem for source, _, _ in executed] == notebooks.names()
    assert re.search(r"in \d\.\d min: tickets win$", shown.strip())


# --- as a process ----------------------------------------------------------------------------------------------------


def process(code):
    """A process that runs this code, in which `main` and `commands` are known."""
    preface = "import os, signal, sys; from lth_utils import commands; from lth_utils.__main__ import main; "
    return subprocess.run([sys.executable, "-c", preface + code], cwd=ROOT, stderr=subprocess.PIPE, text=True)


def test_help_answers_without_loading_torch():
    assert (
        process("main(['--help'], standalone_mode=False); sys.exit('torch' in sys.modules)").returncode == 0
    )


def test_the_package_can_be_run_and_a_typo_ends_with_status_2_and_a_suggestion():
    command = [sys.executable, "-m", "lth_utils", "claim"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "") and "Did you mean 'claims'?" in done.stderr
    assert done.stderr.startswith("Usage: python -m lth_utils [OPTIONS] COMMAND")


def test_ctrl_c_ends_with_a_clear_word_and_a_status_of_its_own():
    heeded = "signal.signal(signal.SIGINT, signal.default_int_handler)"  # a shell's background jobs ignore it
    done = process(
        f"{heeded}; commands.store = lambda folder: signal.raise_signal(signal.SIGINT); main(['plan'])"
    )
    assert done.returncode == 130
    assert "the same command continues" in done.stderr and "Traceback" not in done.stderr


def test_a_reader_that_closes_early_gets_no_complaint():
    done = process("read, write = os.pipe(); os.close(read); os.dup2(write, 1); main(['claims', '--help'])")
    assert (done.returncode, done.stderr) == (1, "")
