"""One run, and the families of runs that the paper speaks of: tickets, controls, one-shot and continued tickets.

A run says everything about one training except how it is executed. Knows nothing of how many trials or rounds
are worth their time: that is a plan's business.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from lth_utils import paper, records
from lth_utils.paper import Protocol

TEST_CURVE_UNTIL = 20_000  # Figure 3 draws test accuracy while training for these rounds
FIGURE_3_ROUNDS = {"dense": (0,), "winning_ticket": (3, 7, 12, 15, 18), "random_reinit": (3, 7)}
CONTINUED_TRIALS = {  # Appendix B goes on from the trained dense networks of these trials
    "lenet": range(3),
    "conv2": range(5, 8),
    "conv4": range(5, 8),
    "conv6": range(5, 8),
}
FLOAT32 = "float32"  # the variant that retrains networks of a bfloat16 chain in float32
RETRAINED = "retrained"  # the study that trains runs of "paper" once more, to compare machines
VALIDATION_TRAINED_ON = "validation_trained_on"  # the variant that trains on the validation images, too


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
    def percent_remaining(self) -> float:
        """P_m under the run's own pruning rates, before rounding to whole weights."""
        if self.procedure == "one_shot":
            return paper.one_shot_percent_remaining(self.network, self.pruning_round)
        rates = self.protocol.pruning_rates
        return paper.percent_remaining(self.network, self.pruning_round, self.variant, rates)

    @property
    def networks_trained(self) -> int:
        """How many networks its training moves: a "continued" run has a companion, see `starts.continuation`."""
        return 2 if self.procedure == "continued" else 1

    @property
    def continues_chain(self) -> bool:
        """Networks that are pruned after training to give the next round's mask."""
        chained = self.study == "paper" and self.procedure != "one_shot" and self.variant != FLOAT32
        return chained and self.arm in ("dense", "winning_ticket")

    @property
    def in_chain(self) -> "Run":
        """This run in the setting whose chain decides its mask: itself, unless it borrows the masks of another."""
        if self.study == RETRAINED:
            return replace(self, study="paper")
        if self.variant == FLOAT32:
            return replace(self, variant="", protocol=replace(self.protocol, precision="bfloat16"))
        return self

    @property
    def kept_layers(self) -> tuple[str, ...]:
        """Layers of the trial's dense network whose final weights are kept, for runs and analyses that go on from them.

        All of a Lenet; of a large network all only where continued training needs them (16 MB), else the filters.
        """
        if self.variant or self.study == RETRAINED:
            return ()
        layers = tuple(paper.weight_counts(self.network))
        small = self.network == "lenet" and (self.study == "paper" or self.trial == 0)
        continued = (self.study, self.scale) == ("paper", "paper")
        continued = continued and self.trial in CONTINUED_TRIALS[self.network]
        if small or continued:
            return layers
        return tuple(name for name in layers if name.startswith("conv") and self.trial == 0)

    @property
    def keeps_weights(self) -> bool:
        """Whether this is the dense network that leaves `kept_layers` behind."""
        return self.arm == "dense" and bool(self.kept_layers)

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


def planned(network, arm, trial, pruning_round, protocol=None, **settings) -> Run:
    """A run under the paper's protocol unless another is given, with the test curve where Figure 3 draws it."""
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


def tickets(network: str, rounds: int | range, trials: Iterable[int], **settings) -> list[Run]:
    """Section 1: train the dense network, then prune, reset and retrain for `rounds` rounds, in every trial.

    rounds: how many, or the range of those that are wanted where earlier ones are planned already.
    """
    return [
        planned(network, "winning_ticket" if pruning_round else "dense", trial, pruning_round, **settings)
        for pruning_round in (rounds if isinstance(rounds, range) else range(rounds + 1))
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
        planned(network, arm, trial, pruning_round, replicate=replicate, **settings)
        for pruning_round in rounds
        for trial in trials
        for replicate in replicates
    ]


def continued_tickets(network: str, rounds: Iterable[int], trials: Iterable[int], **settings) -> list[Run]:
    """Appendix B, Figures 9 and 10: prune and train on without resetting; what is recorded is every level reset and
    retrained. The network that trains on is trained beside the recorded one: see `continuation`.
    """
    return [
        planned(network, "winning_ticket", trial, pruning_round, procedure="continued", **settings)
        for pruning_round in rounds
        for trial in trials
    ]


def one_shot_tickets(network: str, levels: Iterable[int], trials: Iterable[int], **settings) -> list[Run]:
    """Figure 4c: prune the trained dense network once, to the levels of the 2.5 % grid, and reset."""
    return [
        planned(network, "winning_ticket", trial, level, procedure="one_shot", **settings)
        for level in levels
        for trial in trials
    ]
