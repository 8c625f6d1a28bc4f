"""The paper's experiments as plans: which networks are trained, from which weights, under which masks.

A plan is a list of runs (`runs`); `starts` turns a run into weights and masks once the runs it depends on are done;
`lenet` and `convolutional` hold the plans. How a plan is executed is none of this room's business: see campaign.
"""

from collections.abc import Mapping

from lth_utils import paper
from lth_utils.experiments.convolutional import (
    CONVOLUTIONAL,
    PAPER_WAVES,
    REDUCED_CONTROL_ROUNDS,
    REDUCED_WAVES,
    conv2_quick,
    in_float32,
    paper_protocol,
    paper_wave,
    pixel_scalings,
    reduced_protocol,
    reduced_wave,
    retrained,
)
from lth_utils.experiments.costs import operations
from lth_utils.experiments.lenet import (
    BASELINE_SETTINGS,
    LENET_WAVES,
    baseline,
    lenet_quick,
    lenet_wave,
)
from lth_utils.experiments.runs import (
    FLOAT32,
    RETRAINED,
    VALIDATION_TRAINED_ON,
    Run,
    continued_tickets,
    controls,
    one_shot_tickets,
    seed,
    tickets,
)
from lth_utils.experiments.starts import continuation, masks_of_equal_size, needs, next_masks, starting_point

__all__ = [
    "BASELINE_SETTINGS",
    "CONVOLUTIONAL",
    "FLOAT32",
    "PAPER_WAVES",
    "REDUCED_CONTROL_ROUNDS",
    "REDUCED_WAVES",
    "RETRAINED",
    "VALIDATION_TRAINED_ON",
    "Run",
    "baseline",
    "continuation",
    "continued_tickets",
    "controls",
    "in_float32",
    "lenet_quick",
    "lenet_wave",
    "masks_of_equal_size",
    "named_waves",
    "needs",
    "next_masks",
    "one_shot_tickets",
    "operations",
    "paper_protocol",
    "pixel_scalings",
    "plan",
    "reduced_protocol",
    "retrained",
    "seed",
    "stacks",
    "starting_point",
    "tickets",
    "waves",
]

# Most runs per stack. Convolutions are computed one network after the other: stacked they gain nothing, and apart
# every worker can follow the chain of one trial. Continued chains train two networks per run: two workers share them.
NETWORKS_PER_STACK = {"lenet": 40, "conv2": 1, "conv4": 1, "conv6": 1}
CONTINUED_PER_STACK = 2


def plan(network: str, scale: str = "paper", wave: int = 2) -> list[Run]:
    """All runs of one network at one scale, in the order of their value to the report; "short" and "quick" have no waves.

    Raises ValueError that names what there is.
    """
    if scale == "short" and network == "lenet":
        return baseline("report")
    if scale == "short" and network in CONVOLUTIONAL:
        return pixel_scalings(network)
    if scale == "paper" and network == "lenet":
        return lenet_wave(wave)
    if scale == "paper" and network in CONVOLUTIONAL:
        return paper_wave(network, wave)
    if scale == "reduced" and network in CONVOLUTIONAL:
        return reduced_wave(network, wave)
    if (network, scale) == ("lenet", "quick"):
        return lenet_quick()
    if (network, scale) == ("conv2", "quick"):
        return conv2_quick()
    raise ValueError(
        f"no plan for network {network!r} at scale {scale!r}; there are plans for lenet at paper, short and quick, "
        f"for {', '.join(CONVOLUTIONAL)} at paper, reduced and short, and for conv2 at quick"
    )


def named_waves(**names: str) -> list[Run]:
    """The runs of the waves that a notebook shows: network="scale wave", such as conv2="reduced 1"; "" shows none.

    Raises ValueError for a name that is not made of these two words, or that `plan` does not know.
    """
    runs = []
    for network, name in names.items():
        scale, _, wave = name.partition(" ")
        if name and not wave.isdigit():
            raise ValueError(
                f'{network} must be a scale and a wave, such as "reduced 1", or "", not {name!r}'
            )
        runs += plan(network, scale, int(wave)) if name else []
    return runs


def waves() -> dict[str, list[Run]]:
    """Everything that the report may show, in the order in which it is adopted: a wave is shown when it is whole."""
    labels = {network: paper.NETWORK_LABELS[network] for network in CONVOLUTIONAL}
    return {
        "notebook 01": baseline("report"),
        **{f"Lenet, wave {number}": lenet_wave(number) for number in LENET_WAVES},
        **{f"{label}, pixel scaling": pixel_scalings(network) for network, label in labels.items()},
        **{
            f"{label}, reduced, wave {number}": reduced_wave(network, number)
            for network, label in labels.items()
            for number in REDUCED_WAVES[network]
        },
        **{
            f"{label}, wave {number}": paper_wave(network, number)
            for network, label in labels.items()
            for number in PAPER_WAVES
        },
    }


def stacks(plan: list[Run], most: Mapping[str, int] = NETWORKS_PER_STACK) -> list[list[Run]]:
    """Pack a plan into stacks of runs that can train side by side; a function of the plan alone.

    most: network -> runs per stack. Chains are kept apart from controls so that two workers find work at once.
    """
    groups: dict[tuple, list[Run]] = {}
    for run in plan:
        where = (run.network, run.scale, run.study, run.variant, run.protocol.key())
        group = (*where, run.procedure, run.continues_chain, run.pruning_round)
        groups.setdefault(group, []).append(run)
    packed = []
    for group in groups.values():
        size = most[group[0].network]
        if group[0].procedure == "continued":
            size = min(size, CONTINUED_PER_STACK)
        packed += [group[start : start + size] for start in range(0, len(group), size)]
    return packed
