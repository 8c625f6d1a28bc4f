"""Which device trains: what can be used, what is asked for, and what is said where a GPU is there but no use."""

import pytest
import torch

from lth_utils import experiments, gpu


@pytest.fixture
def old_card(monkeypatch):
    """A GPU for which this build has no kernels."""
    monkeypatch.delenv(gpu.DEFAULT, raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (6, 1))
    monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: ["sm_75", "sm_80", "sm_90", "compute_90"])
    monkeypatch.setattr(torch, "zeros", None)  # nobody tries to allocate there


def test_a_gpu_without_kernels_is_not_used_and_one_sentence_says_why(old_card):
    with pytest.warns(UserWarning, match=r"no kernels for its compute capability 6.1\), so the CPU trains"):
        assert gpu.default_device() == "cpu"


@pytest.mark.parametrize(("own", "there"), [((7, 5), True), ((8, 9), True), ((9, 0), True), ((12, 0), True)])
def test_kernels_serve_newer_cards_of_their_generation_and_code_all_later_ones(
    monkeypatch, old_card, own, there
):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: own)
    assert (gpu._lacks_kernels("cuda") == "") is there


def test_the_environment_names_the_device_where_no_option_does(monkeypatch, old_card):
    monkeypatch.setenv(gpu.DEFAULT, "cpu")
    assert gpu.default_device() == "cpu"


def test_a_cpu_can_be_used_and_a_device_that_is_none_cannot():
    assert gpu.usable("cpu") == ""
    assert gpu.usable("nonsense") and gpu.usable("cuda:77")


def test_on_a_gpu_controls_fill_the_lanes_that_tickets_leave_and_nothing_waits_for_its_own_stack():
    plan = experiments.plan("conv2", "paper", 4)
    packed = experiments.stacks(plan, on_gpu=True)
    assert sorted(run.key for stack in packed for run in stack) == sorted(run.key for run in plan)
    assert max(map(len, packed)) == 8 and len(packed) < len(experiments.stacks(plan)) / 3
    assert any({"winning_ticket", "random_reinit"} <= {run.arm for run in stack} for stack in packed)
    for stack in packed:
        needed = {run.key for one in stack if (run := experiments.needs(one))}
        assert not needed & {run.key for run in stack}
