"""What finished runs leave beside their records for later ones: masks and weights; and how files are written.

One compressed file per trial and kind; none of them is needed to read the records.
"""

import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from lth_utils import masks as masking
from lth_utils import networks
from lth_utils.masks import Masks, Weights

MEND = "restore it from git, or delete it and the later rounds of its trials, and train again"


class StoreError(RuntimeError):
    """A file of the store is damaged, foreign, missing or says the same run twice; the message names it."""


def write_bytes(target: Path, content: bytes) -> None:
    """Write a file under a temporary name beside it, then rename: a reader never sees half of it."""
    write_atomically(target, lambda path: Path(path).write_bytes(content))


def write_atomically(target: Path, save: Callable[[str], object]) -> None:
    """`save` is given a temporary name beside the target, which is renamed when it has returned."""
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


def save_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write named arrays, compressed, into a file whose name ends in ".npz"."""
    write_atomically(path, lambda temporary: np.savez_compressed(temporary, **arrays))


def load_arrays(path: Path) -> dict[str, np.ndarray]:
    """Read what `save_arrays` wrote; StoreError if the file is missing or damaged."""
    try:
        with open(path, "rb") as file, np.load(file) as arrays:
            return dict(arrays)
    except Exception as error:  # zip, zlib and NumPy raise nearly anything on altered bytes
        raise StoreError(f"{path.name} cannot be read ({type(error).__name__}: {error}); {MEND}") from error


@dataclass(frozen=True)
class Kept:
    """Masks by round, and trained weights, of one folder of records. `run` is an experiments.Run."""

    folder: Path

    def path(self, run, kind: str, procedure: str = "iterative", pruning_round: int | None = None) -> Path:
        """The file of a trial: kind is "_chains" or "_weights"; a round only where each has its own."""
        after = "" if pruning_round is None else f"round{pruning_round}"
        parts = [run.study, run.variant, run.protocol.key(), procedure, f"trial{run.trial}", after]
        name = "-".join(part for part in parts if part not in ("", "iterative"))
        return self.folder / run.network / run.scale / kind / f"{name}.npz"

    def masks(self, run) -> Masks:
        """Masks of the run's pruning round, from the chain of its trial; StoreError if it was never that long."""
        arrays = self._chain(run, run.procedure if run.pruning_round > 1 else "iterative")
        if _last_round(arrays) < run.pruning_round:
            raise StoreError(f"the chain of trial {run.trial} has no mask for round {run.pruning_round}")
        return masking.at_round(arrays, run.pruning_round)

    def dense_weights(self, run) -> Weights:
        """Final weights and biases of the dense network of the run's trial, of the layers that are kept."""
        return self._weights(run, self.path(run, "_weights"), run.kept_layers)

    def continued_weights(self, run) -> Weights:
        """Trained weights from which a "continued" run's network goes on: those of the round before."""
        if run.pruning_round == 1:
            return self.dense_weights(run)
        path = self.path(run, "_weights", run.procedure, run.pruning_round - 1)
        return self._weights(run, path, networks.weight_shapes(run.network))

    def keep_weights(self, run, weights: Weights) -> None:
        """Store what is kept of a dense network's final weights: those of its kept layers, with their biases."""
        kept = set(run.kept_layers)
        chosen = {name: w.numpy() for name, w in weights.items() if name.replace(".bias", ".weight") in kept}
        save_arrays(self.path(run, "_weights"), chosen)

    def extend(self, run, masks: Masks, following: Masks, final_weights: Weights) -> None:
        """Store the mask of the next round, and what a continued chain goes on from; repeating it changes nothing.

        masks, following: of the run and of the round after it. Weights of a continued chain have a file per round, the last
        two: a run that is killed before its record goes on from the same weights again. Raises StoreError if a longer chain
        is stored whose next mask is another one: its records would not fit.
        """
        path, after = self.path(run, "_chains", run.procedure), run.pruning_round + 1
        if path.exists() and _last_round(longer := self._chain(run, run.procedure)) > after:
            stored = masking.at_round(longer, after)
            if not all(torch.equal(stored[name], mask) for name, mask in following.items()):
                raise StoreError(f"{path.name} holds later rounds of another training; remove their records")
            return
        history = [masking.ones(final_weights), masks][-after:]
        if after > 2:
            arrays = self._chain(run, run.procedure)
            history = [*(masking.at_round(arrays, earlier) for earlier in range(after - 1)), masks]
        save_arrays(path, masking.pruned_at([*history, following]))
        if run.procedure == "continued":
            arrays = {name: weight.numpy() for name, weight in final_weights.items()}
            save_arrays(self.path(run, "_weights", run.procedure, run.pruning_round), arrays)
            self.path(run, "_weights", run.procedure, run.pruning_round - 2).unlink(missing_ok=True)

    def _chain(self, run, procedure):
        return _checked(
            self.path(run, "_chains", procedure), run, networks.weight_shapes(run.network), "uint8"
        )

    def _weights(self, run, path, layers):
        shapes = {name: networks.weight_shapes(run.network)[name] for name in layers}
        shapes |= {name.replace(".weight", ".bias"): shape[:1] for name, shape in shapes.items()}
        arrays = _checked(path, run, shapes, "float32")
        return {name: torch.from_numpy(array) for name, array in arrays.items()}


def _checked(path, run, shapes, dtype):
    """The arrays of a file; StoreError unless they are those of the run's network."""
    arrays = load_arrays(path)
    expected = {name: (tuple(shape), dtype) for name, shape in shapes.items()}
    if {name: (array.shape, str(array.dtype)) for name, array in arrays.items()} != expected:
        raise StoreError(f"{path.name} does not hold the layers of {run.network}")
    return arrays


def _last_round(arrays):
    return max(int(array[array != masking.NEVER_PRUNED].max(initial=0)) for array in arrays.values())
