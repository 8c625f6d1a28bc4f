"""Records of notebook 05b as a table, without a file: every fault in three trials, each with its own ladder and cost.

Not a test.
"""

import pandas as pd

from lth_utils import faults

COSTS = {
    "stale_optimizer": 0.6,
    "no_rewind": 0.02,
    "negatives_frozen": 0.01,
    "rate_41": 0.01,
    "mask_not_enforced": -0.004,
}
SPREAD = {"negatives_frozen": 0.002}  # added to the cost in one trial, taken off it in another


def frame(trials=3) -> pd.DataFrame:
    """Accuracy .98 less .001 per trial and less the fault's cost, which grows with the round; half of it at the end."""
    rows = []
    for run in faults.plan():
        if run.trial >= trials:
            continue
        keep = 1 - run.protocol.pruning_rates["fc1.weight"]
        cost = COSTS.get(run.variant, 0.0) + SPREAD.get(run.variant, 0.0) * (run.trial - 1)
        loss = cost * run.pruning_round / 8
        rows.append(
            run.identity
            | {
                "percent_remaining": 100 * keep**run.pruning_round,
                "test_accuracy_at_early_stop": 0.98 - 0.001 * run.trial - loss,
                "test_accuracy_at_end": 0.98 - 0.001 * run.trial - loss / 2,
                "early_stop_iteration": 5_000 - 100 * run.trial - (400 if "stopped" in run.variant else 0),
            }
        )
    return pd.DataFrame(rows)
