"""Execute a plan: train what is missing, stack by stack, within a budget, resumable after any interruption.

Several workers (processes) may serve one store, with one plan or with plans that overlap: every run of a stack is
claimed through a file lock, which the system releases when a worker dies, however it dies. A killed worker loses at
most the stack it was training.
"""

import contextlib
import fcntl
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import torch
from tqdm import tqdm

from lth_utils import ROOT, experiments, layers, networks, paper, records, stacks, training
from lth_utils import data as data_room
from lth_utils import masks as masking
from lth_utils.experiments import Run
from lth_utils.records import Store

CLAIM_POLL_SECONDS = 2.0
ERRORS_KEPT = 40
QUICK_RECORDS = ROOT / "build" / "records"


class Campaign:
    """A plan and the store that it fills. Raises ValueError for a device that is not there."""

    def __init__(self, plan: list[Run], store: Store, device: str = "cpu"):
        _require_device(device)
        self.stacks = experiments.stacks(plan)
        self.plan, self.store, self.device = plan, store, device
        self.code_version = code_version()  # of what is loaded now: the checkout may change while this trains
        self._data = {}

    def missing(self) -> list[Run]:
        """Runs of the plan without a record, in plan order."""
        done = set(self.store.rows()["run_key"])
        return [run for run in self.plan if run.key not in done]

    def work(
        self, budget_seconds: float | None = None, done: Callable[[list[Run], float], None] | None = None
    ) -> None:
        """Train stacks until nothing is left that this worker could do, or the next one would exceed the budget.

        done: called with the runs of every finished stack and its seconds. The first stack always starts; later ones
        only if their estimate, scaled from the stack before, fits into what is left of the budget.
        """
        started, seconds_per_cost = time.monotonic(), None
        while (claimed := self._claim()) is not None:
            runs, locks = claimed
            with locks:
                cost = sum(relative_cost(run, self.device) for run in runs)
                if budget_seconds is not None and seconds_per_cost is not None:
                    end = time.monotonic() - started + cost * seconds_per_cost
                    if end > budget_seconds:
                        return
                before = time.monotonic()
                self._train(runs)
                seconds = time.monotonic() - before
                seconds_per_cost = seconds / cost
                if done:
                    done(runs, seconds)

    def _claim(self):
        """The first stack with runs that are missing and ready, as (these runs, held locks on the whole stack).

        Waits while all such stacks are in other workers' hands; None when no run of the plan can become ready.
        """
        while open_stacks := self._open_stacks():
            for stack, _ in open_stacks:
                locks = lock([self.store.folder / "_claims" / f"{run.key}.lock" for run in stack])
                if locks is None:
                    continue
                runs = next((runs for other, runs in self._open_stacks() if other is stack), None)
                if runs:
                    return runs, locks
                locks.close()
                break  # finished by another worker in the meantime, so that other stacks may be ready: look again
            else:
                time.sleep(CLAIM_POLL_SECONDS)
        return None

    def _open_stacks(self):
        """(stack, its runs that are missing and ready) for every stack that has such runs."""
        frame = self.store.rows()
        done = set(frame["run_key"])
        usable = done - set(frame.loc[frame["diverged"].astype(bool), "run_key"])
        ready = [(s, [r for r in s if r.key not in done and self._ready(r, usable)]) for s in self.stacks]
        return [(stack, runs) for stack, runs in ready if runs]

    def _ready(self, run, usable):
        needed = experiments.needs(run)
        return needed is None or needed.key in usable

    def _train(self, runs: list[Run]) -> None:
        """Train the runs, and behind them the companions that "continued" runs prune from, as one stack."""
        starts = [experiments.starting_point(run, self.store) for run in runs]
        companions = [index for index, run in enumerate(runs) if run.procedure == "continued"]
        everyone = starts + [experiments.continuation(runs[i], self.store, starts[i][1]) for i in companions]
        before, cpu_before = time.perf_counter(), time.process_time()
        results = training.train(
            runs[0].network,
            initial_weights=[weights for weights, _ in everyone],
            masks=[masks for _, masks in everyone],
            seeds=[run.seeds["data_order"] for run in [*runs, *(runs[i] for i in companions)]],
            protocol=runs[0].protocol,
            data=self.data(runs[0].network),
            device=self.device,
            test_curve_until=max(run.test_curve_until for run in runs),
        )
        cost = {
            "wall_seconds": (time.perf_counter() - before) / len(runs),
            "cpu_seconds": (time.process_time() - cpu_before) / len(runs),
        }
        pruned_from = list(results[: len(runs)])
        for index, result in zip(companions, results[len(runs) :], strict=True):
            pruned_from[index] = result
        rows = []
        for run, result, source, (_, masks) in zip(runs, results, pruned_from, starts, strict=False):
            self._leave(run, masks, result, source)
            diverged = result.diverged or source.diverged  # of both, no chain can go on
            more = {"diverged": diverged, "code_version": self.code_version}
            rows.append(_row(run, result, masks, cost, self.device) | more)
        self.store.write(rows)

    def _leave(self, run, masks, result, pruned_from):
        if run.is_pruned and not pruned_from.diverged:
            following = experiments.next_masks(run, pruned_from.final_weights, masks)
            self.store.extend(run, masks, following, pruned_from.final_weights)
        if run.keeps_weights:
            self.store.keep_weights(run, result.final_weights, self._errors(run, result.final_weights))

    def _errors(self, run, weights):
        data, network = self.data(run.network), run.network
        images = data_room.scale_pixels(data.test_images, run.protocol.pixel_scaling).cpu()
        pixels, labels = data.test_images.cpu(), data.test_labels.cpu()
        return networks.most_confident_errors(network, weights, images, pixels, labels, ERRORS_KEPT)

    def data(self, network: str):
        name = paper.DATASETS[network]
        if name not in self._data:
            self._data[name] = data_room.load(name, device=self.device)
        return self._data[name]


def obtain(plan: list[Run], profile: str) -> pd.DataFrame:
    """The records of a plan, one row per run, as a notebook's profile wants them.

    "report": only committed and adopted records; trains nothing.
    "quick": trains what is missing into build/records; "paper": into the committed store.
    Raises ValueError for another profile, before anything is trained; StoreError if a run has no record, unless a
    network that its mask comes from has diverged, so that it can have none.
    """
    store = chain(profile)
    if profile == "report":
        frame = store.adopted()
    else:
        work = Campaign(plan, store, default_device())
        if missing := work.missing():
            hidden = False if _in_notebook() else None  # None: shown on a terminal only
            with tqdm(total=len(missing), desc="training", unit="run", disable=hidden) as bar:
                work.work(done=lambda runs, _: bar.update(len(runs)))
        frame = store.rows()
    keys = {run.key: run for run in plan}
    there = set(frame["run_key"]) | lost(plan, frame)
    if absent := [run.identity for key, run in keys.items() if key not in there]:
        hint = "`make train` makes what is missing, `make report` adopts whole waves"
        raise records.StoreError(
            f"{len(absent)} planned run(s) have no record ({hint}); the first: {absent[0]}"
        )
    return frame[frame["run_key"].isin(keys)].sort_values(list(records.IDENTITY)).reset_index(drop=True)


def lost(plan: list[Run], frame: pd.DataFrame) -> set[str]:
    """Keys of planned runs that can never be trained: a network that their mask comes from has diverged.

    frame: rows of a store. In every plan a run stands behind the one that it needs.
    """
    stored, gone = set(frame["run_key"]), set(frame.loc[frame["diverged"].astype(bool), "run_key"])
    for run in plan:
        needed = experiments.needs(run)
        if run.key not in stored and needed is not None and needed.key in gone:
            gone.add(run.key)
    return gone - stored


def chain(profile: str) -> Store:
    """The store of a notebook's profile; ValueError for an unknown profile."""
    folders = {"report": records.COMMITTED, "quick": QUICK_RECORDS, "paper": records.COMMITTED}
    if profile not in folders:
        raise ValueError(f"profile must be one of {', '.join(map(repr, folders))}, not {profile!r}")
    return Store(folders[profile])


def _in_notebook() -> bool:
    """Whether a Jupyter kernel runs this: its streams are no terminal, and yet somebody watches them."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return hasattr(shell, "kernel")


def default_device() -> str:
    """A GPU where there is one, else the CPU."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def relative_cost(run: Run, device: str = "cpu") -> float:
    """Estimated work of a run in units of one dense iteration of the same network.

    On one thread of a CPU a sparse fully connected network costs 0.16 + 3.4 * density of a dense one (Lenet in stacks of
    20, densities 1.2 to 17 %); any other, and all in bfloat16 or on a GPU, costs the same at any density. A "continued"
    run trains two networks.
    """
    share = run.percent_remaining / 100
    single = device == "cpu" and run.protocol.precision == "float32"
    stacked = single and stacks.kind(run.network) is stacks.StackedMlp
    density_counts = stacked and share < layers.SPARSE_BELOW_DENSITY
    dense_iterations = run.networks_trained * run.protocol.training_iterations
    return dense_iterations * (0.16 + 3.4 * share if density_counts else 1.0)


def _require_device(device):
    try:
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError) as error:  # the second where torch was built without CUDA
        reason = str(error).partition("\n")[0]
        raise ValueError(f"the device {device!r} cannot be used here: {reason}") from None


def lock(paths: list[Path]) -> contextlib.ExitStack | None:
    """Exclusive locks on all these files, which end with their holder; None while another process holds one."""
    with contextlib.ExitStack() as held:
        # In one order, so that of two workers with overlapping stacks one gets its own.
        for path in sorted(paths):
            path.parent.mkdir(parents=True, exist_ok=True)
            file = held.enter_context(path.open("w"))
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return None
        return held.pop_all()


def _row(run, result, masks, cost, device):
    measures = {name: getattr(result, name) for name in records.MEASURES if hasattr(result, name)}
    return (
        run.identity
        | measures
        | cost
        | circumstances(run, device)
        | {
            "percent_remaining": 100 * masking.density(masks),
            "training_iterations": run.protocol.training_iterations,
        }
        | {f"curve_{name}": result.curves[name] for name in records.CURVES}
    )


def circumstances(run: Run, device: str) -> dict[str, str]:
    """The columns of a record that say how a run was trained, whatever it measured."""
    return {
        "protocol": json.dumps(run.protocol.to_dict(), sort_keys=True),
        "protocol_differences": "; ".join(run.protocol.differences_from_paper()),
        "precision": run.protocol.precision,
        "device": device_name(device),
        "torch_version": torch.__version__,
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
