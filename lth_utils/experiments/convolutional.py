"""Plans for Conv-2, Conv-4 and Conv-6 on CIFAR-10: what the networks see, Section 3 on CPUs, Section 3 as published."""

from dataclasses import replace

from lth_utils import paper
from lth_utils.experiments.runs import (
    CONTINUED_TRIALS,
    FLOAT32,
    Run,
    continued_tickets,
    controls,
    tickets,
)
from lth_utils.paper import Protocol

CONVOLUTIONAL = ("conv2", "conv4", "conv6")

# ---------------------------------------------------------------- what a CPU can do in hours

REDUCED_ITERATIONS = {
    "conv2": 5_000,
    "conv4": 6_000,
    "conv6": 8_000,
}  # beyond the paper's early stops, Figure 5
REDUCED_TRIALS = {"conv2": 2, "conv4": 1, "conv6": 1}
REDUCED_ROUNDS = {  # down to the first ticket of at most 10 % of the weights, and on to about 4 %
    "conv2": (range(12), range(12, 15)),
    "conv4": (range(13), range(13, 17)),
    "conv6": (range(14), range(14, 17)),
}
REDUCED_CONTROL_ROUNDS = {  # P_m about 50, 20, 9 and 5; random sparsity at all but the first
    "conv2": (3, 7, 11, 14),
    "conv4": (4, 8, 12, 15),
    "conv6": (4, 8, 13, 16),
}
REDUCED_WAVES = {"conv2": (1, 2, 3, 4), "conv4": (1, 2, 3), "conv6": (1, 2, 3)}
PRECISION_ROUND = 11  # 8.8 % of Conv-2


def reduced_protocol(network: str) -> Protocol:
    """The paper's protocol, shortened and in bfloat16; train accuracy over the first 10,000 images of the split."""
    return replace(
        paper.protocol(network),
        training_iterations=REDUCED_ITERATIONS[network],
        evaluation_interval=200,
        train_evaluation_examples=10_000,
        precision="bfloat16",
    )


def reduced_wave(network: str, wave: int) -> list[Run]:
    """Section 3 on a CPU in waves, each holding everything of the ones before.

    1, the least that answers the question: tickets down to about 9 %, and both controls there. 2: controls at larger
    rungs. 3: tickets down to about 4 %, and both controls at 5 %. 4, Conv-2 only: the precision check.
    """
    if wave not in REDUCED_WAVES[network]:
        raise _no_such_wave(network, "reduced", REDUCED_WAVES[network], wave)
    shallow, deep = REDUCED_ROUNDS[network]
    half, fifth, tenth, twentieth = REDUCED_CONTROL_ROUNDS[network]
    settings = {"protocol": reduced_protocol(network), "scale": "reduced"}
    trials = range(REDUCED_TRIALS[network])

    def control(arm, *rungs):
        return controls(network, arm, rungs, trials, range(1), **settings)

    parts = [
        [
            *tickets(network, shallow, trials, **settings),
            *control("random_reinit", tenth),
            *control("random_sparsity", tenth),
        ],
        [*control("random_reinit", half, fifth), *control("random_sparsity", fifth)],
        [
            *tickets(network, deep, trials, **settings),
            *control("random_reinit", twentieth),
            *control("random_sparsity", twentieth),
        ],
        precision_check() if network == "conv2" else [],
    ]
    return [run for part in parts[:wave] for run in part]


def precision_check() -> list[Run]:
    """Does bfloat16 matter? Conv-2 dense and at 8.8 % once more in float32: same weights, masks and data order.

    The masks are those that the bfloat16 chain found: a chain of its own would cost as much as the whole plan.
    """
    settings = {
        "protocol": replace(reduced_protocol("conv2"), precision="float32"),
        "scale": "reduced",
        "variant": FLOAT32,
    }
    trials = range(REDUCED_TRIALS["conv2"])
    rounds = (range(1), range(PRECISION_ROUND, PRECISION_ROUND + 1))
    return [run for chosen in rounds for run in tickets("conv2", chosen, trials, **settings)]


# ---------------------------------------------------------------- what does the network see?

PIXEL_SCALING_TRIALS = {  # scaling -> trials; a variant by its own name, whichever scaling the protocol names
    "conv2": {"raw_255": 3, "unit_interval": 3, "standardized": 3},
    "conv4": {"raw_255": 1},
    "conv6": {"raw_255": 1},
}


def pixel_scalings(network: str) -> list[Run]:
    """Dense networks under pixel scalings that the paper may have used; it does not name its own."""
    short = replace(reduced_protocol(network), training_iterations=5_000)
    return [
        run
        for scaling, trials in PIXEL_SCALING_TRIALS[network].items()
        for run in tickets(
            network,
            0,
            range(trials),
            protocol=replace(short, pixel_scaling=scaling),
            variant=scaling,
            study="baseline",
            scale="short",
        )
    ]


# ---------------------------------------------------------------- what a laptop can do in two minutes


def conv2_quick() -> list[Run]:
    """Profile "quick": every arm once, two rounds at three times the paper's rates, trained on 5,000 images.

    Evaluating its 15,000 other images costs more than training; that is why there is one trial and no more rounds.
    """
    protocol = replace(
        paper.protocol("conv2"),
        training_iterations=100,
        evaluation_interval=100,
        pruning_rates={
            layer: round(3 * rate, 2) for layer, rate in paper.protocol("conv2").pruning_rates.items()
        },
        training_examples=5_000,
        train_evaluation_examples=1_000,
        precision="bfloat16",
    )
    settings = {"protocol": protocol, "scale": "quick"}
    return [
        *tickets("conv2", 2, range(1), **settings),
        *controls("conv2", "random_reinit", (2,), range(1), range(1), **settings),
        *controls("conv2", "random_sparsity", (2,), range(1), range(1), **settings),
    ]


# ---------------------------------------------------------------- what the paper did

PAPER_WAVES = (1, 2, 3, 4, 5)
DROPOUT = "dropout"  # the variant of Figure 6
FIGURE_1_ROUNDS = 30  # depth at which Figure 1 plots Conv-6, down to 2.1 %


def paper_wave(network: str, wave: int) -> list[Run]:
    """Section 3 in waves by value, each holding everything of the ones before.

    1: tickets and one reinitialisation, 3 trials. 2: random sparsity. 3: trials 3 and 4, and the paper's number of
    reinitialisations. 4: Figure 1's Conv-6, and Figure 10. 5: Figure 6, with dropout and three times as long.
    """
    every, first, later = range(1, paper.PLOTTED_ROUNDS[network] + 1), range(3), range(3, 5)
    if wave == 1:
        return [
            *tickets(network, every[-1], first),
            *controls(network, "random_reinit", every, first, range(1)),
        ]
    if wave == 2:
        return [*paper_wave(network, 1), *controls(network, "random_sparsity", every, first, range(2))]
    if wave == 3:
        return [
            *paper_wave(network, 2),
            *tickets(network, every[-1], later),
            *controls(network, "random_reinit", every, later, range(1)),
            *controls(network, "random_sparsity", every, later, range(2)),
            *controls(network, "random_reinit", every, range(5), range(1, 3)),
        ]
    if wave == 4:
        figure_1 = figure_1_conv6() if network == "conv6" else []
        return [*paper_wave(network, 3), *figure_1, *continued_tickets(network, every, CONTINUED_TRIALS)]
    if wave == 5:
        settings = {"variant": DROPOUT, "protocol": paper.protocol(network, DROPOUT)}
        return [*paper_wave(network, 4), *tickets(network, every[-1], range(5), **settings)]
    raise _no_such_wave(network, "paper", PAPER_WAVES, wave)


def figure_1_conv6() -> list[Run]:
    """Figure 1 prunes the convolutions of Conv-6 by 10 % per round, the rest of the paper by 15 %."""
    variant = "conv_rate_10"
    settings = {"variant": variant, "protocol": paper.protocol("conv6", variant)}
    every = range(1, FIGURE_1_ROUNDS + 1)
    return [
        *tickets("conv6", every[-1], range(5), **settings),
        *controls("conv6", "random_sparsity", every, range(5), range(2), **settings),
    ]


def _no_such_wave(network, scale, waves, wave):
    label = paper.NETWORK_LABELS[network]
    return ValueError(f"{label} at scale {scale} has waves {', '.join(map(str, waves))}, got {wave}")
