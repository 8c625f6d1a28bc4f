"""What a worker does with a stack of runs: find where they start, train them side by side, leave masks, store records."""

import contextlib
import json
import subprocess
import time
import traceback
from functools import cache
from pathlib import Path

import torch

from lth_utils import ROOT, paper, records, training
from lth_utils import data as data_room
from lth_utils import masks as masking
from lth_utils.experiments import arms
from lth_utils.experiments.runs import Run


class WorkerError(RuntimeError):
    """A worker could not go on; the message says why. What was finished before is in the store."""


class OutOfTime(Exception):
    """Raised at an evaluation after the deadline."""


@contextlib.contextmanager
def one_line():
    """Whatever is raised becomes a WorkerError that any process can be sent: message, type and line of this package."""
    try:
        yield
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        own = [frame for frame in frames if Path(frame.filename).is_relative_to(ROOT / "lth_utils")]
        place = (own or frames)[-1]
        where = f"{Path(place.filename).name}, line {place.lineno}, in {place.name}"
        raise WorkerError(f"{error} ({type(error).__name__}; {where})") from None


@one_line()
def train_stack(runs, store, deadline, device="cpu", version="unknown") -> dict[str, bool] | None:
    """Train runs side by side, and store what they leave; run key -> diverged, or None if the deadline came first.

    A "continued" run is trained with a companion, which is what it prunes; if either diverges, its chain ends.
    """
    starts = [arms.starting_point(run, store) for run in runs]
    paired = [index for index, run in enumerate(runs) if run.procedure == "continued"]
    starts += [arms.continuation(runs[index], store, starts[index][1]) for index in paired]
    before = time.perf_counter(), time.process_time()
    try:
        results = _train([*runs, *(runs[index] for index in paired)], starts, deadline, device)
    except OutOfTime:
        return None
    spent = time.perf_counter() - before[0], time.process_time() - before[1]
    cost = dict(zip(("wall_seconds", "cpu_seconds"), (seconds / len(runs) for seconds in spent)))
    companions = dict(zip(paired, results[len(runs) :]))
    rows = []
    for index, (run, (_, masks), result) in enumerate(zip(runs, starts, results)):
        pruned_from = companions.get(index, result)
        leave(run, masks, result, pruned_from, store)
        diverged = {"diverged": result.diverged or pruned_from.diverged}
        rows.append(_measures(run, result, masks) | circumstances(run, device, version) | cost | diverged)
    store.write(rows)
    return {run.key: row["diverged"] for run, row in zip(runs, rows)}


def _train(runs, starts, deadline, device):
    def in_time(iteration):
        if time.time() > deadline:
            raise OutOfTime

    return training.train(
        runs[0].network,
        initial_weights=[weights for weights, _ in starts],
        masks=[masks for _, masks in starts],
        seeds=[run.seeds["data_order"] for run in runs],
        protocol=runs[0].protocol,
        data=data(runs[0].network, device),
        device=device,
        test_curve_until=max(run.test_curve_until for run in runs),
        progress=in_time,
    )


@cache
def data(network: str, device: str) -> data_room.Dataset:
    """The images of a network, once per process."""
    return data_room.load(paper.DATASETS[network], device=device)


def leave(run, masks, result, pruned_from, store) -> None:
    """What later runs and analyses go on from."""
    if run.is_pruned and not pruned_from.diverged:
        following = arms.next_masks(run, pruned_from.final_weights, masks)
        store.extend(run, masks, following, pruned_from.final_weights)
    if run.keeps_weights:
        store.keep_weights(run, result.final_weights)


def _measures(run, result, masks):
    """What a run measured, as columns of its record."""
    measured = {name: getattr(result, name) for name in records.MEASURES if hasattr(result, name)}
    measured |= {f"curve_{name}": result.curves[name] for name in records.CURVES}
    measured["training_iterations"] = run.protocol.training_iterations
    return measured | {"percent_remaining": 100 * masking.density(masks)}


def circumstances(run: Run, device: str, version: str) -> dict[str, str]:
    """The columns of a record that say which run it is and how it was trained, whatever it measured."""
    return run.identity | {
        "protocol": json.dumps(run.protocol.to_dict(), sort_keys=True),
        "protocol_differences": "; ".join(run.protocol.differences_from_paper()),
        "precision": run.protocol.precision,
        "device": device_name(device),
        "torch_version": torch.__version__,
        "code_version": version,
        "seeds": json.dumps(run.seeds),
    }


def device_name(device: str) -> str:
    cuda = device.startswith("cuda")
    return torch.cuda.get_device_name(device) if cuda else f"cpu, {torch.get_num_threads()} thread(s)"


def code_version() -> str:
    """The commit that is checked out, with "+" if lth_utils differs from it; "unknown" outside a checkout."""

    def git(*words):
        return subprocess.check_output(
            ["git", "-C", ROOT, *words], text=True, stderr=subprocess.DEVNULL
        ).strip()

    try:
        changed = git("status", "--porcelain", "-uno", "lth_utils")
        return git("rev-parse", "--short", "HEAD") + ("+" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
