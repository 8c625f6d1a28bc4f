"""Subcommands that do something: fetch, train, measure, run the notebooks, write pages.

They print what the rooms report. Each takes the parsed options and returns the exit status, None for 0. Rooms are
imported inside the functions, so that `--help` answers at once.
"""

import time
from argparse import Namespace

from lth_utils import ROOT, answers

LONGEST_WITHOUT_BUDGET_HOURS = 12
MEGABYTES_PER_RUN = 0.02


def data(options):
    from lth_utils import data, verify

    for name in options.names:
        data.load(name)  # raises, with the ways out, what a check would only report
        print(f"{name}: {verify.check_data(name).detail}")


def train(options):
    from lth_utils import campaign, experiments, records, workers

    if options.scale == "quick":
        raise ValueError('runs of scale "quick" are trained by the notebooks, into build/: `make reproduce`')
    device = options.device or campaign.default_device()
    store = records.committed()
    plan = _chosen(experiments.plan(options.network, options.scale, options.wave), options)
    work = campaign.Campaign(plan, store, device)
    missing = work.missing()
    print(f"{len(plan)} runs planned, {len(missing)} missing")
    count = options.workers or workers.default_workers(device)
    if missing:
        hours = workers.estimated_seconds(work, missing, count) / 3600
        megabytes = MEGABYTES_PER_RUN * len(missing)
        print(f"estimated: {hours:.1f} h with {count} worker(s) on {device}, {megabytes:.1f} MB of records")
        if options.dry_run:
            return
        if hours > LONGEST_WITHOUT_BUDGET_HOURS and options.budget is None:
            raise ValueError(
                f"more than {LONGEST_WITHOUT_BUDGET_HOURS} hours; give a --budget, it can be continued later"
            )
        _progress(
            len(missing),
            lambda done: workers.execute(
                plan, count, store, device=device, budget_seconds=options.budget, done=done
            ),
            lambda: len(work.missing()),
        )
        if options.budget is None:
            _explain([run for run in work.missing() if experiments.needs(run)])


def _explain(waiting):
    """Why runs are left although there was time: each is pruned after another one that is not there."""
    from lth_utils import experiments, verify

    if waiting:
        needed = verify.describe(experiments.needs(waiting[0]).identity)
        print(
            f"{len(waiting)} of them wait for runs that are not in this plan, have diverged or are in other hands, "
            f"the first for: {needed}"
        )


def faults(options):
    from lth_utils import faults, records, workers

    plan, store = faults.plan(), records.committed()
    count = options.workers or workers.default_workers("cpu")
    chains = faults.missing(plan, store)
    print(f"{len(plan)} runs planned, {len(chains)} chains of a fault and a trial missing")
    if chains and not options.dry_run:
        _progress(
            len(chains),
            lambda done: faults.execute(
                plan, count, store, budget_seconds=options.budget, done=lambda _, line: done(1, line)
            ),
            lambda: len(faults.missing(plan, store)),
            "chain",
        )


def _progress(missing, execute, count_missing, unit="run"):
    """Execute what is missing under a bar on a terminal, a line per finished piece; say what was done and what is left."""
    from tqdm import tqdm

    started = time.monotonic()
    with tqdm(total=missing, desc="training", unit=unit, disable=None) as bar:

        def done(count, line):
            bar.update(count)
            bar.write(line)

        execute(done)
    left = count_missing()
    print(f"{missing - left} {unit}s trained in {(time.monotonic() - started) / 60:.1f} min, {left} left")


def _chosen(plan, options):
    from lth_utils import paper

    arms = options.arms.split(",") if options.arms else paper.ARMS
    if unknown := set(arms) - set(paper.ARMS):
        raise ValueError(f"unknown arm {', '.join(sorted(unknown))}; the arms are {', '.join(paper.ARMS)}")
    chosen = [
        run
        for run in plan
        if run.arm in arms
        and (options.trials is None or run.trial in options.trials)
        and (options.rounds is None or run.procedure == "one_shot" or run.pruning_round <= options.rounds)
    ]
    if not chosen:
        trials, rounds = (
            answers.ranges({getattr(run, name) for run in plan}) for name in ("trial", "pruning_round")
        )
        arms = ", ".join(sorted({run.arm for run in plan}))
        raise ValueError(
            f"nothing of the plan is left; it has trials {trials}, rounds {rounds} and the arms {arms}"
        )
    return chosen


def bench(options):
    from lth_utils import bench

    measured = bench.run(tell=print)
    bench.save(measured, ROOT / "figures" / "bench.json")
    print(bench.summary(measured))


def reproduce(options):
    from lth_utils import notebooks

    data(Namespace(names=["mnist", "cifar10"]))
    notebooks.run_all("quick", tell=print)


def report(options):
    from lth_utils import campaign, notebooks, records

    store = records.committed()
    stored = store.rows()
    for name, plan in answers.waves().items():
        wave = stored[stored["run_key"].isin([run.key for run in plan])]
        lost = len(campaign.lost(plan, stored))
        if missing := len(plan) - len(wave) - lost:
            print(f"{name}: {missing} of {len(plan)} runs missing, not adopted")
        else:
            because = f", {lost} can never be made: their chain diverged" if lost else ""
            print(f"{name}: {store.adopt(wave)} new of {len(plan)} runs adopted{because}")
    notebooks.report(tell=print)


def html(options):
    from lth_utils.notebooks import pages

    print(f"{pages.build()}: the first page; open it in a browser")
