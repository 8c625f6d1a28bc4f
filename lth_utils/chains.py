"""What finished runs leave beside their records for later runs and later analyses: masks, weights, errors.

One compressed file per trial and kind; none of them is needed to read the records.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from lth_utils import experiments, records
from lth_utils import masks as masking
from lth_utils.experiments import Run
from lth_utils.masks import Masks, Weights


@dataclass(frozen=True)
class Chain:
    """What finished runs left for later ones: masks by round and dense final weights, beside the records."""

    folder: Path

    def _path(self, run: Run, kind: str) -> Path:
        parts = [run.study, run.variant, run.protocol.key(), f"trial{run.trial}"]
        name = "-".join(part for part in parts if part)
        return self.folder / run.network / run.scale / kind / f"{name}.npz"

    def masks(self, run: Run) -> Masks:
        """Masks of the run's pruning round, from the chain of its trial."""
        return masking.at_round(records.load_arrays(self._path(run, "_chains")), run.pruning_round)

    def dense_weights(self, run: Run) -> Weights:
        """Final weights of the dense network of the run's trial."""
        arrays = records.load_arrays(self._path(run, "_weights"))
        return {name: torch.from_numpy(array) for name, array in arrays.items()}

    def keep_weights(self, run: Run, weights: Weights, errors: Mapping[str, np.ndarray]) -> None:
        """Store a dense network's final weights and the images it errs on, for analyses that train nothing."""
        records.save_arrays(self._path(run, "_weights"), {name: w.numpy() for name, w in weights.items()})
        records.save_arrays(self._path(run, "_errors"), errors)

    def errors(self, run: Run) -> dict[str, np.ndarray]:
        """The test images on which the run's final network was most confidently wrong."""
        return records.load_arrays(self._path(run, "_errors"))

    def extend(self, run: Run, masks: Masks, final_weights: Weights) -> None:
        """Store the mask of the round after a finished chain link; repeating it changes nothing."""
        if run.arm == "dense":
            history = [masks]
        else:
            arrays = records.load_arrays(self._path(run, "_chains"))
            history = [masking.at_round(arrays, r) for r in range(run.pruning_round + 1)]
        history.append(experiments.next_masks(run, final_weights, masks))
        records.save_arrays(self._path(run, "_chains"), masking.pruned_at(history))
