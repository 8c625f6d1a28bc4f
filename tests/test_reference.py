"""The reference algorithm, step by step and round by round: the bugs of published code would fail here."""

import dataclasses

import pytest
import torch
from synthetic import dataset, digest, protocol, pruned

from lth_utils import masks as masking
from lth_utils import networks, paper, reference
from lth_utils.reference import Parts

SHORT = protocol(training_iterations=20, evaluation_interval=5)
SEEDS = [11, 12, 13, 14]
NAN, INFINITE = float("nan"), float("inf")


@pytest.fixture(scope="module")
def data():
    return dataset(train=64, validation=32, test=32)


@pytest.fixture(scope="module")
def initial():
    return networks.initial_weights("lenet", 0)


@pytest.fixture(scope="module")
def ticket():
    """Masks of the third round."""
    return pruned("lenet", 3)


@pytest.fixture(scope="module")
def rounds(initial, data):
    """Four rounds of the paper's algorithm: dense and three tickets."""
    return reference.paper_rounds(initial, SEEDS, SHORT, data)


# --- the algorithm on any network ------------------------------------------------------------------------------------------


TEN = {"a": torch.arange(1.0, 11.0).view(1, 10), "bias": torch.ones(1)}


def flipped(weights, masks):
    """Training that reverses the order of magnitudes, in place."""
    weights["a"].copy_(torch.where(masks["a"], 11 - weights["a"], 0))
    weights["bias"] += 1
    return weights


def test_each_round_trains_the_initial_weights_under_a_mask_that_the_round_before_decided():
    tickets = list(reference.iterative_pruning(TEN, flipped, 0.2, rounds=2))
    assert [ticket.pruning_round for ticket in tickets] == [0, 1, 2]
    kept = [ticket.masks["a"].flatten().nonzero().flatten().tolist() for ticket in tickets]
    assert kept == [list(range(10)), list(range(8)), list(range(6))]  # what training made smallest
    for ticket in tickets:
        assert torch.equal(ticket.first_weights["a"], TEN["a"] * ticket.masks["a"])
        assert torch.equal(ticket.final_weights["a"], (11 - TEN["a"]) * ticket.masks["a"])
        assert float(ticket.first_weights["bias"]) == 1 and float(ticket.final_weights["bias"]) == 2
    assert TEN["a"].flatten().tolist() == list(range(1, 11))


def test_a_round_is_trained_when_it_is_asked_for_and_none_is_pruned_after_the_last():
    log = []

    def train(weights, masks):
        log.append("train")
        return weights

    def prune(weights, masks, rates):
        log.append("prune")
        return masking.prune_smallest(weights, masks, rates)

    rounds = reference.iterative_pruning(TEN, train, {"a": 0.5}, rounds=1, prune=prune)
    assert log == []
    next(rounds)
    assert log == ["train"]
    assert len(list(rounds)) == 1 and log == ["train", "prune", "train"]


def test_what_a_train_function_goes_on_changing_does_not_reach_the_tickets():
    live = {name: value.clone() for name, value in TEN.items()}

    def train(weights, masks):
        for name, value in live.items():
            value.copy_(weights[name])
        return live

    first, second = reference.iterative_pruning(TEN, train, 0.5, rounds=1)
    live["a"].fill_(7)
    assert (
        torch.equal(first.final_weights["a"], TEN["a"]) and int((second.final_weights["a"] == 0).sum()) == 5
    )


def test_the_papers_rounds_are_the_algorithm_with_its_train_function(initial, data, rounds):
    seeds = iter(SEEDS)

    def train(weights, masks):
        return reference.train(weights, masks, next(seeds), SHORT, data).final_weights

    tickets = reference.iterative_pruning(initial, train, SHORT.pruning_rates, rounds=3)
    for ticket, expected in zip(tickets, rounds, strict=True):
        for name in ("masks", "first_weights", "final_weights"):
            assert digest(getattr(ticket, name)) == digest(getattr(expected, name))


# --- rounds ----------------------------------------------------------------------------------------------------------------


def test_every_round_starts_from_the_initial_weights_under_a_nested_mask_of_the_papers_counts(
    initial, rounds
):
    assert len(rounds) == 4 and digest(initial) == digest(networks.initial_weights("lenet", 0))
    alive, outer = paper.weight_counts("lenet"), rounds[0]
    for trained in rounds:
        for name, value in initial.items():
            expected = value * trained.masks[name] if name in trained.masks else value
            assert torch.equal(trained.first_weights[name], expected)
            assert not torch.equal(trained.final_weights[name], expected)
        masking.assert_nested(trained.masks, outer.masks)
        assert {name: int(mask.sum()) for name, mask in trained.masks.items()} == alive
        for name, mask in trained.masks.items():  # the round before decides what goes
            magnitudes, removed = outer.final_weights[name].abs(), outer.masks[name] & ~mask
            assert trained is outer or magnitudes[removed].max() <= magnitudes[mask].min()
        alive = {name: count - round(SHORT.pruning_rates[name] * count) for name, count in alive.items()}
        outer = trained


def test_every_round_sees_the_data_in_its_own_order(initial, data):
    dense = masking.ones(initial)
    first, again, other = (reference.train(initial, dense, seed, SHORT, data) for seed in (1, 1, 2))
    assert digest(first.final_weights) == digest(again.final_weights)
    assert first.validation_losses == again.validation_losses
    assert digest(first.final_weights) != digest(other.final_weights)


def test_another_reset_way_of_pruning_and_optimizer_are_used_where_they_are_given(initial, data):
    def keep_training(weights, final_weights, masks):
        assert digest(weights) == digest(initial)
        return masking.apply(final_weights, masks)

    def halve(weights, masks, rates):
        return masking.prune_smallest(weights, masks, dict.fromkeys(rates, 0.5))

    parts = Parts(reset=keep_training, prune=halve)
    first, second = reference.paper_rounds(initial, SEEDS[:2], protocol(), data, parts)
    assert digest(second.first_weights) == digest(masking.apply(first.final_weights, second.masks))
    assert masking.density(second.masks) == 0.5
    still = Parts(optimizer=lambda weights, settings: torch.optim.SGD(list(weights.values()), lr=0.0))
    trained = reference.train(initial, masking.ones(initial), 1, SHORT, data, still)
    assert digest(trained.final_weights) == digest(initial)


# --- steps -----------------------------------------------------------------------------------------------------------------


def watched(check):
    """Parts whose step calls check(weights, masks, optimizer, "before" | "after") around the ordinary one."""

    def step(network, weights, masks, optimizer, images, labels):
        check(weights, masks, optimizer, "before")
        reference.masked_step(network, weights, masks, optimizer, images, labels)
        check(weights, masks, optimizer, "after")

    return Parts(step=step)


@pytest.mark.parametrize(
    ("optimizer", "rate"), [("adam", 1.2e-3), ("sgd", 0.1), ("momentum", 0.1), ("adadelta", 1.0)]
)
def test_pruned_weights_are_exactly_zero_after_every_step_and_the_others_move(
    initial, ticket, data, optimizer, rate
):
    zeros = []

    def check(weights, masks, optimizer, when):
        zeros.append(not any(weights[name][~mask].any() for name, mask in ticket.items()))

    settings = protocol(optimizer=optimizer, learning_rate=rate, training_iterations=10)
    trained = reference.train(initial, ticket, 1, settings, data, watched(check))
    assert zeros == [True] * 20
    for name, mask in ticket.items():
        moved = trained.final_weights[name] != trained.first_weights[name]
        assert bool(moved.any()) and not bool(moved[~mask].any())


def test_after_one_step_survivors_of_either_sign_and_biases_have_moved(initial, ticket, data):
    once = protocol(training_iterations=1, evaluation_interval=1)
    trained = reference.train(initial, ticket, 1, once, data)
    for name, mask in ticket.items():
        before, after = trained.first_weights[name], trained.final_weights[name]
        for sign in (before > 0, before < 0):  # the rest feeds hidden units that are dead
            assert float((after != before)[sign & mask].float().mean()) > 0.25
        bias = name.replace(".weight", ".bias")
        assert not torch.equal(trained.final_weights[bias], trained.first_weights[bias])


def test_every_round_has_a_new_optimizer_without_state_that_holds_exactly_the_live_tensors(initial, data):
    optimizers, states = [], []

    def check(weights, masks, optimizer, when):
        held = [id(p) for group in optimizer.param_groups for p in group["params"]]
        assert held == [id(value) for value in weights.values()]
        if when == "before" and optimizer not in optimizers:
            optimizers.append(optimizer)
            states.append(len(optimizer.state))

    reference.paper_rounds(initial, SEEDS[:3], protocol(), data, watched(check))
    assert len(optimizers) == 3 and states == [0, 0, 0]
    assert all(int(state["step"]) == 4 for optimizer in optimizers for state in optimizer.state.values())


def test_training_takes_its_protocols_steps_or_stops_where_a_part_says_so(initial, data):
    steps = []
    counted = watched(lambda *arguments: steps.append(arguments[3]))
    stopping = dataclasses.replace(counted, stop=lambda trained: trained.iterations[-1] == 10)
    dense, shorter = masking.ones(initial), dataclasses.replace(SHORT, training_iterations=10)
    whole, stopped, planned = (
        reference.train(initial, dense, 1, settings, data, parts)
        for settings, parts in ((SHORT, counted), (SHORT, stopping), (shorter, Parts()))
    )
    assert steps.count("after") == 20 + 10
    assert whole.iterations == [0, 5, 10, 15, 20] and stopped.iterations == planned.iterations == [0, 5, 10]
    assert len(whole.validation_losses) == len(whole.validation_accuracies) == len(whole.test_accuracies) == 5
    assert digest(stopped.final_weights) == digest(planned.final_weights)


@pytest.mark.parametrize(
    ("name", "kind", "momentum"),
    [("adam", "Adam", None), ("sgd", "SGD", 0.0), ("momentum", "SGD", 0.9), ("adadelta", "Adadelta", None)],
)
def test_each_name_gives_its_optimizer(initial, name, kind, momentum):
    live = {key: value.clone().requires_grad_() for key, value in initial.items()}
    optimizer = reference.new_optimizer(live, protocol(optimizer=name, learning_rate=0.25))
    assert type(optimizer).__name__ == kind
    assert optimizer.param_groups[0]["lr"] == 0.25
    assert optimizer.param_groups[0].get("momentum") == momentum
    assert not any(group["weight_decay"] for group in optimizer.param_groups)


# --- what is read off afterwards -------------------------------------------------------------------------------------------


def test_the_reference_learns(rounds):
    dense = rounds[0]
    assert dense.validation_accuracies[0] < 0.4 < 0.8 < dense.validation_accuracies[-1]
    assert dense.validation_losses[-1] < 0.5 * dense.validation_losses[0]


@pytest.mark.parametrize(
    ("losses", "place"),
    [([9, 3, 2, 2, 4], 2), ([NAN, 2, INFINITE, 1, NAN], 3), ([NAN, NAN], 0)],
)
def test_early_stop_is_the_first_minimum_of_validation_loss_and_nothing_else(losses, place):
    read = reference.Round({}, {}, {}, validation_losses=losses, test_losses=list(range(len(losses), 0, -1)))
    assert read.early_stop == reference.lowest(losses) == place


def test_the_weights_of_the_lowest_loss_are_kept_for_each_curve_that_is_written(initial, data):
    rising = dataclasses.replace(SHORT, optimizer="sgd", learning_rate=0.2)
    trained = reference.train(initial, masking.ones(initial), 1, rising, data)
    splits = reference.scaled(data, SHORT)
    for split, losses in {"validation": trained.validation_losses, "test": trained.test_losses}.items():
        loss, _ = reference.measure("lenet", trained.best_weights[split], *splits[split])
        assert loss == min(losses) < losses[-1]


def test_without_a_test_curve_nothing_but_the_curve_is_missing(initial, data):
    masks = masking.ones(initial)
    full, bare = (
        reference.train(initial, masks, 1, SHORT, data, test_curve=curve) for curve in (True, False)
    )
    assert not bare.test_losses and not bare.test_accuracies and set(bare.best_weights) == {"validation"}
    assert bare.validation_losses == full.validation_losses
    assert digest(bare.final_weights) == digest(full.final_weights)


def test_a_measure_does_not_depend_on_the_batches_it_is_taken_in(initial, data, monkeypatch):
    images, labels = reference.scaled(data, SHORT)["train"]
    whole = reference.measure("lenet", initial, images, labels)
    monkeypatch.setattr(reference, "EVALUATION_BATCH", 7)
    assert reference.measure("lenet", initial, images, labels) == pytest.approx(whole, abs=1e-6)


def test_permuting_test_labels_does_not_move_the_early_stop(initial, data):
    masks = masking.ones(initial)
    other = dataclasses.replace(data, test_labels=data.test_labels.flip(0))
    honest, permuted = (reference.train(initial, masks, 1, SHORT, which) for which in (data, other))
    assert honest.test_accuracies != permuted.test_accuracies
    assert honest.validation_losses == permuted.validation_losses
    assert honest.early_stop == permuted.early_stop
    assert digest(honest.final_weights) == digest(permuted.final_weights)
