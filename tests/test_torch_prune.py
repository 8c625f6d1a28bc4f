"""What torch's prune module does, beyond the cells of notebook 05a; and the index of that notebook."""

import copy
import re

import pytest
import torch
from torch import nn
from torch.nn.utils import prune

from lth_utils import checks, masks, notebooks
from lth_utils.notebooks import rules

INPUTS = torch.ones(1, 10)
NOTEBOOK = notebooks.FOLDER / "05a_torch_prune.ipynb"


def layer_of(weight: torch.Tensor) -> nn.Linear:
    """A linear layer that holds a copy of weight [out, in] and zero biases."""
    layer = nn.Linear(weight.shape[1], weight.shape[0])
    layer.load_state_dict({"weight": weight, "bias": torch.zeros(len(weight))})
    return layer


def toy() -> nn.Linear:
    """Ten weights 0.1, -0.2, ... -1.0."""
    return layer_of((torch.arange(1, 11) / 10 * torch.tensor([1, -1] * 5))[None])


def update(layer, optimizer, iterations=1):
    for _ in range(iterations):
        optimizer.zero_grad()
        (layer(INPUTS) - 1).square().sum().backward()
        optimizer.step()


def sgd(layer, **settings):
    return torch.optim.SGD(layer.parameters(), lr=0.01, **settings)


def random_weight(outputs, inputs, seed=0):
    return torch.rand(outputs, inputs, generator=torch.Generator().manual_seed(seed)) - 0.5


# --- the right weights go -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("scope", ["layer", "global"])
@pytest.mark.parametrize("rate", [0.1, 0.2, 0.25, 0.5, 0.9])
def test_masks_equal_ours_for_25_rounds_whatever_rounding_the_rate_needs(rate, scope):
    weights = {"a.weight": random_weight(7, 11), "b.weight": 3 * random_weight(30, 41, seed=1)}
    layers = {name: layer_of(weight) for name, weight in weights.items()}
    ours = masks.ones(weights)
    for _ in range(25):
        ours = masks.prune_smallest(weights, ours, rate, scope)
        if scope == "layer":
            for layer in layers.values():
                prune.l1_unstructured(layer, "weight", amount=rate)
        else:
            pairs = [(layer, "weight") for layer in layers.values()]
            prune.global_unstructured(pairs, pruning_method=prune.L1Unstructured, amount=rate)
        for name, layer in layers.items():
            assert torch.equal(layer.weight_mask.bool(), ours[name])


def test_ties_leave_the_count_exact():
    layer = layer_of(torch.full((1, 10), 0.5))
    for survivors in (8, 6, 5):
        prune.l1_unstructured(layer, "weight", amount=0.2)
        assert int(layer.weight_mask.sum()) == survivors


# --- the traps ----------------------------------------------------------------------------------------------------


def test_a_failing_first_call_restores_the_layer_and_a_failing_further_call_does_not():
    layer = toy()
    with pytest.raises(ValueError, match="amount=20"):
        prune.l1_unstructured(layer, "weight", amount=20)
    assert [name for name, _ in layer.named_parameters()] == ["bias", "weight"]
    prune.l1_unstructured(layer, "weight", amount=0.2)
    with pytest.raises(AssertionError, match="importance_scores"):
        prune.l1_unstructured(layer, "weight", amount=0.2, importance_scores=torch.ones(3))
    assert not prune.is_pruned(layer) and hasattr(layer, "weight_orig")
    with pytest.raises(ValueError, match="has to be pruned"):
        prune.remove(layer, "weight")
    with pytest.raises(TypeError, match="weight_orig"):
        prune.l1_unstructured(layer, "weight", amount=0.2)


def test_deepcopy_works_unless_the_last_product_was_made_with_gradients():
    layer = toy()
    with torch.no_grad():
        prune.l1_unstructured(layer, "weight", amount=0.2)
    assert int(copy.deepcopy(layer).weight_mask.sum()) == 8
    layer(INPUTS)
    with pytest.raises(RuntimeError, match="created explicitly by the user"):
        copy.deepcopy(layer)


def test_loading_with_the_current_mask_rewinds_and_keeps_the_pruned_weights():
    layer = prune.identity(toy(), "weight")
    saved = {name: value.clone() for name, value in layer.state_dict().items()}
    prune.l1_unstructured(layer, "weight", amount=0.2)
    update(layer, sgd(layer), iterations=5)
    layer.load_state_dict(saved | {"weight_mask": layer.weight_mask})
    assert torch.equal(layer.weight_orig, toy().weight) and int(layer.weight_mask.sum()) == 8


def test_pruning_right_after_an_update_ranks_the_weights_before_it():
    weight = torch.tensor([[0.1, 0.2, 0.3, 0.4]])
    layer = prune.identity(layer_of(weight), "weight")
    layer(INPUTS[:, :4])
    layer.weight_orig.grad = torch.tensor([[-1.0, 0.0, 0.0, 0.39]])
    torch.optim.SGD([layer.weight_orig], lr=1).step()  # now 1.1, 0.2, 0.3, 0.01
    assert torch.equal(layer.weight, weight) and not torch.equal(layer.weight_orig, weight)
    prune.l1_unstructured(layer, "weight", amount=1)
    assert layer.weight_mask.tolist() == [[0, 1, 1, 1]]


def test_a_mask_multiplied_once_without_a_hook_is_undone_by_momentum():
    layer = toy()
    optimizer = sgd(layer, momentum=0.9)
    update(layer, optimizer)
    mask = layer.weight.abs() > 0.45
    with torch.no_grad():
        layer.weight.mul_(mask)
    layer.weight.register_hook(lambda gradient: gradient * mask)  # zero gradients do not help
    update(layer, optimizer)
    assert (layer.weight[~mask] != 0).all() and (~mask).any()


COPIES = {  # how people save a weight -> whether that is a copy
    lambda layer: layer.state_dict()["weight"]: False,
    lambda layer: layer.weight.detach(): False,
    lambda layer: layer.weight.to("cpu").data: False,
    lambda layer: layer.weight.float().data: False,
    lambda layer: layer.weight.detach().clone(): True,
    lambda layer: copy.deepcopy(layer.state_dict())["weight"]: True,
}


@pytest.mark.parametrize(("save", "is_copy"), COPIES.items())
def test_what_only_looks_like_a_saved_copy_is_trained_along(save, is_copy):
    layer = toy()
    saved = save(layer)
    update(layer, sgd(layer))
    assert torch.equal(saved, toy().weight) is is_copy and torch.equal(saved, layer.weight) is not is_copy


# --- the notebook -------------------------------------------------------------------------------------------------


def test_the_table_of_symptoms_and_the_prose_name_the_cells_that_they_mean():
    cells = rules.read(NOTEBOOK).cells
    section, places = "", {}
    for cell in cells:
        if heading := re.search(r"^## (.+)$", cell.source, re.M):
            section = heading[1]
        if cell.cell_type == "code" and cell.execution_count:
            places[cell.execution_count] = section
    (table,) = (cell.source for cell in cells if "| symptom |" in cell.source)
    rows = re.findall(r"^\| .+ \| (.+) \| (\[.+) \|$", table, re.M)
    pointed = [(int(place), where) for where, numbers in rows for place in re.findall(r"\[(\d+)\]", numbers)]
    expected = {f"Trap {n}" for n in range(1, 9)} | {f"Question {n}" for n in range(1, 7)}
    assert len(rows) >= 15 and {where for where, _ in rows} == expected
    for place, where in pointed:
        assert places[place].startswith(f"{where}: "), f"cell [{place}] is not about {where}"
    (place,) = {int(n) for cell in cells for n in re.findall(r"\(cell \[(\d+)\]\)", cell.source)}
    (shown,) = (cell.source for cell in cells if cell.get("execution_count") == place)
    assert "layer.weight_orig is parameter" in shown


# --- the checks that the notebook names ---------------------------------------------------------------------------


def forgotten_mask():
    layer, kept = toy(), []
    for _ in range(2):
        prune.l1_unstructured(layer, "weight", amount=0.2)
        prune.remove(layer, "weight")
        kept.append({"weight": layer.weight.detach() != 0})
    return kept[1], kept[0], {"weight": 0.2}


def replaced_model():
    return sgd(toy()), toy()


def rewound_biases():
    layer = prune.l1_unstructured(toy(), "weight", amount=0.2)
    update(layer, sgd(layer))
    layer.load_state_dict(toy().state_dict(), strict=False)
    return layer, toy().state_dict(), {"weight": layer.weight_mask}


def reset_parameters():
    ticket, control = (prune.l1_unstructured(toy(), "weight", amount=0.2) for _ in range(2))
    control.reset_parameters()
    return ticket, control, {"weight": ticket.weight_mask}


def kept_optimizer():
    layer = toy()
    optimizer = torch.optim.Adam(layer.parameters())
    update(layer, optimizer)
    return (optimizer,)


def regrown_weights():
    layer = prune.l1_unstructured(toy(), "weight", amount=0.2)
    mask = layer.weight_mask.clone()
    prune.remove(layer, "weight")
    update(layer, sgd(layer))
    return layer, {"weight": mask}


def aliased_weights():
    layer, saved = toy(), {"weight": toy().weight.detach()}
    layer.weight.data = saved["weight"]
    update(layer, sgd(layer))
    return saved, {"weight": toy().weight.detach()}


STOPPED = {  # check -> the arguments that a script in the trap would give it
    "layers_lose_their_share": forgotten_mask,
    "optimizer_owns_the_live_weights": replaced_model,
    "weights_are_rewound": rewound_biases,
    "reinit_differs": reset_parameters,
    "optimizer_starts_without_state": kept_optimizer,
    "masked_weights_are_zero": regrown_weights,
    "saved_weights_are_untouched": aliased_weights,
}


def test_the_checks_that_the_notebook_names_stop_their_traps():
    (prose,) = (cell.source for cell in rules.read(NOTEBOOK).cells if "## Checks" in cell.source)
    assert re.findall(r"`checks\.(\w+)`", prose) == list(STOPPED)
    for check, trap in STOPPED.items():
        with pytest.raises(checks.CheckFailed):
            getattr(checks, check)(*trap())
