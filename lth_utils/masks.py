"""Masks: which weights of a network survive. Pure functions from masks to masks; nothing here trains.

A mask maps each prunable weight name ("fc1.weight") to a bool tensor of the weight's shape; True survives. Biases are
never pruned and never appear here. Zeros and ones of another type are taken as well, NumPy's too; what comes back is
bool, so every count is exact. Names decide which mask belongs to which weight: a mask without a weight is an error.
"""

from collections.abc import Collection, Mapping
from numbers import Real

import numpy as np
import torch
from torch import Tensor, nn

Weights = dict[str, Tensor]
Masks = dict[str, Tensor]

NEVER_PRUNED = 255  # in a pruned-at array: the weight still survives

# In these layers everything of two axes is a matrix or a filter, be it as long as one; normalisations hold none.
LAYERS = (nn.Linear, nn.Bilinear, nn.Embedding, nn.EmbeddingBag, nn.RNNBase, nn.RNNCellBase)
CONVOLUTION = nn.modules.conv._ConvNd
NORMALISATIONS = (nn.LayerNorm, nn.RMSNorm)  # those whose scale may have as many axes as an image


def ones(weights: nn.Module | Mapping[str, Tensor]) -> Masks:
    """The dense mask: True everywhere, for matrices and filters; never for biases or the scales of a normalisation.

    weights: a module, whose layers say what a parameter is; in a layer of one's own a matrix is longer than one along
    two axes at least. Or a dict, which has no layers: there every float tensor of two axes counts. Embedding tables
    count in both: `del` the name of a layer to spare it. Tied parameters of a module get one mask, by their first name.
    Raises ValueError where nothing is found, for one tensor under two names of a dict, and for weights that are lazy or
    computed from others (weight_norm, torch's prune).
    """
    owners = {}
    if isinstance(weights, nn.Module):
        module, weights = weights, dict(weights.named_parameters())
        owners = {name: module.get_submodule(name.rpartition(".")[0]) for name in weights}
    _refuse_computed(weights)
    matrices = {name: value for name, value in weights.items() if _is_matrix(name, value, owners.get(name))}
    if not matrices:
        raise ValueError(f"there is no matrix or filter to prune among {list(weights)}")
    _refuse_shared(matrices, matrices)
    return {name: torch.ones_like(value, dtype=torch.bool) for name, value in matrices.items()}


def _is_matrix(name, value, owner):
    if nn.parameter.is_lazy(value):
        raise ValueError(f"{name} is uninitialized: its lazy layer needs a first forward pass")
    if value.dim() < 2 or not value.is_floating_point() or isinstance(owner, NORMALISATIONS):
        return False
    by_kind = owner is None or isinstance(owner, (*LAYERS, CONVOLUTION))
    return by_kind or sum(size > 1 for size in value.shape) > 1


def _refuse_computed(names: Collection[str]) -> None:
    for name in names:
        stem, _, part = name.rpartition("_")
        if "parametrizations." in name or part == "orig" or (part == "g" and f"{stem}_v" in names):
            raise ValueError(
                f"{name}: the layer computes its weight from this tensor (weight_norm, spectral_norm, torch's prune); "
                f"masks are for plain weights, so remove that first"
            )


def _refuse_shared(weights: Mapping[str, Tensor], masked: Collection[str]) -> None:
    """Tied weights: a mask under one of two names would leave the other one dense."""
    places: dict[int, str] = {}
    for name, value in weights.items():
        first = places.setdefault(value.data_ptr(), name)
        if first != name and value.data_ptr() and (name in masked or first in masked):
            raise ValueError(
                f"{first} and {name} are one tensor (tied); give it once, as rewinding.weights_of(module) does"
            )


def as_bool(masks: Masks, weights: Mapping[str, Tensor] | None = None) -> Masks:
    """The masks as bool tensors; errors name the layer whose mask is no mask or fits no weight."""
    alive = {}
    for name, mask in masks.items():
        if weights is not None and name not in weights:
            first = next(iter(weights), "missing")
            raise KeyError(f"{name}: a mask without a weight of that name; the first weight is {first}")
        if not isinstance(mask, (Tensor, np.ndarray)):
            raise TypeError(f"{name}: a mask is a tensor or an array, not {type(mask).__name__}")
        mask = torch.as_tensor(mask)
        alive[name] = mask if mask.dtype == torch.bool else mask != 0
        if alive[name] is not mask and not torch.equal(alive[name].to(mask.dtype), mask):
            raise ValueError(f"{name}: a mask holds zeros and ones, this one holds other values")
        if weights is not None and (shape := weights[name].shape) != mask.shape:
            raise ValueError(f"{name}: weight {tuple(shape)} and mask {tuple(mask.shape)} differ in shape")
    return alive


def prune_smallest(
    weights: Mapping[str, Tensor],
    masks: Masks,
    rates: Mapping[str, float] | float,
    scope: str = "layer",
) -> Masks:
    """Remove the smallest-magnitude survivors, independently per layer or over the whole network.

    weights: name -> tensor [out, in, ...]; masks: name -> mask of the same shape. Weights without a mask are spared.
    rates: fraction of the survivors to remove, in [0, 1): one for all or, with scope="layer", one per layer by name.
    Exactly ``round(rate * survivors)`` weights go (half to even); ties fall in index order.
    Returns new masks nested in the old ones, on their devices; inputs are untouched.
    Raises KeyError for names that do not match; ValueError for a rate outside [0, 1), for survivors that are not finite
    (they have no order), for tied weights and an unknown scope; TypeError for rates that do not fit the scope.
    Source: Section 2 and Figure 2 (layer-wise); Section 4 (global).
    """
    if scope not in ("layer", "global"):
        raise ValueError(f'scope must be "layer" or "global", got {scope!r}')
    alive = as_bool(masks, weights)
    _refuse_shared({name: weights[name] for name in alive}, alive)
    if scope == "global":
        if not isinstance(rates, Real):
            raise TypeError(f'scope="global" ranks all layers together, at one rate: a float, not {rates!r}')
        return _without_smallest(weights, alive, rates)
    if not isinstance(rates, Mapping):
        rates = dict.fromkeys(alive, rates)
    if lacking := [name for name in alive if name not in rates]:
        raise KeyError(f"{lacking[0]}: no pruning rate for this layer, there are rates for {list(rates)}")
    pruned = {}
    for name, mask in alive.items():
        pruned |= _without_smallest(weights, {name: mask}, rates[name])
    return pruned


def _without_smallest(weights: Mapping[str, Tensor], masks: Masks, rate: float) -> Masks:
    """The masks of layers that are ranked together, without the smallest of their survivors."""
    if not 0 <= rate < 1:
        raise ValueError(f"{', '.join(masks)}: a pruning rate lies in [0, 1), got {rate}")
    flat = torch.cat([mask.flatten() for mask in masks.values()])
    values = torch.cat([weights[name].detach().flatten().to(flat.device) for name in masks])
    survivors = flat.nonzero().squeeze(1)
    ranked = values[survivors].abs().sort(stable=True)
    if len(survivors) and not ranked.values[-1].isfinite():  # infinities rank last, and NaN behind them
        name = next(name for name, mask in masks.items() if not weights[name][mask].isfinite().all())
        raise ValueError(f"{name}: some survivors are not finite, so there are no smallest to prune")
    flat[survivors[ranked.indices[: round(float(rate) * len(survivors))]]] = False
    pieces = flat.split([mask.numel() for mask in masks.values()])
    return {name: piece.view(masks[name].shape) for name, piece in zip(masks, pieces, strict=True)}


def random_like(masks: Masks, generator: np.random.Generator) -> Masks:
    """Masks with the same number of survivors in every layer, at places drawn without replacement.

    The control "random sparsity" of Figures 1 and 14. Equal counts per layer: the paper's P_m values lie on
    the tickets' own ladder, so this is the natural reading. Same generator state, same masks, on any machine.
    """
    drawn = {}
    for name, mask in as_bool(masks).items():
        places = generator.permutation(mask.numel())[: int(mask.sum())]
        flat = torch.zeros(mask.numel(), dtype=torch.bool)
        flat[torch.from_numpy(places)] = True
        drawn[name] = flat.view(mask.shape).to(mask.device)
    return drawn


def density(masks: Masks) -> float:
    """Surviving share of all prunable weights, in [0, 1]: a count, never a sum of magnitudes."""
    alive = as_bool(masks).values()
    if not (count := sum(mask.numel() for mask in alive)):
        raise ValueError("there are no masks, so there is no density")
    return sum(int(mask.sum()) for mask in alive) / count


def apply(weights: Mapping[str, Tensor], masks: Masks) -> Weights:
    """Copies of the weights with pruned entries set to exactly zero, be they NaN; what has no mask is copied as it is.

    Raises KeyError for a mask without a weight, ValueError for another shape or where a masked weight has two names.
    """
    alive = as_bool(masks, weights)
    _refuse_shared(weights, alive)
    applied = {}
    for name, value in weights.items():
        value = value.detach()
        applied[name] = value * alive[name].to(value.device) if name in alive else value.clone()
        if name in alive and not applied[name].sum().isfinite():  # 0 times infinity is NaN
            applied[name] = torch.where(alive[name].to(value.device), value, 0)
    return applied


def assert_nested(inner: Masks, outer: Masks) -> None:
    """Raise ValueError naming the first layer in which `inner` keeps a weight that `outer` has pruned."""
    if inner.keys() != outer.keys():
        raise ValueError(f"masks cover different layers: {sorted(inner)} and {sorted(outer)}")
    inner, outer = as_bool(inner), as_bool(outer, inner)
    for name, mask in inner.items():
        if revived := int((mask & ~outer[name].to(mask.device)).sum()):
            raise ValueError(f"{name}: {revived} pruned weights came back to life")


def pruned_at(history: list[Masks]) -> dict[str, np.ndarray]:
    """Pack nested masks of rounds 0, 1, 2, ... into one uint8 array per layer: the round in which a weight went.

    NEVER_PRUNED marks weights that survive the last mask, so there are 254 rounds at most after the first.
    Raises ValueError if there are more, or if the masks are not nested.
    """
    if not 0 < len(history) <= NEVER_PRUNED:
        raise ValueError(f"masks of 1 to {NEVER_PRUNED} rounds can be packed, not of {len(history)}")
    packed = {name: np.full(tuple(mask.shape), NEVER_PRUNED, np.uint8) for name, mask in history[0].items()}
    for pruning_round, masks in enumerate(history):
        assert_nested(masks, history[max(pruning_round - 1, 0)])
        for name, mask in as_bool(masks).items():
            packed[name][(packed[name] == NEVER_PRUNED) & ~mask.cpu().numpy()] = pruning_round
    return packed


def at_round(packed: Mapping[str, np.ndarray], pruning_round: int) -> Masks:
    """Unpack the masks of one round from `pruned_at` arrays; ValueError for a round that they cannot hold."""
    if not 0 <= pruning_round < NEVER_PRUNED:
        raise ValueError(f"packed masks hold rounds 0 to {NEVER_PRUNED - 1}, not {pruning_round}")
    return {name: torch.from_numpy(array > pruning_round) for name, array in packed.items()}
