"""The paper's experiments: which networks are trained, from which weights, under which masks.

`plans` holds the tables, `arms` one entry per arm, `settings` one per departure from the protocol, `runs` what a run is;
`runner` carries a plan out: `worker` says what happens to each of its stacks, `costs` how long it takes.
"""

from lth_utils.experiments.arms import (
    ARMS,
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
    paper_protocol,
    plan,
    reduced_protocol,
    waves,
)
from lth_utils.experiments.runs import RETRAINED, Plan, Row, Run, seed, stacks
from lth_utils.experiments.settings import FLOAT32, SETTINGS, VALIDATION_TRAINED_ON, Setting

__all__ = [
    "ARMS",
    "CONVOLUTIONAL",
    "FLOAT32",
    "LENET_WAVES",
    "PAPER_WAVES",
    "PLANS",
    "RETRAINED",
    "SETTINGS",
    "VALIDATION_TRAINED_ON",
    "Plan",
    "Row",
    "Run",
    "Setting",
    "baseline",
    "continuation",
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

# ---------------------------------------------------------------- names that notebooks use until they say `plan`

LENET_WAVES = PLANS["lenet", "paper"].waves
PAPER_WAVES = PLANS["conv2", "paper"].waves


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
