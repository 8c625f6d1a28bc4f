"""Named departures from the protocol of a plan: the `variant` of a record is the name of one, and nothing else."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace

from lth_utils import paper, records
from lth_utils.paper import Protocol

FLOAT32 = "float32"  # retrains networks of a bfloat16 chain
FLOAT32_CHAIN = "float32_chain"  # does all of it in float32
VALIDATION_TRAINED_ON = "validation_trained_on"


@dataclass(frozen=True)
class Setting:
    """What one setting does to a protocol.

    changes: fields of Protocol and their values. masks_from: None where networks of this setting are pruned by their own
    training; else they train under the masks of the plan's own setting, whose protocol has these values.
    """

    changes: Mapping[str, object] = field(default_factory=dict)
    masks_from: Mapping[str, object] | None = None


SETTINGS = {
    "": Setting(),  # the plan's own
    **dict.fromkeys(paper.SETTINGS, Setting()),  # the paper's own
    # pixel scalings, each by its own name, whichever the protocol names
    **{scaling: Setting({"pixel_scaling": scaling}) for scaling in paper.PIXEL_SCALINGS},
    # what an earlier attempt at Lenet reported
    "step_decay": Setting({"learning_rate_decay": 0.7, "learning_rate_decay_interval": 917}),
    "adam_rate_1": Setting({"learning_rate": 1.0}),
    "adadelta_rate_1": Setting({"optimizer": "adadelta", "learning_rate": 1.0}),
    # all 60,000 images of MNIST, at which the paper's plotted train accuracies hint
    VALIDATION_TRAINED_ON: Setting({"validation_trained_on": True}),
    # does precision matter?
    FLOAT32: Setting({"precision": "float32"}, masks_from={"precision": "bfloat16"}),
    FLOAT32_CHAIN: Setting({"precision": "float32"}),
}


def under(protocol: Protocol, name: str) -> Protocol:
    """A plan's protocol with what a setting changes, as the paper says it or as this table does; ValueError for no setting."""
    records.require_known("setting", name, SETTINGS)
    changes = SETTINGS[name].changes
    if name in paper.SETTINGS:
        papers, plain = paper.protocol(protocol.network, name), paper.protocol(protocol.network)
        values = {one.name: getattr(papers, one.name) for one in fields(papers)}
        changes = {field: value for field, value in values.items() if value != getattr(plain, field)}
    return replace(protocol, **changes)
