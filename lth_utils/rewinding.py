"""Rewinding: what a pruned network's survivors are set to before they train again.

Every function returns fresh tensors; the saved weights are never aliased, so training cannot change them.
"""

from collections.abc import Mapping

from torch import Tensor

from lth_utils import masks as masking
from lth_utils import networks
from lth_utils.masks import Masks, Weights


def rewind(saved_weights: Mapping[str, Tensor], masks: Masks) -> Weights:
    """Survivors (and all biases) back to their saved values, pruned weights to exactly zero.

    saved_weights: the initial weights (Section 2, "resetting"), or those of iteration k (late rewinding).
    """
    return masking.apply(saved_weights, masks)


def reinitialise(network: str, seed: int, masks: Masks) -> Weights:
    """The control "random reinit": a fresh draw from the initial distribution under an unchanged mask.

    Source: Section 2, "Random reinitialization".
    """
    return masking.apply(networks.initial_weights(network, seed), masks)
