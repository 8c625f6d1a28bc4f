"""The records that a notebook or a command asks for: read, or trained first where its profile says so."""

import sys
from functools import partial

import pandas as pd
from tqdm import tqdm

from lth_utils import ROOT, experiments, gpu, records
from lth_utils.experiments import Run, costs, runner, worker
from lth_utils.records import Store, StoreError

QUICK_RECORDS = ROOT / "build" / "records"


def missing(plan: list[Run], store: Store) -> list[Run]:
    """Runs of the plan without a record, in plan order."""
    stored = set(store.rows()["run_key"])
    return [run for run in plan if run.key not in stored]


def train(plan: list[Run], store: Store, device: str = "cpu", workers: int | None = None, **options) -> None:
    """Train what is missing of a plan: in this process, or in as many of its own. options: of runner.execute.

    Raises ValueError for a device that is not there.
    """
    require_device(device)
    # the version of what is loaded now: the checkout may change while this trains
    work = partial(worker.train_stack, device=device, version=worker.code_version())
    packed = partial(experiments.stacks, on_gpu=device.startswith("cuda"))
    options = {"cost": partial(costs.relative_cost, device=device), "stacks": packed} | options
    with runner.InProcess() if workers is None else runner.processes(workers) as executor:
        runner.execute(plan, store, executor, work, at_once=workers or 1, **options)


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
        hidden = False if _in_notebook() else None  # None: shown on a terminal only
        with tqdm(total=len(missing(plan, store)), desc="training", unit="run", disable=hidden) as bar:
            train(plan, store, default_device(), tell=lambda runs, line: bar.update(runs))
        frame = store.rows()
    there = set(frame["run_key"]) | lost(plan, frame)
    if absent := [run.identity for run in plan if run.key not in there]:
        hint = "`make train` makes what is missing, `make report` adopts whole waves"
        raise StoreError(f"{len(absent)} planned run(s) have no record ({hint}); the first: {absent[0]}")
    planned = frame[frame["run_key"].isin([run.key for run in plan])]
    return planned.sort_values(list(records.IDENTITY)).reset_index(drop=True)


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
    records.require_known("profile", profile, folders)
    return Store(folders[profile])


def _in_notebook() -> bool:
    """Whether a Jupyter kernel runs this: its streams are no terminal, and yet somebody watches them."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return hasattr(shell, "kernel")


def default_device() -> str:
    """What LTH_DEVICE names, else a GPU that can be used, else the CPU."""
    return gpu.default_device()


def require_device(device: str) -> None:
    """ValueError in one line for a device that cannot be used."""
    if reason := gpu.usable(device):
        raise ValueError(f"the device {device!r} cannot be used here: {reason}")
