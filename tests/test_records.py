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
    return tmp_path / "records"


def stack(count=3, **changes):
    """Rows of one stack: trials 0, 1, ..."""
    return [record(trial=trial, **changes) for trial in range(count)]


def leftovers(folder):
    """Everything in the store that is not a record."""
    return [path.name for path in folder.rglob("*") if path.is_file() and path.suffix != ".parquet"]


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


def test_everything_that_identifies_a_run_changes_its_key():
    changes = {name: 7 if isinstance(value, int) else "other" for name, value in IDENTITY.items()}
    assert set(changes) == set(records.IDENTITY)
    keys = {records.run_key(IDENTITY | {name: value}) for name, value in changes.items()}
    assert len(keys | {records.run_key(IDENTITY)}) == len(IDENTITY) + 1


def test_a_key_does_not_depend_on_the_kind_of_integer_or_on_other_columns():
    numpy_integers = {name: np.int32(v) if isinstance(v, int) else v for name, v in record().items()}
    assert records.run_key(numpy_integers) == records.run_key(IDENTITY)


# --- writing and reading ---------------------------------------------------------------------------------------------------


def test_a_stack_is_one_file_and_comes_back_as_it_went_in(store):
    rows = stack(5, arm="random_reinit", curve_test_accuracy=[0.5, float("nan"), 0.75])
    path = Store(store).write(rows)
    assert path.relative_to(store).parts[:2] == ("lenet", "paper")
    assert [file for file in store.rglob("*") if file.is_file()] == [path]
    frame = Store(store).rows()
    assert list(frame["run_key"]) == [records.run_key(row) for row in rows]
    assert set(frame["file"]) == {str(path.relative_to(store))}
    for row, (_, stored) in zip(rows, frame.iterrows(), strict=True):
        for name, value in row.items():
            if name.startswith("curve_"):
                assert np.array_equal(stored[name], np.float32(value), equal_nan=True)
            else:
                assert stored[name] == value, name


def test_the_name_of_a_file_follows_from_its_runs_and_from_nothing_else(store, tmp_path):
    rows = stack(3)
    first = Store(store).write(rows)
    other = Store(tmp_path / "other").write([row | {"test_accuracy_at_end": 0.1} for row in reversed(rows)])
    assert first.name == other.name
    assert Store(store).write(stack(2)).name != first.name


def test_columns_have_the_types_that_the_design_promises(store):
    schema = pq.read_schema(Store(store).write(stack()))
    assert schema.names == records.SCHEMA.names and schema.types == records.SCHEMA.types
    curves = [name for name in schema.names if name.startswith("curve_")]
    assert len(curves) == 4 and all(schema.field(name).type == pa.list_(pa.float32()) for name in curves)
    assert schema.field("diverged").type == pa.bool_()


@pytest.mark.parametrize("column", ["pruning_round", "test_accuracy_at_end", "diverged"])
def test_a_value_of_the_wrong_type_is_not_written(store, column):
    with pytest.raises((ValueError, pa.ArrowTypeError)):
        Store(store).write(stack(1, **{column: "many"}))
    assert not store.exists() or not list(store.rglob("*.*"))


def test_rows_of_two_scales_do_not_share_a_file(store):
    with pytest.raises(ValueError, match=r"quick.*short|short.*quick"):
        Store(store).write([record(scale="quick"), record(scale="short")])


def test_pandas_reads_the_store_as_it_stands_beside_whatever_starts_with_an_underscore(store):
    Store(store).write(stack(3))
    Store(store).write(stack(2, network="conv2", scale="reduced", protocol_differences="x: 1 -> 2"))
    Store(store).adopt(Store(store).rows())
    save_arrays(store / "lenet" / "paper" / "_chains" / "trial0.npz", {"a": np.zeros(3)})
    (store / "_claims").mkdir()
    (store / "_claims" / "0123.lock").touch()
    (store / "lenet" / "paper" / "_tmp-abc.parquet").write_bytes(b"half a fi")
    frame = pd.read_parquet(store)
    assert len(frame) == 5
    assert list(frame.columns) == records.SCHEMA.names
    assert len(Store(store).rows()) == 5


def test_an_empty_or_missing_store_has_all_columns_and_no_rows(store):
    for _ in ("missing", "empty"):
        frame = Store(store).load()
        assert len(frame) == 0 and {"run_key", "arm", "test_accuracy_at_end"} <= set(frame.columns)
        store.mkdir(exist_ok=True)


@pytest.mark.parametrize("failing", ["replace", "chmod"])
def test_a_failing_disk_leaves_nothing_behind(store, monkeypatch, failing):
    kept = Store(store).write(stack(3))

    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, failing, full)
    with pytest.raises(OSError, match="No space left"):
        Store(store).write(stack(2))
    with pytest.raises(OSError, match="No space left"):
        Store(store).adopt(Store(store).rows())
    with pytest.raises(OSError, match="No space left"):
        save_arrays(store / "_x" / "y.npz", {"a": np.zeros(3)})
    assert leftovers(store) == [] and Store(store).files() == [kept]


def test_an_interruption_while_writing_leaves_nothing_behind(store, monkeypatch):
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(pq, "write_table", interrupted)
    with pytest.raises(KeyboardInterrupt):
        Store(store).write(stack(2))
    assert [path for path in store.rglob("*") if path.is_file()] == []


# --- files that are not what they should be ------------------------------------------------------------------------------


def copy_of(path, name):
    target = path.with_name(name)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(path.read_bytes())
    return target


def assert_refused(store, path, message):
    with pytest.raises(StoreError, match=message) as caught:
        Store(store).rows()
    assert path.name in str(caught.value)


@pytest.mark.parametrize("keep", [0, 3, 100, -1])
def test_a_truncated_file_is_named(store, keep):
    path = Store(store).write(stack())
    path.write_bytes(path.read_bytes()[:keep])
    assert_refused(store, path, "cannot be read")


def test_a_flipped_bit_is_named_unless_it_changes_nothing(store):
    path = Store(store).write(stack())
    whole, expected, refused = path.read_bytes(), Store(store).rows(), 0
    for place in range(4, len(whole) - 8, 53):  # between the marks at both ends of every Parquet file
        altered = bytearray(whole)
        altered[place] ^= 1 << place % 8
        path.write_bytes(altered)
        try:
            pd.testing.assert_frame_equal(Store(store).rows(), expected)
        except StoreError as error:
            assert path.name in str(error)
            refused += 1
    assert refused > 50


def test_files_without_checksums_stay_readable(store):
    path = Store(store).write(stack())
    expected = Store(store).rows()
    pq.write_table(pq.read_table(path, partitioning=None), path, compression="zstd")
    pd.testing.assert_frame_equal(Store(store).rows(), expected)


@pytest.mark.parametrize("name", ["notes.txt", "copy.parquet", "0123456789abcdef.csv"])
def test_a_foreign_file_is_named(store, name):
    path = copy_of(Store(store).write(stack()), name)
    assert_refused(store, path, "not a record file")


def test_a_file_at_the_wrong_depth_is_named(store):
    path = Store(store).write(stack())
    moved = store / path.name
    path.rename(moved)
    assert_refused(store, moved, "not a record file")


def test_a_file_in_the_folder_of_another_network_is_named(store):
    path = Store(store).write(stack())
    (store / "conv2" / "paper").mkdir(parents=True)
    moved = path.rename(store / "conv2" / "paper" / path.name)
    assert_refused(store, moved, "wrong folder")


def test_a_renamed_file_is_named(store):
    path = Store(store).write(stack())
    assert_refused(store, path.rename(path.with_name("0123456789abcdef.parquet")), "does not match")


def test_a_file_whose_runs_were_altered_is_named(store):
    path = Store(store).write(stack())
    table = pq.read_table(path, partitioning=None).to_pylist()
    table[1]["pruning_round"] = 9
    pq.write_table(pa.Table.from_pylist(table, schema=records.SCHEMA), path)
    assert_refused(store, path, "altered or renamed")


def test_a_column_may_be_added_and_older_files_read_as_if_they_held_the_default(store, monkeypatch):
    Store(store).write(stack(2))
    before = Store(store).rows()
    wider = records.pa.schema([*records.SCHEMA, ("hidden_units", records.pa.int32())])
    monkeypatch.setattr(records, "SCHEMA", wider)
    monkeypatch.setattr(records, "LATER", {"hidden_units": 300})
    records._read_file.cache_clear()
    Store(store).write(stack(1, study="baseline", hidden_units=50))
    Store(store).write(stack(1, study="signs"))
    frame = Store(store).rows().set_index("study")["hidden_units"]
    assert frame.to_dict() == {"paper": 300, "baseline": 50, "signs": 300} and frame.dtype == "int64"
    assert set(before["run_key"]) < set(Store(store).rows()["run_key"])


@pytest.mark.parametrize("content", ["", "<<<<<<< HEAD\nrun_key,network\n", "run_key;network\n"])
def test_a_manifest_that_is_none_is_named(store, content):
    store.mkdir()
    (store / "_manifest.csv").write_text(content)
    with pytest.raises(StoreError, match=r"_manifest\.csv"):
        Store(store).manifest()


def test_a_file_with_other_columns_is_named(store):
    path = Store(store).write(stack())
    pq.write_table(pq.read_table(path, partitioning=None).drop_columns(["device"]), path)
    assert_refused(store, path, "other columns")


def test_a_parquet_file_of_something_else_is_named(store):
    path = Store(store).write(stack())
    pq.write_table(pa.table({"a": [1]}), path)
    assert_refused(store, path, "other columns")


def test_a_run_that_is_stored_twice_is_named_with_both_files(store):
    first, second = Store(store).write(stack(3)), Store(store).write(stack(2))
    for path in (first, second):
        assert_refused(store, path, "stored twice.*'trial'")


def test_writing_the_same_stack_again_replaces_it(store):
    Store(store).write(stack(3))
    Store(store).write(stack(3, test_accuracy_at_end=0.5))
    assert Store(store).rows()["test_accuracy_at_end"].tolist() == [0.5] * 3


# --- loading -----------------------------------------------------------------------------------------------------------------


@pytest.fixture
def filled(store):
    """Two arms of two trials, another study and another variant, which load() leaves out unless asked."""
    for arm in ("winning_ticket", "random_reinit"):
        for pruning_round in (1, 3):
            Store(store).write(stack(2, arm=arm, pruning_round=pruning_round))
    Store(store).write(stack(1, study="baseline", scale="short"))
    Store(store).write(stack(1, variant="dropout"))
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
    assert len(Store(filled).load(**filters)) == count


def test_rows_come_sorted_and_numbered(filled):
    frame = Store(filled).load()
    assert frame.equals(frame.sort_values(list(records.IDENTITY)).reset_index(drop=True))
    assert frame.index.tolist() == list(range(8))


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
        Store(filled).load(**filters)


def test_two_scales_are_never_loaded_together(filled):
    Store(filled).write(stack(2, scale="reduced", pruning_round=5))
    with pytest.raises(ValueError, match="paper, reduced"):
        Store(filled).load()
    assert len(Store(filled).load(scale="paper")) == 8
    assert len(Store(filled).load(scale="reduced")) == 2


def test_another_network_may_have_another_scale(filled):
    Store(filled).write(stack(2, scale="reduced", network="conv2"))
    assert len(Store(filled).load()) == 10


def test_one_run_under_two_protocols_is_refused_until_one_is_chosen(filled):
    Store(filled).write(stack(1, protocol_key="fedcba987654"))
    with pytest.raises(StoreError, match=r"one run under two protocols.*choose one by protocol_key"):
        Store(filled).load()
    assert len(Store(filled).load(protocol_key="fedcba987654")) == 1


# --- curves ------------------------------------------------------------------------------------------------------------------


def test_curves_have_one_row_per_evaluation(store):
    Store(store).write(stack(2))
    longer = {f"curve_{name}": [0.5, 0.5] for name in records.CURVES[1:]} | {
        "curve_iteration": [0.0, 49_900.0]
    }
    Store(store).write(stack(1, pruning_round=2, percent_remaining=64.0, **longer))
    long = records.curves(Store(store).load())
    assert len(long) == 3 + 3 + 2
    assert list(long.columns) == ["run_key", *records.IDENTITY, "percent_remaining", *records.CURVES]
    second = long[long["trial"] == 1]
    assert second["iteration"].tolist() == [0, 100, 200]
    assert second["validation_loss"].tolist() == [2.5, 0.25, 0.5]
    assert second["test_accuracy"].isna().tolist() == [True, True, False]
    last = long[long["pruning_round"] == 2]
    assert last["iteration"].tolist() == [0, 49_900] and set(last["percent_remaining"]) == {64.0}
    assert long["iteration"].dtype.kind == "i" and long["test_accuracy"].dtype == float


def test_curves_of_no_runs_are_no_rows(store):
    assert len(records.curves(Store(store).load())) == 0


# --- the manifest ------------------------------------------------------------------------------------------------------------


def test_only_adopted_runs_are_seen_by_a_report(filled):
    assert len(Store(filled).load(adopted=True)) == 0
    chosen = Store(filled).load(pruning_round=1)
    assert Store(filled).adopt(chosen) == 4
    assert Store(filled).load(adopted=True)["run_key"].tolist() == chosen["run_key"].tolist()
    assert Store(filled).adopt(Store(filled).rows()) == 6
    assert len(Store(filled).adopted()) == len(Store(filled).manifest()) == 10


def test_adopting_twice_changes_not_a_byte(filled):
    Store(filled).adopt(Store(filled).rows())
    before = (filled / "_manifest.csv").read_bytes()
    assert Store(filled).adopt(Store(filled).rows()) == 0
    assert (filled / "_manifest.csv").read_bytes() == before


def test_an_adopted_run_without_a_record_is_reported_by_name(filled):
    Store(filled).adopt(Store(filled).rows())
    next(iter(Store(filled).files())).unlink()
    with pytest.raises(StoreError, match=r"\d run\(s\) of the manifest have no record.*'network'"):
        Store(filled).load(adopted=True)
    assert len(Store(filled).rows()) < 10


def test_keys_of_digits_survive_the_manifest(filled):
    frame = Store(filled).rows()
    frame.loc[0, "run_key"], frame.loc[1, "run_key"] = "0000000000000012", "1234567890123e45"
    Store(filled).adopt(frame)
    assert {"0000000000000012", "1234567890123e45"} <= set(Store(filled).manifest()["run_key"])


# --- arrays beside the records -----------------------------------------------------------------------------------------------


def test_arrays_come_back_as_they_went_in(store):
    arrays = {"fc1.weight": np.arange(6, dtype=np.uint8).reshape(2, 3), "fc1.bias": np.float32([0.5])}
    save_arrays(store / "_chains" / "x.npz", arrays)
    loaded = load_arrays(store / "_chains" / "x.npz")
    assert list(loaded) == list(arrays)
    assert all(np.array_equal(loaded[n], a) and loaded[n].dtype == a.dtype for n, a in arrays.items())


def test_missing_arrays_are_named(store):
    with pytest.raises(StoreError, match=r"trial7\.npz"):
        load_arrays(store / "trial7.npz")


def test_altered_or_truncated_arrays_are_named(store):
    path = store / "_chains" / "trial7.npz"
    save_arrays(path, {"fc1.weight": np.arange(90, dtype=np.uint8)})
    whole = path.read_bytes()
    flipped = [bytearray(whole) for _ in whole]
    for place, altered in enumerate(flipped):
        altered[place] ^= 1 << place % 8
    refused = 0
    for altered in [whole[:keep] for keep in range(0, len(whole), 9)] + flipped:
        path.write_bytes(altered)
        try:
            loaded = load_arrays(path)
        except StoreError as error:
            assert "trial7.npz" in str(error)
            refused += 1
        else:  # a date, an attribute, the number of arrays: chains.py looks at their names and shapes
            assert all(np.array_equal(array, np.arange(90)) for array in loaded.values())
    assert refused > 100
