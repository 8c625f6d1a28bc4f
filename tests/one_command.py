"""Running one command in a test, on a store of its own: no test, however wrong, touches the committed records.

Not a test.
"""

import queue

import synthetic

import lth_utils.__main__ as command_line
from lth_utils import campaign, data, records, workers


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


def redirect(monkeypatch, store):
    """Let `store` be the committed records, fetch no data, start no process."""
    monkeypatch.setattr(records, "COMMITTED", store)
    monkeypatch.setattr(data, "load", synthetic.load)
    monkeypatch.setattr(campaign, "code_version", lambda: "abc")
    monkeypatch.setattr(workers, "CALIBRATION_ITERATIONS", 4)
    monkeypatch.setattr(workers.multiprocessing, "get_context", lambda method: InProcess())
    monkeypatch.setattr(workers.signal, "signal", lambda *arguments: None)
    monkeypatch.setattr(workers, "threads_per_worker", lambda count: 1)


def run(capsys, *arguments):
    """(status, standard output, standard error) of one command."""
    status = command_line.main(list(arguments))
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def assert_one_line(message, *words):
    (line,) = message.strip().splitlines()
    assert line.startswith("error: ") and all(word in line for word in words), line
