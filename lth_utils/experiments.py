"""The paper's experiments as plans: which networks are trained, from which weights, under which masks.

A run says everything about one training except how it is executed; `starting_point` turns it into weights and masks
once the runs it depends on are done. A plan is a list of runs.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import numpy as np

from lth_utils import masks as masking
from lth_utils import networks, paper, records, rewinding
from lth_utils.masks import Masks, Weights
from lth_utils.paper import Protocol

TEST_CURVE_UNTIL = 20_000  # Figure 3 draws test accuracy while training for these rounds
FIGURE_3_ROUNDS = {"dense": (0,), "winning_ticket": (3, 7, 12, 15, 18), "random_reinit": (3, 7)}


@dataclass(frozen=True, kw_only=True)
class Run:
    """One training of one network; see design for the words. `protocol` holds all settings of the training."""

    network: str
    arm: str
    trial: int
    pruning_round: int
    protocol: Protocol = field(compare=False)
    procedure: str = "iterative"
    replicate: int = 0
    variant: str = ""
    study: str = "paper"
    scale: str = "paper"
    test_curve_until: int = field(default=0, compare=False)

    @property
    def identity(self) -> dict:
        """The identity columns of this run's record."""
        return {name: getattr(self, name) for name in records.IDENTITY if name != "protocol_key"} | {
            "protocol_key": self.protocol.key()
        }

    @property
    def key(self) -> str:
        return records.run_key(self.identity)

    @property
    def continues_chain(self) -> bool:
        """Networks that are pruned after training to give the next round's mask."""
        return (
            self.study == "paper" and self.procedure != "one_shot" and self.arm in ("dense", "winning_ticket")
        )

    @property
    def keeps_weights(self) -> bool:
        """Final weights that one-shot pruning and later analyses need: dense ones, of one trial where they are large."""
        small = self.network == "lenet" and self.study == "paper"
        return self.arm == "dense" and self.variant == "" and (small or self.trial == 0)

    @property
    def seeds(self) -> dict[str, int]:
        """Seeds by role. Arms of a trial share the data order of a round; controls draw their own init and mask."""
        drawn = self.arm.startswith("random")
        replicate = self.replicate + 1 if drawn else 0
        init_round = self.pruning_round if drawn else 0
        return {
            "init": seed("init", self.network, self.trial, init_round, replicate),
            "mask": seed("mask", self.network, self.trial, self.pruning_round, replicate),
            "data_order": seed("data_order", self.network, self.trial, self.pruning_round, 0),
        }


def seed(role: str, network: str, trial: int, pruning_round: int, replicate: int) -> int:
    """63-bit seed: the SHA-256 of who asks for it, so that every role of every run draws independently."""
    text = json.dumps([role, network, trial, pruning_round, replicate])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


# ---------------------------------------------------------------- what the paper does


def tickets(network: str, rounds: int, trials: Iterable[int], **settings) -> list[Run]:
    """Section 1: train the dense network, then prune, reset and retrain for `rounds` rounds, in every trial."""
    return [
        _run(network, "winning_ticket" if pruning_round else "dense", trial, pruning_round, **settings)
        for pruning_round in range(rounds + 1)
        for trial in trials
    ]


def controls(
    network: str,
    arm: str,
    rounds: Iterable[int],
    trials: Iterable[int],
    replicates: Iterable[int],
    **settings,
) -> list[Run]:
    """Section 2: "random_reinit" keeps a ticket's mask and draws new weights; "random_sparsity" draws both."""
    return [
        _run(network, arm, trial, pruning_round, replicate=replicate, **settings)
        for pruning_round in rounds
        for trial in trials
        for replicate in replicates
    ]


def continued_tickets(network: str, rounds: Iterable[int], trials: Iterable[int], **settings) -> list[Run]:
    """Appendix B, Figure 9: prune and train on without resetting; what is recorded is every level reset and retrained.

    The network that trains on is trained beside the recorded one: see `continuation`.
    """
    return [
        _run(network, "winning_ticket", trial, pruning_round, procedure="continued", **settings)
        for pruning_round in rounds
        for trial in trials
    ]


def one_shot_tickets(network: str, levels: Iterable[int], trials: Iterable[int], **settings) -> list[Run]:
    """Figure 4c: prune the trained dense network once, to the levels of the 2.5 % grid, and reset."""
    return [
        _run(network, "winning_ticket", trial, level, procedure="one_shot", **settings)
        for level in levels
        for trial in trials
    ]


def _run(network, arm, trial, pruning_round, protocol=None, **settings):
    curve = pruning_round in FIGURE_3_ROUNDS.get(arm, ()) and settings.get("procedure") != "one_shot"
    return Run(
        network=network,
        arm=arm,
        trial=trial,
        pruning_round=pruning_round,
        protocol=protocol or paper.protocol(network),
        test_curve_until=TEST_CURVE_UNTIL if network == "lenet" and curve else 0,
        **settings,
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


def lenet_wave(wave: int) -> list[Run]:
    """Section 2 in waves, each holding everything of the ones before; the third is Appendix B."""
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
            *(run for run in tickets("lenet", 28, trials) if run.pruning_round > 20),
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
        return [*lenet_wave(2), *continued_tickets("lenet", range(1, 29), range(3))]
    raise ValueError(f"Lenet has waves 1, 2 and 3, got {wave}")


def waves() -> dict[str, list[Run]]:
    """Everything that the report may show, in the order in which it is adopted: a wave is shown when it is whole."""
    return {
        "notebook 01": baseline("report"),
        **{f"Lenet, wave {number}": lenet_wave(number) for number in (1, 2, 3)},
    }


def plan(network: str, scale: str = "paper", wave: int = 2) -> list[Run]:
    """All runs of one network at one scale, in the order of their value to the report."""
    if network == "lenet" and scale == "paper":
        return lenet_wave(wave)
    raise ValueError(f"no plan for network {network!r} at scale {scale!r}; there is one for lenet at paper")


# ---------------------------------------------------------------- from a run to weights and masks


def needs(run: Run) -> Run | None:
    """The run that must be finished first: the one whose trained weights decide this run's mask, if any."""
    if run.arm in ("dense", "random_sparsity"):
        return None
    before = 0 if run.procedure == "one_shot" else run.pruning_round - 1
    return _run(
        run.network,
        "winning_ticket" if before else "dense",
        run.trial,
        before,
        procedure=run.procedure if before else "iterative",
        protocol=run.protocol,
        variant=run.variant,
        study=run.study,
        scale=run.scale,
    )


def starting_point(run: Run, chain) -> tuple[Weights, Masks]:
    """Weights at iteration 0 and masks of a run. `chain` offers what earlier runs left: see chains.Chain."""
    initial = networks.initial_weights(run.network, run.seeds["init"], run.variant)
    if run.arm == "dense":
        return initial, masking.ones(initial)
    if run.arm == "random_sparsity":
        generator = np.random.Generator(np.random.PCG64(run.seeds["mask"]))
        masks = masking.random_like(_masks_of_equal_size(run, initial), generator)
    elif run.procedure == "one_shot":
        rates = paper.one_shot_rates(run.network, run.pruning_round)
        masks = masking.prune_smallest(chain.dense_weights(run), masking.ones(initial), rates)
    else:
        masks = chain.masks(run)
    return rewinding.rewind(initial, masks), masks


def continuation(run: Run, chain, masks: Masks) -> tuple[Weights, Masks]:
    """Where the unrecorded companion of a "continued" run starts: trained weights under the run's mask, not reset."""
    return rewinding.rewind(chain.continued_weights(run), masks), masks


def _masks_of_equal_size(run, weights):
    """Masks with the ticket's number of survivors per layer: the counts do not depend on which weights survive."""
    masks = masking.ones(weights)
    for _ in range(run.pruning_round):
        masks = masking.prune_smallest(weights, masks, run.protocol.pruning_rates)
    return masks


def next_masks(run: Run, final_weights: Weights, masks: Masks) -> Masks:
    """The mask of the next round of a chain: this round's, without the smallest survivors of every layer."""
    return masking.prune_smallest(final_weights, masks, run.protocol.pruning_rates)


# ---------------------------------------------------------------- packing


def stacks(plan: list[Run], most: int = 40) -> list[list[Run]]:
    """Pack a plan into stacks of runs that can train side by side; a function of the plan alone.

    Chains are kept apart from controls so that two workers find work at once; the sparser the later.
    """
    groups: dict[tuple, list[Run]] = {}
    for run in plan:
        where = (run.network, run.scale, run.study, run.variant, run.protocol.key())
        group = (*where, run.procedure, run.continues_chain, run.pruning_round)
        groups.setdefault(group, []).append(run)
    return [group[i : i + most] for group in groups.values() for i in range(0, len(group), most)]
