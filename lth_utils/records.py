"""The store of run records: one immutable Parquet file per finished stack, one row per trained network.

    <folder>/_manifest.csv                           the runs that the committed notebooks use
    <folder>/<network>/<scale>/<hash>.parquet        records; the hash is over the run keys inside
    <folder>/<network>/<scale>/_chains/<name>.npz    per trial: in which round each weight was pruned
    <folder>/<network>/<scale>/_weights/<name>.npz   final weights that later analyses need
    <folder>/<network>/<scale>/_errors/<name>.npz    the test images on which these networks err most surely
    <folder>/_claims/<run key>.lock                  held while a run is trained; not committed

Files are written under a temporary name and renamed, so a reader never sees half a file. Names that start with
"_" are not records: `pandas.read_parquet(folder)` works as it stands.
"""

import hashlib
import json
import os
import re
import tempfile
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from lth_utils import ROOT

COMMITTED = ROOT / "notebooks" / "records"

IDENTITY = {
    "network": pa.string(),
    "variant": pa.string(),
    "study": pa.string(),
    "scale": pa.string(),
    "procedure": pa.string(),
    "arm": pa.string(),
    "trial": pa.int32(),
    "replicate": pa.int32(),
    "pruning_round": pa.int32(),
    "protocol_key": pa.string(),
}
MEASURES = {
    "percent_remaining": pa.float64(),
    "training_iterations": pa.int32(),
    "early_stop_iteration": pa.int32(),
    "validation_loss_at_early_stop": pa.float64(),
    "validation_accuracy_at_early_stop": pa.float64(),
    "test_accuracy_at_early_stop": pa.float64(),
    "train_accuracy_at_early_stop": pa.float64(),
    "test_accuracy_at_end": pa.float64(),
    "train_accuracy_at_end": pa.float64(),
    "diverged": pa.bool_(),
    "protocol": pa.string(),
    "protocol_differences": pa.string(),
    "precision": pa.string(),
    "device": pa.string(),
    "wall_seconds": pa.float64(),
    "cpu_seconds": pa.float64(),
    "torch_version": pa.string(),
    "code_version": pa.string(),
    "seeds": pa.string(),
}
CURVES = ("iteration", "validation_loss", "validation_accuracy", "test_accuracy")
SCHEMA = pa.schema(IDENTITY | MEASURES | {f"curve_{name}": pa.list_(pa.float32()) for name in CURVES})


MEND = "restore it from git, or delete it and the later rounds of its trials, and train again"


class StoreError(RuntimeError):
    """A file of the store is damaged, foreign, missing or says the same run twice; the message names it."""


def run_key(identity: Mapping) -> str:
    """Sixteen hexadecimal digits that identify one run: the SHA-256 of its identity columns."""
    plain = {name: identity[name] for name in IDENTITY}
    plain |= {name: int(plain[name]) for name in ("trial", "replicate", "pruning_round")}
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:16]


def write(rows: list[dict], folder: Path = COMMITTED) -> Path:
    """Write one stack's rows as one new file and return its path; rows share network and scale."""
    place = {(row["network"], row["scale"]) for row in rows}
    if len(place) != 1:
        raise ValueError(f"the rows of one file share network and scale, got {sorted(place)}")
    ((network, scale),) = place
    target = folder / network / scale / f"{_file_hash(map(run_key, rows))}.parquet"
    table = pa.Table.from_pylist(rows, schema=SCHEMA)
    _write_atomically(
        target, lambda path: pq.write_table(table, path, compression="zstd", write_page_checksum=True)
    )
    return target


def _file_hash(keys: Iterable[str]) -> str:
    return hashlib.sha256("".join(sorted(keys)).encode()).hexdigest()[:16]


def write_bytes(target: Path, content: bytes) -> None:
    """Write a file under a temporary name beside it, then rename: a reader never sees half of it."""
    _write_atomically(target, lambda path: Path(path).write_bytes(content))


def _write_atomically(target: Path, save: Callable[[str], object]) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix="_tmp-", suffix=target.suffix, dir=target.parent)
    os.close(handle)
    try:
        save(temporary)
        os.chmod(temporary, 0o644)
        os.replace(temporary, target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def files(folder: Path = COMMITTED) -> list[Path]:
    """Every record file of the store, sorted; StoreError names a file that does not belong there."""
    found = []
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        if path.is_dir() or any(part.startswith(("_", ".")) for part in inside.parts):
            continue
        if len(inside.parts) != 3 or not re.fullmatch(r"[0-9a-f]{16}\.parquet", inside.name):
            raise StoreError(f"{inside} is not a record file; remove it from {folder.name}/")
        found.append(path)
    return found


def read(folder: Path = COMMITTED) -> pd.DataFrame:
    """Every run of the store with its `run_key`; StoreError names damaged files and runs stored twice."""
    frames = [_read_file(path, folder, path.stat().st_mtime_ns) for path in files(folder)]
    if not frames:
        return pd.DataFrame(columns=["run_key", *SCHEMA.names, "file"])
    frame = pd.concat(frames, ignore_index=True)
    _refuse_duplicates(frame, ["run_key"])
    return frame


@lru_cache(4096)
def _read_file(path: Path, folder: Path, written: int) -> pd.DataFrame:
    """Read once: files never change, and workers that wait for each other look at the whole store every two seconds."""
    inside = path.relative_to(folder)
    try:
        table = pq.read_table(path, partitioning=None, page_checksum_verification=True)
        same_columns = (table.schema.names, table.schema.types) == (SCHEMA.names, SCHEMA.types)
        frame = table.to_pandas()
    except (pa.ArrowException, OSError, ValueError) as error:  # the last for text that is no text any more
        raise StoreError(f"{inside} cannot be read ({error}); {MEND}") from error
    if not same_columns:
        raise StoreError(
            f"{inside} has other columns than this version writes; check out the version that wrote it"
        )
    frame.insert(0, "run_key", [run_key(row) for row in frame[list(IDENTITY)].to_dict("records")])
    if path.stem != _file_hash(frame["run_key"]):
        raise StoreError(
            f"{inside}: the name does not match the runs inside; the file was altered or renamed"
        )
    if {tuple(inside.parts[:2])} != set(zip(frame["network"], frame["scale"], strict=True)):
        raise StoreError(f"{inside} lies in the wrong folder for its network and scale")
    return frame.assign(file=str(inside))


def _refuse_duplicates(frame, columns):
    twice = frame[frame.duplicated(columns, keep=False)]
    if len(twice):
        first = twice.iloc[0]
        places = ", ".join(sorted(set(twice[(twice[columns] == first[columns]).all(axis=1)]["file"])))
        what = {name: first[name] for name in IDENTITY}
        if "run_key" not in columns:
            raise StoreError(f"one run under two protocols, in {places}; choose one by protocol_key: {what}")
        raise StoreError(f"the same run is stored twice, in {places}: {what}")


def load(
    network=None,
    arm=None,
    procedure=None,
    study="paper",
    variant="",
    scale=None,
    folder: Path = COMMITTED,
    adopted: bool = False,
    **more,
) -> pd.DataFrame:
    """One row per run that matches; each filter is a value or a list of values, None matches everything.

    adopted: only the runs of the manifest, StoreError if one of them is missing. more: further columns, as
    trial=0 or pruning_round=[0, 3, 7]. Scales are never mixed: ValueError if scale=None matches several.
    """
    frame = read_adopted(folder) if adopted else read(folder)
    wanted = {
        "network": network,
        "arm": arm,
        "procedure": procedure,
        "study": study,
        "variant": variant,
        "scale": scale,
    } | more
    for column, values in wanted.items():
        if column not in frame.columns:
            raise ValueError(f"records have no column {column!r}; columns: {', '.join(SCHEMA.names)}")
        if values is not None:
            frame = frame[frame[column].isin([values] if np.isscalar(values) else list(values))]
    for _, runs in frame.groupby("network"):
        if runs["scale"].nunique() > 1:
            scales = ", ".join(sorted(runs["scale"].unique()))
            raise ValueError(f"scales are never averaged together; choose one of: {scales}")
    _refuse_duplicates(frame, [name for name in IDENTITY if name != "protocol_key"])
    return frame.sort_values(list(IDENTITY)).reset_index(drop=True)


def curves(frame: pd.DataFrame) -> pd.DataFrame:
    """One row per evaluation: identity, percent_remaining, iteration and the three curves."""
    lists = [f"curve_{name}" for name in CURVES]
    long = frame[["run_key", *IDENTITY, "percent_remaining", *lists]].explode(lists, ignore_index=True)
    long = long.rename(columns=dict(zip(lists, CURVES, strict=True)))
    return long.astype({"iteration": int} | dict.fromkeys(CURVES[1:], float))


def manifest(folder: Path = COMMITTED) -> pd.DataFrame:
    """The adopted runs: run_key and identity columns; empty if nothing has been adopted yet."""
    path = folder / "_manifest.csv"
    if not path.exists():
        return pd.DataFrame(columns=["run_key", *IDENTITY])
    return pd.read_csv(path, dtype={"run_key": str, "variant": str}, keep_default_na=False)


def adopt(frame: pd.DataFrame, folder: Path = COMMITTED) -> int:
    """Add the runs of `frame` to the manifest; returns how many were new."""
    before = manifest(folder)
    new = frame[~frame["run_key"].isin(before["run_key"])]
    together = (
        pd.concat([before, new[["run_key", *IDENTITY]]]) if len(before) else new[["run_key", *IDENTITY]]
    )
    together = together.sort_values(list(IDENTITY))
    _write_atomically(folder / "_manifest.csv", lambda path: together.to_csv(path, index=False))
    return len(new)


def read_adopted(folder: Path = COMMITTED) -> pd.DataFrame:
    """The runs of the manifest, which the committed notebooks show; StoreError if one of them has no record."""
    frame, expected = read(folder), manifest(folder)
    missing = expected[~expected["run_key"].isin(frame["run_key"])]
    if len(missing):
        what = missing.iloc[0][list(IDENTITY)].to_dict()
        raise StoreError(
            f"{len(missing)} run(s) of the manifest have no record; `git restore notebooks/records` brings back what git has; the first: {what}"
        )
    return frame[frame["run_key"].isin(expected["run_key"])]


def save_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write named arrays beside the records, compressed, under a temporary name first."""

    def save(temporary):
        with open(temporary, "wb") as file:
            np.savez_compressed(file, **arrays)

    _write_atomically(path, save)


def load_arrays(path: Path) -> dict[str, np.ndarray]:
    """Read what `save_arrays` wrote; StoreError if the file is missing or damaged."""
    try:
        with open(path, "rb") as file, np.load(file) as arrays:
            return dict(arrays)
    except (
        Exception
    ) as error:  # zip, zlib and NumPy raise nearly anything on altered bytes, KeyError included
        raise StoreError(f"{path.name} cannot be read ({type(error).__name__}: {error}); {MEND}") from error
