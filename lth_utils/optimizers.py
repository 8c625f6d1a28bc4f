"""The four optimizers as functions of tensors, in place: torch's own kernels, or formulas for a compiler to fuse.

Settings that no protocol names are torch's defaults; momentum is 0.9 (Appendix G.3.2).
"""

import math
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.optim.adadelta import adadelta
from torch.optim.adam import adam
from torch.optim.sgd import sgd

MOMENTS = {"adam": 2, "sgd": 0, "momentum": 1, "adadelta": 2}  # tensors that each keeps per weight
MOMENTUM, BETA_1, BETA_2, RHO = 0.9, 0.9, 0.999, 0.9
EPSILON = {"adam": 1e-8, "adadelta": 1e-6}

State = dict[str, list[Tensor]]  # of a weight's name: how many updates it has had, and its moments


def new_state(optimizer: str, weights: Mapping[str, Tensor]) -> State:
    """What an optimizer knows before the first update: zeros."""
    count = MOMENTS[optimizer]
    return {
        name: [
            torch.zeros((), device=value.device),
            *(torch.zeros_like(value) for _ in range(count)),
        ]
        for name, value in weights.items()
    }


def by_kernels(optimizer: str, weights: dict, gradients: dict, state: State, rate: Tensor) -> None:
    """One update by the functions behind torch.optim: the fastest where every operation is a call of its own."""
    values = list(weights.values())
    slopes = [gradient.contiguous() for gradient in gradients.values()]  # as weights lie: kernels do not look
    steps, *moments = (list(tensors) for tensors in zip(*state.values(), strict=True))
    settings = {"lr": rate.item(), "weight_decay": 0.0, "maximize": False}
    if optimizer == "adam":
        settings |= {"beta1": BETA_1, "beta2": BETA_2, "eps": EPSILON["adam"], "amsgrad": False}
        adam(values, slopes, *moments, [], steps, fused=True, **settings)
    elif optimizer == "adadelta":
        adadelta(values, slopes, *moments, steps, rho=RHO, eps=EPSILON["adadelta"], **settings)
    else:
        momentum, moments = (MOMENTUM, moments[0]) if moments else (0.0, [None] * len(values))
        settings |= {"momentum": momentum, "dampening": 0.0, "nesterov": False}
        sgd(values, slopes, moments, fused=True, **settings)


def by_formulas(optimizer: str, weights: dict, gradients: dict, state: State, rate: Tensor) -> None:
    """One update in plain operations, which a compiler makes one of; never waits for the device."""
    for name, weight in weights.items():
        step, *moments = state[name]
        step.add_(1)
        weight.sub_(rate * _direction(optimizer, gradients[name], step, *moments))


def _direction(optimizer, gradient, step, first=None, second=None):
    """What is subtracted from a weight, at a learning rate of one; updates the moments."""
    if optimizer == "sgd":
        return gradient
    if optimizer == "momentum":
        return first.mul_(MOMENTUM).add_(gradient)
    epsilon = EPSILON[optimizer]
    if optimizer == "adam":
        first.lerp_(gradient, 1 - BETA_1)
        second.mul_(BETA_2).addcmul_(gradient, gradient, value=1 - BETA_2)
        mean, square = (
            moment
            / -torch.expm1(step.to(moment.dtype) * math.log(beta))  # 1 - beta ** step, to the last digit
            for moment, beta in ((first, BETA_1), (second, BETA_2))
        )
        return mean / (square.sqrt() + epsilon)
    first.mul_(RHO).addcmul_(gradient, gradient, value=1 - RHO)
    change = gradient * ((second + epsilon).sqrt() / (first + epsilon).sqrt())
    second.mul_(RHO).addcmul_(change, change, value=1 - RHO)
    return change
