"""The arms: under which mask a network trains, from which weights, what must be finished first, what is drawn anew.

An arm is one entry of ARMS. `store`, a records.Store, has the masks and weights that finished runs left behind.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from lth_utils import masks as masking
from lth_utils import networks, paper, rewinding
from lth_utils.masks import Masks, Weights

# ---------------------------------------------------------------- masks


def everything(run, store) -> Masks:
    """The dense network."""
    return masking.ones(_draw(run))


def found(run, store) -> Masks:
    """The mask that training decided: the chain's of this round, or one step from the trained dense network."""
    if run.procedure != "one_shot":
        return store.masks(run.mask_owner)
    trained = store.dense_weights(run)
    rates = paper.one_shot_rates(run.network, run.pruning_round)
    return masking.prune_smallest(trained, masking.ones(trained), rates)


def as_many_at_random(run, store) -> Masks:
    """As many survivors per layer as the ticket of the round has, anywhere (Appendix F.4 and Figure 1)."""
    sizes = masks_of_equal_size(_draw(run), run.pruning_round, run.protocol.pruning_rates)
    return masking.random_like(sizes, np.random.Generator(np.random.PCG64(run.seeds["mask"])))


def masks_of_equal_size(weights: Weights, pruning_round: int, rates: Mapping[str, float]) -> Masks:
    """Masks with as many survivors per layer as the tickets of a round: the counts do not depend on which survive."""
    masks = masking.ones(weights)
    for _ in range(pruning_round):
        masks = masking.prune_smallest(weights, masks, rates)
    return masks


def next_masks(run, final_weights: Weights, masks: Masks) -> Masks:
    """The mask of the next round of a chain: this round's, without the smallest survivors of every layer."""
    return masking.prune_smallest(final_weights, masks, run.protocol.pruning_rates)


# ---------------------------------------------------------------- weights


def reset(run, store, masks: Masks) -> Weights:
    """Drawn by the run's seed, pruned weights zero: for an arm that draws nothing anew, the dense network's initial ones."""
    return rewinding.rewind(_draw(run), masks)


def _draw(run) -> Weights:
    return networks.initial_weights(run.network, run.seeds["init"])


# ---------------------------------------------------------------- the arms


@dataclass(frozen=True)
class Arm:
    """masks(run, store) and weights(run, store, masks) say where its training starts.

    waits: its mask comes from the training of the round before, or of the dense network for one-shot pruning.
    draws: every round and replicate draws initial weights (and a mask) of its own; else they are those of the trial.
    pruned: after training, it is pruned to give the next round's mask.
    """

    masks: Callable
    weights: Callable = reset
    waits: bool = False
    draws: bool = False
    pruned: bool = False


ARMS = {
    "dense": Arm(everything, pruned=True),
    "winning_ticket": Arm(found, waits=True, pruned=True),
    "random_reinit": Arm(found, waits=True, draws=True),  # Section 2: the ticket's mask, new weights
    "random_sparsity": Arm(as_many_at_random, draws=True),
}


def needs(run):
    """The run that must be finished first: the one whose trained weights decide this run's mask, if any."""
    if not ARMS[run.arm].waits:
        return None
    before = 0 if run.procedure == "one_shot" else run.pruning_round - 1
    arm, procedure = ("winning_ticket", run.procedure) if before else ("dense", "iterative")
    return replace(run.mask_owner, arm=arm, procedure=procedure, pruning_round=before, replicate=0)


def starting_point(run, store) -> tuple[Weights, Masks]:
    """Weights at iteration 0 and masks of a run; StoreError if the training that decides its mask is missing."""
    masks = ARMS[run.arm].masks(run, store)
    return ARMS[run.arm].weights(run, store, masks), masks


def continuation(run, store, masks: Masks) -> tuple[Weights, Masks]:
    """Where the unrecorded companion of a "continued" run starts: trained weights under the run's mask, not reset.

    Appendix B prunes a network that trains on from round to round; what its figures show, and what is recorded, is each of
    its rounds reset and retrained.
    """
    return rewinding.rewind(store.continued_weights(run), masks), masks
