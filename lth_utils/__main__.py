"""The command line, `python -m lth_utils SUBCOMMAND`: options, help, exit statuses. `make` calls it.

What the subcommands do stands in `commands` and `answers`, which are thin over the rooms.
"""

import argparse
import os
import re
import sys

from lth_utils import answers, commands

USER_ERROR, INTERRUPTED = 1, 130
PROGRAM = "python -m lth_utils"
EXIT_STATUSES = "exit status: 0 all is well, 1 a mistake or a problem found, 130 interrupted"


def main(arguments: list[str] | None = None) -> int:
    """Run one subcommand; returns the exit status. Mistakes of the user end in one line, not in a traceback."""
    options = _parser().parse_args(arguments)
    try:
        status = _run(options)
        sys.stdout.flush()
        return status
    except BrokenPipeError:  # whoever read our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return USER_ERROR
    except KeyboardInterrupt:
        print("\nstopped; what was finished is kept, the same command continues", file=sys.stderr)
        return INTERRUPTED


def _run(options):
    from lth_utils.data import DataError
    from lth_utils.notebooks import NotebookError
    from lth_utils.records import StoreError
    from lth_utils.workers import WorkerError

    try:
        return options.run(options) or 0
    except BrokenPipeError:
        raise
    except (DataError, NotebookError, StoreError, WorkerError, ValueError, TypeError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return USER_ERROR


class _Parser(argparse.ArgumentParser):
    """Examples stay as they are written, and a mistake is one line with status 1, like any other mistake."""

    def __init__(self, **settings):
        super().__init__(formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False, **settings)

    def error(self, message):
        print(f"error: {message} (see {self.prog} --help)", file=sys.stderr)
        raise SystemExit(USER_ERROR)


def _parser():
    parser = _Parser(
        prog=PROGRAM,
        description="The Lottery Ticket Hypothesis, reproduced. `SUBCOMMAND --help` shows examples.",
        epilog=EXIT_STATUSES,
    )
    subcommands = parser.add_subparsers(required=True, metavar="SUBCOMMAND")
    _add_answers(subcommands)
    _add_training(subcommands)
    _add_the_rest(subcommands)
    return parser


def _add(subcommands, run, summary, *examples, json=False):
    name = run.__name__
    shown = [f"  {PROGRAM} {name} {example}".rstrip() for example in examples]
    command = subcommands.add_parser(
        name, help=summary, description=summary, epilog="\n".join(["examples:", *shown, "", EXIT_STATUSES])
    )
    command.set_defaults(run=run)
    if json:
        command.add_argument("--json", action="store_true", help="JSON on standard output, and nothing else")
    return command


def _add_answers(subcommands):
    command = _add(
        subcommands,
        answers.plan,
        "what is planned, done and missing, and how long it takes",
        *("", "--network lenet", "--json"),
        json=True,
    )
    command.add_argument("--network", help="only this network")
    command.add_argument("--scale", help="only this scale: paper, reduced, short")

    _add(subcommands, answers.records, "which runs are stored, adopted or not", "", "--json", json=True)

    command = _add(
        subcommands,
        answers.claims,
        "the verdicts on the paper's claims, from the adopted records",
        *("", "--rank A", "C04 C05 --conditions", "--json"),
        json=True,
    )
    command.add_argument("ids", nargs="*", metavar="CLAIM", help="C01, C02, ... (default: all)")
    command.add_argument("--rank", help="only claims of this rank; A are the paper's central ones")
    command.add_argument(
        "--conditions", action="store_true", help="each condition: the paper's number, ours, the rule"
    )

    command = _add(
        subcommands,
        answers.figure,
        "draw a figure of the paper from the adopted records",
        *("4", "1 --out ours.png"),
    )
    command.add_argument("name", metavar="NAME", help=f"of the paper: {', '.join(answers.FIGURES)}")
    command.add_argument("--out", metavar="FILE.png", help="default: build/figures/figure_NAME.png")

    command = _add(
        subcommands,
        answers.verify,
        "check data, records, masks, manifest and notebooks; retrain some runs and compare",
        *("", "--retrain 1 --iterations 300", "--retrain 3 --seed 7", "--json"),
        json=True,
    )
    command.add_argument("--retrain", type=natural, metavar="N", help="retrain N runs drawn at random")
    command.add_argument("--seed", type=int, help="draw these runs again (default: a new seed, printed)")
    command.add_argument(
        "--iterations", type=natural, help="train only so many, compare the beginning of the curve"
    )


def _add_training(subcommands):
    command = _add(
        subcommands,
        commands.train,
        "make the run records that are missing",
        "--dry-run",
        "--budget 25m",
        "--network lenet --trials 0 --arms dense,winning_ticket --rounds 3",
    )
    command.add_argument("--network", default="lenet", help="lenet, conv2, conv4, conv6 (default: lenet)")
    command.add_argument("--scale", default="paper", help="paper, reduced or short (default: paper)")
    command.add_argument("--wave", type=int, default=2, help="how much of the plan, see `plan` (default: 2)")
    command.add_argument(
        "--trials", type=numbers, help="only these trials: 0 or 0,1,2 (default: all of the plan)"
    )
    command.add_argument(
        "--arms", help="only these arms: dense,winning_ticket,... (default: all of the plan)"
    )
    command.add_argument("--rounds", type=int, help="no pruning round beyond this one (default: the plan's)")
    command.add_argument("--device", help="cpu, cuda, cuda:1 (default: a GPU where there is one)")
    _add_limits(command, "print the plan and its estimated time only")

    command = _add(
        subcommands,
        commands.faults,
        "make the records of notebook 05b that are missing, chain by chain",
        *("--dry-run", "--budget 25m"),
    )
    _add_limits(command, "print what is missing only")


def _add_limits(command, dry_run):
    command.add_argument("--budget", type=duration, help="stop before this much time is over: 90s, 25m, 3h")
    command.add_argument(
        "--workers", type=natural, help="processes (default: one per core on a CPU, one on a GPU)"
    )
    command.add_argument("--dry-run", action="store_true", help=dry_run)


def _add_the_rest(subcommands):
    command = _add(subcommands, commands.data, "fetch and check MNIST and CIFAR-10", "", "mnist")
    command.add_argument(
        "names", nargs="*", default=["mnist", "cifar10"], help="mnist, cifar10; default: both"
    )

    _add(subcommands, commands.reproduce, "run every notebook at laptop scale into build/", "")
    _add(subcommands, commands.report, "adopt new records and redo the committed notebooks and figures", "")
    _add(subcommands, commands.html, "the committed notebooks as web pages in build/html", "")
    _add(subcommands, commands.bench, "how fast this machine trains; writes figures/bench.json", "")


def duration(text: str) -> float:
    """Seconds in "90s", "25m" or "3h"."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smh])", text)
    if not match:
        raise argparse.ArgumentTypeError(f"a time is written like 90s, 25m or 3h, not {text!r}")
    return float(match[1]) * {"s": 1, "m": 60, "h": 3600}[match[2]]


def numbers(text: str) -> list[int]:
    """Whole numbers in "0" or "0,1,2"."""
    if not re.fullmatch(r"\d+(,\d+)*", text):
        raise argparse.ArgumentTypeError(f"trials are written like 0 or 0,1,2, not {text!r}")
    return [int(number) for number in text.split(",")]


def natural(text: str) -> int:
    """A whole number from 1 on."""
    if not re.fullmatch(r"[1-9]\d*", text):
        raise argparse.ArgumentTypeError(f"a whole number from 1 on is wanted, not {text!r}")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
