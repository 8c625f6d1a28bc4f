"""The command line: mistakes end in one readable line and a status other than 0, and nothing is trained by surprise."""

import argparse
import errno
import os
import queue
import runpy
import sys
from pathlib import Path

import pytest
import synthetic

import lth_utils.__main__ as command_line
from lth_utils import campaign, experiments, records, workers
from lth_utils.campaign import Campaign


class InProcess:
    """Stands in for a multiprocessing context: a process that runs here and now, when it is started."""

    Queue = staticmethod(queue.Queue)
    exitcode = 0

    def __init__(self, target=None, args=()):
        self.target, self.arguments = target, args

    def start(self):
        self.target(*self.arguments)

    def is_alive(self):
        return False

    def terminate(self):
        pass

    def join(self):
        pass

    Process = property(lambda self: InProcess)


@pytest.fixture
def plan():
    return experiments.tickets("lenet", 1, range(2), protocol=synthetic.protocol())


@pytest.fixture(autouse=True)
def empty_store(tmp_path, monkeypatch):
    """No test of this file, however wrong, reads or writes the committed store, fetches data or starts a process."""
    store = tmp_path / "records"
    functions = (
        records.read,
        records.read_adopted,
        records.manifest,
        records.adopt,
        Campaign.__init__,
        workers.execute,
    )
    for function in functions:
        defaults = tuple(store if isinstance(value, Path) else value for value in function.__defaults__)
        assert defaults != function.__defaults__
        monkeypatch.setattr(function, "__defaults__", defaults)
    monkeypatch.setattr(campaign.data_room, "load", synthetic.load)
    monkeypatch.setattr(campaign, "code_version", lambda: "abc")
    monkeypatch.setattr(workers, "CALIBRATION_ITERATIONS", 4)
    monkeypatch.setattr(workers.multiprocessing, "get_context", lambda method: InProcess())
    monkeypatch.setattr(workers.signal, "signal", lambda *arguments: None)
    monkeypatch.setattr(workers, "threads_per_worker", lambda count: 1)
    return store


@pytest.fixture
def store(empty_store, monkeypatch, plan):
    """The empty store, with a tiny plan in place of the paper's."""
    monkeypatch.setattr(experiments, "plan", lambda network, scale, wave: plan)
    return empty_store


def run(capsys, *arguments):
    """(status, standard output, standard error) of one command."""
    status = command_line.main(list(arguments))
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def assert_one_line(message, *words):
    (line,) = message.strip().splitlines()
    assert line.startswith("error: ") and all(word in line for word in words), line


# --- help and mistakes -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [(), ("data",), ("train",), ("reproduce",), ("report",)])
def test_help_is_there_for_everything(capsys, command):
    with pytest.raises(SystemExit) as stopped:
        command_line.main([*command, "--help"])
    assert stopped.value.code == 0
    shown = capsys.readouterr().out
    assert "usage: python -m lth_utils" in shown
    if not command:
        assert all(name in shown for name in ("data", "train", "reproduce", "report"))


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
        (["train", "--wave", "9"], ["9", "waves"]),
        (["train", "--arms", "dense,lott"], ["lott", "winning_ticket"]),
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
        (["train", "--speed", "fast"], ["--speed"]),
    ],
)
def test_an_unreadable_wish_ends_in_a_usage_message_and_status_2(capsys, arguments, words):
    with pytest.raises(SystemExit) as stopped:
        command_line.main(arguments)
    assert stopped.value.code == 2
    message = capsys.readouterr().err
    assert "usage" in message and "Traceback" not in message
    assert all(word in message.splitlines()[-1] for word in words)


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("25m", 1500), ("3h", 10_800), ("0.5h", 1800)])
def test_times_are_read(text, seconds):
    assert command_line.duration(text) == seconds


@pytest.mark.parametrize("text", ["", "m", "-5m", "5 m", "5d", "1h30m", "nan"])
def test_other_times_are_refused(text):
    with pytest.raises(argparse.ArgumentTypeError, match="written like"):
        command_line.duration(text)


# --- train ---------------------------------------------------------------------------------------------------------------------


def test_train_makes_what_is_missing_and_says_so(capsys, store, plan):
    status, shown, _ = run(capsys, "train", "--workers", "1", "--device", "cpu")
    assert status == 0
    assert "4 runs planned, 4 missing" in shown and "estimated" in shown and "4 runs trained" in shown
    assert "0 left" in shown
    assert sorted(records.read(store)["run_key"]) == sorted(run.key for run in plan)
    assert run(capsys, "train", "--device", "cpu")[:2] == (0, "4 runs planned, 0 missing\n")


def test_a_dry_run_shows_plan_and_estimate_and_trains_nothing(capsys, store, monkeypatch):
    def never(*arguments, **options):
        raise AssertionError("a dry run has started workers")

    monkeypatch.setattr(workers, "execute", never)
    status, shown, _ = run(capsys, "train", "--dry-run", "--device", "cpu", "--workers", "2")
    assert status == 0
    assert "4 runs planned, 4 missing" in shown and "2 worker(s) on cpu" in shown
    assert not store.exists()


def test_a_plan_can_be_cut_to_trials_arms_and_rounds(capsys, store):
    planned = {}
    for wish in (
        ["--trials", "1"],
        ["--arms", "dense"],
        ["--rounds", "0"],
        ["--trials", "0,1", "--arms", "winning_ticket"],
    ):
        _, shown, _ = run(capsys, "train", "--dry-run", "--device", "cpu", *wish)
        planned[" ".join(wish)] = int(shown.split()[0])
    assert list(planned.values()) == [2, 2, 2, 2]


def test_more_than_twelve_hours_need_a_budget(capsys, store, monkeypatch):
    monkeypatch.setattr(workers, "estimated_seconds", lambda *arguments: 12.1 * 3600)
    status, _, message = run(capsys, "train", "--device", "cpu")
    assert status == 1 and not store.exists()
    assert_one_line(message, "12 hours", "--budget")
    status, shown, _ = run(capsys, "train", "--device", "cpu", "--budget", "3h", "--workers", "1")
    assert status == 0 and "0 left" in shown


def test_budget_device_and_number_of_workers_reach_the_workers(capsys, store, plan, monkeypatch):
    asked = []
    monkeypatch.setattr(workers, "execute", lambda *arguments, **options: asked.append((arguments, options)))
    status, shown, _ = run(capsys, "train", "--device", "cpu", "--budget", "25m", "--workers", "3")
    assert status == 0 and "0 runs trained" in shown and "4 left" in shown
    (((asked_plan, count), options),) = asked
    assert (asked_plan, count) == (plan, 3)
    assert (options["budget_seconds"], options["device"]) == (1500, "cpu")


# --- disks that refuse, people who interrupt ---------------------------------------------------------------------------------


def full_disk(*arguments):
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("writes", [0, 7])
def test_a_full_disk_ends_in_one_line_and_a_store_that_loads(capsys, store, monkeypatch, writes):
    replace, seen = os.replace, []

    def full(*arguments):
        seen.append(arguments)
        (replace if len(seen) <= writes else full_disk)(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        status, _, message = run(capsys, "train", "--device", "cpu", "--workers", "1")
    assert status == 1
    assert_one_line(message, "No space left on device")
    assert len(records.read(store)) == (2 if writes else 0)
    status, shown, _ = run(capsys, "train", "--device", "cpu", "--workers", "1")
    assert status == 0 and "0 left" in shown


def test_a_read_only_store_ends_in_one_line(capsys, store, monkeypatch):
    def read_only(path, *arguments, **options):
        raise OSError(errno.EROFS, "Read-only file system", str(path))

    monkeypatch.setattr(Path, "mkdir", read_only)
    status, _, message = run(capsys, "train", "--device", "cpu", "--workers", "1")
    assert status == 1
    assert_one_line(message, "Read-only file system", str(store))


def test_a_damaged_store_ends_in_one_line_that_names_the_file(capsys, store):
    (store / "lenet" / "paper").mkdir(parents=True)
    (store / "lenet" / "paper" / "0123456789abcdef.parquet").write_bytes(b"half")
    status, _, message = run(capsys, "train", "--device", "cpu")
    assert status == 1
    assert_one_line(message, "lenet/paper/0123456789abcdef.parquet", "delete it")


def test_ctrl_c_ends_with_a_clear_word_and_its_own_status(capsys, store, monkeypatch):
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(workers, "execute", interrupted)
    status, _, message = run(capsys, "train", "--device", "cpu", "--workers", "1")
    assert status == 130
    assert "the same command continues" in message and "Traceback" not in message


# --- report --------------------------------------------------------------------------------------------------------------------


def test_a_report_adopts_whole_waves_only(capsys, store, plan, monkeypatch):
    from lth_utils import notebooks

    redone = []
    monkeypatch.setattr(notebooks, "report", lambda tell: redone.append(len(records.manifest(store))))
    monkeypatch.setattr(experiments, "waves", lambda: {"dense": plan[:2], "all": plan})
    records.write([synthetic.record(**planned.identity) for planned in plan[:3]], store)
    status, shown, _ = run(capsys, "report")
    assert status == 0 and redone == [2]
    assert "dense: 2 new of 2" in shown and "all: 1 of 4 runs missing" in shown
    records.write([synthetic.record(**planned.identity) for planned in plan[3:]], store)
    assert run(capsys, "report")[0] == 0 and redone == [2, 4]
