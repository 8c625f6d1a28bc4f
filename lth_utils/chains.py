"""What finished runs leave beside their records for later runs and later analyses: masks, weights, errors.

One compressed file per trial and kind; none of them is needed to read the records.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from lth_utils import experiments, networks, records
from lth_utils import masks as masking
from lth_utils.experiments import Run
from lth_utils.masks import Masks, Weights


@dataclass(frozen=True)
class Chain:
    """What finished runs left for later ones: masks by round and dense final weights, beside the records."""

    folder: Path

    def _path(self, run: Run, kind: str, procedure: str = "iterative") -> Path:
        parts = [run.study, run.variant, run.protocol.key(), procedure, f"trial{run.trial}"]
        name = "-".join(part for part in parts if part and part != "iterative")
        return self.folder / run.network / run.scale / kind / f"{name}.npz"

    def _continued(self, run: Run, pruning_round: int) -> Path:
        """Named by its round: a run that was killed before its record goes on from the same weights again."""
        path = self._path(run, "_weights", run.procedure)
        return path.with_name(f"{path.stem}-round{pruning_round}.npz")

    def _load(
        self, run: Run, kind: str, procedure: str = "iterative", path: Path | None = None
    ) -> dict[str, np.ndarray]:
        """Arrays of "_chains" or "_weights"; StoreError unless they are those of the run's network."""
        path = path or self._path(run, kind, procedure)
        arrays = records.load_arrays(path)
        dtype = "uint8" if kind == "_chains" else "float32"
        expected = {name: (shape, dtype) for name, shape in networks.weight_shapes(run.network).items()}
        if kind == "_weights":
            if procedure == "iterative":
                expected = {name: expected[name] for name in run.kept_layers}
            expected |= {
                name.replace(".weight", ".bias"): (shape[:1], dtype) for name, (shape, _) in expected.items()
            }
        if {name: (array.shape, str(array.dtype)) for name, array in arrays.items()} != expected:
            raise records.StoreError(f"{path.name} does not hold the layers of {run.network}")
        return arrays

    def masks(self, run: Run) -> Masks:
        """Masks of the run's pruning round, from the chain of its trial; StoreError if it was never that long."""
        # Round 1 prunes the same dense network.
        procedure = run.procedure if run.pruning_round > 1 else "iterative"
        arrays = self._load(run, "_chains", procedure)
        if _last_round(arrays) < run.pruning_round:
            raise records.StoreError(
                f"the chain of trial {run.trial} has no mask for round {run.pruning_round}"
            )
        return masking.at_round(arrays, run.pruning_round)

    def dense_weights(self, run: Run) -> Weights:
        """Final weights and biases of the dense network of the run's trial, of the layers that are kept."""
        arrays = self._load(run, "_weights")
        return {name: torch.from_numpy(array) for name, array in arrays.items()}

    def keep_weights(self, run: Run, weights: Weights, errors: Mapping[str, np.ndarray]) -> None:
        """Store what is kept of a dense network's final weights, and the images it errs on."""
        kept = {
            name: w.numpy()
            for name, w in weights.items()
            if f"{name.split('.')[0]}.weight" in run.kept_layers
        }
        records.save_arrays(self._path(run, "_weights"), kept)
        records.save_arrays(self._path(run, "_errors"), errors)

    def errors(self, run: Run) -> dict[str, np.ndarray]:
        """The test images on which the final dense network of the run's trial was most confidently wrong."""
        return records.load_arrays(self._path(run, "_errors"))

    def continued_weights(self, run: Run) -> Weights:
        """Trained weights from which a "continued" run's network goes on: those of the round before."""
        if run.pruning_round == 1:
            return self.dense_weights(run)
        path = self._continued(run, run.pruning_round - 1)
        arrays = self._load(run, "_weights", run.procedure, path)
        return {name: torch.from_numpy(array) for name, array in arrays.items()}

    def extend(self, run: Run, masks: Masks, final_weights: Weights) -> None:
        """Store the mask of the next round, and what a continued chain goes on from; repeating it changes nothing.

        Raises StoreError if a longer chain is stored whose next mask is another one: its records would not fit.
        """
        path, after = self._path(run, "_chains", run.procedure), run.pruning_round + 1
        following = experiments.next_masks(run, final_weights, masks)
        if path.exists() and _last_round(longer := self._load(run, "_chains", run.procedure)) > after:
            stored = masking.at_round(longer, after)
            if not all(torch.equal(stored[name], mask) for name, mask in following.items()):
                raise records.StoreError(
                    f"{path.name} holds later rounds of another training; remove their records"
                )
            return
        history = [masking.ones(final_weights), masks][-after:]
        if after > 2:
            arrays = self._load(run, "_chains", run.procedure)
            history = [masking.at_round(arrays, earlier) for earlier in range(after - 1)] + [masks]
        records.save_arrays(path, masking.pruned_at([*history, following]))
        if run.procedure == "continued":
            arrays = {name: weight.numpy() for name, weight in final_weights.items()}
            records.save_arrays(self._continued(run, run.pruning_round), arrays)
            self._continued(run, run.pruning_round - 2).unlink(missing_ok=True)


def _last_round(arrays):
    return max(int(array[array != masking.NEVER_PRUNED].max(initial=0)) for array in arrays.values())
