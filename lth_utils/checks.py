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
This file needs torch and nothing else of ours: copy it.
"""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

Model = nn.Module | Mapping[str, Tensor]
Masks = Mapping[str, Tensor]


class CheckFailed(AssertionError):
    """A protocol was broken; the message says where and by how many weights, images or iterations."""


def _fail_if(wrong: int | bool | Tensor, sentence: str) -> None:
    if wrong:
        raise CheckFailed(sentence)


def _value(model: Model, name: str) -> Tensor:
    """The tensor that takes part in the forward pass; for a module of torch's prune computed afresh, never cached."""
    if isinstance(model, Mapping):
        return model[name].detach()
    owner, _, attribute = name.rpartition(".")
    module = model.get_submodule(owner)
    if hasattr(module, f"{attribute}_orig"):
        return (getattr(module, f"{attribute}_orig") * getattr(module, f"{attribute}_mask")).detach()
    return getattr(module, attribute).detach()


def _trained(model: Model) -> dict[str, Tensor]:
    """The tensors that an optimizer must hold."""
    if isinstance(model, Mapping):
        return dict(model)
    return {name: value for name, value in model.named_parameters() if value.requires_grad}


# ---------------------------------------------------------------- once


def saved_weights_are_copies(model: Model, saved: Mapping[str, Tensor]) -> None:
    """The saved initial weights share no memory with the model; `state_dict()` without clone() does."""
    memory = {tensor.untyped_storage().data_ptr(): name for name, tensor in _trained(model).items()}
    for name, tensor in saved.items():
        live = memory.get(tensor.untyped_storage().data_ptr())
        _fail_if(
            live is not None, f"{name}: the {tensor.numel():,} saved values are the memory of the live {live}"
        )


def validation_is_held_out(training_images: Tensor, validation_images: Tensor) -> None:
    """No validation image [n, ...] is also among the training images, compared byte by byte."""
    known = {image.cpu().numpy().tobytes() for image in training_images}
    seen = [i for i, image in enumerate(validation_images) if image.cpu().numpy().tobytes() in known]
    share = f"{len(seen):,} of {len(validation_images):,}"
    _fail_if(seen, f"{share} validation images are also trained on, the first is number {(seen or [0])[0]}")


# ---------------------------------------------------------------- at the start of a round


def weights_are_rewound(model: Model, initial_weights: Mapping[str, Tensor], masks: Masks) -> None:
    """Before its first step a ticket is initial weights times mask, biases included, bit for bit."""
    for name, saved in initial_weights.items():
        expected = saved * masks[name] if name in masks else saved
        wrong = int((_value(model, name) != expected).sum())
        _fail_if(wrong, f"{name}: {wrong:,} of {saved.numel():,} values are not rewound to the initial ones")


def saved_weights_are_untouched(saved: Mapping[str, Tensor], copy: Mapping[str, Tensor]) -> None:
    """The weights that you rewind to still equal a copy of your own, cloned before the first step."""
    for name, original in copy.items():
        changed = int((saved[name].detach() != original).sum())
        _fail_if(changed, f"{name}: {changed:,} of {original.numel():,} saved initial values have changed")


def optimizer_owns_the_live_weights(optimizer: torch.optim.Optimizer, model: Model) -> None:
    """The optimizer holds exactly the tensors of this model, not those of a model that it replaced."""
    held = {id(tensor) for group in optimizer.param_groups for tensor in group["params"]}
    live = _trained(model)
    for name, tensor in live.items():
        _fail_if(id(tensor) not in held, f"{name}: none of its {tensor.numel():,} values is in the optimizer")
    foreign = len(held - {id(tensor) for tensor in live.values()})
    _fail_if(foreign, f"the optimizer holds {foreign} tensors that the model does not have")


def optimizer_starts_without_state(optimizer: torch.optim.Optimizer) -> None:
    """No moments and no step counts are left from an earlier round."""
    count = len(optimizer.state)
    _fail_if(count, f"the optimizer starts with the state of an earlier training for {count} tensors")


def learning_rate_starts_at(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Every round begins with the protocol's learning rate; a scheduler must not go on decaying across rounds."""
    for number, group in enumerate(optimizer.param_groups):
        found = group["lr"]
        _fail_if(found != rate, f"parameter group {number} starts at learning rate {found:g}, not {rate:g}")


# ---------------------------------------------------------------- after training


def masked_weights_are_zero(model: Model, masks: Masks) -> None:
    """Pruned weights are exactly zero, after training as before it."""
    for name, mask in masks.items():
        alive = int((_value(model, name)[~mask.bool()] != 0).sum())
        _fail_if(alive, f"{name}: {alive:,} of {int((~mask.bool()).sum()):,} pruned weights are not zero")


def survivors_of_both_signs_moved(before: Model, after: Model, masks: Masks) -> None:
    """In every layer some survivors that began negative have moved, and some that began positive."""
    for name, mask in masks.items():
        first, last = _value(before, name), _value(after, name)
        for sign, chosen in (("negative", first < 0), ("positive", first > 0)):
            chosen = chosen & mask.bool()
            still = bool(chosen.any()) and not (first != last)[chosen].any()
            _fail_if(still, f"{name}: not one of its {int(chosen.sum()):,} {sign} survivors has moved")


def training_ran_to_its_end(iterations: int, planned: int) -> None:
    """A round trained for as many iterations as planned: early stopping is read off afterwards, not obeyed."""
    _fail_if(
        iterations != planned, f"the round trained for {iterations:,} iterations, planned were {planned:,}"
    )


# ---------------------------------------------------------------- after pruning


def only_weights_are_masked(masks: Masks) -> None:
    """Masks cover weight matrices and filters alone; biases and normalisation parameters have one dimension."""
    for name, mask in masks.items():
        _fail_if(
            mask.dim() < 2, f"{name}: its {mask.numel():,} values are pruned, but it is no weight matrix"
        )


def masks_are_nested(masks: Masks, earlier: Masks) -> None:
    """What an earlier round pruned stays pruned."""
    for name, mask in masks.items():
        revived = int((mask.bool() & ~earlier[name].bool()).sum()) if name in earlier else 0
        _fail_if(revived, f"{name}: {revived:,} pruned weights came back to life")


def layers_lose_their_share(masks: Masks, earlier: Masks, rates: Mapping[str, float]) -> None:
    """One round removed round(rate * survivors) weights of every layer, give or take one.

    rates: layer -> fraction as the paper says it, typed in again by hand: a misread paper is caught in no other way.
    """
    for name, rate in rates.items():
        before, after = int(earlier[name].sum()), int(masks[name].sum())
        text = f"{name}: {before - after:,} of {before:,} weights went, {round(rate * before):,} should have"
        _fail_if(abs(before - after - round(rate * before)) > 1, text)


# ---------------------------------------------------------------- for every control


def reinit_differs(ticket: Model, control: Model, masks: Masks) -> None:
    """A random reinitialisation has other weights than the ticket in the same places."""
    for name, mask in masks.items():
        same = int((_value(ticket, name) == _value(control, name))[mask.bool()].sum())
        count = int(mask.sum())
        _fail_if(2 * same > count, f"{name}: {same:,} of {count:,} survivors have the ticket's own weight")


def random_masks_differ(ticket: Masks, control: Masks) -> None:
    """A random mask keeps as many weights per layer as the ticket, but not the same ones."""
    for name, mask in ticket.items():
        ours, theirs = int(mask.sum()), int(control[name].sum())
        _fail_if(ours != theirs, f"{name}: {theirs:,} weights survive in the control, {ours:,} in the ticket")
        same = torch.equal(mask.bool(), control[name].bool()) and ours < mask.numel()
        _fail_if(same, f"{name}: the control keeps the same {ours:,} weights as the ticket")


# ---------------------------------------------------------------- for every number


def chosen_on_validation(index: int, validation_losses: Sequence[float]) -> None:
    """The evaluation that a result is read at has the lowest validation loss; the test set had no say."""
    losses = [math.inf if math.isnan(loss) else loss for loss in validation_losses]  # a NaN is never lowest
    best = min(range(len(losses)), key=losses.__getitem__)
    tied = losses[index] == losses[best]
    _fail_if(not tied, f"evaluation {index} was chosen, the validation loss is lowest at evaluation {best}")
