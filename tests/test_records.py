"""The store: what is written comes back, and whatever does not belong is named instead of averaged over."""

import errno
import os

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from synthetic import IDENTITY, record

from lth_utils import records
from lth_utils.kept import load_arrays, save_arrays
from lth_utils.records import Store, StoreError


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "records")


def stack(count=3, **changes):
    """Rows of one stack: trials 0, 1, ..."""
    return [record(trial=trial, **changes) for trial in range(count)]


def files(store):
    return [path for path in store.folder.rglob("*") if path.is_file()]


# --- keys ------------------------------------------------------------------------------------------------------------------

RUN_KEYS = {  # if one of these changes, every record that exists is orphaned
    "paper": "507939f44b56fff2",
    "baseline": "a5702a7aed8b449e",
    "faults": "687b700aa3270e03",
}


@pytest.mark.parametrize("study", RUN_KEYS)
def test_known_run_keys_never_change(study):
    identity = IDENTITY | {"study": study, "trial": 3, "pruning_round": 12, "replicate": 1}
    assert records.run_key(identity) == RUN_KEYS[study]


def test_a_key_depends_on_every_identity_column_and_on_nothing_else():
    changes = {name: 7 if isinstance(value, int) else "other" for name, value in IDENTITY.items()}
    assert set(changes) == set(records.IDENTITY)
    keys = {records.run_key(IDENTITY | {name: value}) for name, value in changes.items()}
    assert len(keys | {records.run_key(IDENTITY)}) == len(IDENTITY) + 1
    numpy_integers = {name: np.int32(v) if isinstance(v, int) else v for name, v in record().items()}
    assert records.run_key(numpy_integers) == records.run_key(IDENTITY)


# --- writing and reading ---------------------------------------------------------------------------------------------------


def test_a_stack_is_one_file_and_comes_back_as_it_went_in(store):
    rows = stack(5, arm="random_reinit", curve_test_accuracy=[0.5, float("nan"), 0.75])
    path = store.write(rows)
    assert path.relative_to(store.folder).parts[:2] == ("lenet", "paper") and files(store) == [path]
    schema = pq.read_schema(path)
    assert schema.names == records.SCHEMA.names and schema.types == records.SCHEMA.types
    frame = store.rows()
    assert list(frame["run_key"]) == [records.run_key(row) for row in rows]
    assert set(frame["file"]) == {str(path.relative_to(store.folder))}
    for row, (_, stored) in zip(rows, frame.iterrows(), strict=True):
        for name, value in row.items():
            if name.startswith("curve_"):
                assert np.array_equal(stored[name], np.float32(value), equal_nan=True)
            else:
                assert stored[name] == value, name


def test_the_name_of_a_file_follows_from_its_runs_and_a_stack_that_is_written_again_replaces_itself(store):
    path = store.write(stack(3))
    again = store.write([row | {"test_accuracy_at_end": 0.5} for row in reversed(stack(3))])
    assert path == again != store.write(stack(2, pruning_round=2))
    assert store.load(pruning_round=1)["test_accuracy_at_end"].tolist() == [0.5] * 3


@pytest.mark.parametrize("column", ["pruning_round", "test_accuracy_at_end", "diverged"])
def test_a_value_of_the_wrong_type_is_not_written(store, column):
    with pytest.raises((ValueError, pa.ArrowTypeError)):
        store.write(stack(1, **{column: "many"}))
    assert files(store) == []


def test_rows_of_two_scales_do_not_share_a_file(store):
    with pytest.raises(ValueError, match=r"quick.*short|short.*quick"):
        store.write([record(scale="quick"), record(scale="short")])


def test_pandas_reads_the_store_as_it_stands_beside_whatever_starts_with_an_underscore(store):
    store.write(stack(3))
    store.write(stack(2, network="conv2", scale="reduced", protocol_differences="x: 1 -> 2"))
    store.adopt(store.rows())
    save_arrays(store.folder / "lenet" / "paper" / "_chains" / "trial0.npz", {"a": np.zeros(3)})
    (store.folder / "_claims").mkdir()
    (store.folder / "_claims" / "0123.lock").touch()
    (store.folder / "lenet" / "paper" / "_tmp-abc.parquet").write_bytes(b"half a fi")
    frame = pd.read_parquet(store.folder)
    assert len(frame) == len(store.rows()) == 5 and list(frame.columns) == records.SCHEMA.names


def test_an_empty_or_missing_store_has_all_columns_and_no_rows(store):
    for _ in ("missing", "empty"):
        frame = store.load(network="lenet", arm="winning_ticket")
        assert len(frame) == 0 and {"run_key", "arm", "test_accuracy_at_end"} <= set(frame.columns)
        store.folder.mkdir(exist_ok=True)


@pytest.mark.parametrize("failing", ["replace", "chmod"])
def test_a_failing_disk_leaves_nothing_behind(store, monkeypatch, failing):
    kept = store.write(stack(3))

    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, failing, full)
    for write in (
        lambda: store.write(stack(2)),
        lambda: store.adopt(store.rows()),
        lambda: save_arrays(store.folder / "_x" / "y.npz", {"a": np.zeros(3)}),
    ):
        with pytest.raises(OSError, match="No space left"):
            write()
    assert files(store) == [kept]


def test_an_interruption_while_writing_leaves_nothing_behind(store, monkeypatch):
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(pq, "write_table", interrupted)
    with pytest.raises(KeyboardInterrupt):
        store.write(stack(2))
    assert files(store) == []


# --- files that are not what they should be ------------------------------------------------------------------------------


def moved(path, place):
    target = path.parent / place
    target.parent.mkdir(parents=True, exist_ok=True)
    return path.rename(target)


def rewritten(path, change):
    table = pq.read_table(path, partitioning=None)
    pq.write_table(change(table), path)
    return path


def in_round_9(table):
    rows = table.to_pylist()
    rows[1]["pruning_round"] = 9
    return pa.Table.from_pylist(rows, schema=records.SCHEMA)


SPOILED = {
    "a foreign file": (lambda path: moved(path, "notes.txt"), "not a record file"),
    "a file of another name": (lambda path: moved(path, "copy.parquet"), "not a record file"),
    "the wrong depth": (lambda path: moved(path, f"../../{path.name}"), "not a record file"),
    "another network": (lambda path: moved(path, f"../../conv2/paper/{path.name}"), "wrong folder"),
    "a new name": (lambda path: moved(path, "0123456789abcdef.parquet"), "does not match"),
    "an altered run": (lambda path: rewritten(path, in_round_9), "altered or renamed"),
    "a column less": (lambda path: rewritten(path, lambda t: t.drop_columns(["device"])), "other columns"),
    "something else": (lambda path: rewritten(path, lambda t: pa.table({"a": [1]})), "other columns"),
}


@pytest.mark.parametrize(("spoil", "message"), SPOILED.values(), ids=SPOILED)
def test_a_file_that_is_not_what_it_should_be_is_named(store, spoil, message):
    path = spoil(store.write(stack()))
    with pytest.raises(StoreError, match=message) as caught:
        store.rows()
    assert path.name in str(caught.value)


def test_truncated_files_and_flipped_bits_are_named_unless_they_change_nothing(store):
    path = store.write(stack())
    whole, expected, refused = path.read_bytes(), store.rows(), 0
    damaged = [whole[:keep] for keep in (0, 3, 100, -1)]
    for place in range(4, len(whole) - 8, 53):  # between the marks at both ends of every Parquet file
        damaged.append(bytearray(whole))
        damaged[-1][place] ^= 1 << place % 8
    for content in damaged:
        path.write_bytes(content)
        try:
            pd.testing.assert_frame_equal(store.rows(), expected)
        except StoreError as error:
            assert path.name in str(error)
            refused += 1
    assert refused > 50


def test_files_without_checksums_stay_readable(store):
    path = store.write(stack())
    expected = store.rows()
    pq.write_table(pq.read_table(path, partitioning=None), path, compression="zstd")
    pd.testing.assert_frame_equal(store.rows(), expected)


def test_a_column_may_be_added_and_older_files_read_as_if_they_held_the_default(store, monkeypatch):
    store.write(stack(2))
    before = store.rows()
    monkeypatch.setattr(records, "SCHEMA", pa.schema([*records.SCHEMA, ("hidden_units", pa.int32())]))
    monkeypatch.setattr(records, "LATER", {"hidden_units": 300})
    records._read_file.cache_clear()
    store.write(stack(1, study="baseline", hidden_units=50))
    store.write(stack(1, study="signs"))
    frame = store.rows().set_index("study")["hidden_units"]
    assert frame.to_dict() == {"paper": 300, "baseline": 50, "signs": 300} and frame.dtype == "int64"
    assert set(before["run_key"]) < set(store.rows()["run_key"])


def test_a_run_that_is_stored_twice_is_named_with_both_files(store):
    first, second = store.write(stack(3)), store.write(stack(2))
    with pytest.raises(StoreError, match=r"stored twice.*'trial'") as caught:
        store.rows()
    assert first.name in str(caught.value) and second.name in str(caught.value)


# --- loading -----------------------------------------------------------------------------------------------------------------


@pytest.fixture
def filled(store):
    """Two arms of two trials, another study and another variant, which load() leaves out unless asked."""
    for arm in ("winning_ticket", "random_reinit"):
        for pruning_round in (1, 3):
            store.write(stack(2, arm=arm, pruning_round=pruning_round))
    store.write(stack(1, study="baseline", scale="short"))
    store.write(stack(1, variant="dropout"))
    return store


@pytest.mark.parametrize(
    ("filters", "count"),
    [
        ({}, 8),
        ({"arm": "winning_ticket"}, 4),
        ({"arm": ["winning_ticket", "random_reinit"], "trial": 0}, 4),
        ({"pruning_round": [3, 7]}, 4),
        ({"network": "conv2"}, 0),
        ({"study": "baseline"}, 1),
        ({"variant": "dropout"}, 1),
        ({"variant": ["", "dropout"]}, 9),
        ({"scale": "short"}, 0),
        ({"scale": "short", "study": None}, 1),
    ],
)
def test_filters_choose_runs(filled, filters, count):
    frame = filled.load(**filters)
    assert len(frame) == count
    assert frame.equals(frame.sort_values(list(records.IDENTITY)).reset_index(drop=True))


@pytest.mark.parametrize(
    ("filters", "said"),
    [
        ({"rounds": 3}, "unknown column 'rounds'.*there are run_key, network"),
        (
            {"arm": "wining_ticket"},
            r"unknown arm 'wining_ticket'; did you mean 'winning_ticket'\? there are dense",
        ),
        ({"network": ["lenet", "conv3"]}, "unknown network 'conv3'.*lenet.*conv6"),
        (
            {"variant": "unit_norm"},
            "unknown variant 'unit_norm'; there are dropout$",
        ),  # nothing was trained under it
        ({"study": "papers"}, "did you mean 'paper'"),
        ({"scale": 3}, "unknown scale 3; there are paper, reduced"),
    ],
)
def test_a_column_or_a_word_that_there_is_not_is_refused_with_what_there_is(filled, filters, said):
    with pytest.raises(ValueError, match=said):
        filled.load(**filters)


def test_two_scales_of_one_network_are_never_loaded_together(filled):
    filled.write(stack(2, scale="reduced", network="conv2"))
    assert len(filled.load()) == 10
    filled.write(stack(2, scale="reduced", pruning_round=5))
    with pytest.raises(ValueError, match="paper, reduced"):
        filled.load()
    assert len(filled.load(scale="paper")) == 8 and len(filled.load(scale="reduced")) == 4


def test_one_run_under_two_protocols_is_refused_until_one_is_chosen(filled):
    filled.write(stack(1, protocol_key="fedcba987654"))
    with pytest.raises(StoreError, match=r"one run under two protocols.*choose one by protocol_key"):
        filled.load()
    assert len(filled.load(protocol_key="fedcba987654")) == 1


def test_curves_have_one_row_per_evaluation(store):
    assert len(records.curves(store.load())) == 0
    store.write(stack(2))
    longer = {f"curve_{name}": [0.5, 0.5] for name in records.CURVES[1:]}
    longer |= {"curve_iteration": [0.0, 49_900.0], "percent_remaining": 64.0}
    store.write(stack(1, pruning_round=2, **longer))
    long = records.curves(store.load())
    assert len(long) == 3 + 3 + 2
    assert list(long.columns) == ["run_key", *records.IDENTITY, "percent_remaining", *records.CURVES]
    second = long[long["trial"] == 1]
    assert second["iteration"].tolist() == [0, 100, 200]
    assert second["validation_loss"].tolist() == [2.5, 0.25, 0.5]
    assert second["test_accuracy"].isna().tolist() == [True, True, False]
    last = long[long["pruning_round"] == 2]
    assert last["iteration"].tolist() == [0, 49_900] and set(last["percent_remaining"]) == {64.0}
    assert long["iteration"].dtype.kind == "i" and long["test_accuracy"].dtype == float


# --- the manifest ------------------------------------------------------------------------------------------------------------


def test_only_adopted_runs_are_seen_by_a_report_and_adopting_twice_changes_not_a_byte(filled):
    assert len(filled.load(adopted=True)) == 0
    chosen = filled.load(pruning_round=1)
    assert filled.adopt(chosen) == 4
    assert filled.load(adopted=True)["run_key"].tolist() == chosen["run_key"].tolist()
    assert filled.adopt(filled.rows()) == 6
    assert len(filled.adopted()) == len(filled.manifest()) == 10
    before = (filled.folder / "_manifest.csv").read_bytes()
    assert filled.adopt(filled.rows()) == 0
    assert (filled.folder / "_manifest.csv").read_bytes() == before


def test_an_adopted_run_without_a_record_is_reported_by_name(filled):
    filled.adopt(filled.rows())
    filled.files()[0].unlink()
    with pytest.raises(StoreError, match=r"\d run\(s\) of the manifest have no record.*'network'"):
        filled.load(adopted=True)
    assert len(filled.rows()) < 10


def test_keys_of_digits_survive_the_manifest(filled):
    frame = filled.rows()
    frame.loc[0, "run_key"], frame.loc[1, "run_key"] = "0000000000000012", "1234567890123e45"
    filled.adopt(frame)
    assert {"0000000000000012", "1234567890123e45"} <= set(filled.manifest()["run_key"])


@pytest.mark.parametrize("content", ["", "<<<<<<< HEAD\nrun_key,network\n", "run_key;network\n"])
def test_a_manifest_that_is_none_is_named(store, content):
    store.folder.mkdir()
    (store.folder / "_manifest.csv").write_text(content)
    with pytest.raises(StoreError, match=r"_manifest\.csv"):
        store.manifest()


# --- arrays beside the records -----------------------------------------------------------------------------------------------


def test_arrays_come_back_as_they_went_in_and_missing_ones_are_named(store):
    arrays = {"fc1.weight": np.arange(6, dtype=np.uint8).reshape(2, 3), "fc1.bias": np.float32([0.5])}
    save_arrays(store.folder / "_chains" / "x.npz", arrays)
    loaded = load_arrays(store.folder / "_chains" / "x.npz")
    assert list(loaded) == list(arrays)
    assert all(np.array_equal(loaded[n], a) and loaded[n].dtype == a.dtype for n, a in arrays.items())
    with pytest.raises(StoreError, match=r"trial7\.npz"):
        load_arrays(store.folder / "trial7.npz")


def test_altered_or_truncated_arrays_are_named(store):
    path = store.folder / "_chains" / "trial7.npz"
    save_arrays(path, {"fc1.weight": np.arange(90, dtype=np.uint8)})
    whole, refused = path.read_bytes(), 0
    damaged = [whole[:keep] for keep in range(0, len(whole), 9)]
    for place in range(len(whole)):
        damaged.append(bytearray(whole))
        damaged[-1][place] ^= 1 << place % 8
    for content in damaged:
        path.write_bytes(content)
        try:
            loaded = load_arrays(path)
        except StoreError as error:
            assert "trial7.npz" in str(error)
            refused += 1
        else:  # a date, an attribute, the number of arrays: `Kept` looks at their names and shapes
            assert all(np.array_equal(array, np.arange(90)) for array in loaded.values())
    assert refused > 100
