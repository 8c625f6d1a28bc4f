"""What a run costs: in arithmetic, for machines to come; in time, as finished runs took it or as this machine measures."""

import math
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace

import pandas as pd

from lth_utils import data, layers, networks, stacks, training
from lth_utils import masks as masking
from lth_utils.experiments.runs import Run

FORWARD, BACKWARD = 1, 2  # the backward pass multiplies once for the weights and once for the inputs
CALIBRATION_ITERATIONS = 400
CALIBRATION_ITERATIONS_OF_CONVOLUTIONS = 20  # some ten seconds, as each costs a hundred of Lenet's


def operations(run: Run) -> float:
    """Floating-point operations of a dense training with its evaluations: two per multiplication of a layer.

    Biases, activations and the optimizer are not counted, nor does pruning save anything: masks on a GPU do not.
    An evaluation reads the validation images.
    """
    protocol = run.protocol
    multiplications = sum(networks.multiplications(run.network).values())
    trained_on = protocol.training_iterations * protocol.batch_size
    evaluated = (protocol.training_iterations // protocol.evaluation_interval + 1) * data.VALIDATION_SIZE
    images = (FORWARD + BACKWARD) * trained_on + FORWARD * evaluated
    return 2.0 * multiplications * images * _networks_trained(run)


def _networks_trained(run):
    """A "continued" run has a companion, see `arms.continuation`."""
    return 2 if run.procedure == "continued" else 1


def relative_cost(run: Run, device: str = "cpu") -> float:
    """Estimated work of a run in units of one dense iteration of the same network.

    On one thread of a CPU a sparse fully connected network costs 0.16 + 3.4 * density of a dense one (Lenet in stacks of
    20, densities 1.2 to 17 %); any other, and all in bfloat16 or on a GPU, costs the same at any density.
    """
    dense, share = _networks_trained(run) * run.protocol.training_iterations, run.percent_remaining / 100
    sparse = share < layers.SPARSE_BELOW_DENSITY and stacks.kind(run.network) is stacks.StackedMlp
    sparse &= device == "cpu" and run.protocol.precision == "float32"
    return dense * (0.16 + 3.4 * share if sparse else 1.0)


def kind(run: Run) -> tuple:
    """Runs of one kind take time in proportion to `relative_cost`; faults are trained by another room."""
    return run.network, run.protocol.precision, run.study == "faults"


def recorded_rates(frame: pd.DataFrame) -> dict[tuple, float]:
    """Kind -> seconds of one processor core per unit of cost, as the runs of a store took them."""
    timed = frame[(frame["cpu_seconds"] > 0) & frame["device"].str.startswith("cpu")]
    seconds, cost = Counter(), Counter()
    for row in timed.to_dict("records"):
        run = Run.from_record(row)
        seconds[kind(run)] += row["cpu_seconds"]
        cost[kind(run)] += relative_cost(run)
    return {one: seconds[one] / cost[one] for one in seconds}


def estimated_seconds(
    runs: Iterable[Run], rates: Mapping[tuple, float], workers: int, device: str = "cpu"
) -> float:
    """Time to train the runs with several workers; NaN where a kind of run has no rate yet."""
    return sum(relative_cost(run, device) * rates.get(kind(run), math.nan) for run in runs) / workers


def measured_rate(run: Run, device: str = "cpu") -> float:
    """Seconds per unit of cost on this machine as it is now: some dense iterations of the run's kind, evaluation included."""
    usual, line = run.protocol.evaluation_interval, networks.NETWORKS[run.network]
    iterations = CALIBRATION_ITERATIONS if line.data == "mnist" else CALIBRATION_ITERATIONS_OF_CONVOLUTIONS
    interval = min(iterations, usual)
    length = interval * round(iterations / interval)
    whole = data.load(line.data, device=device)
    validation = max(1, round(interval / usual * len(whole.validation_labels)))
    copies = 2 if device == "cpu" else line.per_stack
    initial, times = networks.initial_weights(run.network, 0), {}
    changes = {"training_iterations": length, "evaluation_interval": interval, "train_evaluation_examples": 1}
    training.train(
        run.network,
        initial_weights=[initial] * copies,
        masks=[masking.ones(initial)] * copies,
        seeds=list(range(copies)),
        protocol=replace(run.protocol, **changes),
        data=data.subset(whole, len(whole.train_labels), validation, test=1),
        device=device,
        progress=lambda iteration: times.setdefault(iteration, time.perf_counter()),
    )
    return (times[length] - times[0]) / (copies * length)
