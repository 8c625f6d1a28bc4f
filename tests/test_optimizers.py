"""Every optimizer takes the steps of torch.optim, by kernels bit for bit and by formulas to rounding."""

import pytest
import torch

from lth_utils import optimizers

THEIRS = {
    "adam": (torch.optim.Adam, {"fused": True}, 1e-3),
    "sgd": (torch.optim.SGD, {"fused": True}, 0.1),
    "momentum": (torch.optim.SGD, {"fused": True, "momentum": 0.9}, 0.1),
    "adadelta": (torch.optim.Adadelta, {}, 1.0),
}


def drawn(seed):
    generator = torch.Generator().manual_seed(seed)
    return {
        "w": torch.randn(4, 5, generator=generator).double(),
        "b": torch.randn(4, generator=generator).double(),
    }


@pytest.mark.parametrize("descend", [optimizers.by_kernels, optimizers.by_formulas])
@pytest.mark.parametrize("name", THEIRS)
def test_updates_are_those_of_torch_optim_at_changing_rates(name, descend):
    kind, settings, rate = THEIRS[name]
    ours, theirs = drawn(0), {key: value.requires_grad_() for key, value in drawn(0).items()}
    state, reference = optimizers.new_state(name, ours), kind(theirs.values(), lr=rate, **settings)
    for iteration in range(5):
        gradients = drawn(1 + iteration)
        for key, value in theirs.items():
            value.grad = gradients[key].clone()
        reference.param_groups[0]["lr"] = rate / (1 + iteration)
        reference.step()
        descend(name, ours, gradients, state, torch.tensor(rate / (1 + iteration), dtype=torch.float64))
    exact = descend is optimizers.by_kernels
    for key, value in theirs.items():
        assert (
            torch.equal(ours[key], value)
            if exact
            else torch.allclose(ours[key], value, rtol=1e-12, atol=1e-14)
        )
        assert (ours[key] - drawn(0)[key]).abs().min() > 0


@pytest.mark.parametrize("descend", [optimizers.by_kernels, optimizers.by_formulas])
@pytest.mark.parametrize("name", THEIRS)
def test_a_weight_without_a_gradient_stays_exactly_zero(name, descend):
    weights, gradients = {"w": torch.zeros(3)}, {"w": torch.tensor([0.0, 0.0, 1.0])}
    state = optimizers.new_state(name, weights)
    for _ in range(3):
        descend(name, weights, {"w": gradients["w"].clone()}, state, torch.tensor(0.1, dtype=torch.float64))
    assert weights["w"][:2].tolist() == [0.0, 0.0] and weights["w"][2] < 0


@pytest.mark.parametrize("name", THEIRS)
def test_kernels_take_a_gradient_that_lies_otherwise_in_memory(name):
    """Those of torch read raw memory: a filter's gradient may come with its channels last."""
    weight, gradient = torch.zeros(2, 3, 4, 4), torch.rand(2, 3, 4, 4)
    results = []
    for memory in (torch.contiguous_format, torch.channels_last):
        ours = {"w": weight.clone()}
        slopes = {"w": gradient.contiguous(memory_format=memory)}
        rate = torch.tensor(0.1, dtype=torch.float64)
        optimizers.by_kernels(name, ours, slopes, optimizers.new_state(name, ours), rate)
        results.append(ours["w"])
    assert torch.equal(*results)
