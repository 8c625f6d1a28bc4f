"""Masks: which weights of a network survive. Pure functions from masks to masks; nothing here trains.

A mask maps each prunable weight name ("fc1.weight") to a bool tensor of the weight's shape; True survives.
Biases are never pruned and never appear here.
"""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

Weights = dict[str, Tensor]
Masks = dict[str, Tensor]

NEVER_PRUNED = 255  # in a pruned-at array: the weight still survives


def ones(weights: Mapping[str, Tensor]) -> Masks:
    """The dense mask: True everywhere, for prunable weights only (names ending in ".weight")."""
    return {
        name: torch.ones_like(weight, dtype=torch.bool)
        for name, weight in weights.items()
        if name.endswith(".weight")
    }


def prune_smallest(
    weights: Mapping[str, Tensor],
    masks: Masks,
    rates: Mapping[str, float] | float,
    scope: str = "layer",
) -> Masks:
    """Remove the smallest-magnitude survivors, independently per layer or over the whole network.

    weights: name -> tensor [out, in, ...]; masks: name -> bool tensor of the same shape.
    rates: scope="layer": name -> fraction of that layer's survivors, in [0, 1); scope="global": one float.
    Exactly ``round(rate * survivors)`` weights go (half to even); ties fall in index order.
    Returns new masks nested in the old ones; inputs are untouched.
    Raises KeyError for a layer without weight or rate, ValueError for a rate outside [0, 1) or an unknown scope.
    Source: Section 2 and Figure 2 (layer-wise); Section 4 (global).
    """
    if scope == "layer":
        return {name: _without_smallest(weights[name], mask, rates[name]) for name, mask in masks.items()}
    if scope == "global":
        sizes = [mask.numel() for mask in masks.values()]
        flat_weights = torch.cat([weights[name].flatten() for name in masks])
        flat_masks = torch.cat([mask.flatten() for mask in masks.values()])
        pieces = _without_smallest(flat_weights, flat_masks, rates).split(sizes)
        return {
            name: piece.view(mask.shape) for (name, mask), piece in zip(masks.items(), pieces, strict=True)
        }
    raise ValueError(f'scope must be "layer" or "global", got {scope!r}')


def _without_smallest(weight, mask, rate):
    if not 0 <= rate < 1:
        raise ValueError(f"a pruning rate lies in [0, 1), got {rate}")
    if weight.shape != mask.shape:
        raise ValueError(f"weight {tuple(weight.shape)} and mask {tuple(mask.shape)} differ in shape")
    survivors = mask.flatten().nonzero().squeeze(1)
    magnitudes = weight.detach().flatten()[survivors].abs()
    doomed = survivors[magnitudes.sort(stable=True).indices[: round(rate * len(survivors))]]
    pruned = mask.flatten().clone()
    pruned[doomed] = False
    return pruned.view(mask.shape)


def random_like(masks: Masks, generator: np.random.Generator) -> Masks:
    """Masks with the same number of survivors in every layer, at places drawn without replacement.

    The control "random sparsity" of Figures 1 and 14. Equal counts per layer: the paper's P_m values lie on
    the tickets' own ladder, so this is the natural reading. Same generator state, same masks, on any machine.
    """
    drawn = {}
    for name, mask in masks.items():
        places = generator.permutation(mask.numel())[: int(mask.sum())]
        flat = torch.zeros(mask.numel(), dtype=torch.bool)
        flat[torch.from_numpy(places)] = True
        drawn[name] = flat.view(mask.shape).to(mask.device)
    return drawn


def density(masks: Masks) -> float:
    """Surviving share of all prunable weights, in [0, 1]: a count, never a sum of magnitudes."""
    return sum(int(mask.sum()) for mask in masks.values()) / sum(mask.numel() for mask in masks.values())


def apply(weights: Mapping[str, Tensor], masks: Masks) -> Weights:
    """Copies of the weights with pruned entries set to exactly zero; biases are copied as they are."""
    return {
        name: weight.detach() * masks[name] if name in masks else weight.detach().clone()
        for name, weight in weights.items()
    }


def assert_nested(inner: Masks, outer: Masks) -> None:
    """Raise ValueError naming the first layer in which `inner` keeps a weight that `outer` has pruned."""
    if inner.keys() != outer.keys():
        raise ValueError(f"masks cover different layers: {sorted(inner)} and {sorted(outer)}")
    for name, mask in inner.items():
        revived = int((mask & ~outer[name]).sum())
        if revived:
            raise ValueError(f"{name}: {revived} pruned weights came back to life")


def pruned_at(history: list[Masks]) -> dict[str, np.ndarray]:
    """Pack nested masks of rounds 0, 1, 2, ... into one uint8 array per layer: the round in which a weight went.

    NEVER_PRUNED marks weights that survive the last mask. Raises ValueError if the masks are not nested.
    """
    packed = {
        name: np.full(tuple(mask.shape), NEVER_PRUNED, dtype=np.uint8) for name, mask in history[0].items()
    }
    for pruning_round, (outer, inner) in enumerate(zip(history, history[1:], strict=False), start=1):
        assert_nested(inner, outer)
        for name, array in packed.items():
            array[(outer[name] & ~inner[name]).cpu().numpy()] = pruning_round
    return packed


def at_round(packed: Mapping[str, np.ndarray], pruning_round: int) -> Masks:
    """Unpack the masks of one round from `pruned_at` arrays."""
    return {name: torch.from_numpy(array > pruning_round) for name, array in packed.items()}
