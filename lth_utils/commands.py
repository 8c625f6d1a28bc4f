"""What the commands of `__main__` do in several rooms at once, and how they read what a user types.

Rooms are imported inside the functions, so that `--help` answers at once.
"""

import ast
import difflib
import math
import re
from functools import partial
from pathlib import Path

import click

from lth_utils import ROOT

CALIBRATION = ROOT / "figures" / "00_calibration.csv"
LONGEST_WITHOUT_BUDGET_HOURS = 12

# ---------------------------------------------------------------- reading


def duration(text: str) -> float:
    """Seconds in "90s", "25m" or "3h"."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smh])", text)
    if not match:
        raise click.BadParameter(f"a time is written like 90s, 25m or 3h, not {text!r}")
    return float(match[1]) * {"s": 1, "m": 60, "h": 3600}[match[2]]


def numbers(text: str) -> list[int]:
    """Whole numbers in "0" or "0,1,2"."""
    if not re.fullmatch(r"\d+(,\d+)*", text):
        raise click.BadParameter(f"trials are written like 0 or 0,1,2, not {text!r}")
    return [int(number) for number in text.split(",")]


def parameter(text: str) -> tuple[str, object]:
    """Name and value of a notebook's parameter: "wave=1" holds a number, "conv2=paper 1" a text."""
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise click.BadParameter(f"a parameter is written like wave=1, not {text!r}")
    try:
        return name, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return name, value


def choose(name: str, known, what: str) -> str:
    """`name`, if it is one of `known`; else a mistake that says what there is, and what may have been meant."""
    known = list(dict.fromkeys(known))
    if name in known:
        return name
    near = difflib.get_close_matches(name, known, 1)
    meant = f" did you mean {near[0]}," if near else ""
    there = ", ".join(known) if len(known) < 20 else f"{known[0]} to {known[-1]}"
    raise click.ClickException(f"no {what} {name!r};{meant} there are {there}")


def notebook(text: str) -> str:
    """The name of a notebook, of which its number is enough."""
    from lth_utils import notebooks

    by_number = {name.partition("_")[0]: name for name in notebooks.names()}
    if text in by_number.values():
        return text
    return by_number[choose(text.zfill(2), by_number, "notebook")]


def cut(plan: list, arms: str | None, trials: list[int] | None, rounds: int | None) -> list:
    """The runs of a plan of these arms ("dense,winning_ticket"), in these trials, up to a pruning round."""
    known = list(dict.fromkeys(run.arm for run in plan))
    arms = [choose(arm, known, "arm of this plan is") for arm in arms.split(",")] if arms else known
    chosen = [run for run in plan if run.arm in arms and (trials is None or run.trial in trials)]
    if rounds is not None:
        chosen = [run for run in chosen if run.procedure == "one_shot" or run.pruning_round <= rounds]
    if not chosen:
        last = max(run.trial for run in plan)
        raise click.ClickException(f"nothing of the plan is left; its trials are 0 to {last}")
    return chosen


def store(folder: Path | None):
    """The store in a folder of one's own, or the one that comes with the project."""
    from lth_utils import records

    return records.Store(folder) if folder else records.committed()


def show(table, as_json: bool = False) -> None:
    """A DataFrame as text, or as JSON, in which numbers that are not finite are null."""
    if as_json:
        click.echo(table.to_json(orient="records", indent=2, double_precision=15))
    else:
        click.echo(table.to_string(index=False, na_rep="-", float_format="{:.5g}".format))


# ---------------------------------------------------------------- plan and report


def waves() -> dict:
    """Everything that the report may show: what is planned as experiments, and the faults of notebook 05b."""
    from lth_utils import experiments, faults

    return experiments.waves() | {"notebook 05b": faults.plan()}


def planned(store):
    """One row per wave: how many of its runs are done, missing and adopted, and the hours that are missing."""
    import pandas as pd

    from lth_utils.experiments import costs, runner

    stored, cores = store.rows(), runner.default_workers("cpu")
    done, adopted = set(stored["run_key"]), set(store.manifest()["run_key"])
    rates = costs.recorded_rates(stored)
    rows = []
    for wave, runs in waves().items():
        keys = {run.key for run in runs}
        row = {"wave": wave, "network": runs[0].network, "scale": runs[0].scale, "planned": len(keys)}
        row |= {"done": len(keys & done), "missing": len(keys - done), "adopted": len(keys & adopted)}
        missing = [run for run in runs if run.key not in done]
        rows.append(row | {"hours": costs.estimated_seconds(missing, rates, cores) / 3600})
    return pd.DataFrame(rows)


def adopt(store) -> None:
    """Adopt the waves that are whole, and say of each what is new or missing."""
    from lth_utils import campaign

    stored = store.rows()
    for name, plan in waves().items():
        wave = stored[stored["run_key"].isin([run.key for run in plan])]
        lost = len(campaign.lost(plan, stored))
        if missing := len(plan) - len(wave) - lost:
            click.echo(f"{name}: {missing} of {len(plan)} runs missing, not adopted")
        else:
            because = f", {lost} can never be made: their chain diverged" if lost else ""
            click.echo(f"{name}: {store.adopt(wave)} new of {len(plan)} runs adopted{because}")


def calibrate(store) -> None:
    """Write what both readings of the claims say about stand-ins for Lenet's trials; notebook 00 shows it."""
    from lth_utils.claims import calibration
    from lth_utils.notebooks import summaries

    table = calibration.table(summaries.scored(store.adopted()))
    CALIBRATION.parent.mkdir(exist_ok=True)
    table.to_csv(CALIBRATION, index=False, float_format="%.6g", lineterminator="\n")
    click.echo(f"{CALIBRATION.relative_to(ROOT)}: {len(table)} rows")


# ---------------------------------------------------------------- train and verify


def train(plan: list, store, device, count, budget, dry_run) -> None:
    """Train what is missing of a plan: say how long it takes, show progress, say what is left and why."""
    from lth_utils import campaign, faults
    from lth_utils.experiments import runner

    faulty = plan[0].study == "faults"  # trained on reference.py, chain by chain
    device = "cpu" if faulty else device or campaign.default_device()
    campaign.require_device(device)
    missing, count = campaign.missing(plan, store), count or runner.default_workers(device)
    click.echo(f"{len(plan)} runs planned, {len(missing)} missing, {count} worker(s) on {device}")
    if not missing:
        return
    rate, trained = _estimate(missing, store, count, device, limited=budget or dry_run), 0
    if dry_run:
        return

    def tell(runs, line):
        nonlocal trained
        trained += runs
        click.echo(f"[{trained} of {len(missing)}] {line}")

    execute = faults.execute if faulty else partial(campaign.train, device=device)
    execute(plan, store, workers=count, tell=tell, rate=rate, budget=budget or math.inf)
    left = len(campaign.missing(plan, store))
    waiting = "; they wait for runs that are not in this plan or have diverged" if left and not budget else ""
    click.echo(f"{len(missing) - left} runs trained, {left} left{waiting}")


def _estimate(missing, store, workers, device, limited) -> float:
    """Say how long the runs take, from finished ones or, where none of their kind is timed, as measured here and now.

    Returns seconds per unit of their cost. limited: whether there is an end to it, however long they take.
    """
    from lth_utils.experiments import costs

    rates = costs.recorded_rates(store.rows()) if device == "cpu" else {}
    for kind, run in {costs.kind(run): run for run in reversed(missing)}.items():
        if kind not in rates and run.study != "faults":
            click.echo(f"measuring {run.network} in {run.protocol.precision} on {device} ...")
            rates[kind] = costs.measured_rate(run, device)
    hours = costs.estimated_seconds(missing, rates, workers, device) / 3600
    click.echo("estimated: nothing, none was timed yet" if math.isnan(hours) else f"estimated: {hours:.1f} h")
    if hours > LONGEST_WITHOUT_BUDGET_HOURS and not limited:
        limit = f"more than {LONGEST_WITHOUT_BUDGET_HOURS} hours"
        raise click.ClickException(f"{limit}; give a --budget, it can be continued later")
    return rates.get(costs.kind(missing[0]), 0.0)


def retrain(store, count: int, seed: int, iterations: int | None) -> bool:
    """Train runs, drawn at random, again, and show what was recorded beside what came out; whether all agree."""
    import pandas as pd

    from lth_utils import campaign, spot_check, verify

    frame, device, fine = store.rows(), campaign.default_device(), True
    drawn = spot_check.draw(frame, count, seed)
    click.echo(f"\nretraining {count} of {len(frame)} runs ({device}); --seed {seed} draws them again")
    names = ("quantity", "recorded", "retrained", "difference", "tolerance", "outcome", "remark")
    for record in drawn:
        length = spot_check.iterations_of(record, iterations)
        click.echo(f"{verify.describe(record)}: {length:,} iterations ...")
        compared = spot_check.retrain(record, frame, store, count, iterations, device=device)
        show(pd.DataFrame([{name: getattr(one, name) for name in names} for one in compared]))
        fine &= all(one.outcome != "outside" for one in compared)
    return fine


# ---------------------------------------------------------------- what `make reproduce` found


def conclude() -> str:
    """What all notebooks at profile quick found, and the page that shows it."""
    from lth_utils import campaign, experiments, notebooks, records
    from lth_utils.notebooks import pages

    rows, plan = records.Store(campaign.QUICK_RECORDS).rows(), experiments.plan("lenet", "quick")
    seen = found(rows[rows["run_key"].isin([run.key for run in plan])])
    page = pages.build(notebooks.BUILD / "html-quick", notebooks.BUILD, seen)
    return f"{seen}\n\nOpen {page.relative_to(notebooks.ROOT)} in a browser."


def found(lenet) -> str:
    """Test accuracy of the smallest networks of every arm, from records of Lenet, beside the dense one."""
    lenet = lenet[lenet["procedure"] == "iterative"]
    last = lenet["pruning_round"].max()
    smallest = lenet[lenet["pruning_round"] == last]
    accuracy = (
        100 * lenet[lenet["pruning_round"].isin([0, last])].groupby("arm")["test_accuracy_at_end"].mean()
    )
    return (
        f"Lenet on MNIST, {lenet['training_iterations'].max():,} iterations, {lenet['trial'].nunique()} trials. "
        f"Test accuracy with {smallest['percent_remaining'].mean():.1f} % of the weights: "
        f"winning ticket {accuracy['winning_ticket']:.1f} %, reinitialised {accuracy['random_reinit']:.1f} %, "
        f"random sparse network {accuracy['random_sparsity']:.1f} %. Dense network: {accuracy['dense']:.1f} %."
    )
