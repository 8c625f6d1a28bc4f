"""From a run to weights and masks: what it needs to be finished first, and where its training starts."""

from collections.abc import Mapping

import numpy as np

from lth_utils import masks as masking
from lth_utils import networks, paper, rewinding
from lth_utils.experiments.runs import Run, planned
from lth_utils.masks import Masks, Weights


def needs(run: Run) -> Run | None:
    """The run that must be finished first: the one whose trained weights decide this run's mask, if any."""
    if run.arm in ("dense", "random_sparsity"):
        return None
    before = 0 if run.procedure == "one_shot" else run.pruning_round - 1
    chained = run.in_chain
    return planned(
        run.network,
        "winning_ticket" if before else "dense",
        run.trial,
        before,
        procedure=run.procedure if before else "iterative",
        protocol=chained.protocol,
        variant=chained.variant,
        study=chained.study,
        scale=run.scale,
    )


def starting_point(run: Run, chain) -> tuple[Weights, Masks]:
    """Weights at iteration 0 and masks of a run. `chain` offers what earlier runs left: see chains.Chain."""
    initial = networks.initial_weights(run.network, run.seeds["init"], run.variant)
    if run.arm == "dense":
        return initial, masking.ones(initial)
    if run.arm == "random_sparsity":
        generator = np.random.Generator(np.random.PCG64(run.seeds["mask"]))
        masks = masking.random_like(
            masks_of_equal_size(initial, run.pruning_round, run.protocol.pruning_rates), generator
        )
    elif run.procedure == "one_shot":
        rates = paper.one_shot_rates(run.network, run.pruning_round)
        masks = masking.prune_smallest(chain.dense_weights(run), masking.ones(initial), rates)
    else:
        masks = chain.masks(run.in_chain)
    return rewinding.rewind(initial, masks), masks


def continuation(run: Run, chain, masks: Masks) -> tuple[Weights, Masks]:
    """Where the unrecorded companion of a "continued" run starts: trained weights under the run's mask, not reset."""
    return rewinding.rewind(chain.continued_weights(run), masks), masks


def masks_of_equal_size(weights: Weights, pruning_round: int, rates: Mapping[str, float]) -> Masks:
    """Masks with as many survivors per layer as the tickets of a round: the counts do not depend on which survive."""
    masks = masking.ones(weights)
    for _ in range(pruning_round):
        masks = masking.prune_smallest(weights, masks, rates)
    return masks


def next_masks(run: Run, final_weights: Weights, masks: Masks) -> Masks:
    """The mask of the next round of a chain: this round's, without the smallest survivors of every layer."""
    return masking.prune_smallest(final_weights, masks, run.protocol.pruning_rates)
