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
    chosen = [
        run
        for run in plan
        if run.arm in arms
        and (options.trials is None or run.trial in options.trials)
        and (options.rounds is None or run.procedure == "one_shot" or run.pruning_round <= options.rounds)
    ]
    if not chosen:
        trials, arms = answers.ranges({run.trial for run in plan}), sorted({run.arm for run in plan})
        raise ValueError(
            f"nothing of the plan is left; it has trials {trials} and the arms {', '.join(arms)}"
        )
    return chosen


def bench(options):
    from lth_utils import bench, plots

    measured = bench.run(tell=print)
    bench.save(measured, ROOT / "figures" / "bench.json")
    plots.save(*bench.draw(measured), "bench")
    print(bench.summary(measured))


def reproduce(options):
    from lth_utils import notebooks

    data(Namespace(names=["mnist"]))
    notebooks.run_all("quick", tell=print)


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


def html(options):
    from lth_utils.notebooks import site

    print(f"{site.build()}: the first page; open it in a browser")
