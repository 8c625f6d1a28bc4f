"""Rewinding: what a pruned network's survivors are set to before they train again.

The weights of a module are its parameters and its buffers, each once: running statistics are saved and reset like all
else. Whatever is returned is a fresh copy; saved weights are never aliased, so training cannot change them.
"""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from lth_utils import masks as masking
from lth_utils.masks import Masks, Weights


def rewind(saved_weights: Mapping[str, Tensor], masks: Masks) -> Weights:
    """Survivors (and all that has no mask: biases, buffers) back to their saved values, pruned weights to exactly zero.

    saved_weights: the initial weights (Section 2, "resetting"), or those of iteration k (late rewinding).
    Raises KeyError for a mask whose name is not among the saved weights.
    """
    return masking.apply(saved_weights, masks)


def _tensors(module):
    return {**dict(module.named_parameters()), **dict(module.named_buffers())}


def weights_of(module: nn.Module) -> Weights:
    """Copies of all parameters and buffers of a module, by name; tied ones once, under their first name."""
    return {name: value.detach().clone() for name, value in _tensors(module).items()}


@torch.no_grad()
def load(module: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Copy weights into the module's own tensors; KeyError or ValueError name the first that does not fit."""
    own = _tensors(module)
    for name in (*own, *weights):
        if name not in own or name not in weights:
            raise KeyError(
                f"{name}: {'the weights lack it' if name in own else 'the module has no such tensor'}"
            )
        if own[name].shape != weights[name].shape:
            raise ValueError(f"{name}: {tuple(weights[name].shape)} does not fit {tuple(own[name].shape)}")
    for name, value in own.items():
        value.copy_(weights[name])


@torch.no_grad()
def zero_pruned(module: nn.Module, masks: Masks) -> None:
    """Set pruned weights of a module back to zero: after every update, whatever its optimizer does to them."""
    parameters = dict(module.named_parameters())
    for name, mask in masking.as_bool(masks, parameters).items():
        parameters[name].masked_fill_(~mask.to(parameters[name].device), 0)


def own_draw(layer: nn.Module) -> None:
    """The layer's own `reset_parameters`; torch's attention calls it `_reset_parameters`."""
    reset = getattr(layer, "reset_parameters", None) or getattr(layer, "_reset_parameters", None)
    if reset:
        reset()


def reinitialise(
    module: nn.Module,
    initial_weights: Mapping[str, Tensor],
    masks: Masks,
    seed: int,
    draw: Callable[[nn.Module], None] = own_draw,
) -> Weights:
    """The control "random reinit": a fresh draw from the network's own distribution under an unchanged mask.

    draw: fills the parameters of one layer in place; called with every submodule, the innermost first. What it leaves
    alone keeps its initial value, but ValueError names a masked weight that it leaves. seed: of torch's generators,
    which are put back, as the module is. Source: Section 2, "Random reinitialization".
    """
    before = weights_of(module)
    try:
        load(module, initial_weights)
        with torch.no_grad(), torch.random.fork_rng():
            torch.manual_seed(seed)
            for name in masks:
                module.get_parameter(name).fill_(torch.nan)
            for layer in reversed(list(module.modules())):
                draw(layer)
        drawn = weights_of(module)
    finally:
        load(module, before)
    for name in masks:
        if drawn[name].isnan().any():
            raise ValueError(f"{name}: the draw leaves it as it was; give a draw that fills it")
    return masking.apply(drawn, masks)
