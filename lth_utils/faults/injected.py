"""Ways to get the algorithm wrong, most of them found in public code, and the parts that carry them out.

A fault changes one thing: a part of `reference`, a setting of the protocol, or the data. What lasts over the rounds of
a chain (an optimizer, a count of steps) lives in the closures that `Fault.parts` makes afresh for every chain; it is
called with the length of an epoch in iterations, which only some of them need.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import torch

from lth_utils import masks as masking
from lth_utils import paper, reference, rewinding
from lth_utils.data import Dataset, training_on_validation
from lth_utils.paper import Protocol
from lth_utils.reference import Parts, Round

ON_TEST = "early_stop_on_test"
FROZEN_BELOW = 1e-6  # the threshold of the most copied script
DECAY = 0.7  # per epoch, as in a tutorial of the framework


def iterations_per_epoch(protocol: Protocol, data: Dataset) -> int:
    """917 for 55,000 images in batches of 60."""
    return round(len(data.train_labels) / protocol.batch_size)


def stopping(patience: int) -> Parts:
    """Training ends when the validation loss has not improved for so many iterations; the last weights are kept."""

    def stop(trained: Round) -> bool:
        return trained.iterations[-1] - trained.iterations[trained.early_stop] >= patience

    return Parts(stop=stop)


def without_masking(epoch: int) -> Parts:
    """Pruned weights start at zero and train like all others."""

    def step(network, weights, masks, optimizer, images, labels):
        reference.masked_step(network, weights, {}, optimizer, images, labels)

    return Parts(step=step)


def without_rewinding(epoch: int) -> Parts:
    """The copy to go back to is taken after training."""

    def reset(initial_weights, final_weights, masks):
        return masking.apply(final_weights, masks)

    return Parts(reset=reset)


def aliased(epoch: int) -> Parts:
    """`parameter.data = saved[name]`: the first reset is right and shares its memory, so training edits `saved`."""
    resets = []

    def reset(initial_weights, final_weights, masks):
        for name, value in final_weights.items() if resets else ():
            initial_weights[name].copy_(value)
        resets.append(masks)
        return rewinding.rewind(initial_weights, masks)

    return Parts(reset=reset)


def first_optimizer_for_all(epoch: int) -> Parts:
    """The model is replaced in every round, the optimizer is made once."""
    made = []

    def optimizer(weights, protocol):
        made[:] = made or [reference.new_optimizer(weights, protocol)]
        return made[0]

    return Parts(optimizer=optimizer)


def carried_moments(epoch: int) -> Parts:
    """Each round goes on with the step counts and moments of the round before.

    The mask is enforced on the weights as well: the moments would otherwise move pruned weights, a second fault.
    """
    before = []

    def optimizer(weights, protocol):
        new = reference.new_optimizer(weights, protocol)
        if before:
            new.load_state_dict(before.pop().state_dict())
        before.append(new)
        return new

    def step(network, weights, masks, optimizer, images, labels):
        reference.masked_step(network, weights, masks, optimizer, images, labels)
        with torch.no_grad():
            for name, mask in masks.items():
                weights[name] *= mask

    return Parts(optimizer=optimizer, step=step)


def decaying_across_rounds(epoch: int) -> Parts:
    """A step decay of the learning rate, tied to an optimizer and a count that no round sets back."""
    taken = [0]

    def decay(optimizer):
        for group in optimizer.param_groups:
            group["lr"] = optimizer.defaults["lr"] * DECAY ** (taken[0] // epoch)

    def optimizer(weights, protocol):
        new = reference.new_optimizer(weights, protocol)
        decay(new)
        return new

    def step(network, weights, masks, optimizer, images, labels):
        reference.masked_step(network, weights, masks, optimizer, images, labels)
        taken[0] += 1
        decay(optimizer)

    return Parts(optimizer=optimizer, step=step)


def negatives_frozen(epoch: int) -> Parts:
    """Gradients are zeroed where a weight, not its magnitude, is below a threshold."""

    def step(network, weights, masks, optimizer, images, labels):
        moving = {name: mask & (weights[name].detach() >= FROZEN_BELOW) for name, mask in masks.items()}
        reference.masked_step(network, weights, moving, optimizer, images, labels)

    return Parts(step=step)


def pruning_biases(epoch: int) -> Parts:
    """Biases are pruned at the rate of their layer."""

    def prune(weights, masks, rates):
        biases = {name: name.replace(".bias", ".weight") for name in weights if name.endswith(".bias")}
        dense = {name: torch.ones_like(weights[name], dtype=torch.bool) for name in biases}
        both = dict(rates) | {name: rates[weight] for name, weight in biases.items()}
        return masking.prune_smallest(weights, dense | masks, both)

    return Parts(prune=prune)


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One departure from the correct protocol; `name` is the variant of its records, "" the protocol itself.

    caught_by: the functions of `checks` that fail under it. rates: pruning rates
    that differ from the paper's. data: what becomes of the data set.
    """

    name: str
    label: str
    mistake: str  # what the code does
    caught_by: tuple[str, ...]
    parts: Callable[[int], Parts] = lambda epoch: Parts()
    rates: Mapping[str, float] = field(default_factory=dict)
    data: Callable[[Dataset], Dataset] = lambda data: data

    def changed(self, protocol: Protocol) -> Protocol:
        """The protocol with this fault's pruning rates."""
        return replace(protocol, pruning_rates=dict(protocol.pruning_rates) | dict(self.rates))


SHARE = "layers_lose_their_share"
FULL = {"output.weight": paper.protocol("lenet").pruning_rates["fc1.weight"]}
MISREAD = {
    "fc1.weight": 0.41,
    "fc2.weight": 0.41,
    "output.weight": 0.205,
}  # output at half rate, as in the paper

FAULTS = (
    Fault(name="", label="correct protocol", mistake="nothing", caught_by=()),
    Fault(
        name="stopped_after_1_epoch",
        label="stops early, patience 1 epoch",
        mistake="training ends when the validation loss has not improved for one epoch",
        parts=stopping,
        caught_by=("training_ran_to_its_end",),
    ),
    Fault(
        name="stopped_after_5_epochs",
        label="stops early, patience 5 epochs",
        mistake="training ends when the validation loss has not improved for five epochs",
        parts=lambda epoch: stopping(5 * epoch),
        caught_by=("training_ran_to_its_end",),
    ),
    Fault(
        name="validation_trained_on",
        label="validation set inside training set",
        mistake="the validation images are also trained on",
        data=training_on_validation,
        caught_by=("validation_is_held_out",),
    ),
    Fault(
        name="mask_not_enforced",
        label="mask not enforced in training",
        mistake="pruned weights start at zero and are trained again",
        parts=without_masking,
        caught_by=("masked_weights_are_zero",),
    ),
    Fault(
        name="no_rewind",
        label='"initial" weights copied after training',
        mistake="every round goes on from the trained weights",
        parts=without_rewinding,
        caught_by=("weights_are_rewound",),
    ),
    Fault(
        name="initial_weights_aliased",
        label="initial weights aliased",
        mistake="the saved initial weights share memory with the model from the first reset on",
        parts=aliased,
        caught_by=("saved_weights_are_untouched", "weights_are_rewound"),
    ),
    Fault(
        name="stale_optimizer",
        label="optimizer bound to a replaced model",
        mistake="the optimizer updates the first round's tensors for ever",
        parts=first_optimizer_for_all,
        caught_by=(
            "optimizer_owns_the_live_weights",
            "optimizer_starts_without_state",
            "survivors_of_both_signs_moved",
        ),
    ),
    Fault(
        name="adam_moments_carried",
        label="Adam's moments carried over",
        mistake="Adam's step counts and moments survive the reset",
        parts=carried_moments,
        caught_by=("optimizer_starts_without_state",),
    ),
    Fault(
        name="rate_decays_across_rounds",
        label="learning rate decays across rounds",
        mistake="a step decay is never set back",
        parts=decaying_across_rounds,
        caught_by=("learning_rate_starts_at", "survivors_of_both_signs_moved"),
    ),
    Fault(
        name="negatives_frozen",
        label="negative weights frozen",
        mistake="gradients are zeroed wherever a weight is below a small positive threshold",
        parts=negatives_frozen,
        caught_by=("survivors_of_both_signs_moved",),
    ),
    Fault(
        name="biases_pruned",
        label="biases pruned too",
        mistake="biases are pruned at the rate of their layer",
        parts=pruning_biases,
        caught_by=("only_weights_are_masked",),
    ),
    Fault(
        name="output_at_full_rate",
        label="output layer at full rate",
        mistake="the output layer is pruned as fast as the others",
        rates=FULL,
        caught_by=(SHARE,),
    ),
    Fault(
        name="rate_41",
        label="41 % pruned per round",
        mistake="a final density is read as seven rounds of (.002)^(1/7)",
        rates=MISREAD,
        caught_by=(SHARE,),
    ),
    Fault(
        name=ON_TEST,
        label="early stop chosen on test set",
        mistake="the correct training is read where the test loss is lowest",
        caught_by=("chosen_on_validation",),
    ),
)
