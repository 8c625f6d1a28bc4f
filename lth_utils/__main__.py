"""The command line, `python -m lth_utils COMMAND`; `make` calls it. A user's mistake ends in one sentence.

Rooms are imported inside the commands, so that `--help` answers at once; what takes several of them is in `commands`.
"""

import secrets
import time
from pathlib import Path

import click
from click import IntRange, option

from lth_utils import ROOT, commands

INTERRUPTED = 130


class Program(click.Group):
    """Ends every mistake that a room names in one line with status 1, and Ctrl-C in a word of comfort."""

    def invoke(self, context):
        try:
            return super().invoke(context)
        except KeyboardInterrupt:
            click.echo("\nstopped; what was finished is kept, the same command continues", err=True)
            context.exit(INTERRUPTED)
        except Exception as error:
            of_a_room = type(error).__module__.startswith("lth_utils.")  # DataError, StoreError, ...
            mistake = of_a_room or isinstance(error, ValueError | OSError)
            if not mistake or isinstance(error, BrokenPipeError):
                raise
            raise click.ClickException(str(error)) from error


own_folder = click.Path(path_type=Path, file_okay=False)
own_records = option("--records", "folder", type=own_folder, help="A folder of your own for records.")
as_json = option("--json", "as_json", is_flag=True, help="JSON on standard output, and nothing else.")


@click.group(cls=Program, context_settings={"max_content_width": 110, "show_default": True})
def main():
    """The Lottery Ticket Hypothesis, reproduced. COMMAND --help shows examples.

    Exit status: 0 all is well, 1 a mistake or a problem found, 2 a command that cannot be read, 130 interrupted.
    """


@main.command()
@click.argument("names", nargs=-1)
def data(names):
    """Fetch MNIST and CIFAR-10 and check every byte.

    \b
    python -m lth_utils data
    python -m lth_utils data mnist
    """
    from lth_utils import data, verify

    for name in names or ("mnist", "cifar10"):
        data.load(name)  # raises, with the ways out, what a check would only report
        click.echo(f"{name}: {verify.check_data(name).detail}")


@main.command()
@option("--network", help="Only this network.")
@option("--scale", help="Only this scale: paper, reduced or short.")
@own_records
@as_json
def plan(network, scale, folder, as_json):
    """Show what is planned, done and missing, and its hours.

    \b
    python -m lth_utils plan
    python -m lth_utils plan --network lenet --scale paper
    """
    table = commands.planned(commands.store(folder))
    for column, name in {"network": network, "scale": scale}.items():
        if name is not None:
            table = table[table[column] == commands.choose(name, table[column], column)]
    commands.show(table, as_json)
    if not as_json:
        click.echo(
            "\nhours: what is missing, on this machine's processor cores, as long as finished runs took; -: never timed, "
            "`train --dry-run` measures it.\nA later wave of a network holds its earlier ones."
        )


@main.command()
@option("--network", default="lenet", help="lenet, conv2, conv4 or conv6.")
@option("--scale", default="paper", help="paper, reduced or short.")
@option(
    "--study", type=click.Choice(["faults"]), help="Notebook 05b's runs: the algorithm, broken on purpose."
)
@option("--wave", type=IntRange(1), default=2, help="How much of the plan, see `plan`.")
@option("--arms", help="Only these arms: dense,winning_ticket,...")
@option("--trials", type=commands.numbers, help="Only these trials: 0 or 0,1,2.")
@option("--rounds", type=IntRange(0), help="No pruning round beyond this one.")
@option("--device", help="cpu, cuda, cuda:1; a GPU where there is one.")
@option("--budget", type=commands.duration, help="Stop before this much time is over: 90s, 25m or 3h.")
@option("--workers", type=IntRange(1), help="Processes: one per core on a CPU, one on a GPU.")
@own_records
@option("--dry-run", is_flag=True, help="Print the plan and its estimated time only.")
def train(network, scale, study, wave, arms, trials, rounds, device, budget, workers, folder, dry_run):
    """Make the run records that are missing.

    \b
    python -m lth_utils train --dry-run
    python -m lth_utils train --budget 25m
    python -m lth_utils train --arms dense,winning_ticket --trials 0 --rounds 3 --records build/mine
    python -m lth_utils train --study faults
    """
    from lth_utils import experiments, faults

    there = [one for one in experiments.PLANS if one[1] != "quick"]  # notebooks train that
    network = commands.choose(network, (name for name, _ in there), "network")
    scale = commands.choose(scale, (its for name, its in there if name == network), f"scale of {network} is")
    runs = faults.plan() if study else experiments.plan(network, scale, wave)
    runs = commands.cut(runs, arms, trials, rounds)
    commands.train(runs, commands.store(folder), device, workers, budget, dry_run)


@main.command()
def report():
    """Adopt new records; redo notebooks and figures.

    A wave is adopted when it is whole. Notebooks are replaced only if none has a problem.

    \b
    python -m lth_utils report
    """
    from lth_utils import notebooks

    store = commands.store(None)
    commands.adopt(store)
    commands.calibrate(store)
    notebooks.report(tell=click.echo)


@main.command()
@click.argument("names", nargs=-1, metavar="[NOTEBOOK]...")
@option("--all", "every", is_flag=True, help="Every notebook, the data first.")
@option(
    "--profile", default="report", help="report (train nothing), quick (laptop scale, into build/) or paper."
)
@option("-p", "parameters", type=commands.parameter, multiple=True, metavar="NAME=VALUE", help="A parameter.")
@click.pass_context
def run(context, names, every, profile, parameters):
    """Execute notebooks into build/notebooks.

    \b
    python -m lth_utils run 03
    python -m lth_utils run 03 --profile quick
    python -m lth_utils run 02 -p wave=1 -p 'conv4='
    python -m lth_utils run --all --profile quick
    """
    from lth_utils import notebooks

    commands.choose(profile, notebooks.PROFILES, "profile")
    if every == bool(names):
        raise click.UsageError("which notebook? Give its number, as in `run 03`, or --all")
    started = time.monotonic()
    if every:
        context.invoke(data)
    chosen = [commands.notebook(name) for name in names] or notebooks.names()
    for number, name in enumerate(chosen, 1):
        click.echo(f"[{number} of {len(chosen)}] {name} at profile {profile} ...")
        before, output = time.monotonic(), notebooks.BUILD / "notebooks" / f"{name}.ipynb"
        notebooks.execute(notebooks.FOLDER / f"{name}.py", output, {"profile": profile, **dict(parameters)})
        click.echo(f"    {time.monotonic() - before:.0f} s, {output.relative_to(ROOT)}")
    if every and profile == "quick":
        click.echo(f"\nin {(time.monotonic() - started) / 60:.1f} min: {commands.conclude()}")


@main.command()
@option("--retrain", type=IntRange(1), metavar="N", help="Train N runs, drawn at random, again.")
@option("--seed", type=int, help="Draw these runs again; a new seed is printed.")
@option("--iterations", type=IntRange(1), help="Train only so many, compare the beginnings.")
@own_records
@click.pass_context
def verify(context, retrain, seed, iterations, folder):
    """Check what is committed; retrain some runs.

    Data, records, masks, manifest and notebooks are checked; what was retrained is shown beside its record.

    \b
    python -m lth_utils verify
    python -m lth_utils verify --retrain 1 --iterations 300
    """
    from lth_utils import verify

    if not retrain and (seed is not None or iterations is not None):
        raise click.UsageError("--seed and --iterations say how to --retrain; give --retrain 1 with them")
    store, fine = commands.store(folder), True
    for check in verify.checks(store):
        fine &= check.ok
        click.echo(f"{'ok   ' if check.ok else 'WRONG'}  {check.name}: {check.detail}")
        for line in "\n".join(check.problems).splitlines():  # whole cells of notebooks fit no screen
            click.echo(f"       {line if len(line) <= 300 else f'{line[:200]} ... {line[-80:]}'}")
    if retrain:
        seed = secrets.randbelow(2**32) if seed is None else seed
        fine &= commands.retrain(store, retrain, seed, iterations)
    click.echo("everything is as it should be" if fine else "something is wrong: see the lines above")
    context.exit(0 if fine else 1)


@main.command()
@click.argument("ids", nargs=-1, metavar="[CLAIM]...")
@option("--rank", help="Only claims of this rank; A are the paper's central ones.")
@option("--conditions", is_flag=True, help="Each condition: the paper's number, ours, the rule.")
@as_json
def claims(ids, rank, conditions, as_json):
    """Show the verdicts on the paper's claims.

    \b
    python -m lth_utils claims --rank A
    python -m lth_utils claims C04 c05 --conditions
    """
    from lth_utils import claims
    from lth_utils.notebooks import summaries

    ledger = claims.ledger()
    if chosen := [commands.choose(name.upper(), ledger["claim"], "claim") for name in ids]:
        ledger = ledger[ledger["claim"].isin(chosen)]
    if rank:
        ledger = ledger[ledger["rank"] == commands.choose(rank.upper(), ledger["rank"], "claim of rank")]
    found = claims.compare(summaries.scored(commands.store(None).adopted()), ledger["claim"])
    verdicts = claims.verdicts(found)
    if as_json:
        commands.show(found if conditions else verdicts, as_json)
    else:
        click.echo(claims.comparison_text(found) if conditions else claims.verdicts_text(verdicts))
        click.echo(f"\nclaims: {summaries.counts_text(found)}")


if __name__ == "__main__":
    main(prog_name="python -m lth_utils")
