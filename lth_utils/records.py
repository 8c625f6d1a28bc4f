"""The store of run records: one immutable Parquet file per finished stack, one row per trained network, and beside them
what runs leave for later ones.

    <folder>/_manifest.csv                           the runs that the committed notebooks use
    <folder>/<network>/<scale>/<hash>.parquet        records; the hash is over the run keys inside
    <folder>/<network>/<scale>/_chains/<name>.npz    masks of a trial: in which round each weight was pruned
    <folder>/<network>/<scale>/_weights/<name>.npz   final weights that later analyses need
    <folder>/_claims/<name>.lock                     held while somebody trains into the store; not committed

Files are written under a temporary name and renamed, so a reader never sees half a file. Names that start with
"_" are not records: `pandas.read_parquet(folder)` works as it stands.
"""

import difflib
import hashlib
import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from lth_utils import ROOT, networks, paper
from lth_utils.kept import MEND, Kept, StoreError, write_atomically

COMMITTED = ROOT / "notebooks" / "records"

TEXT, COUNT, NUMBER = pa.string(), pa.int32(), pa.float64()
IDENTITY = {
    **dict.fromkeys(("network", "variant", "study", "scale", "procedure", "arm"), TEXT),
    **dict.fromkeys(("trial", "replicate", "pruning_round"), COUNT),
    "protocol_key": TEXT,
}
MEASURES = {
    "percent_remaining": NUMBER,
    "training_iterations": COUNT,
    "early_stop_iteration": COUNT,
    "validation_loss_at_early_stop": NUMBER,
    "validation_accuracy_at_early_stop": NUMBER,
    "test_accuracy_at_early_stop": NUMBER,
    "train_accuracy_at_early_stop": NUMBER,
    "test_accuracy_at_end": NUMBER,
    "train_accuracy_at_end": NUMBER,
    "diverged": pa.bool_(),
    **dict.fromkeys(("protocol", "protocol_differences", "precision", "device"), TEXT),
    **dict.fromkeys(("wall_seconds", "cpu_seconds"), NUMBER),
    **dict.fromkeys(("torch_version", "code_version", "seeds"), TEXT),
}
LATER: dict[str, object] = {}  # column that older files lack -> what their runs had
CURVES = ("iteration", "validation_loss", "validation_accuracy", "test_accuracy")
SCHEMA = pa.schema(IDENTITY | MEASURES | {f"curve_{name}": pa.list_(pa.float32()) for name in CURVES})
WORDS = {  # column -> what may stand there, whether or not a record says so yet
    "network": networks.NETWORKS,
    "variant": ("",),
    "study": ("paper", "baseline", "faults", "retrained"),
    "scale": ("paper", "reduced", "short", "quick"),
    "procedure": paper.PROCEDURES,
    "arm": paper.ARMS,
}


def require_known(what: str, value: str, known: Collection[str]) -> None:
    """ValueError for a value that is not known: what may have been meant, and what there is."""
    if value not in known:
        near = difflib.get_close_matches(str(value), known, 1)
        meant = f"; did you mean {near[0]!r}?" if near else ";"
        raise ValueError(f"unknown {what} {value!r}{meant} there are {', '.join(filter(None, known))}")


def run_key(identity: Mapping) -> str:
    """Sixteen hexadecimal digits that identify one run: the SHA-256 of its identity columns."""
    plain = {name: identity[name] for name in IDENTITY}
    plain |= {name: int(plain[name]) for name in ("trial", "replicate", "pruning_round")}
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Store(Kept):
    """One folder of records. Nothing is read before it is asked for; a missing folder is an empty store."""

    # ------------------------------------------------------------ rows

    def files(self) -> list[Path]:
        """Every record file, sorted; StoreError names a file that does not belong there."""
        found = []
        for path in sorted(self.folder.rglob("*")):
            inside = path.relative_to(self.folder)
            if path.is_dir() or any(part.startswith(("_", ".")) for part in inside.parts):
                continue
            if len(inside.parts) != 3 or not re.fullmatch(r"[0-9a-f]{16}\.parquet", inside.name):
                raise StoreError(f"{inside} is not a record file; remove it from {self.folder.name}/")
            found.append(path)
        return found

    def rows(self) -> pd.DataFrame:
        """Every run with its `run_key` and `file`; StoreError names damaged files and runs stored twice."""
        frames = [_read_file(path, self.folder, path.lstat().st_mtime_ns) for path in self.files()]
        if not frames:
            return pd.DataFrame(columns=["run_key", *SCHEMA.names, "file"])
        frame = pd.concat(frames, ignore_index=True)
        _refuse_duplicates(frame, ["run_key"])
        return frame

    def load(self, *, study="paper", variant="", scale=None, adopted=False, **columns) -> pd.DataFrame:
        """One row per run that matches; each filter is a value or a list of values, None matches everything.

        columns: any others, as network="lenet", arm="winning_ticket", trial=0 or pruning_round=[0, 3, 7]. adopted: only
        the runs of the manifest, StoreError if one of them is missing. ValueError for a column or a word that there is
        not; and if scale=None matches several, for scales are never mixed.
        """
        everything = self.rows()
        frame = self.adopted() if adopted else everything
        for column, wanted in ({"study": study, "variant": variant, "scale": scale} | columns).items():
            require_known("column", column, list(frame))
            if wanted is None:
                continue
            values = list(wanted) if pd.api.types.is_list_like(wanted) else [wanted]
            if column in WORDS:
                known = dict.fromkeys([*WORDS[column], *sorted(everything[column].unique())])
                for value in values:
                    require_known(column, value, known)
            frame = frame[frame[column].isin(values)]
        for scales in frame.groupby("network")["scale"].unique():
            if len(scales) > 1:
                there = ", ".join(sorted(scales))
                raise ValueError(f"scales are never averaged together; choose one of: {there}")
        _refuse_duplicates(frame, [name for name in IDENTITY if name != "protocol_key"])
        return frame.sort_values(list(IDENTITY)).reset_index(drop=True)

    def write(self, rows: list[dict]) -> Path:
        """Write one stack's rows as one new file and return its path; rows share network and scale."""
        (place, *others) = sorted({(row["network"], row["scale"]) for row in rows})
        if others:
            raise ValueError(f"the rows of one file share network and scale, got {[place, *others]}")
        target = self.folder.joinpath(*place, f"{_file_hash(map(run_key, rows))}.parquet")
        table = pa.Table.from_pylist([LATER | row for row in rows], schema=SCHEMA)

        def save(path):
            pq.write_table(table, path, compression="zstd", write_page_checksum=True)

        write_atomically(target, save)
        return target

    # ------------------------------------------------------------ the manifest: what the committed notebooks show

    def manifest(self) -> pd.DataFrame:
        """The adopted runs: run_key and identity columns; empty if nothing has been adopted yet."""
        path = self.folder / "_manifest.csv"
        if not path.exists():
            return pd.DataFrame(columns=["run_key", *IDENTITY])
        try:
            table = pd.read_csv(path, dtype={"run_key": str, "variant": str}, keep_default_na=False)
        except ValueError as error:  # no text, no table, or nothing at all
            raise StoreError(f"{path.name} cannot be read ({error}); restore it from git") from error
        if list(table) != ["run_key", *IDENTITY]:
            raise StoreError(f"{path.name} is no manifest: its first line is wrong; restore it from git")
        return table

    def adopt(self, frame: pd.DataFrame) -> int:
        """Add the runs of `frame` to the manifest; returns how many were new."""
        before = self.manifest()
        new = frame.loc[~frame["run_key"].isin(before["run_key"]), ["run_key", *IDENTITY]]
        together = (pd.concat([before, new]) if len(before) else new).sort_values(list(IDENTITY))
        write_atomically(self.folder / "_manifest.csv", lambda path: together.to_csv(path, index=False))
        return len(new)

    def adopted(self) -> pd.DataFrame:
        """The runs of the manifest; StoreError if one of them has no record."""
        frame, expected = self.rows(), self.manifest()
        missing = expected[~expected["run_key"].isin(frame["run_key"])]
        if len(missing):
            raise StoreError(
                f"{len(missing)} run(s) of the manifest have no record; `git restore notebooks/records` brings back "
                f"what git has; the first: {missing.iloc[0][list(IDENTITY)].to_dict()}"
            )
        return frame[frame["run_key"].isin(expected["run_key"])]


def committed() -> Store:
    """The store that comes with the project."""
    return Store(COMMITTED)


def load(**filters) -> pd.DataFrame:
    """Committed records, one row per run; the filters of Store.load: network="lenet", arm="winning_ticket", trial=0, ..."""
    return committed().load(**filters)


def read() -> pd.DataFrame:
    """Every committed record."""
    return committed().rows()


def read_adopted() -> pd.DataFrame:
    """The committed records of the manifest, which the committed notebooks show."""
    return committed().adopted()


def curves(frame: pd.DataFrame) -> pd.DataFrame:
    """One row per evaluation: identity, percent_remaining, iteration and the three curves."""
    lists = [f"curve_{name}" for name in CURVES]
    long = frame[["run_key", *IDENTITY, "percent_remaining", *lists]].explode(lists, ignore_index=True)
    long = long.rename(columns=dict(zip(lists, CURVES, strict=True)))
    return long.astype({"iteration": int} | dict.fromkeys(CURVES[1:], float))


def _file_hash(keys):
    return hashlib.sha256("".join(sorted(keys)).encode()).hexdigest()[:16]


@lru_cache(4096)
def _read_file(path: Path, folder: Path, written: int) -> pd.DataFrame:
    """Read once: files never change. Columns that an older file lacks are as they were when it was written."""
    inside = path.relative_to(folder)
    try:
        table = pq.read_table(path, partitioning=None, page_checksum_verification=True)
        frame = table.to_pandas()
    except (pa.ArrowException, OSError, ValueError) as error:  # the last for text that is no text any more
        raise StoreError(f"{inside} cannot be read ({error}); {MEND}") from error
    known = [field for field in SCHEMA if field.name not in LATER or field.name in table.schema.names]
    if not table.schema.equals(pa.schema(known)):
        raise StoreError(
            f"{inside} has other columns than this version writes; check out the version that wrote it"
        )
    frame = frame.assign(**{name: old for name, old in LATER.items() if name not in frame})[SCHEMA.names]
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
