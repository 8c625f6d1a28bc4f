"""The command line: `python -m lth_utils SUBCOMMAND`, thin over the rooms. `make` calls it."""

import argparse
import re
import sys
import time

USER_ERROR, INTERRUPTED = 1, 130
LONGEST_WITHOUT_BUDGET_HOURS = 12
MEGABYTES_PER_RUN = 0.02


def main(arguments: list[str] | None = None) -> int:
    """Run one subcommand; returns the exit status. Mistakes of the user end in one line, not in a traceback."""
    from lth_utils.data import DataError
    from lth_utils.notebooks import NotebookError
    from lth_utils.records import StoreError
    from lth_utils.workers import WorkerError

    options = _parser().parse_args(arguments)
    try:
        return options.run(options) or 0
    except (DataError, NotebookError, StoreError, WorkerError, ValueError, TypeError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return USER_ERROR
    except KeyboardInterrupt:
        print("\nstopped; what was finished is kept, the same command continues", file=sys.stderr)
        return INTERRUPTED


def _parser():
    parser = argparse.ArgumentParser(
        prog="python -m lth_utils", description="The Lottery Ticket Hypothesis, reproduced."
    )
    commands = parser.add_subparsers(required=True, metavar="SUBCOMMAND")

    command = commands.add_parser("data", help="fetch and check MNIST and CIFAR-10")
    command.add_argument(
        "names", nargs="*", default=["mnist", "cifar10"], help="mnist, cifar10; default: both"
    )
    command.set_defaults(run=fetch_data)

    command = commands.add_parser("train", help="make the run records that are missing")
    command.add_argument("--network", default="lenet", help="lenet, conv2, conv4, conv6 (default: lenet)")
    command.add_argument("--scale", default="paper", help="paper or reduced (default: paper)")
    command.add_argument(
        "--wave", type=int, default=2, help="Lenet: 1 for tickets and first controls, 2 for all"
    )
    command.add_argument(
        "--trials", type=numbers, help="only these trials: 0 or 0,1,2 (default: all of the plan)"
    )
    command.add_argument(
        "--arms", help="only these arms: dense,winning_ticket,... (default: all of the plan)"
    )
    command.add_argument("--rounds", type=int, help="no pruning round beyond this one (default: the plan's)")
    command.add_argument("--budget", type=duration, help="stop before this much time is over: 90s, 25m, 3h")
    command.add_argument("--device", help="cpu, cuda, cuda:1 (default: a GPU where there is one)")
    command.add_argument(
        "--workers", type=int, help="processes (default: one per core on a CPU, one on a GPU)"
    )
    command.add_argument("--dry-run", action="store_true", help="print the plan and its estimated time only")
    command.set_defaults(run=train)

    command = commands.add_parser("bench", help="how fast this machine trains; writes figures/bench.*")
    command.set_defaults(run=bench)

    command = commands.add_parser("reproduce", help="run every notebook at laptop scale into build/")
    command.set_defaults(run=reproduce)

    command = commands.add_parser(
        "report", help="adopt new records and redo the committed notebooks and figures"
    )
    command.set_defaults(run=report)
    return parser


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


def fetch_data(options):
    from lth_utils import data

    for name in options.names:
        dataset = data.load(name)
        sizes = ", ".join(
            f"{len(getattr(dataset, f'{part}_labels')):,} {part}" for part in ("train", "validation", "test")
        )
        print(f"{name}: {sizes} images, every byte as published")


def train(options):
    from tqdm import tqdm

    from lth_utils import campaign, experiments, workers

    device = options.device or campaign.default_device()
    plan = _chosen(experiments.plan(options.network, options.scale, options.wave), options)
    work = campaign.Campaign(plan, device=device)
    missing = work.missing()
    print(f"{len(plan)} runs planned, {len(missing)} missing")
    if not missing:
        return
    count = options.workers or workers.default_workers(device)
    hours = workers.estimated_seconds(work, missing, count) / 3600
    megabytes = MEGABYTES_PER_RUN * len(missing)
    print(f"estimated: {hours:.1f} h with {count} worker(s) on {device}, {megabytes:.1f} MB of records")
    if options.dry_run:
        return
    if hours > LONGEST_WITHOUT_BUDGET_HOURS and options.budget is None:
        raise ValueError(
            f"more than {LONGEST_WITHOUT_BUDGET_HOURS} hours; give a --budget, it can be continued later"
        )
    started = time.monotonic()
    with tqdm(total=len(missing), desc="training", unit="run", disable=None) as bar:

        def done(runs, line):
            bar.update(runs)
            bar.write(line)

        workers.execute(plan, count, device=device, budget_seconds=options.budget, done=done)
    left = len(work.missing())
    print(f"{len(missing) - left} runs trained in {(time.monotonic() - started) / 60:.1f} min, {left} left")


def _chosen(plan, options):
    from lth_utils import paper

    arms = options.arms.split(",") if options.arms else paper.ARMS
    if unknown := set(arms) - set(paper.ARMS):
        raise ValueError(f"unknown arm {', '.join(sorted(unknown))}; the arms are {', '.join(paper.ARMS)}")
    return [
        run
        for run in plan
        if run.arm in arms
        and (options.trials is None or run.trial in options.trials)
        and (options.rounds is None or run.procedure == "one_shot" or run.pruning_round <= options.rounds)
    ]


def reproduce(options):
    from lth_utils import notebooks

    fetch_data(argparse.Namespace(names=["mnist"]))
    notebooks.run_all("quick", tell=print)


def bench(options):
    from lth_utils import ROOT, bench, plots

    measured = bench.run(tell=print)
    bench.save(measured, ROOT / "figures" / "bench.json")
    plots.save(*bench.draw(measured), "bench")
    print(bench.summary(measured))


def report(options):
    from lth_utils import experiments, notebooks, records

    stored = records.read()
    for name, plan in experiments.waves().items():
        wave = stored[stored["run_key"].isin([run.key for run in plan])]
        if len(wave) == len(plan):
            print(f"{name}: {records.adopt(wave)} new of {len(plan)} runs adopted")
        else:
            print(f"{name}: {len(plan) - len(wave)} of {len(plan)} runs missing, not adopted")
    notebooks.report(tell=print)


if __name__ == "__main__":
    sys.exit(main())
