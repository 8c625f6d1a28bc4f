"""The paper's experiments: which networks are trained, from which weights, under which masks.

`plans` holds the tables, `arms` one entry per arm, `settings` one per departure from the protocol, `runs` what a run is;
`runner` carries a plan out: `worker` says what happens to each of its stacks, `costs` how long it takes.
"""

from lth_utils.experiments.arms import ARMS, masks_of_equal_size, needs, next_masks, starting_point
from lth_utils.experiments.costs import operations
from lth_utils.experiments.plans import CONVOLUTIONAL, PLANS, baseline, paper_protocol, plan, waves
from lth_utils.experiments.runs import RETRAINED, Plan, Row, Run, seed, stacks
from lth_utils.experiments.settings import FLOAT32, SETTINGS, VALIDATION_TRAINED_ON
