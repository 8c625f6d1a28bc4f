"""What a run costs in arithmetic, on any machine: for plans that await a machine that can carry them out."""

from lth_utils import data, networks
from lth_utils.experiments.runs import Run

FORWARD, BACKWARD = 1, 2  # the backward pass multiplies once for the weights and once for the inputs


def operations(run: Run) -> float:
    """Floating-point operations of a dense training with its evaluations: two per multiplication of a layer.

    Biases, activations and the optimizer are not counted, nor does pruning save anything: masks on a GPU do not.
    A "continued" run trains two networks. An evaluation reads the validation images.
    """
    protocol = run.protocol
    multiplications = sum(networks.multiplications(run.network).values())
    trained_on = protocol.training_iterations * protocol.batch_size
    evaluated = (protocol.training_iterations // protocol.evaluation_interval + 1) * data.VALIDATION_SIZE
    images = (FORWARD + BACKWARD) * trained_on + FORWARD * evaluated
    return 2.0 * multiplications * images * run.networks_trained
