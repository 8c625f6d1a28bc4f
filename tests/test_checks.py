"""The checklist on any module, on dicts of tensors and on modules of torch's prune; each check passes and fails."""

import copy
import inspect
import io
import re

import pytest
import torch
from torch import nn
from torch.nn.utils import prune

from lth_utils import checks
from lth_utils.checks import CheckFailed

CHECKS = {
    name: check
    for name, check in inspect.getmembers(checks, inspect.isfunction)
    if check.__module__ == checks.__name__ and name[0] != "_"
}


@pytest.fixture(autouse=True)
def no_check_may_change_what_it_looks_at(monkeypatch):
    """Watches every call in this file, whether the check passes or fails."""

    def stored(arguments):
        torch.save(arguments, file := io.BytesIO())
        return file.getvalue()

    def watched(check):
        def call(*arguments):
            before = stored(arguments)
            try:
                check(*arguments)
            finally:
                assert stored(arguments) == before, f"{check.__name__} has changed what it was given"

        return call

    for name, check in CHECKS.items():
        monkeypatch.setattr(checks, name, watched(check))


@pytest.fixture
def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))


@pytest.fixture
def initial(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


@pytest.fixture
def masks(model):
    """Half of both layers, in a chess board."""
    return {
        name: (torch.arange(model.get_parameter(name).numel()) % 2).reshape(model.get_parameter(name).shape)
        for name in ("0.weight", "2.weight")
    }


@pytest.fixture
def pruned(model, masks):
    with torch.no_grad():
        for name, mask in masks.items():
            model.get_parameter(name).mul_(mask)
    return model


def fails(sentence):
    return pytest.raises(CheckFailed, match=re.escape(sentence))


def test_a_failed_check_is_an_assertion_error(masks):
    with pytest.raises(AssertionError):
        checks.layers_lose_their_share(masks, masks, {"0.weight": 0.5})


def test_masked_weights_that_live_again_are_counted_by_layer(pruned, masks):
    checks.masked_weights_are_zero(pruned, masks)
    with torch.no_grad():
        pruned[2].weight[0, :2] += 1
    with fails("2.weight: 1 of 3 pruned weights are not zero"):
        checks.masked_weights_are_zero(pruned, masks)


def test_modules_of_torchs_prune_are_judged_by_what_they_compute_with(model, initial):
    prune.l1_unstructured(model[0], "weight", 6)
    masks = {"0.weight": model[0].weight_mask}
    checks.masked_weights_are_zero(model, masks)
    checks.weights_are_rewound(model, initial, masks)
    with torch.no_grad():
        model[0].weight_orig += 1  # the cached `weight` still holds the old values
    checks.masked_weights_are_zero(model, masks)
    with fails("0.weight: 6 of 12 values are not rewound"):
        checks.weights_are_rewound(model, initial, masks)
    prune.remove(model[0], "weight")
    with torch.no_grad():
        model[0].weight += 1
    with fails("0.weight: 6 of 6 pruned weights are not zero"):
        checks.masked_weights_are_zero(model, masks)


def test_a_bias_that_is_not_rewound_is_noticed(pruned, initial, masks):
    checks.weights_are_rewound(pruned, initial, masks)
    with torch.no_grad():
        pruned[0].bias[1] += 1
    with fails("0.bias: 1 of 3 values are not rewound"):
        checks.weights_are_rewound(pruned, initial, masks)


def test_a_state_dict_that_was_not_cloned_shares_the_models_memory(model, initial):
    checks.saved_weights_are_copies(model, initial)
    checks.saved_weights_are_copies(model, copy.deepcopy(model).state_dict())
    with fails("0.weight: the 12 saved values are the memory of the live 0.weight"):
        checks.saved_weights_are_copies(model, model.state_dict())


def test_saved_weights_that_training_has_edited_are_counted(initial):
    own_copy = {name: value.clone() for name, value in initial.items()}
    checks.saved_weights_are_untouched(initial, own_copy)
    initial["2.weight"][0] += 1
    with fails("2.weight: 3 of 6 saved initial values have changed"):
        checks.saved_weights_are_untouched(initial, own_copy)


def test_an_optimizer_of_a_replaced_model_is_noticed_and_so_is_a_parameter_too_many(model):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    checks.optimizer_owns_the_live_weights(optimizer, model)
    with fails("0.weight: none of its 12 values is in the optimizer"):
        checks.optimizer_owns_the_live_weights(optimizer, copy.deepcopy(model))
    optimizer.add_param_group({"params": [nn.Parameter(torch.ones(1))]})
    with fails("the optimizer holds 1 tensors that the model does not have"):
        checks.optimizer_owns_the_live_weights(optimizer, model)


def test_frozen_parameters_need_no_optimizer(model):
    model[0].requires_grad_(False)
    checks.optimizer_owns_the_live_weights(torch.optim.SGD(model[2].parameters(), lr=0.1), model)


def test_an_optimizer_that_has_stepped_has_state(model):
    optimizer = torch.optim.Adam(model.parameters())
    checks.optimizer_starts_without_state(optimizer)
    model(torch.ones(1, 4)).sum().backward()
    optimizer.step()
    with fails("the state of an earlier training for 4 tensors"):
        checks.optimizer_starts_without_state(optimizer)


def test_a_scheduler_that_goes_on_is_seen_by_the_first_rate_of_the_round(model):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    checks.learning_rate_starts_at(optimizer, 0.1)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5)
    optimizer.step()
    scheduler.step()
    with fails("parameter group 0 starts at learning rate 0.05, not 0.1"):
        checks.learning_rate_starts_at(optimizer, 0.1)


@pytest.mark.parametrize("sign", ["negative", "positive"])
def test_survivors_of_one_sign_that_stand_still_are_noticed(initial, masks, sign):
    moved = {name: value + 1 for name, value in initial.items()}
    checks.survivors_of_both_signs_moved(initial, moved, masks)
    still = initial["0.weight"] < 0 if sign == "negative" else initial["0.weight"] > 0
    moved["0.weight"] = torch.where(still, initial["0.weight"], moved["0.weight"])
    with fails(f"{sign} survivors has moved"):
        checks.survivors_of_both_signs_moved(initial, moved, masks)


def test_a_training_that_ended_before_its_time_is_noticed():
    checks.training_ran_to_its_end(300, 300)
    with fails("trained for 200 iterations, planned were 300"):
        checks.training_ran_to_its_end(200, 300)


def test_masks_of_biases_are_noticed(masks):
    checks.only_weights_are_masked(masks)
    with fails("0.bias: its 3 values are pruned"):
        checks.only_weights_are_masked(masks | {"0.bias": torch.ones(3)})


def test_weights_that_come_back_are_counted(masks):
    smaller = {name: mask.clone() for name, mask in masks.items()}
    smaller["0.weight"][0] = 0
    checks.masks_are_nested(smaller, masks)
    with fails("0.weight: 2 pruned weights came back to life"):
        checks.masks_are_nested(masks, smaller)


def test_layers_may_round_in_either_direction_but_lose_no_other_share(masks):
    dense = {name: torch.ones_like(mask) for name, mask in masks.items()}
    checks.layers_lose_their_share(masks, dense, {"0.weight": 0.5, "2.weight": 0.5})
    checks.layers_lose_their_share(masks, dense, {"0.weight": 0.55})
    with fails("2.weight: 3 of 6 weights went, 1 should have"):
        checks.layers_lose_their_share(masks, dense, {"0.weight": 0.5, "2.weight": 0.2})


def test_a_reinit_that_is_the_tickets_own_initialisation_is_noticed(pruned, initial, masks):
    fresh = {name: torch.randn_like(value) for name, value in initial.items()}
    checks.reinit_differs(pruned, fresh, masks)
    with fails("0.weight: 6 of 6 survivors have the ticket's own weight"):
        checks.reinit_differs(pruned, initial, masks)


def test_a_random_mask_has_the_tickets_counts_and_other_places(masks):
    flipped = {name: 1 - mask for name, mask in masks.items()}
    checks.random_masks_differ(masks, flipped)
    with fails("0.weight: the control keeps the same 6 weights"):
        checks.random_masks_differ(masks, masks)
    flipped["2.weight"][0] = 0
    with fails("2.weight: 1 weights survive in the control, 3 in the ticket"):
        checks.random_masks_differ(masks, flipped)


def test_validation_images_inside_the_training_set_are_counted():
    images = torch.arange(24, dtype=torch.uint8).reshape(6, 1, 2, 2)
    checks.validation_is_held_out(images[:4], images[4:])
    with fails("1 of 3 validation images are also trained on, the first is number 0"):
        checks.validation_is_held_out(images[:4], images[3:])


def test_a_result_is_read_where_the_validation_loss_is_lowest():
    checks.chosen_on_validation(1, [3.0, 1.0, 2.0])
    checks.chosen_on_validation(2, [3.0, 1.0, 1.0])
    with fails("evaluation 2 was chosen, the validation loss is lowest at evaluation 1"):
        checks.chosen_on_validation(2, [3.0, 1.0, 2.0])


def test_the_module_lists_every_check_in_its_first_lines():
    assert len(CHECKS) >= 15
    assert all(name in checks.__doc__ for name in CHECKS)
