"""One fault at a time: what notebook 05b breaks on purpose, and the chains of runs that measure what it costs.

`injected` holds the faults as data and code, `chains` plans and trains them on `reference`. The stacked trainer stays
free of all of them.
"""

from lth_utils.faults.chains import FAULT, execute, obtain, plan
from lth_utils.faults.injected import FAULTS, ON_TEST, Fault

__all__ = ["FAULT", "FAULTS", "ON_TEST", "Fault", "execute", "obtain", "plan"]
