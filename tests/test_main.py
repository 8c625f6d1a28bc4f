"""The command line: help with examples, and mistakes that end in one readable line and status 1."""

import argparse
import os
import re
import runpy
import sys

import pytest
from one_command import assert_one_line, redirect, run

from lth_utils import ROOT
from lth_utils import __main__ as command_line

SUBCOMMANDS = "plan records claims figure verify train faults data reproduce report html bench".split()


@pytest.fixture(autouse=True)
def empty_store(tmp_path, monkeypatch):
    redirect(monkeypatch, tmp_path / "records")
    return tmp_path / "records"


# --- help and mistakes -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["", *SUBCOMMANDS])
def test_help_is_there_for_everything_with_examples_and_exit_statuses(capsys, name):
    with pytest.raises(SystemExit) as stopped:
        command_line.main([*name.split(), "--help"])
    assert stopped.value.code == 0
    shown = capsys.readouterr().out
    assert "usage: python -m lth_utils" in shown and "exit status: 0" in shown
    if name:
        assert f"examples:\n  python -m lth_utils {name}" in shown
    else:
        listed = re.findall(r"^    ([a-z]+)( |$)", shown, flags=re.MULTILINE)
        assert {word for word, _ in listed} == set(SUBCOMMANDS)


def test_every_example_of_the_help_can_be_read(capsys):
    for name in SUBCOMMANDS:
        with pytest.raises(SystemExit):
            command_line.main([name, "--help"])
        examples = re.findall(r"^  python -m lth_utils (.*)$", capsys.readouterr().out, flags=re.MULTILINE)
        assert examples and all(command_line._parser().parse_args(line.split()).run for line in examples)


def test_the_makefile_calls_only_subcommands_that_exist():
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    called = set(re.findall(r"\$\(LTH\) ([a-z]+)", text))
    assert {"train", "report", "html", "data", "bench", "reproduce"} <= called <= set(SUBCOMMANDS)


def test_the_package_can_be_run(capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["lth_utils", "--help"])
    monkeypatch.delitem(sys.modules, "lth_utils.__main__")
    with pytest.raises(SystemExit) as stopped:
        runpy.run_module("lth_utils", run_name="__main__")
    assert stopped.value.code == 0 and "SUBCOMMAND" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["train", "--network", "lenet5"], ["lenet5"]),
        (["train", "--scale", "huge"], ["huge"]),
        (["train", "--network", "conv2", "--scale", "quick"], ["quick", "make reproduce"]),
        (["train", "--wave", "9"], ["9", "waves"]),
        (["train", "--arms", "dense,lott"], ["lott", "winning_ticket"]),
        (["train", "--trials", "9"], ["trials 0-4", "rounds 0-", "winning_ticket"]),
        (["train", "--device", "abacus"], ["abacus"]),
    ],
)
def test_an_impossible_wish_ends_in_one_line_and_status_1(capsys, arguments, words):
    status, _, message = run(capsys, *arguments)
    assert status == 1
    assert_one_line(message, *words)


def test_an_unknown_data_set_ends_in_one_line_and_status_1(capsys, monkeypatch):
    monkeypatch.undo()  # the real data room refuses the name before it looks for anything
    status, _, message = run(capsys, "data", "imagenet")
    assert status == 1
    assert_one_line(message, "imagenet", "mnist")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], ["SUBCOMMAND"]),
        (["bake"], ["bake"]),
        (["train", "--budget", "soon"], ["90s, 25m or 3h", "soon"]),
        (["train", "--budget", "25"], ["90s, 25m or 3h"]),
        (["train", "--trials", "one"], ["0 or 0,1,2", "one"]),
        (["train", "--wave", "two"], ["two"]),
        (["train", "--workers", "0"], ["from 1 on", "'0'"]),
        (["verify", "--retrain", "some"], ["from 1 on", "some"]),
        (["figure"], ["NAME"]),
        (["train", "--speed", "fast"], ["--speed"]),
    ],
)
def test_an_unreadable_wish_ends_in_one_line_that_points_to_the_help(capsys, arguments, words):
    with pytest.raises(SystemExit) as stopped:
        command_line.main(arguments)
    assert stopped.value.code == 1
    assert_one_line(capsys.readouterr().err, *words, "--help")


def test_a_reader_that_closes_early_gets_no_complaint(capsys, monkeypatch):
    def closed(options):
        raise BrokenPipeError

    monkeypatch.setattr(command_line, "_run", closed)
    monkeypatch.setattr(os, "dup2", lambda *descriptors: None)
    monkeypatch.setattr(sys.stdout, "fileno", lambda: 1, raising=False)
    assert run(capsys, "records") == (1, "", "")


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("25m", 1500), ("3h", 10_800), ("0.5h", 1800)])
def test_times_are_read(text, seconds):
    assert command_line.duration(text) == seconds


@pytest.mark.parametrize("text", ["", "m", "-5m", "5 m", "5d", "1h30m", "nan"])
def test_other_times_are_refused(text):
    with pytest.raises(argparse.ArgumentTypeError, match="written like"):
        command_line.duration(text)
