"""The paper's experiments as tables: what is trained, for which figure, in the order of its value to the report.

A row is an arm at some rounds in some trials; its wave says when it is worth its time. A wave is trained and adopted with
all waves before it.
"""

from dataclasses import replace

from lth_utils import paper
from lth_utils.experiments.runs import CONTINUED_TRIALS, RETRAINED, Plan, Row, Run
from lth_utils.experiments.settings import FLOAT32, VALIDATION_TRAINED_ON
from lth_utils.paper import Protocol

CONVOLUTIONAL = ("conv2", "conv4", "conv6")
TICKET, REINIT, RANDOM = "winning_ticket", "random_reinit", "random_sparsity"

# ---------------------------------------------------------------- notebook 01: is the dense Lenet what it should be?


def dense(setting: str, trials: int, iterations: int) -> Row:
    """Dense networks under one setting."""
    return Row(1, "dense", (0,), range(trials), setting=setting, study="baseline", iterations=iterations)


BASELINE = (  # pixel scalings, and what an earlier attempt reported
    dense("", 5, 10_000),
    dense("standardized", 5, 10_000),
    dense("unit_norm", 5, 10_000),
    dense("step_decay", 5, 5_000),
    dense("adam_rate_1", 5, 5_000),
    dense("adadelta_rate_1", 5, 5_000),
)

# ---------------------------------------------------------------- Section 2 and Appendix B: Lenet

FIVE, MORE = range(5), range(5, 10)
# rounds that the ledger names: P_m 80.0, 51.3, 21.1, 5.57, 6.95, 3.58, 1.85
SEVEN = (1, 3, 7, 13, 12, 15, 18)
OTHERS = tuple(pruning_round for pruning_round in range(1, 29) if pruning_round not in SEVEN)
LEVELS = (2, 13, 18, 24, 28, 32, 33, 36, 37, 38)
# where Figure 3 draws test accuracy while training
FIGURE_3_ROUNDS = {"dense": (0,), TICKET: (3, 7, 12, 15, 18), REINIT: (3, 7)}

SECTION_2 = (
    # tickets to 1.2 %, controls at the seven rungs, Figure 4c
    Row(1, TICKET, range(21), FIVE),
    Row(1, REINIT, SEVEN, FIVE),
    Row(1, RANDOM, SEVEN, FIVE),
    Row(1, TICKET, LEVELS, FIVE, procedure="one_shot"),
    # every rung down to 0.2 %; the paper's number of controls at the seven
    Row(2, TICKET, range(21, 29), FIVE),
    Row(2, REINIT, SEVEN, FIVE, (1, 2)),
    Row(2, RANDOM, SEVEN, FIVE, (1,)),
    Row(2, REINIT, OTHERS, FIVE),
    Row(2, RANDOM, OTHERS, FIVE),
    Row(2, TICKET, (4, 8, 10, 21, 30, 39), FIVE, procedure="one_shot"),
    Row(2, REINIT, (2, 13, 18, 24, 28, 33, 36, 38), FIVE, procedure="one_shot"),
    # Figure 9, and tickets to 21.1 % trained on all images
    Row(3, TICKET, range(1, 29), CONTINUED_TRIALS["lenet"], procedure="continued"),
    Row(3, TICKET, range(8), range(3), setting=VALIDATION_TRAINED_ON),
    # for claims that five trials leave undecided: tickets, then what they are compared with
    Row(4, TICKET, range(29), MORE),
    Row(5, REINIT, SEVEN, MORE, range(3)),
    Row(5, RANDOM, SEVEN, MORE, range(2)),
    Row(5, TICKET, LEVELS, MORE, procedure="one_shot"),
)

# ---------------------------------------------------------------- Section 3 as published

FIRST_TRIALS = {"conv2": range(5), "conv4": range(3), "conv6": range(3)}
LEDGER_ROUNDS = {  # of controls, as the claims ask for them: P_m about 20, 10, a rung beside it, 5; and a larger one
    "conv2": (7, 10, 11, 14, 6),
    "conv4": (8, 11, 12, 15, 4),
    "conv6": (8, 12, 10, 16, 7),
}


def paper_protocol(network: str, variant: str = "") -> Protocol:
    """The paper's protocol with products in bfloat16, as a GPU and a recent CPU multiply them several times faster."""
    return replace(paper.protocol(network, variant), precision="bfloat16")


def section_3(network: str) -> tuple[Row, ...]:
    """Figures 5 and 13 with their controls, then Figures 10, 1 (Conv-6) and 6."""
    first, depth, later = FIRST_TRIALS[network], paper.PLOTTED_ROUNDS[network], CONTINUED_TRIALS[network]
    every, fifth, tenth, beside, twentieth, larger = range(1, depth + 1), *LEDGER_ROUNDS[network]
    figure_1 = (  # prunes the convolutions by 10 % per round, down to 2.1 %
        Row(6, TICKET, range(31), FIVE, setting="conv_rate_10"),
        Row(6, RANDOM, range(1, 31), FIVE, range(2), setting="conv_rate_10"),
    )
    return (
        # tickets to 4 % and the controls that most claims ask for
        Row(1, TICKET, range(18), first),
        Row(1, REINIT, (fifth, tenth, beside, twentieth), first),
        Row(1, RANDOM, (fifth, twentieth), first),
        # three of these runs once more, from the same masks and seeds, for another machine to train
        Row(2, TICKET, (0,), (0,), study=RETRAINED),
        Row(2, TICKET, (beside,), (2,), study=RETRAINED),
        Row(2, RANDOM, (twentieth,), (1,), study=RETRAINED),
        # tickets as deep as plotted, and the ledger's other controls
        Row(3, TICKET, range(18, depth + 1), first),
        Row(3, REINIT, (larger,), first),
        Row(3, RANDOM, (tenth,), first),
        # all five trials, and both controls at every rung; then the paper's number of controls
        Row(4, TICKET, range(depth + 1), FIVE),
        Row(4, REINIT, every, FIVE),
        Row(4, RANDOM, every, FIVE),
        Row(5, REINIT, every, FIVE, (1, 2)),
        Row(5, RANDOM, every, FIVE, (1,)),
        # Figure 10 in trials of its own: it starts from all trained weights, which the others do not keep
        Row(6, TICKET, range(depth + 1), later),
        Row(6, TICKET, every, later, procedure="continued"),
        *(figure_1 if network == "conv6" else ()),
        Row(7, TICKET, range(depth + 1), FIVE, setting="dropout"),
    )


# ---------------------------------------------------------------- Section 3 in hours of two cores


REDUCED_ITERATIONS = {"conv2": 5_000, "conv4": 6_000, "conv6": 8_000}  # beyond the paper's early stops
REDUCED = {  # trials; tickets down to about 9 %, then to 4 %; controls at P_m about 50, 20, 9 and 5
    "conv2": (range(2), range(12), range(12, 15), (3, 7, 11, 14)),
    "conv4": (range(1), range(13), range(13, 17), (4, 8, 12, 15)),
    "conv6": (range(1), range(14), range(14, 17), (4, 8, 13, 16)),
}


def reduced_protocol(network: str) -> Protocol:
    """The paper's protocol, shortened and in bfloat16; train accuracy over the first 10,000 images of the split."""
    return replace(
        paper_protocol(network),
        training_iterations=REDUCED_ITERATIONS[network],
        evaluation_interval=200,
        train_evaluation_examples=10_000,
    )


def reduced(network: str) -> tuple[Row, ...]:
    """The least that answers the question, controls at larger rungs, deeper tickets; of Conv-2 a check of precision.

    The check borrows the masks of the bfloat16 chain: one of its own would cost as much as the whole plan.
    """
    trials, shallow, deep, (half, fifth, tenth, twentieth) = REDUCED[network]
    return (
        Row(1, TICKET, shallow, trials),
        Row(1, REINIT, (tenth,), trials),
        Row(1, RANDOM, (tenth,), trials),
        Row(2, REINIT, (half, fifth), trials),
        Row(2, RANDOM, (fifth,), trials),
        Row(3, TICKET, deep, trials),
        Row(3, REINIT, (twentieth,), trials),
        Row(3, RANDOM, (twentieth,), trials),
        *([Row(4, TICKET, (0, 11), trials, setting=FLOAT32)] if network == "conv2" else []),
    )


PIXEL_SCALINGS = {  # what does the network see? The paper does not name its own
    "conv2": tuple(dense(scaling, 3, 5_000) for scaling in ("raw_255", "unit_interval", "standardized")),
    "conv4": (dense("raw_255", 1, 5_000),),
    "conv6": (dense("raw_255", 1, 5_000),),
}

# ---------------------------------------------------------------- what a laptop can do in two minutes


LENET_QUICK = (  # every arm and procedure in two trials, trained briefly and pruned steeply, to 12.7 % in three rounds
    Row(1, TICKET, range(4), range(2)),
    Row(1, REINIT, (1, 2, 3), range(2)),
    Row(1, RANDOM, (1, 2, 3), range(2)),
    Row(1, TICKET, (35,), range(2), procedure="one_shot"),
    Row(1, TICKET, (1, 2, 3), range(2), procedure="continued"),
)
CONV2_QUICK = (  # every arm once, two rounds; evaluating its 15,000 other images costs more than training
    Row(1, TICKET, range(3), (0,)),
    Row(1, REINIT, (2,), (0,)),
    Row(1, RANDOM, (2,), (0,)),
)


def quick_protocol(network: str) -> Protocol:
    """Trained shortly, and pruned at about three times the paper's rates."""
    if network == "lenet":
        return replace(
            paper.protocol("lenet"),
            training_iterations=1_000,
            train_evaluation_examples=5_000,
            pruning_rates={"fc1.weight": 0.5, "fc2.weight": 0.5, "output.weight": 0.25},
        )
    protocol = paper_protocol(network)
    return replace(
        protocol,
        training_iterations=100,
        pruning_rates={layer: round(3 * rate, 2) for layer, rate in protocol.pruning_rates.items()},
        training_examples=5_000,
        train_evaluation_examples=1_000,
    )


# ---------------------------------------------------------------- all of them, in the order in which the report adopts them


def _all() -> list[Plan]:
    lenet, three = paper.protocol("lenet"), [(name, paper.NETWORK_LABELS[name]) for name in CONVOLUTIONAL]
    return [
        Plan("notebook 01", "short", lenet, BASELINE, 2_000),
        Plan("Lenet", "paper", lenet, SECTION_2, 20_000, FIGURE_3_ROUNDS),
        *(
            Plan(f"{label}, pixel scaling", "short", reduced_protocol(n), PIXEL_SCALINGS[n])
            for n, label in three
        ),
        *(Plan(f"{label}, reduced", "reduced", reduced_protocol(n), reduced(n)) for n, label in three),
        *(Plan(label, "paper", paper_protocol(n), section_3(n)) for n, label in three),
        Plan("Lenet, quick", "quick", quick_protocol("lenet"), LENET_QUICK, 1_000),
        Plan("Conv-2, quick", "quick", quick_protocol("conv2"), CONV2_QUICK),
    ]


PLANS = {(plan.protocol.network, plan.scale): plan for plan in _all()}
BASELINE_QUICK = replace(
    PLANS["lenet", "short"],
    scale="quick",
    protocol=replace(paper.protocol("lenet"), train_evaluation_examples=5_000),
    rows=tuple(dense(row.setting, 2, 1_000) for row in BASELINE),
)


def plan(network: str, scale: str = "paper", wave: int | str = 2) -> list[Run]:
    """All runs of one network at one scale, in the order of their value to the report; "short" and "quick" have no waves.

    Notebooks name scale and wave in one word: plan("conv2", *"paper 1".split()). Raises ValueError that names what there is.
    """
    if (network, scale) not in PLANS:
        there = ", ".join(f"{one} at {its_scale}" for one, its_scale in PLANS)
        raise ValueError(f"no plan for network {network!r} at scale {scale!r}; there are plans for {there}")
    return PLANS[network, scale].runs(int(wave))


def waves() -> dict[str, list[Run]]:
    """Everything that the report may show, in the order in which it is adopted: a wave is shown when it is whole."""
    return {
        f"{plan.label}, wave {wave}" if len(plan.waves) > 1 else plan.label: plan.runs(wave)
        for plan in PLANS.values()
        if plan.scale != "quick"
        for wave in plan.waves
    }


def baseline(profile: str) -> list[Run]:
    """Notebook 01's dense Lenets: under what an earlier attempt reported, and under three pixel scalings."""
    return (BASELINE_QUICK if profile == "quick" else PLANS["lenet", "short"]).runs(1)
