"""Plans of Section 3: what their runs mean to each other and to the ledger, and a small network trained from such a plan.

That the plans hold the same runs as ever is what test_invariance pins.
"""

import collections
import types

import pytest
import synthetic
import torch

from lth_utils import campaign, experiments, paper, rewinding
from lth_utils.experiments import FLOAT32, needs, plans, worker
from lth_utils.records import Store

networks_of_section_3 = pytest.mark.parametrize("network", experiments.CONVOLUTIONAL)


def counted(plan, *names):
    return collections.Counter(tuple(getattr(run, name) for name in names) for run in plan)


def only(plan, **wanted):
    return [run for run in plan if all(getattr(run, name) == value for name, value in wanted.items())]


def one(plan, **wanted):
    (run,) = only(plan, **wanted)
    return run


# --- the reduced scale -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("network", "iterations"), [("conv2", 5_000), ("conv4", 6_000), ("conv6", 8_000)])
def test_the_reduced_protocol_lists_every_difference_from_the_paper(network, iterations):
    protocol = plans.reduced_protocol(network)
    before = paper.protocol(network).training_iterations
    assert protocol.differences_from_paper() == [
        f"training_iterations: {before} -> {iterations}",
        "evaluation_interval: 100 -> 200",
        "train_evaluation_examples: 0 -> 10000",
        "precision: float32 -> bfloat16",
    ]


@pytest.mark.parametrize("scale", ["reduced", "paper"])
@networks_of_section_3
def test_a_plan_that_is_cut_short_has_its_tickets_first(network, scale):
    plan = experiments.plan(network, scale, 1)
    tickets = [run for run in plan if run.arm in ("dense", "winning_ticket")]
    assert plan[: len(tickets)] == tickets
    assert [run.pruning_round for run in tickets] == sorted(run.pruning_round for run in tickets)


def test_a_control_waits_for_the_ticket_of_the_round_before_in_its_own_scale():
    for scale in ("reduced", "paper"):
        plan = only(experiments.plan("conv4", scale, 2), study="paper")
        needed = needs(one(plan, arm="random_reinit", pruning_round=12, trial=0))
        assert needed.key == one(plan, arm="winning_ticket", pruning_round=11, trial=0).key


# --- does precision matter? ------------------------------------------------------------------------------------------------


def test_the_precision_check_repeats_the_dense_network_and_one_ticket_in_float32():
    plan = experiments.plan("conv2", "reduced", 4)
    check = only(plan, variant=FLOAT32)
    assert counted(check, "arm", "pruning_round") == {("dense", 0): 2, ("winning_ticket", 11): 2}
    for run in check:
        twin = one(plan, variant="", arm=run.arm, pruning_round=run.pruning_round, trial=run.trial)
        assert run.seeds == twin.seeds and run.mask_owner == twin and run.mask_owner.key == twin.key
        differences = set(run.protocol.differences_from_paper()) ^ set(twin.protocol.differences_from_paper())
        assert differences == {"precision: float32 -> bfloat16"}
        assert not run.is_pruned and not run.keeps_weights


def test_the_float32_ticket_starts_under_the_mask_that_the_bfloat16_chain_found():
    plan = experiments.plan("conv2", "reduced", 4)
    run = one(plan, variant=FLOAT32, arm="winning_ticket", trial=1)
    assert needs(run).key == one(plan, variant="", arm="winning_ticket", pruning_round=10, trial=1).key
    masks, asked = synthetic.coarse("conv2")[1], []
    chain = types.SimpleNamespace(masks=lambda of: asked.append(of.key) or masks)
    weights, started_under = experiments.starting_point(run, chain)
    assert asked == [one(plan, variant="", arm="winning_ticket", pruning_round=11, trial=1).key]
    assert started_under is masks
    dense, _ = experiments.starting_point(one(plan, variant="", arm="dense", trial=1), None)
    expected = rewinding.rewind(dense, masks)
    assert all(torch.equal(weights[name], expected[name]) for name in expected)


# --- the paper's scale -----------------------------------------------------------------------------------------------------


DEEPEST = {"conv2": 22, "conv4": 26, "conv6": 26}


@networks_of_section_3
def test_at_the_papers_scale_precision_is_the_one_difference(network):
    for run in only(experiments.plan(network, wave=7), variant="", study="paper"):
        assert run.protocol.differences_from_paper() == ["precision: float32 -> bfloat16"]


@pytest.mark.parametrize(("network", "trials"), [("conv2", 5), ("conv4", 3), ("conv6", 3)])
def test_the_first_waves_hold_the_controls_at_the_rungs_that_the_ledger_names(network, trials):
    asked = paper.claims().query("network == @network and quantity != 'crossing_ratio'")
    plan = only(experiments.plan(network, wave=3), study="paper")
    for arm in ("random_reinit", "random_sparsity"):
        named = asked[(asked["arm"] == arm) | (asked["reference_arm"] == arm)]
        rungs = [float(rung) for rung in named["percent_remaining"] if rung != "100"]
        there = [run.percent_remaining for run in only(plan, arm=arm)]
        found = [sum(share == pytest.approx(rung, rel=1e-3) for share in there) for rung in rungs]
        assert found == [trials] * len(rungs) and rungs


@networks_of_section_3
def test_wave_5_has_the_papers_number_of_networks_at_every_plotted_rung(network):
    plan = only(experiments.plan(network, wave=5), study="paper")
    assert counted(plan, "arm", "pruning_round") == {("dense", 0): 5} | {
        (arm, pruning_round): number
        for arm, number in {"winning_ticket": 5, "random_reinit": 15, "random_sparsity": 10}.items()
        for pruning_round in range(1, DEEPEST[network] + 1)
    }


def test_a_chain_in_float32_keeps_its_seeds_and_finds_its_own_masks():
    (dense, first, second), usual = (
        synthetic.runs(synthetic.tickets(2, setting=setting), network="conv4", precision="bfloat16")
        for setting in ("float32_chain", "")
    )
    assert second.protocol == synthetic.protocol("conv4") and second.mask_owner is second
    assert needs(second).key == first.key and needs(first).key == dense.key and first.is_pruned
    assert first.seeds == usual[1].seeds and first.key != usual[1].key


@networks_of_section_3
def test_a_retrained_run_starts_as_the_run_that_it_repeats(network):
    plan = experiments.plan(network, wave=2)
    again = only(plan, study=experiments.RETRAINED)
    assert [run.arm for run in again] == ["dense", "winning_ticket", "random_sparsity"]
    for run in again:
        twin = one(plan, study="paper", arm=run.arm, trial=run.trial, pruning_round=run.pruning_round)
        assert run.mask_owner == twin and run.seeds == twin.seeds and run.key != twin.key
        assert not run.is_pruned and not run.keeps_weights
        assert (needs(run) and needs(run).key) == (needs(twin) and needs(twin).key)


@networks_of_section_3
def test_continued_training_has_trials_whose_dense_networks_keep_all_their_weights(network):
    plan = experiments.plan(network, wave=6)
    continued = only(plan, procedure="continued")
    assert counted(continued, "trial") == {(trial,): DEEPEST[network] for trial in (5, 6, 7)}
    kept = {run.trial: run.kept_layers for run in plan if run.keeps_weights}
    layers = tuple(paper.weight_counts(network))
    assert kept == dict.fromkeys((5, 6, 7), layers) | {0: layers[: int(network[-1])]}


@networks_of_section_3
def test_at_reduced_scale_only_the_filters_of_one_dense_network_are_kept(network):
    (dense,) = (run for run in experiments.plan(network, "reduced") if run.keeps_weights)
    assert dense.trial == 0 and 0 < len(dense.kept_layers) == int(network[-1])
    assert all(name.startswith("conv") for name in dense.kept_layers)


# --- what trains -----------------------------------------------------------------------------------------------------------


def test_a_plan_of_a_convolutional_network_trains_from_dense_to_controls_and_float32(tmp_path, monkeypatch):
    small = synthetic.dataset("cifar10", train=16, validation=8, test=8)
    worker.data.cache_clear()
    monkeypatch.setattr(worker.data_room, "load", lambda name, device: small)
    plan = synthetic.runs(
        synthetic.tickets(1),
        synthetic.controls("random_reinit", (1,)),
        synthetic.controls("random_sparsity", (1,)),
        synthetic.tickets((1,), setting=FLOAT32),
        network="conv6",
        scale="quick",
        training_iterations=2,
        batch_size=4,
        precision="bfloat16",
    )
    campaign.train(plan, Store(tmp_path))
    worker.data.cache_clear()
    frame = Store(tmp_path).rows().set_index("run_key")
    assert sorted(frame.index) == sorted(run.key for run in plan)
    for run in plan:
        row = frame.loc[run.key]
        assert row["precision"] == run.protocol.precision and not row["diverged"]
        assert row["percent_remaining"] == pytest.approx(
            paper.percent_remaining("conv6", run.pruning_round), abs=0.001
        )
    ticket, repeated = (
        frame.loc[one(plan, arm="winning_ticket", trial=0, variant=variant).key] for variant in ("", FLOAT32)
    )
    assert repeated["curve_validation_loss"][0] == pytest.approx(ticket["curve_validation_loss"][0], rel=0.02)


# --- what a plan costs -----------------------------------------------------------------------------------------------------


def test_operations_of_a_run_are_counted_by_hand():
    run = one(experiments.plan("conv2", "reduced", 1), arm="dense", trial=0)
    multiplications = 1_728 * 1024 + 36_864 * 1024 + 4_194_304 + 65_536 + 2_560
    images = 3 * 5_000 * 60 + 26 * 5_000
    assert experiments.operations(run) == 2 * multiplications * images


def test_a_run_that_goes_on_training_costs_twice_as_many_operations():
    ticket, continued = synthetic.runs(
        synthetic.tickets((2,)), synthetic.tickets((2,), procedure="continued"), network="conv4"
    )
    assert experiments.operations(continued) == 2 * experiments.operations(ticket)
