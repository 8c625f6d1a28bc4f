"""The checklist on any module, on dicts of tensors and on modules of torch's prune; each check passes and fails."""

import ast
import copy
import inspect
import io
import re
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, parametrize, prune

from lth_utils import checks
from lth_utils import masks as masking
from lth_utils.checks import CheckFailed

CHECKS = {
    name: check
    for name, check in inspect.getmembers(checks, inspect.isfunction)
    if check.__module__ == checks.__name__ and name[0] != "_" and name != "every_round"  # runs others
}
NAN, INFINITE = float("nan"), float("inf")


def stored(arguments):
    """Bytes of everything that was given; torch saves a parametrized module only as its state."""
    computed = [
        isinstance(one, nn.Module) and any(map(parametrize.is_parametrized, one.modules()))
        for one in arguments
    ]
    torch.save([one.state_dict() if c else one for one, c in zip(arguments, computed)], file := io.BytesIO())
    return file.getvalue()


@pytest.fixture(autouse=True)
def no_check_may_change_what_it_looks_at(monkeypatch):
    """Watches every call in this file, whether the check passes or fails."""

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
    return copy.deepcopy(dict(model.state_dict()))


@pytest.fixture
def masks(initial):
    """Half of both layers, in a chess board."""
    return {n: (torch.arange(v.numel()) % 2).reshape(v.shape) for n, v in initial.items() if v.dim() > 1}


@pytest.fixture
def pruned(model, initial, masks):  # after the initial weights were saved
    with torch.no_grad():
        for name, mask in masks.items():
            model.get_parameter(name).mul_(mask)
    return model


def fails(sentence):
    return pytest.raises(CheckFailed, match=re.escape(sentence))


# --- weights -------------------------------------------------------------------------------------------------------------


def test_masked_weights_that_live_again_and_biases_that_are_not_rewound_are_counted(pruned, initial, masks):
    checks.masked_weights_are_zero(pruned, masks)
    checks.weights_are_rewound(pruned, initial, masks)
    with torch.no_grad():
        pruned[2].weight[0, :2] -= 1
        pruned[0].bias[1] += 1
    with fails("2.weight: 1 of 3 pruned weights are not zero"):
        checks.masked_weights_are_zero(pruned, masks)
    with fails("0.bias: 1 of 3 values are not rewound"):
        checks.weights_are_rewound(pruned, initial, masks)


def test_modules_and_checkpoints_of_torchs_prune_are_judged_by_what_they_compute_with(model, initial):
    prune.l1_unstructured(model[0], "weight", 6)
    masks, state = {"0.weight": model[0].weight_mask}, copy.deepcopy(dict(model.state_dict()))
    for given in (model, state):
        checks.masked_weights_are_zero(given, masks)
    checks.weights_are_rewound(model, initial, masks)  # saved before it was pruned
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
    del state["0.weight_mask"]
    with fails("0.weight: not among the tensors (nor is its _orig with a _mask)"):
        checks.masked_weights_are_zero(state, masks)


@pytest.mark.filterwarnings("ignore:.*weight_norm")
@pytest.mark.parametrize(
    ("norm", "part"),
    [
        (nn.utils.weight_norm, "weight_v"),
        (nn.utils.spectral_norm, "weight_orig"),
        (parametrizations.weight_norm, "parametrizations.weight.original1"),
        (parametrizations.spectral_norm, "parametrizations.weight.original"),
    ],
)
@pytest.mark.parametrize("training", [True, False])
def test_normalised_weights_are_read_as_the_next_pass_computes_them(norm, part, training):
    model = nn.Sequential(norm(nn.Linear(6, 4))).train(training)
    mask = torch.arange(24).reshape(4, 6) % 2
    with torch.no_grad():
        model.get_parameter(f"0.{part}").mul_(mask)
    checks.masked_weights_are_zero(model, {"0.weight": mask})
    saved = copy.deepcopy(model.state_dict())
    checks.weights_are_rewound(model, saved, {})
    with torch.no_grad():
        model.get_parameter(f"0.{part}")[0, 0] = 1  # no forward pass since
    with fails("0.weight: 1 of 12 pruned weights are not zero"):
        checks.masked_weights_are_zero(model, {"0.weight": mask})
    with fails(f"0.{part}: 1 of 24 values are not rewound"):
        checks.weights_are_rewound(model, saved, {})


def test_running_statistics_are_rewound_and_copied_like_everything_else():
    model = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))
    model.register_buffer(
        "cache", torch.ones(2), persistent=False
    )  # no state dict holds it: need not be saved
    initial = copy.deepcopy(model.state_dict())
    checks.weights_are_rewound(model, initial, {})
    checks.saved_weights_are_copies(model, initial)
    with fails("1.running_mean: the 3 saved values are the memory of the live 1.running_mean"):
        checks.saved_weights_are_copies(model, {"1.running_mean": model.state_dict()["1.running_mean"]})
    model(torch.rand(5, 4))
    with fails("1.running_mean: 3 of 3 values are not rewound"):
        checks.weights_are_rewound(model, initial, {})
    with fails("1.running_mean: not among the saved values"):
        checks.weights_are_rewound(model, {n: v.clone() for n, v in model.named_parameters()}, {})


def test_saved_weights_are_copies_where_they_share_no_memory_with_the_model(model, initial):
    checks.saved_weights_are_copies(model, initial)
    for saved in (model.state_dict(), {"0.weight": model[0].weight.detach().numpy()}):
        with fails("0.weight: the 12 saved values are the memory of the live 0.weight"):
            checks.saved_weights_are_copies(model, saved)
    model.empty = nn.Parameter(torch.empty(0))  # empty tensors share nothing
    checks.saved_weights_are_copies(model, {"empty": torch.empty(0), "other": torch.empty(2, device="meta")})
    with pytest.raises(ValueError, match="uninitialized"):
        checks.saved_weights_are_copies(nn.Sequential(nn.LazyLinear(3)), initial)


def test_saved_weights_that_training_has_edited_are_counted(initial):
    own_copy = copy.deepcopy(initial)
    checks.saved_weights_are_untouched(initial, own_copy)
    initial["2.weight"][0] += 1
    with fails("2.weight: 3 of 6 saved initial values have changed"):
        checks.saved_weights_are_untouched(initial, own_copy)


@pytest.mark.parametrize("sign", [-1, 1])
def test_survivors_of_one_sign_that_stand_still_are_noticed_and_frozen_layers_may(
    model, initial, masks, sign
):
    moved = {name: value + 1 for name, value in initial.items()}
    checks.survivors_of_both_signs_moved(initial, moved, masks)
    moved["0.weight"] = torch.where(initial["0.weight"] * sign > 0, initial["0.weight"], moved["0.weight"])
    with fails(f"{'negative' if sign < 0 else 'positive'} survivors has moved"):
        checks.survivors_of_both_signs_moved(initial, moved, masks)
    model.load_state_dict(moved)
    model[0].requires_grad_(False)
    checks.survivors_of_both_signs_moved(initial, model, masks)


def test_a_reinit_that_is_the_tickets_own_initialisation_is_noticed(pruned, initial, masks):
    checks.reinit_differs(pruned, {name: torch.randn_like(value) for name, value in initial.items()}, masks)
    with fails("0.weight: 6 of 6 survivors have the ticket's own weight"):
        checks.reinit_differs(pruned, initial, masks)


# --- optimizers and training -----------------------------------------------------------------------------------------------


def test_an_optimizer_holds_exactly_the_live_parameters_frozen_ones_apart(model):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    checks.optimizer_owns_the_live_weights(optimizer, model)
    with fails("0.weight: none of its 12 values is in the optimizer"):
        checks.optimizer_owns_the_live_weights(optimizer, copy.deepcopy(model))
    model[0].requires_grad_(False)  # may be in it, or not
    checks.optimizer_owns_the_live_weights(optimizer, model)
    checks.optimizer_owns_the_live_weights(torch.optim.SGD(model[2].parameters(), lr=0.1), model)
    optimizer.add_param_group({"params": [nn.Parameter(torch.ones(1))]})
    with fails("the optimizer holds 1 tensors that the model does not have"):
        checks.optimizer_owns_the_live_weights(optimizer, model)


class Filling(torch.optim.SGD):
    """Makes its state of zeros when it is made, without a count of steps."""

    def __init__(self, parameters, **settings):
        super().__init__(parameters, **settings)
        for value in self.param_groups[0]["params"]:
            self.state[value]["average"] = torch.zeros_like(value)

    def step(self):
        super().step()
        for state in self.state.values():
            state["average"] += 1


@pytest.mark.parametrize(
    "name", [*"Adagrad Adam ASGD NAdam RMSprop Rprop Adadelta Adafactor LBFGS".split(), "Filling"]
)
def test_a_fresh_optimizer_of_any_kind_has_no_state_and_a_used_one_has(model, name):
    make = Filling if name == "Filling" else getattr(torch.optim, name)
    optimizer = make(model.parameters(), lr=0.1)
    checks.optimizer_starts_without_state(optimizer)

    def closure():
        model(torch.ones(1, 4)).sum().backward()
        return torch.tensor(1.0)

    closure()
    optimizer.step(closure) if name == "LBFGS" else optimizer.step()
    with fails("the state of an earlier training"):
        checks.optimizer_starts_without_state(optimizer)


def test_several_optimizers_are_judged_together(model):
    matrices = [value for value in model.parameters() if value.dim() > 1]
    others = [value for value in model.parameters() if value.dim() < 2]
    both = [torch.optim.SGD(matrices, lr=0.1, momentum=0.9), torch.optim.Adam(others, lr=0.1)]
    for given in (both, tuple(both)):
        checks.optimizer_owns_the_live_weights(given, model)
        checks.optimizer_starts_without_state(given)
        checks.learning_rate_starts_at(given, 0.1)
    with fails("0.bias: none of its 3 values"):
        checks.optimizer_owns_the_live_weights(both[:1], model)
    both[1].param_groups[0]["lr"] = 0.05
    with fails("parameter group 1 starts at learning rate 0.05, not 0.1"):
        checks.learning_rate_starts_at(both, 0.1)


def test_a_round_starts_at_the_protocols_learning_rate_up_to_the_rounding_of_a_scheduler(model):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    torch.optim.lr_scheduler.LinearLR(optimizer, start_factor=0.1)
    assert optimizer.param_groups[0]["lr"] != 0.01
    checks.learning_rate_starts_at(optimizer, 0.01)
    checks.learning_rate_starts_at(torch.optim.Adam(model.parameters(), lr=torch.tensor(0.01)), 0.01)
    with fails("parameter group 0 starts at learning rate 0.01, not 0.0100001"):
        checks.learning_rate_starts_at(optimizer, 0.0100001)


def test_a_training_that_ended_before_its_time_is_noticed():
    checks.training_ran_to_its_end(300, 300)
    with fails("trained for 200 iterations, planned were 300"):
        checks.training_ran_to_its_end(200, 300)


@pytest.mark.parametrize(
    ("index", "losses", "sentence"),
    [
        (1, [3.0, 1.0, 2.0], ""),
        (2, [3.0, 1.0, 1.0], ""),
        (1, [NAN, 2.0, INFINITE], ""),
        (2, [3.0, 1.0, 2.0], "evaluation 2 was chosen, the validation loss is lowest at evaluation 1"),
        (-1, [3.0, 1.0, 2.0], "evaluation -1 was chosen, there are 0 to 2"),
        (3, [3.0, 1.0, 2.0], "evaluation 3 was chosen, there are 0 to 2"),
        (2, [NAN, NAN, INFINITE], "not one of the 3 validation losses is finite"),
    ],
)
def test_a_result_is_read_where_the_validation_loss_is_lowest(index, losses, sentence):
    if not sentence:
        return checks.chosen_on_validation(index, losses)
    with fails(sentence):
        checks.chosen_on_validation(index, losses)


# --- masks ---------------------------------------------------------------------------------------------------------------


def test_masks_of_biases_weights_that_come_back_and_lost_layers_are_noticed(masks):
    checks.only_weights_are_masked(masks)
    with fails("0.bias: its 3 values are pruned"):
        checks.only_weights_are_masked(masks | {"0.bias": torch.ones(3)})
    smaller = copy.deepcopy(masks)
    smaller["0.weight"][0] = 0
    checks.masks_are_nested(smaller | {"0.bias": torch.ones(3)}, masks)  # a new layer may come
    with fails("0.weight: 2 pruned weights came back to life"):
        checks.masks_are_nested(masks, smaller)
    fewer = {"0.weight": masks["0.weight"]}
    for check, more in (
        (checks.masks_are_nested, ()),
        (checks.layers_lose_their_share, ({"0.weight": 0.0},)),
    ):
        with fails("2.weight: not among the later masks"):
            check(fewer, masks, *more)


def test_layers_may_round_in_either_direction_but_lose_no_other_share(masks):
    dense = {name: torch.ones_like(mask) for name, mask in masks.items()}
    checks.layers_lose_their_share(masks, dense, {"0.weight": 0.5, "2.weight": 0.5})
    checks.layers_lose_their_share(masks, dense, {"0.weight": 0.55})
    with fails("2.weight: 3 of 6 weights went, 1 should have"):
        checks.layers_lose_their_share(masks, dense, {"0.weight": 0.5, "2.weight": 0.2})


def test_a_random_mask_has_the_tickets_counts_and_other_places(masks):
    flipped = {name: 1 - mask for name, mask in masks.items()}
    checks.random_masks_differ(masks, flipped)
    with fails("0.weight: the control keeps the same 6 weights"):
        checks.random_masks_differ(masks, masks)
    flipped["2.weight"][0] = 0
    with fails("2.weight: 1 weights survive in the control, 3 in the ticket"):
        checks.random_masks_differ(masks, flipped)
    for only in (torch.zeros(2, 2), torch.ones(2, 2)):  # where no other mask is possible
        checks.random_masks_differ({"1.weight": only}, {"1.weight": only})
        checks.reinit_differs({"1.weight": only + 1}, {"1.weight": only + 2}, {"1.weight": only})


@pytest.mark.parametrize(
    "kind", [torch.Tensor.bool, torch.Tensor.half, torch.Tensor.float, torch.Tensor.numpy]
)
def test_masks_of_any_type_are_judged_alike(pruned, initial, masks, kind):
    other = {name: kind(mask) for name, mask in masks.items()}
    checks.weights_are_rewound(pruned, initial, other)
    checks.masks_are_nested(other, masks)
    with fails("0.weight: 6 of 6 pruned weights are not zero"):
        checks.masked_weights_are_zero(initial, other)
    with fails("2.weight: 3 pruned weights came back to life"):
        checks.masks_are_nested({"2.weight": np.ones((2, 3))}, {"2.weight": other["2.weight"]})
    with fails("0.weight: a mask holds 0 and 1 alone"):
        checks.masked_weights_are_zero(pruned, {"0.weight": torch.rand(3, 4)})


def test_counts_of_large_float_masks_are_exact():
    count = 70_001
    before = torch.ones(1, count, dtype=torch.float16)
    after, gone = before.clone(), round(0.2 * count)
    after[0, :gone] = 0
    checks.layers_lose_their_share({"a": after}, {"a": before}, {"a": 0.2})
    after[0, : gone + 2] = 0
    with fails(f"a: {gone + 2:,} of {count:,} weights went, {gone:,} should have"):
        checks.layers_lose_their_share({"a": after}, {"a": before}, 0.2)


# --- names and shapes ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "0."])
def test_names_that_do_not_match_fail_in_every_check_that_takes_two_sets_of_them(
    pruned, initial, masks, prefix
):
    other, elsewhere = ({prefix + n: v for n, v in tensors.items()} for tensors in (masks, initial))
    for check, arguments in {
        "weights_are_rewound": (pruned, initial, other),
        "saved_weights_are_untouched": (initial, elsewhere),
        "masked_weights_are_zero": (pruned, other),
        "survivors_of_both_signs_moved": (initial, elsewhere, masks),
        "masks_are_nested": (other, masks),
        "layers_lose_their_share": (other, masks, 0.0),
        "reinit_differs": (pruned, elsewhere, masks),
        "random_masks_differ": (masks, other),
    }.items():
        with fails("0.weight: "):
            getattr(checks, check)(*arguments)
    with fails("0.weight: not among the saved values"):
        checks.weights_are_rewound(pruned, elsewhere, {})
    with fails("1.weight: not among the earlier masks"):
        checks.layers_lose_their_share(masks, masks, {"1.weight": 0.0})


@pytest.mark.parametrize("missing", ["0.weight", "2.bias"])
def test_what_was_never_saved_cannot_have_been_rewound(pruned, initial, masks, missing):
    del initial[missing]
    masks.pop(missing, None)
    for model in (pruned, dict(pruned.state_dict())):
        with fails(f"{missing}: not among the saved values"):
            checks.weights_are_rewound(model, initial, masks)


def test_shapes_that_could_be_broadcast_are_no_match(pruned, initial, masks):
    with fails("0.weight: the shapes (3, 4) and (1, 4) do not fit"):
        checks.masked_weights_are_zero(pruned, {"0.weight": torch.ones(1, 4)})
    with fails("0.bias: the shapes (3,) and (1,) do not fit"):
        checks.weights_are_rewound(pruned, initial | {"0.bias": torch.zeros(1)}, masks)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.uint8, torch.bool])
def test_images_of_any_type_are_compared_but_never_those_of_two(dtype):
    images = (torch.arange(64).reshape(8, 2, 4) % 7).to(dtype)
    images[:, 0, 0] = torch.tensor([0, 0, 0, 0, 1, 1, 1, 1]).to(dtype)
    checks.validation_is_held_out(images[:4], images[4:])
    with fails("1 of 5 validation images are also trained on, the first is number 0"):
        checks.validation_is_held_out(images[:4], images[3:])
    with fails("are never equal; compare them raw"):
        checks.validation_is_held_out(images[:4].double(), images[3:])
    with fails("images of 8 values"):
        checks.validation_is_held_out(images[:4], images[3:, :1])


# --- all rounds of an algorithm ------------------------------------------------------------------------------------------


def rounds_of(model, count=3):
    """A faultless chain of rounds at a rate of one half, without any training loop."""
    initial = copy.deepcopy(dict(model.state_dict()))
    masks, rounds = masking.ones(model), []
    for _ in range(count):
        first = masking.apply(initial, masks)
        final = masking.apply({name: value * 1.5 + 0.1 for name, value in first.items()}, masks)
        rounds.append(SimpleNamespace(masks=masks, first_weights=first, final_weights=final))
        masks = masking.prune_smallest(final, masks, 0.5)
    return initial, rounds


def test_rounds_without_a_fault_are_handed_on_one_by_one(model):
    initial, rounds = rounds_of(model)
    assert list(checks.every_round(rounds, initial, 0.5)) == rounds


FAULTS = {  # what goes wrong after the first round -> the sentence that stops it
    "0.weight: 12 of 12 saved initial values": lambda initial, rounds: initial["0.weight"].add_(1),
    "0.bias: 3 of 3 values are not rewound": lambda _, rounds: rounds[1].first_weights["0.bias"].add_(1),
    "2.weight: 3 of 3 pruned weights": lambda _, rounds: rounds[1].final_weights["2.weight"].add_(9),
    "0.weight: not one of its": lambda _, rounds: rounds[1].final_weights.update(rounds[1].first_weights),
    "0.weight: 9 pruned weights came back": lambda _, rounds: rounds.append(rounds[0]),
    "0.weight: 9 of 12 weights went, 6 should have": lambda _, rounds: rounds.pop(1),
    "0.bias: its 3 values are": lambda _, rounds: rounds[1].masks.update({"0.bias": torch.ones(3)}),
    "are the memory of the live": lambda initial, rounds: rounds[1].final_weights.update(initial),
}


@pytest.mark.parametrize("sentence", FAULTS)
def test_a_fault_stops_the_rounds_at_the_round_that_has_it(model, sentence):
    initial, rounds = rounds_of(model)
    watched = checks.every_round(rounds, initial, 0.5)
    next(watched)
    FAULTS[sentence](initial, rounds)
    with fails(sentence):
        list(watched)


# --- the file on its own --------------------------------------------------------------------------------------------------


def test_the_file_can_be_copied_to_python_3_9_and_imports_torch_alone():
    """Annotations are deferred; what is evaluated when the file is imported must hold no union of types."""
    tree = ast.parse(inspect.getsource(checks), feature_version=(3, 9))
    imports = [node for node in ast.walk(tree) if isinstance(node, (ast.Import, ast.ImportFrom))]
    names = {getattr(node, "module", None) or node.names[0].name for node in imports}
    assert names - {"__future__", "copy", "math", "collections.abc", "typing"} == {"torch"}
    at_once = [node for node in tree.body if not isinstance(node, (ast.FunctionDef, ast.ClassDef, ast.If))]
    assert not [n for node in at_once for n in ast.walk(node) if isinstance(n, ast.BitOr)]
    keywords = {word.arg for node in ast.walk(tree) if isinstance(node, ast.Call) for word in node.keywords}
    assert "__future__" in names and "strict" not in keywords
