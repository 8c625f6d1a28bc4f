"""Assertions for your own lottery-ticket code: each catches one way in which published code went wrong.

They take any `torch.nn.Module` (also one pruned by `torch.nn.utils.prune`) or a dict of named tensors, and masks as a
dict from weight name ("fc1.weight") to a tensor of 0 and 1 of the weight's shape. Put them where they belong:

    once                    saved_weights_are_copies, validation_is_held_out
    at the start of a round weights_are_rewound, saved_weights_are_untouched, optimizer_owns_the_live_weights,
                            optimizer_starts_without_state, learning_rate_starts_at
    after training          masked_weights_are_zero, survivors_of_both_signs_moved, training_ran_to_its_end
    after pruning           only_weights_are_masked, masks_are_nested, layers_lose_their_share
    for every control       reinit_differs, random_masks_differ
    for every number        chosen_on_validation

Each raises CheckFailed, an AssertionError, with a sentence that names layer and count; none of them changes anything.
Names must match: nn.DataParallel makes "module.fc1.weight" of "fc1.weight", and that is another name. Several
optimizers go in as a list. `every_round` puts all that weights and masks can show into a loop over rounds.
This file needs torch and nothing else of ours: copy it. It runs on Python 3.9 and torch 2.0, or later ones.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

if TYPE_CHECKING:  # Python 3.9 could not evaluate these
    Model = nn.Module | Mapping[str, Tensor]
    Masks = Mapping[str, Tensor]
    Optimizers = torch.optim.Optimizer | Sequence[torch.optim.Optimizer]


class CheckFailed(AssertionError):
    """A protocol was broken; the message says where and by how many weights, images or iterations."""


def _fail_if(wrong: int | bool | Tensor, sentence: str) -> None:
    if wrong:
        raise CheckFailed(sentence)


def _contains(names: Iterable[str], others: Mapping[str, Any], what: str) -> None:
    for name in names:
        _fail_if(
            name not in others, f"{name}: not among the {what}, the first is {next(iter(others), 'missing')}"
        )


def _tensors(model: Model) -> dict[str, Tensor]:
    """Parameters and buffers by name."""
    return dict(model if isinstance(model, Mapping) else [*model.named_parameters(), *model.named_buffers()])


def _value(model: Model, name: str) -> Tensor:
    """The tensor that the next forward pass computes with, on the CPU; a weight that is a product, computed afresh."""
    if isinstance(model, Mapping):
        product = name not in model and f"{name}_mask" in model  # what torch's prune saves
        _contains([f"{name}_orig" if product else name], model, "tensors (nor is its _orig with a _mask)")
        value = model[f"{name}_orig"] * model[f"{name}_mask"] if product else model[name]
    else:
        path, _, attribute = name.rpartition(".")
        try:
            value = _computed(model.get_submodule(path), attribute)
        except AttributeError:
            raise CheckFailed(f"{name}: the model has no such tensor") from None
    return torch.as_tensor(value).detach().cpu()


@torch.no_grad()
def _computed(layer: nn.Module, attribute: str) -> Tensor:
    """torch's prune, weight_norm and spectral_norm leave the last pass's product in the attribute, or change at a look."""
    for hook in layer._forward_pre_hooks.values():
        if getattr(hook, "_tensor_name", None) == attribute:
            return hook.apply_mask(layer)
        if getattr(hook, "name", None) == attribute and hasattr(hook, "compute_weight"):
            return hook.compute_weight(*((layer, False) if hasattr(hook, "n_power_iterations") else (layer,)))
    if attribute in getattr(layer, "parametrizations", {}):
        return copy.deepcopy(layer.parametrizations[attribute]).eval()()
    return getattr(layer, attribute)


def _masked(masks: Masks, *models: Model) -> Iterator[tuple[Any, ...]]:
    """Name, mask as bool and each model's value of every masked weight: a sum of bools is exact, one of floats is not."""
    for name, mask in masks.items():
        mask = torch.as_tensor(mask).detach().cpu()
        alive = mask != 0
        _fail_if(not torch.equal(alive.to(mask.dtype), mask), f"{name}: a mask holds 0 and 1 alone")
        yield (name, alive, *(_fitting(name, _value(model, name), alive) for model in models))


def _fitting(name: str, value: Tensor, other: Tensor) -> Tensor:
    found, wanted = tuple(value.shape), tuple(other.shape)
    _fail_if(found != wanted, f"{name}: the shapes {found} and {wanted} do not fit")
    return value


def _optimizers(given: Optimizers) -> list[torch.optim.Optimizer]:
    return list(given) if isinstance(given, (list, tuple)) else [given]


def saved_weights_are_copies(model: Model, saved: Mapping[str, Tensor]) -> None:
    """The saved initial weights share no memory with the model, buffers included; `state_dict()` without clone() does."""
    memory = {tensor.untyped_storage().data_ptr(): name for name, tensor in _tensors(model).items()}
    for name, tensor in saved.items():
        tensor = torch.as_tensor(tensor)
        place = tensor.untyped_storage().data_ptr()  # 0: of what has no memory
        text = f"{name}: the {tensor.numel():,} saved values are the memory of the live {memory.get(place)}"
        _fail_if(place and place in memory, text)


def validation_is_held_out(training_images: Tensor, validation_images: Tensor) -> None:
    """No validation image [n, ...] is also among the training images, compared byte by byte.

    Both must have one type and one scaling. A data set that was published with duplicates fails, however it is split.
    """
    sets = [torch.as_tensor(images).detach().cpu() for images in (training_images, validation_images)]
    kinds = [f"{images[:1].numel()} values of {images.dtype}" for images in sets]
    _fail_if(
        kinds[0] != kinds[1], f"images of {kinds[0]} and of {kinds[1]} are never equal; compare them raw"
    )
    rows = [images.reshape(len(images), -1).contiguous().view(torch.uint8).numpy() for images in sets]
    known = {image.tobytes() for image in rows[0]}
    seen = [number for number, image in enumerate(rows[1]) if image.tobytes() in known]
    share = f"{len(seen):,} of {len(rows[1]):,}"
    _fail_if(seen, f"{share} validation images are also trained on, the first is number {(seen or [0])[0]}")


def weights_are_rewound(model: Model, initial_weights: Mapping[str, Tensor], masks: Masks) -> None:
    """Before its first step a ticket is initial weights times mask, bit for bit, biases and running statistics too."""
    _contains(masks, initial_weights, "saved values")
    state = model if isinstance(model, Mapping) else model.state_dict()  # has not every buffer
    own = [name for name in _tensors(model) if name in state and _product(name) not in initial_weights]
    _contains(own, initial_weights, "saved values")
    alive = {name: mask for name, mask, _ in _masked(masks, initial_weights)}
    for name in initial_weights:
        saved = _value(initial_weights, name)
        expected = saved.masked_fill(~alive[name], 0) if name in alive else saved
        wrong = int((_fitting(name, _value(model, name), expected) != expected).sum())
        _fail_if(wrong, f"{name}: {wrong:,} of {saved.numel():,} values are not rewound to the initial ones")


def _product(name: str) -> str:
    """The weight that torch computes from a tensor of this name, if any: "0.weight" from "0.weight_orig"."""
    path, found, rest = name.partition("parametrizations.")
    stem, _, part = name.rpartition("_")
    return path + rest.split(".")[0] if found else stem if part in ("orig", "mask", "g", "v", "u") else name


def saved_weights_are_untouched(saved: Mapping[str, Tensor], copy: Mapping[str, Tensor]) -> None:
    """The weights that you rewind to still equal a copy of your own, cloned before the first step."""
    _contains(saved, copy, "copies")
    for name in copy:
        original = _value(copy, name)
        changed = int((_fitting(name, _value(saved, name), original) != original).sum())
        _fail_if(changed, f"{name}: {changed:,} of {original.numel():,} saved initial values have changed")


def optimizer_owns_the_live_weights(optimizer: Optimizers, model: Model) -> None:
    """The optimizer holds exactly the tensors of this model, not those of a model it replaced; frozen ones may lack."""
    held = {id(t) for one in _optimizers(optimizer) for group in one.param_groups for t in group["params"]}
    own = _tensors(model)
    for name, tensor in own.items():
        missing = tensor.requires_grad and id(tensor) not in held
        _fail_if(missing, f"{name}: none of its {tensor.numel():,} values is in the optimizer")
    foreign = len(held - {id(tensor) for tensor in own.values()})
    _fail_if(foreign, f"the optimizer holds {foreign} tensors that the model does not have")


def optimizer_starts_without_state(optimizer: Optimizers) -> None:
    """No moments and no step counts are left from an earlier round; zeros that a constructor makes are no state."""
    count = sum(_is_used(state) for one in _optimizers(optimizer) for state in one.state.values())
    _fail_if(count, f"the optimizer starts with the state of an earlier training for {count} tensors")


def _is_used(state: Mapping[str, Any]) -> bool:
    if "step" in state:
        return bool(state["step"] != 0)
    return any(bool(torch.as_tensor(v).any()) for v in state.values() if isinstance(v, (Tensor, int, float)))


def learning_rate_starts_at(optimizer: Optimizers, rate: float) -> None:
    """Every round begins with the protocol's learning rate; a scheduler must not go on decaying across rounds."""
    rates = [float(group["lr"]) for one in _optimizers(optimizer) for group in one.param_groups]
    for number, found in enumerate(rates):
        wrong = not math.isclose(found, rate, rel_tol=1e-6)  # a warm-up multiplies, so its last digits vary
        _fail_if(wrong, f"parameter group {number} starts at learning rate {found:.9g}, not {rate:.9g}")


def masked_weights_are_zero(model: Model, masks: Masks) -> None:
    """Pruned weights are exactly zero, after training as before it."""
    for name, mask, value in _masked(masks, model):
        alive = int((value[~mask] != 0).sum())
        _fail_if(alive, f"{name}: {alive:,} of {int((~mask).sum()):,} pruned weights are not zero")


def survivors_of_both_signs_moved(before: Model, after: Model, masks: Masks) -> None:
    """In every layer some survivors that began negative have moved, and some that began positive; frozen layers apart."""
    own = {} if isinstance(after, Mapping) else dict(after.named_parameters())
    for name, mask, first, last in _masked(masks, before, after):
        for sign, chosen in (("negative", mask & (first < 0)), ("positive", mask & (first > 0))):
            frozen = name in own and not own[name].requires_grad
            still = bool(chosen.any()) and not frozen and not (first != last)[chosen].any()
            _fail_if(still, f"{name}: not one of its {int(chosen.sum()):,} {sign} survivors has moved")


def training_ran_to_its_end(iterations: int, planned: int) -> None:
    """A round trained for as many iterations as planned: early stopping is read off afterwards, not obeyed."""
    text = f"the round trained for {iterations:,} iterations, planned were {planned:,}"
    _fail_if(iterations != planned, text)


def only_weights_are_masked(masks: Masks) -> None:
    """Masks cover weight matrices and filters alone; biases and most normalisation parameters have one dimension.

    Shapes are all it sees: the scale of a LayerNorm over two axes looks like a matrix, a layer scale like a filter.
    """
    for name, mask in _masked(masks):
        _fail_if(mask.dim() < 2, f"{name}: its {mask.numel():,} values are pruned, it is no weight matrix")


def masks_are_nested(masks: Masks, earlier: Masks) -> None:
    """What an earlier round pruned stays pruned. Later masks may cover more layers, never fewer."""
    _contains(earlier, masks, "later masks")
    for name, before, after in _masked(earlier, dict(_masked(masks))):
        revived = int((after & ~before).sum())
        _fail_if(revived, f"{name}: {revived:,} pruned weights came back to life")


def layers_lose_their_share(masks: Masks, earlier: Masks, rates: Mapping[str, float] | float) -> None:
    """One round removed round(rate * survivors) weights of every layer, give or take one.

    rates: layer -> fraction as the paper says it, typed in again by hand: a misread paper is caught in no other way.
    One number stands for all layers.
    """
    rates = rates if isinstance(rates, Mapping) else dict.fromkeys(earlier, rates)
    _contains(rates, earlier, "earlier masks")
    _contains(earlier, masks, "later masks")
    for name, old, new in _masked(earlier, dict(_masked(masks))):
        if name in rates:
            before, gone, share = int(old.sum()), int(old.sum()) - int(new.sum()), rates[name]
            text = f"{name}: {gone:,} of {before:,} weights went, {round(share * before):,} should have"
            _fail_if(abs(gone - round(share * before)) > 1, text)


def reinit_differs(ticket: Model, control: Model, masks: Masks) -> None:
    """A random reinitialisation has other weights than the ticket in the same places."""
    for name, mask, ours, theirs in _masked(masks, ticket, control):
        same, count = int((ours == theirs)[mask].sum()), int(mask.sum())
        _fail_if(2 * same > count, f"{name}: {same:,} of {count:,} survivors have the ticket's own weight")


def random_masks_differ(ticket: Masks, control: Masks) -> None:
    """A random mask keeps as many weights per layer as the ticket, but not the same ones."""
    _contains(control, ticket, "ticket's masks")
    for name, mask, drawn in _masked(ticket, dict(_masked(control))):
        ours, theirs = int(mask.sum()), int(drawn.sum())
        _fail_if(ours != theirs, f"{name}: {theirs:,} weights survive in the control, {ours:,} in the ticket")
        same = torch.equal(mask, drawn) and 0 < ours < mask.numel()
        _fail_if(same, f"{name}: the control keeps the same {ours:,} weights as the ticket")


def chosen_on_validation(index: int, validation_losses: Sequence[float]) -> None:
    """The evaluation that a result is read at has the lowest validation loss; the test set had no say."""
    count = len(validation_losses)
    _fail_if(not 0 <= index < count, f"evaluation {index} was chosen, there are 0 to {count - 1}")
    losses = [
        loss if math.isfinite(loss) else math.inf for loss in validation_losses
    ]  # a NaN is never lowest
    best = losses.index(min(losses))
    _fail_if(math.isinf(losses[best]), f"not one of the {count} validation losses is finite")
    better = losses[best] < losses[index]
    _fail_if(better, f"evaluation {index} was chosen, the validation loss is lowest at evaluation {best}")


def every_round(
    rounds: Iterable[Any],
    initial_weights: Mapping[str, Tensor],
    rates: Mapping[str, float] | float | None = None,
) -> Iterator[Any]:
    """Hand on the rounds of an algorithm that resets, each checked by its masks, first_weights and final_weights.

    rates: as of `layers_lose_their_share`, which is left out without them.
    """
    own = {name: value.detach().clone() for name, value in initial_weights.items()}
    earlier: Masks | None = None
    for done in rounds:
        weights_are_rewound(done.first_weights, own, done.masks)
        saved_weights_are_untouched(initial_weights, own)
        saved_weights_are_copies(done.final_weights, initial_weights)
        masked_weights_are_zero(done.final_weights, done.masks)
        survivors_of_both_signs_moved(done.first_weights, done.final_weights, done.masks)
        only_weights_are_masked(done.masks)
        if earlier is not None:
            masks_are_nested(done.masks, earlier)
            layers_lose_their_share(done.masks, earlier, rates or {})
        yield done
        earlier = done.masks
