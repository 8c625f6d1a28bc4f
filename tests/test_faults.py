"""Every fault does what it says and is seen by the checks that it names."""

import dataclasses

import fault_audit
import pytest
import synthetic
import torch
from synthetic import equal

from lth_utils import checks, faults, masks, networks, paper, reference
from lth_utils.faults import injected

NAMES = list(faults.FAULT)
SHORT = synthetic.protocol(training_iterations=6, evaluation_interval=2)
EPOCH = 2


@pytest.fixture(scope="module")
def data():
    return synthetic.dataset(train=64, validation=16, test=16)


def pruned(name, data, rounds=3, **changes):
    """Rounds of a chain under one fault, and the initial weights as it leaves them."""
    fault, initial = faults.FAULT[name], networks.initial_weights("lenet", 0)
    settings = fault.changed(dataclasses.replace(SHORT, **changes))
    seeds = list(range(rounds))
    return reference.paper_rounds(initial, seeds, settings, fault.data(data), fault.parts(EPOCH)), initial


@pytest.fixture(scope="module")
def correct(data):
    return pruned("", data)[0]


# --- what the faults do ----------------------------------------------------------------------------------------------------


def test_there_are_thirteen_faults_a_correct_protocol_and_a_second_reading():
    assert len(NAMES) == len(set(NAMES)) == 15
    assert NAMES[0] == "" and NAMES[-1] == faults.ON_TEST


@pytest.mark.parametrize(
    "name",
    [
        "mask_not_enforced",
        "no_rewind",
        "initial_weights_aliased",
        "stale_optimizer",
        "adam_moments_carried",
        "biases_pruned",
        "output_at_full_rate",
        "rate_41",
        faults.ON_TEST,
    ],
)
def test_faults_that_need_a_second_round_leave_the_dense_network_alone(name, data, correct):
    rounds, _ = pruned(name, data, 1)
    assert equal(rounds[0].final_weights, correct[0].final_weights)
    assert rounds[0].validation_losses == correct[0].validation_losses


def test_patience_ends_a_training_that_many_epochs_after_the_lowest_validation_loss(data):
    lengths = {}
    for name in ("stopped_after_1_epoch", "stopped_after_5_epochs"):
        rounds, _ = pruned(name, data, 1, training_iterations=200, learning_rate=0.1)
        iterations = rounds[0].iterations
        assert iterations[-1] < 200
        lengths[name] = iterations[-1] - iterations[rounds[0].early_stop]
    assert lengths == {"stopped_after_1_epoch": EPOCH, "stopped_after_5_epochs": 5 * EPOCH}


def test_an_epoch_of_the_paper_has_917_iterations():
    settings = paper.protocol("lenet")
    data = synthetic.dataset(train=1, validation=1, test=1)
    full = dataclasses.replace(data, train_labels=torch.zeros(55_000))
    assert injected.iterations_per_epoch(settings, full) == 917


def test_without_a_mask_pruned_weights_start_at_zero_and_grow(data):
    second = pruned("mask_not_enforced", data)[0][1]
    for name, mask in second.masks.items():
        assert not second.first_weights[name][~mask].any()
        assert second.final_weights[name][~mask].any()


def test_without_rewinding_a_round_starts_where_the_last_one_ended(data):
    first, second, third = pruned("no_rewind", data)[0]
    for before, after in ((first, second), (second, third)):
        assert equal(after.first_weights, masks.apply(before.final_weights, after.masks))


def test_aliased_weights_are_right_after_the_first_reset_and_trained_after_the_second(data, correct):
    (_, second, third), left = pruned("initial_weights_aliased", data)
    pristine = networks.initial_weights("lenet", 0)
    assert equal(second.first_weights, correct[1].first_weights)
    assert equal(third.first_weights, masks.apply(second.final_weights, third.masks))
    assert not equal(left, pristine)


def test_a_stale_optimizer_trains_the_first_round_only(data):
    first, second, third = pruned("stale_optimizer", data)[0]
    assert not equal(first.first_weights, first.final_weights)
    assert equal(second.first_weights, second.final_weights)
    assert equal(third.first_weights, third.final_weights)


def test_carried_moments_go_on_counting_and_move_no_pruned_weight(data):
    fault, counts = faults.FAULT["adam_moments_carried"], []
    parts = fault.parts(EPOCH)

    def step(network, weights, masks, optimizer, images, labels):
        parts.step(network, weights, masks, optimizer, images, labels)
        counts.append(int(optimizer.state[weights["fc1.weight"]]["step"]))

    watched = dataclasses.replace(parts, step=step)
    initial = networks.initial_weights("lenet", 0)
    rounds = reference.paper_rounds(initial, [0, 1, 2], SHORT, data, watched)
    assert counts == list(range(1, 19))
    for trained in rounds:
        checks.masked_weights_are_zero(trained.final_weights, trained.masks)


def test_the_decaying_rate_falls_every_epoch_and_is_never_set_back(data):
    parts, rates = injected.decaying_across_rounds(EPOCH), []

    def step(network, weights, masks, optimizer, images, labels):
        rates.append(optimizer.param_groups[0]["lr"])
        parts.step(network, weights, masks, optimizer, images, labels)

    initial = networks.initial_weights("lenet", 0)
    watched = dataclasses.replace(parts, step=step)
    reference.paper_rounds(initial, [0, 1], SHORT, data, watched)
    assert rates == pytest.approx([1.2e-3 * 0.7 ** (i // EPOCH) for i in range(12)])


def test_negative_weights_are_frozen_and_positive_ones_are_not(data):
    first = pruned("negatives_frozen", data, 1)[0][0]
    for name in first.masks:
        before, after = first.first_weights[name], first.final_weights[name]
        assert torch.equal(before[before < 0], after[before < 0])
        assert not torch.equal(before[before > 0], after[before > 0])


def test_biases_are_pruned_at_the_rate_of_their_layer_and_weights_as_ever(data, correct):
    third, own = pruned("biases_pruned", data)[0][2].masks, correct[2].masks
    assert {name: int(third[f"{name}.bias"].sum()) for name in ("fc1", "fc2", "output")} == {
        "fc1": 192,
        "fc2": 64,
        "output": 8,
    }
    assert all(int(third[name].sum()) == int(own[name].sum()) for name in own)


@pytest.mark.parametrize(("name", "kept"), [("output_at_full_rate", [0.8, 0.8]), ("rate_41", [0.59, 0.795])])
def test_other_rates_change_the_ladder(name, kept, data):
    second = pruned(name, data, 2)[0][1]
    shares = [float(second.masks[layer].double().mean()) for layer in ("fc1.weight", "output.weight")]
    assert shares == pytest.approx(kept)


# --- the checklist against the faults --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def found():
    return {name: fault_audit.caught(fault) for name, fault in faults.FAULT.items()}


def test_the_correct_protocol_passes_every_check(found):
    assert found[""] == set()


@pytest.mark.parametrize("name", NAMES[1:])
def test_each_fault_is_caught_by_the_checks_it_names_and_no_other(name, found):
    named = faults.FAULT[name].caught_by
    assert all(hasattr(checks, check) for check in named)
    assert named and set(named) == found[name]


def test_every_check_is_run_in_the_audit_except_those_of_controls(monkeypatch):
    public = {
        name for name in checks.__doc__.replace(",", " ").split() if callable(getattr(checks, name, None))
    }
    run = set()
    for name in public - {"CheckFailed"}:
        monkeypatch.setattr(checks, name, lambda *arguments, name=name: run.add(name))
    fault_audit.caught(faults.FAULT[""])
    assert public - run == {"CheckFailed", "reinit_differs", "random_masks_differ"}
