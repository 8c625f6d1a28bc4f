"""One run: everything about one training except how it is executed. And tables of runs: rows, and the plan they make."""

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import product

from lth_utils import networks, paper, records
from lth_utils.experiments.arms import ARMS
from lth_utils.experiments.settings import SETTINGS, under
from lth_utils.paper import Protocol

RETRAINED = "retrained"  # the study that trains runs of "paper" once more, to compare machines
# Appendix B goes on from the trained dense networks of these trials
CONTINUED_TRIALS = {"lenet": range(3)} | dict.fromkeys(("conv2", "conv4", "conv6"), range(5, 8))


@dataclass(frozen=True, kw_only=True)
class Run:
    """One training of one network; CONTRIBUTING says what the words mean. `protocol` holds all settings of the training.

    variant: the name of a setting, or in study "faults" of a fault. test_curve_until: test accuracy is also recorded at
    every evaluation up to this iteration. Raises ValueError for an arm, a procedure or a setting that there is not.
    """

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

    def __post_init__(self):
        records.require_known("arm", self.arm, ARMS)
        records.require_known("procedure", self.procedure, paper.PROCEDURES)
        if self.study != "faults":
            records.require_known("setting", self.variant, SETTINGS)

    @classmethod
    def from_record(cls, row: dict) -> "Run":
        """The run that a record claims to be; ValueError or TypeError if its protocol or a name makes no sense."""
        words = {name: row[name] for name in records.WORDS}
        numbers = {name: int(row[name]) for name in ("trial", "replicate", "pruning_round")}
        return cls(protocol=Protocol(**json.loads(row["protocol"])), **words, **numbers)

    @property
    def identity(self) -> dict:
        """The identity columns of this run's record."""
        named = {name: getattr(self, name) for name in records.IDENTITY if name != "protocol_key"}
        return named | {"protocol_key": self.protocol.key()}

    @cached_property
    def key(self) -> str:
        return records.run_key(self.identity)

    @property
    def percent_remaining(self) -> float:
        """P_m under the run's own pruning rates, before rounding to whole weights."""
        if self.procedure == "one_shot":
            return paper.one_shot_percent_remaining(self.network, self.pruning_round)
        rates = self.protocol.pruning_rates
        return paper.percent_remaining(self.network, self.pruning_round, rates=rates)

    @property
    def mask_owner(self) -> "Run":
        """The run under whose mask this one trains: itself, unless its study or its setting borrows another's."""
        if self.study == RETRAINED:
            return replace(self, study="paper")
        if self.study == "faults" or (borrowed := SETTINGS[self.variant].masks_from) is None:
            return self
        return replace(self, variant="", protocol=replace(self.protocol, **borrowed))

    @property
    def is_pruned(self) -> bool:
        """Whether its network is pruned after training, to give the next round's mask."""
        chained = self.study == "paper" and self.procedure != "one_shot"
        return chained and ARMS[self.arm].pruned and self.mask_owner is self

    @property
    def kept_layers(self) -> tuple[str, ...]:
        """Layers of the trial's dense network whose final weights are kept, for runs and analyses that go on from them.

        All of a Lenet; of a large network all only where continued training needs them (16 MB), else the filters.
        """
        if self.variant or self.study == RETRAINED:
            return ()
        shapes = networks.weight_shapes(self.network)
        filters = tuple(name for name, shape in shapes.items() if len(shape) > 2)
        small = not filters and (self.study == "paper" or self.trial == 0)
        continued = self.trial in CONTINUED_TRIALS.get(self.network, ())
        if small or (continued and (self.study, self.scale) == ("paper", "paper")):
            return tuple(shapes)
        return filters if self.trial == 0 else ()

    @property
    def keeps_weights(self) -> bool:
        """Whether this is the dense network that leaves `kept_layers` behind."""
        return self.arm == "dense" and bool(self.kept_layers)

    @property
    def seeds(self) -> dict[str, int]:
        """Seeds by role. Arms of a trial share the data order of a round; controls draw their own init and mask."""
        draws = ARMS[self.arm].draws
        replicate, init_round = (self.replicate + 1, self.pruning_round) if draws else (0, 0)
        return {
            "init": seed("init", self.network, self.trial, init_round, replicate),
            "mask": seed("mask", self.network, self.trial, self.pruning_round, replicate),
            "data_order": seed("data_order", self.network, self.trial, self.pruning_round, 0),
        }


def seed(role: str, network: str, trial: int, pruning_round: int, replicate: int) -> int:
    """63-bit seed: the SHA-256 of who asks for it, so that every role of every run draws independently."""
    text = json.dumps([role, network, trial, pruning_round, replicate])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


@dataclass(frozen=True)
class Row:
    """One line of a table; a ticket of round 0 is the dense network.

    rounds: pruning rounds, or for one-shot pruning levels of the 2.5 % grid. iterations: 0 for those of the plan.
    """

    wave: int
    arm: str
    rounds: Iterable[int]
    trials: Iterable[int]
    replicates: Iterable[int] = (0,)
    procedure: str = "iterative"
    setting: str = ""
    study: str = "paper"
    iterations: int = 0


@dataclass(frozen=True)
class Plan:
    """All runs of one network at one scale; `protocol` is that of the rows without a setting of their own.

    test_curve: test accuracy is also recorded while training, up to this iteration, of the runs of these arms and rounds
    (None: of all).
    """

    label: str
    scale: str
    protocol: Protocol
    rows: tuple[Row, ...]
    test_curve: int = 0
    test_curve_rounds: Mapping[str, Collection[int]] | None = None

    @property
    def waves(self) -> tuple[int, ...]:
        return tuple(sorted({row.wave for row in self.rows}))

    def runs(self, wave: int) -> list[Run]:
        """The runs of waves 1 to `wave`, in the order of the table, each once; a plan of one wave has no other."""
        if len(self.waves) > 1 and wave not in self.waves:
            raise ValueError(f"{self.label} has waves {', '.join(map(str, self.waves))}, got {wave}")
        rows = (row for row in self.rows if row.wave <= wave or len(self.waves) == 1)
        return list(dict.fromkeys(run for row in rows for run in self._runs(row)))

    def _runs(self, row):
        protocol = under(self.protocol, row.setting)
        if row.iterations:
            protocol = replace(protocol, training_iterations=row.iterations)
        for pruning_round, trial, replicate in product(row.rounds, row.trials, row.replicates):
            arm = "dense" if row.arm == "winning_ticket" and pruning_round == 0 else row.arm
            yield Run(
                network=protocol.network,
                arm=arm,
                trial=trial,
                pruning_round=pruning_round,
                protocol=protocol,
                procedure=row.procedure,
                replicate=replicate,
                variant=row.setting,
                study=row.study,
                scale=self.scale,
                test_curve_until=self.test_curve if self._drawn(arm, row.procedure, pruning_round) else 0,
            )

    def _drawn(self, arm, procedure, pruning_round):
        if (rounds := self.test_curve_rounds) is None:
            return True
        return procedure != "one_shot" and pruning_round in rounds.get(arm, ())


def stacks(plan: list[Run], on_gpu: bool = False) -> list[list[Run]]:
    """Pack a plan into stacks of runs that can train side by side, in plan order; a function of plan and device alone.

    On a CPU chains are kept apart from controls so that two workers find work at once; on a GPU the controls of a round
    fill the lanes that its tickets leave. A continued run trains two networks: on a CPU two workers share their chains.
    """
    groups: dict[tuple, list[Run]] = {}
    for run in plan:
        where = (run.network, run.scale, run.study, run.variant, run.protocol.key())
        apart = on_gpu or run.is_pruned
        groups.setdefault((*where, run.procedure, apart, run.pruning_round), []).append(run)
    packed = []
    for group in groups.values():
        line, continued = networks.NETWORKS[group[0].network], group[0].procedure == "continued"
        most = (
            line.lanes // (1 + continued)
            if on_gpu
            else min(line.per_stack, 2 if continued else line.per_stack)
        )
        packed += [group[start : start + most] for start in range(0, len(group), most)]
    return packed
