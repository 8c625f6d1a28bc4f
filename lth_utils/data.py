"""MNIST, Fashion-MNIST and CIFAR-10 as uint8 tensors on a device, the fixed split, the order and scale of their images.

Every byte is checked against a pinned SHA-256 at every load; how the files are obtained is the business of ``fetch``.
The data folder is the argument, else the environment variable LTH_DATA (a relative one counts from the repository
root, so that notebooks and commands agree), else ``data/`` in the repository.
Pixels stay raw until ``scale_pixels`` is asked. Knows nothing about networks, trials or training.
"""

import hashlib
import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from lth_utils import ROOT
from lth_utils import fetch as sources

DataError = sources.DataError  # what `load` raises
VALIDATION_SIZE = 5000  # Section 2 and Figure 2: "randomly sampled" from the training set
CLASS_NAMES = {  # of the labels 0 to 9
    "mnist": tuple("0123456789"),
    "fashion_mnist": (
        *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
        *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    ),
    "cifar10": ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
}


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
    """A data set of CLASS_NAMES on a torch device: 5,000 training images held out, 10,000 test images.

    Shows a bar while fetching. Raises ValueError for another name, DataError when the data cannot be had whole;
    never returns wrong bytes.
    """
    if name not in sources.SOURCES:
        raise ValueError(f"unknown data set {name!r}: the data sets are {', '.join(sources.SOURCES)}")
    arrays = sources.obtain(name, data_folder(folder))
    training, validation = split_indices(name, len(arrays["train_labels"]))
    chosen = {
        "train": ("train", training),
        "validation": ("train", validation),
        "test": ("test", slice(None)),
    }
    parts = {}
    for part, (published, indices) in chosen.items():
        images, labels = arrays[f"{published}_images"][indices], arrays[f"{published}_labels"][indices]
        parts[f"{part}_images"] = torch.tensor(images, device=device)
        parts[f"{part}_labels"] = torch.tensor(labels, dtype=torch.int64, device=device)
    return Dataset(name=name, **parts)


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


# Mean and standard deviation of the training pixels / 255: of MNIST (one channel) and of CIFAR-10 (three).
_PIXEL_STATISTICS = {
    1: ((0.1307,), (0.3081,)),
    3: ((0.49139968, 0.48215841, 0.44653091), (0.24703223, 0.24348513, 0.26158784)),
}


def scale_pixels(images: torch.Tensor, scaling: str) -> torch.Tensor:
    """float32 images of the same shape from uint8 [N, channels, height, width].

    "unit_interval": raw / 255. "standardized": that minus the mean of MNIST or CIFAR-10, over the standard deviation,
    per channel. "unit_norm": each image has L2 norm 1 (a black image stays black). "raw_255": 0 to 255.
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
    if folder is not None:
        return Path(folder)
    return ROOT / Path(os.environ.get("LTH_DATA") or "data").expanduser()
