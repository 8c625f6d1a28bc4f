"""Plans for Lenet on MNIST: the settings of notebook 01, and Section 2 with Appendix B at the paper's scale."""

from dataclasses import replace

from lth_utils import paper
from lth_utils.experiments.runs import (
    CONTINUED_TRIALS,
    VALIDATION_TRAINED_ON,
    Run,
    continued_tickets,
    controls,
    one_shot_tickets,
    tickets,
)

# ---------------------------------------------------------------- notebook 01: is the dense Lenet what it should be?

BASELINE_SETTINGS = {  # variant -> what differs from the paper's protocol, and for how many iterations it is trained
    "": ({}, 10_000),
    "standardized": ({"pixel_scaling": "standardized"}, 10_000),
    "unit_norm": ({"pixel_scaling": "unit_norm"}, 10_000),
    "step_decay": ({"learning_rate_decay": 0.7, "learning_rate_decay_interval": 917}, 5_000),
    "adam_rate_1": ({"learning_rate": 1.0}, 5_000),
    "adadelta_rate_1": ({"optimizer": "adadelta", "learning_rate": 1.0}, 5_000),
}


def baseline(profile: str) -> list[Run]:
    """Dense Lenets under the settings that an earlier attempt reported, and under three pixel scalings."""
    quick = profile == "quick"
    short = {"training_iterations": 1_000, "train_evaluation_examples": 5_000} if quick else {}
    return [
        Run(
            network="lenet",
            arm="dense",
            trial=trial,
            pruning_round=0,
            variant=variant,
            study="baseline",
            scale="quick" if quick else "short",
            protocol=replace(
                paper.protocol("lenet"), **({"training_iterations": iterations} | short | changes)
            ),
            test_curve_until=2_000,
        )
        for variant, (changes, iterations) in BASELINE_SETTINGS.items()
        for trial in range(2 if quick else 5)
    ]


# ---------------------------------------------------------------- plans at the paper's scale

LENET_CONTROL_ROUNDS = (1, 3, 7, 13, 12, 15, 18)  # P_m 80.0, 51.3, 21.1, 5.57, 6.95, 3.58, 1.85
ONE_SHOT_LEVELS = {1: (2, 13, 18, 24, 28, 32, 33, 36, 37, 38), 2: (4, 8, 10, 21, 30, 39)}
ONE_SHOT_REINIT_LEVELS = (2, 13, 18, 24, 28, 33, 36, 38)
MORE_TRIALS = range(5, 10)  # for claims that five trials leave undecided
LENET_WAVES = (1, 2, 3, 4, 5)


def lenet_wave(wave: int) -> list[Run]:
    """Section 2 in waves, each holding everything of the ones before.

    The third is Appendix B, and tickets to 21.1 % trained on all 60,000 images, at which the paper's plotted train
    accuracies hint; the fourth is more trials of tickets, the fifth of what they are compared with.
    """
    trials = range(5)
    if wave == 1:
        return [
            *tickets("lenet", 20, trials),
            *controls("lenet", "random_reinit", LENET_CONTROL_ROUNDS, trials, range(1)),
            *controls("lenet", "random_sparsity", LENET_CONTROL_ROUNDS, trials, range(1)),
            *one_shot_tickets("lenet", ONE_SHOT_LEVELS[1], trials),
        ]
    if wave == 2:
        others = [r for r in range(1, 29) if r not in LENET_CONTROL_ROUNDS]
        return [
            *lenet_wave(1),
            *tickets("lenet", range(21, 29), trials),
            *controls("lenet", "random_reinit", LENET_CONTROL_ROUNDS, trials, range(1, 3)),
            *controls("lenet", "random_sparsity", LENET_CONTROL_ROUNDS, trials, range(1, 2)),
            *controls("lenet", "random_reinit", others, trials, range(1)),
            *controls("lenet", "random_sparsity", others, trials, range(1)),
            *one_shot_tickets("lenet", ONE_SHOT_LEVELS[2], trials),
            *controls(
                "lenet", "random_reinit", ONE_SHOT_REINIT_LEVELS, trials, range(1), procedure="one_shot"
            ),
        ]
    if wave == 3:
        on_all_images = replace(paper.protocol("lenet"), validation_trained_on=True)
        return [
            *lenet_wave(2),
            *continued_tickets("lenet", range(1, 29), CONTINUED_TRIALS["lenet"]),
            *tickets("lenet", 7, range(3), protocol=on_all_images, variant=VALIDATION_TRAINED_ON),
        ]
    if wave == 4:
        return [*lenet_wave(3), *tickets("lenet", 28, MORE_TRIALS)]
    if wave == 5:
        return [
            *lenet_wave(4),
            *controls("lenet", "random_reinit", LENET_CONTROL_ROUNDS, MORE_TRIALS, range(3)),
            *controls("lenet", "random_sparsity", LENET_CONTROL_ROUNDS, MORE_TRIALS, range(2)),
            *one_shot_tickets("lenet", ONE_SHOT_LEVELS[1], MORE_TRIALS),
        ]
    raise ValueError(f"Lenet has waves {', '.join(map(str, LENET_WAVES))}, got {wave}")


# ---------------------------------------------------------------- Section 2 at laptop scale


def lenet_quick() -> list[Run]:
    """Profile "quick": every arm and procedure in two trials, trained briefly and pruned steeply, to 12.7 % in three
    rounds.
    """
    protocol = replace(
        paper.protocol("lenet"),
        training_iterations=1_000,
        train_evaluation_examples=5_000,
        pruning_rates={"fc1.weight": 0.5, "fc2.weight": 0.5, "output.weight": 0.25},
    )
    settings = {"protocol": protocol, "scale": "quick"}
    rounds, trials = range(1, 4), range(2)
    plan = [
        *tickets("lenet", 3, trials, **settings),
        *controls("lenet", "random_reinit", rounds, trials, range(1), **settings),
        *controls("lenet", "random_sparsity", rounds, trials, range(1), **settings),
        *one_shot_tickets("lenet", (35,), trials, **settings),
        *continued_tickets("lenet", rounds, trials, **settings),
    ]
    return [replace(run, test_curve_until=protocol.training_iterations) for run in plan]
