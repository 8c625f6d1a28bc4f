"""The paper's experiments: which networks are trained, from which weights, under which masks.

`plans` holds the tables, `arms` one entry per arm, `settings` one per departure from the protocol, `runs` what a run is.
How a plan is carried out is none of this room's business: see campaign.
"""

from collections.abc import Mapping

from lth_utils import networks
from lth_utils.experiments.arms import (
    ARMS,
    Arm,
    continuation,
    masks_of_equal_size,
    needs,
    next_masks,
    starting_point,
)
from lth_utils.experiments.costs import operations
from lth_utils.experiments.plans import (
    CONVOLUTIONAL,
    PLANS,
    baseline,
    in_float32,
    paper_protocol,
    plan,
    reduced_protocol,
    waves,
)
from lth_utils.experiments.runs import RETRAINED, Plan, Row, Run, seed
from lth_utils.experiments.settings import FLOAT32, SETTINGS, VALIDATION_TRAINED_ON, Setting

__all__ = [
    "ARMS",
    "CONVOLUTIONAL",
    "FLOAT32",
    "LENET_WAVES",
    "PAPER_WAVES",
    "PLANS",
    "REDUCED_WAVES",
    "RETRAINED",
    "SETTINGS",
    "VALIDATION_TRAINED_ON",
    "Arm",
    "Plan",
    "Row",
    "Run",
    "Setting",
    "baseline",
    "continuation",
    "in_float32",
    "lenet_quick",
    "lenet_wave",
    "masks_of_equal_size",
    "named_waves",
    "needs",
    "next_masks",
    "operations",
    "paper_protocol",
    "pixel_scalings",
    "plan",
    "reduced_protocol",
    "seed",
    "stacks",
    "starting_point",
    "waves",
]

# Most runs per stack. Convolutions are computed one network after the other: stacked they gain nothing, and apart
# every worker can follow the chain of one trial. Continued chains train two networks per run: two workers share them.
NETWORKS_PER_STACK = {name: line.per_stack for name, line in networks.NETWORKS.items()}
CONTINUED_PER_STACK = 2


def stacks(plan: list[Run], most: Mapping[str, int] = NETWORKS_PER_STACK) -> list[list[Run]]:
    """Pack a plan into stacks of runs that can train side by side; a function of the plan alone.

    most: network -> runs per stack. Chains are kept apart from controls so that two workers find work at once.
    """
    groups: dict[tuple, list[Run]] = {}
    for run in plan:
        where = (run.network, run.scale, run.study, run.variant, run.protocol.key())
        group = (*where, run.procedure, run.is_pruned, run.pruning_round)
        groups.setdefault(group, []).append(run)
    packed = []
    for group in groups.values():
        size = most[group[0].network]
        if group[0].procedure == "continued":
            size = min(size, CONTINUED_PER_STACK)
        packed += [group[start : start + size] for start in range(0, len(group), size)]
    return packed


# ---------------------------------------------------------------- names that notebooks use until they say `plan`

LENET_WAVES = PLANS["lenet", "paper"].waves
PAPER_WAVES = PLANS["conv2", "paper"].waves
REDUCED_WAVES = {network: PLANS[network, "reduced"].waves for network in CONVOLUTIONAL}


def lenet_wave(wave: int) -> list[Run]:
    return plan("lenet", "paper", wave)


def lenet_quick() -> list[Run]:
    return plan("lenet", "quick")


def pixel_scalings(network: str) -> list[Run]:
    return plan(network, "short")


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
