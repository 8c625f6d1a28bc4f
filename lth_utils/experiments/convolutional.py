"""Plans for Conv-2, Conv-4 and Conv-6 on CIFAR-10: what the networks see, Section 3 on CPUs, Section 3 as published."""

from dataclasses import replace

from lth_utils import paper
from lth_utils.experiments.runs import (
    CONTINUED_TRIALS,
    FLOAT32,
    RETRAINED,
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

PAPER_WAVES = (1, 2, 3, 4, 5, 6, 7)
FIRST_TRIALS = {"conv2": 5, "conv4": 3, "conv6": 3}
FIRST_ROUNDS = 17  # tickets of at most 4.3 %
LEDGER_ROUNDS = {  # of controls, as the claims ask for them: P_m about 20, 10, a rung beside it, 5; and a larger one
    "conv2": (7, 10, 11, 14, 6),
    "conv4": (8, 11, 12, 15, 4),
    "conv6": (8, 12, 10, 16, 7),
}
FLOAT32_CHAIN = "float32_chain"  # the variant that does all of it in float32
DROPOUT = "dropout"  # the variant of Figure 6
FIGURE_1_ROUNDS = 30  # depth at which Figure 1 plots Conv-6, down to 2.1 %


def paper_protocol(network: str, variant: str = "") -> Protocol:
    """The paper's protocol with products in bfloat16, as a GPU and a recent CPU multiply them several times faster."""
    return replace(paper.protocol(network, variant), precision="bfloat16")


def paper_wave(network: str, wave: int) -> list[Run]:
    """Section 3 in waves by value, each holding everything of the ones before.

    1: tickets down to 4 % and the controls that most claims ask for; of Conv-4 and Conv-6 three trials. 2: three of
    these runs once more, for another machine to train. 3: tickets as deep as plotted, and the ledger's other controls.
    4: all five trials, and both controls at every rung. 5: the paper's number of controls. 6: Figure 10, in trials of
    its own (continued training starts from all trained weights, which the others do not keep), and Figure 1's Conv-6.
    7: Figure 6, with dropout and three times as long.
    """
    if wave not in PAPER_WAVES:
        raise _no_such_wave(network, "paper", PAPER_WAVES, wave)
    first, deepest = range(FIRST_TRIALS[network]), paper.PLOTTED_ROUNDS[network]
    fifth, tenth, beside, twentieth, larger = LEDGER_ROUNDS[network]
    every, trials = range(1, deepest + 1), range(5)
    settings = {"protocol": paper_protocol(network)}

    def control(arm, rounds, trials, replicates=range(1)):
        return controls(network, arm, rounds, trials, replicates, **settings)

    parts = [
        [
            *tickets(network, FIRST_ROUNDS, first, **settings),
            *control("random_reinit", (fifth, tenth, beside, twentieth), first),
            *control("random_sparsity", (fifth, twentieth), first),
        ],
        retrained(network),
        [
            *tickets(network, range(FIRST_ROUNDS + 1, deepest + 1), first, **settings),
            *control("random_reinit", (larger,), first),
            *control("random_sparsity", (tenth,), first),
        ],
        [
            *tickets(network, deepest, trials, **settings),
            *control("random_reinit", every, trials),
            *control("random_sparsity", every, trials),
        ],
        [
            *control("random_reinit", every, trials, range(1, 3)),
            *control("random_sparsity", every, trials, range(1, 2)),
        ],
        [
            *tickets(network, deepest, CONTINUED_TRIALS[network], **settings),
            *continued_tickets(network, every, CONTINUED_TRIALS[network], **settings),
            *(figure_1_conv6() if network == "conv6" else []),
        ],
        tickets(network, deepest, trials, variant=DROPOUT, protocol=paper_protocol(network, DROPOUT)),
    ]
    return list({run.key: run for part in parts[:wave] for run in part}.values())


def in_float32(plan: list[Run]) -> list[Run]:
    """The networks of a plan that claims rest on, in float32: a setting of its own, whose chains find their own masks."""
    return [
        replace(run, variant=FLOAT32_CHAIN, protocol=replace(run.protocol, precision="float32"))
        for run in plan
        if (run.study, run.variant) == ("paper", "")
    ]


def retrained(network: str) -> list[Run]:
    """A dense network, a ticket and a random sparse network of wave 1 once more, from the same masks and seeds."""
    _, _, beside, twentieth, _ = LEDGER_ROUNDS[network]
    settings = {"protocol": paper_protocol(network), "study": RETRAINED}
    return [
        *tickets(network, 0, (0,), **settings),
        *tickets(network, range(beside, beside + 1), (2,), **settings),
        *controls(network, "random_sparsity", (twentieth,), (1,), range(1), **settings),
    ]


def figure_1_conv6() -> list[Run]:
    """Figure 1 prunes the convolutions of Conv-6 by 10 % per round, the rest of the paper by 15 %."""
    variant = "conv_rate_10"
    settings = {"variant": variant, "protocol": paper_protocol("conv6", variant)}
    every = range(1, FIGURE_1_ROUNDS + 1)
    return [
        *tickets("conv6", every[-1], range(5), **settings),
        *controls("conv6", "random_sparsity", every, range(5), range(2), **settings),
    ]


def _no_such_wave(network, scale, waves, wave):
    label = paper.NETWORK_LABELS[network]
    return ValueError(f"{label} at scale {scale} has waves {', '.join(map(str, waves))}, got {wave}")
