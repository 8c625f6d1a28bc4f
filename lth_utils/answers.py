"""Subcommands that answer a question: what is planned, what there is, what it says, whether it is sound.

They print what the rooms answer, as text or, for a script, as JSON that stands alone on standard output. Each takes
the parsed options and returns the exit status, None for 0. Rooms are imported inside the functions, so that `--help`
answers at once.
"""

import json
import math
import secrets
import textwrap
from collections import Counter
from pathlib import Path

from lth_utils import ROOT

PROBLEM_FOUND = 1
FIGURES = ("1", "3", "4", "5", "6", "9", "11", "12", "13", "14")


def plan(options):
    from lth_utils import campaign, records, workers

    stored, count = records.read(), workers.default_workers("cpu")
    done, adopted = set(stored["run_key"]), set(records.committed().manifest()["run_key"])
    rates = _hours_per_cost(stored)
    rows = []
    for (wave, network, scale), runs in _planned(options).items():
        keys = {run.key for run in runs}
        row = {"wave": wave, "network": network, "scale": scale, "planned": len(keys)}
        row |= {"done": len(keys & done), "missing": len(keys - done), "adopted": len(keys & adopted)}
        missing = [run for run in runs if run.key not in done]
        costs = [campaign.relative_cost(run) * rates.get(_kind(run), math.nan) for run in missing]
        hours = sum(costs) / count
        rows.append(row | {"hours": None if math.isnan(hours) else hours})
    if options.json:
        return print_json(rows)
    print_table(rows, ".1f")
    print(
        f"\nhours: what is missing, on {count} processor core(s) like those of the stored records; -: no run of that "
        "network in\nthat precision has been timed yet. `train --dry-run` measures this machine. A later wave of a network "
        "holds its earlier\nones."
    )


def waves():
    """Everything that the report may show: what is planned as experiments, and the faults of notebook 05b."""
    from lth_utils import experiments, faults

    return experiments.waves() | {"notebook 05b": faults.plan()}


def _planned(options):
    """(wave, network, scale) -> its runs, as far as the options ask for them."""
    groups = {}
    for wave, runs in waves().items():
        for run in runs:
            groups.setdefault((wave, run.network, run.scale), []).append(run)
    for column, name in ((1, options.network), (2, options.scale)):
        known = dict.fromkeys(group[column] for group in groups)
        if name is not None and name not in known:
            raise ValueError(f"nothing is planned for {name!r}, only for {', '.join(known)}")
        groups = {group: runs for group, runs in groups.items() if name in (None, group[column])}
    return groups


def _kind(run):
    """Runs of one kind take time in proportion to campaign.relative_cost: faults are trained by another room."""
    return run.network, run.protocol.precision, run.study == "faults"


def _hours_per_cost(stored):
    """Kind -> hours of one processor core per unit of campaign.relative_cost, as its finished runs took them."""
    from lth_utils import campaign, experiments

    timed = stored[(stored["cpu_seconds"] > 0) & stored["device"].str.startswith("cpu")]
    hours, cost = Counter(), Counter()
    for row in timed.to_dict("records"):
        run = experiments.Run.from_record(row)
        hours[_kind(run)] += row["cpu_seconds"] / 3600
        cost[_kind(run)] += campaign.relative_cost(run)
    return {kind: hours[kind] / cost[kind] for kind in hours}


def records(options):
    from lth_utils import records

    frame = records.read()
    frame = frame.assign(adopted=frame["run_key"].isin(records.committed().manifest()["run_key"]))
    by = ["network", "scale", "study", "variant", "arm", "procedure"]
    rows = [
        dict(zip(by, names, strict=True))
        | {"rounds": sorted(set(runs["pruning_round"].tolist()))}
        | {"trials": sorted(set(runs["trial"].tolist()))}
        | {"runs": len(runs), "adopted": int(runs["adopted"].sum()), "diverged": int(runs["diverged"].sum())}
        for names, runs in frame.groupby(by)
    ]
    if options.json:
        return print_json(rows)
    if rows:
        print_table([row | {name: ranges(row[name]) for name in ("rounds", "trials")} for row in rows])
    print(
        f"{len(frame)} runs in {frame['file'].nunique()} files, {int(frame['adopted'].sum())} of them adopted"
    )


def claims(options):
    from lth_utils import claims
    from lth_utils.notebooks import summaries

    comparison = claims.compare(_adopted(), _claim_ids(claims.ledger(), options))
    verdicts = claims.verdicts(comparison)
    if options.json:
        return print_json(_as_rows(comparison if options.conditions else verdicts))
    print(claims.comparison_text(comparison) if options.conditions else claims.verdicts_text(verdicts))
    print(f"\nclaims: {summaries.counts_text(comparison)}")


def _claim_ids(ledger, options):
    known = list(dict.fromkeys(ledger["claim"]))
    if unknown := [claim for claim in options.ids if claim not in known]:
        raise ValueError(f"no claim {', '.join(unknown)}; the ledger has {known[0]} to {known[-1]}")
    of_rank = set(
        ledger["claim"] if options.rank is None else ledger.loc[ledger["rank"] == options.rank, "claim"]
    )
    chosen = [claim for claim in options.ids or known if claim in of_rank]
    if not chosen:
        ranks = ", ".join(sorted(set(ledger["rank"])))
        raise ValueError(f"no such claim has rank {options.rank!r}; the ranks are {ranks}")
    return chosen


def _adopted():
    """The runs of the manifest that claims and figures rest on."""
    from lth_utils import records
    from lth_utils.notebooks import summaries

    return summaries.scored(records.read_adopted())


def figure(options):
    from lth_utils import plots

    name = options.name
    if name not in FIGURES:
        raise ValueError(f"no figure {name!r}; those of the paper that can be drawn are {', '.join(FIGURES)}")
    path = Path(options.out or ROOT / "build" / "figures" / f"figure_{name}.png")
    if path.suffix != ".png":
        raise ValueError(f"a figure is written as .png, with a .csv beside it: {path} does not end so")
    drawn, table = plots.figure(name, _adopted())
    plots.save(drawn, table, path.stem, folder=path.parent)
    points = {source: int((table["source"] == source).sum()) for source in ("ours", "paper")}
    print(f"{path} and .csv: {points['ours']} points of ours, {points['paper']} of the paper's")
    if not points["ours"]:
        print("no adopted run belongs to it yet; `python -m lth_utils plan` shows what is missing")


def verify(options):
    from lth_utils import records, verify

    if not options.retrain and (options.seed is not None or options.iterations is not None):
        raise ValueError("--seed and --iterations say how to --retrain; give --retrain 1 with them")
    tell = (lambda line: None) if options.json else print
    checks, retrained = [], []
    for check in verify.checks(records.committed()):
        checks.append(
            {"name": check.name, "ok": check.ok, "detail": check.detail, "problems": check.problems}
        )
        tell(f"{_word(check.ok)}{check.name}: {check.detail}")
        for problem in check.problems:
            tell(textwrap.indent("\n".join(map(_brief, problem.splitlines())), " " * 7))
    if options.retrain:
        retrained = list(_retrain(options, tell))
    if options.json:
        print_json({"checks": checks, "retrained": retrained})
    fine = all(check["ok"] for check in checks) and all(run["ok"] for run in retrained)
    tell("everything is as it should be" if fine else "something is wrong: see the lines above")
    return 0 if fine else PROBLEM_FOUND


def _retrain(options, tell):
    """Train randomly drawn records again; yields one dict per run."""
    from tqdm import tqdm

    from lth_utils import campaign, records, spot_check, verify

    frame, device = records.read(), campaign.default_device()
    seed = secrets.randbelow(2**32) if options.seed is None else options.seed
    drawn = spot_check.draw(frame, options.retrain, seed)
    tell(
        f"\nretraining {len(drawn)} of {len(frame)} runs ({device}); from this store --seed {seed} draws them again"
    )
    for record in drawn:
        total = spot_check.iterations_of(record, options.iterations)
        with tqdm(total=total, desc="retraining", unit="it", disable=None, leave=False) as bar:
            compared = spot_check.retrain(
                record,
                frame,
                records.committed(),
                len(drawn),
                options.iterations,
                device=device,
                progress=lambda iteration, bar=bar: bar.update(iteration - bar.n),
            )
        fine = all(one.outcome != "outside" for one in compared)
        tell(f"{_word(fine)}{verify.describe(record)}: {total:,} iterations")
        rows = [_comparison_row(one) for one in compared]
        if not options.json:
            print_table(rows)
        yield {"run": verify.describe(record), "run_key": record["run_key"], "seed": seed} | {
            "iterations": total,
            "ok": fine,
            "comparisons": rows,
        }


def _comparison_row(one):
    names = ("quantity", "recorded", "retrained", "difference", "tolerance", "outcome", "remark")
    values = (getattr(one, name) for name in names)
    return dict(zip(names, (None if value != value else value for value in values), strict=True))  # NaN: null


def print_json(content) -> None:
    """Valid JSON, and nothing else: no NaN, which only Python reads."""
    print(json.dumps(content, indent=2, allow_nan=False, default=list))


def _as_rows(frame):
    """A DataFrame as plain dicts; numbers that are not finite become null."""
    return json.loads(frame.to_json(orient="records", double_precision=15))


def print_table(rows: list[dict], form: str = ".7g") -> None:
    """Columns under their names, text to the left, numbers to the right; fractions as `form` says, None as "-"."""
    heads = list(rows[0])
    numeric = [any(isinstance(row[head], int | float) for row in rows) for head in heads]
    lines = [heads, *([_cell(row[head], form) for head in heads] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines)]
    for line in lines:
        cells = zip(line, widths, numeric)
        print("  ".join(cell.rjust(w) if number else cell.ljust(w) for cell, w, number in cells).rstrip())


def _cell(value, form):
    if value is None:
        return "-"
    return format(value, form) if isinstance(value, float) else str(value)


def ranges(numbers) -> str:
    """Whole numbers as a reader writes them: "0-4, 7"."""
    parts = []
    for number in sorted(numbers):
        if parts and number == parts[-1][1] + 1:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    return ", ".join(f"{low}" if low == high else f"{low}-{high}" for low, high in parts)


def _brief(line):
    """A line that fits a screen: whole cells of notebooks do not."""
    return line if len(line) <= 300 else f"{line[:200]} ... {line[-80:]}"


def _word(fine):
    return "ok     " if fine else "WRONG  "
