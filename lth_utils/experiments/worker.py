"""What a worker does with a stack of runs: find where they start, train them side by side, leave masks, store records."""

import contextlib
import json
import subprocess
import time
import traceback
from functools import cache
from pathlib import Path

import torch

from lth_utils import ROOT, experiments, networks, paper, records, training
from lth_utils import data as data_room
from lth_utils import masks as masking
from lth_utils.experiments import Run

ERRORS_KEPT = 40


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
    """Train runs side by side, with the companions that "continued" runs prune from, and store their records."""
    starts = [experiments.starting_point(run, store) for run in runs]
    paired = [index for index, run in enumerate(runs) if run.procedure == "continued"]
    everyone = starts + [experiments.continuation(runs[i], store, starts[i][1]) for i in paired]

    def in_time(iteration):
        if time.time() > deadline:
            raise OutOfTime

    before = time.perf_counter(), time.process_time()
    try:
        results = training.train(
            runs[0].network,
            initial_weights=[weights for weights, _ in everyone],
            masks=[masks for _, masks in everyone],
            seeds=[run.seeds["data_order"] for run in [*runs, *(runs[i] for i in paired)]],
            protocol=runs[0].protocol,
            data=data(runs[0].network, device),
            device=device,
            test_curve_until=max(run.test_curve_until for run in runs),
            progress=in_time,
        )
    except OutOfTime:
        return None
    spent = time.perf_counter() - before[0], time.process_time() - before[1]
    cost = dict(zip(("wall_seconds", "cpu_seconds"), (seconds / len(runs) for seconds in spent)))
    pruned_from = dict(enumerate(results[: len(runs)])) | dict(zip(paired, results[len(runs) :]))
    rows = []
    for index, (run, (_, masks)) in enumerate(zip(runs, starts)):
        leave(run, masks, results[index], pruned_from[index], store)
        diverged = results[index].diverged or pruned_from[index].diverged  # of both, no chain can go on
        known = circumstances(run, device, version) | cost | {"diverged": diverged}
        rows.append(_measures(run, results[index], masks) | known)
    store.write(rows)
    return {run.key: row["diverged"] for run, row in zip(runs, rows)}


@cache
def data(network: str, device: str) -> data_room.Dataset:
    """The images of a network, once per process."""
    return data_room.load(paper.DATASETS[network], device=device)


def leave(run, masks, result, pruned_from, store) -> None:
    """What later runs and analyses go on from."""
    if run.is_pruned and not pruned_from.diverged:
        following = experiments.next_masks(run, pruned_from.final_weights, masks)
        store.extend(run, masks, following, pruned_from.final_weights)
    if run.keeps_weights:
        seen, weights = data(run.network, "cpu"), result.final_weights
        images = data_room.scale_pixels(seen.test_images, run.protocol.pixel_scaling)
        shown = images, seen.test_images, seen.test_labels
        store.keep_weights(
            run, weights, networks.most_confident_errors(run.network, weights, *shown, ERRORS_KEPT)
        )


def _measures(run, result, masks):
    """What a run measured, as columns of its record."""
    return (
        {name: getattr(result, name) for name in records.MEASURES if hasattr(result, name)}
        | {
            "percent_remaining": 100 * masking.density(masks),
            "training_iterations": run.protocol.training_iterations,
        }
        | {f"curve_{name}": result.curves[name] for name in records.CURVES}
    )


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
    git = ["git", "-C", str(ROOT)]
    with contextlib.suppress(OSError, subprocess.CalledProcessError):
        commit = subprocess.run(
            [*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True
        )
        changed = subprocess.run(
            [*git, "status", "--porcelain", "-uno", "lth_utils"], capture_output=True, text=True
        )
        return commit.stdout.strip() + ("+" if changed.stdout.strip() else "")
    return "unknown"
