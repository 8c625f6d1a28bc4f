"""Plans: what is trained, in which order, from which seeds, and from which weights under which masks."""

import collections
import dataclasses
import itertools
import json

import pytest
import synthetic
import torch
from synthetic import equal, protocol, record

from lth_utils import ROOT, experiments, networks, paper, records, rewinding
from lth_utils import masks as masking
from lth_utils.experiments import Run, arms
from lth_utils.experiments.settings import under


def run(arm="winning_ticket", trial=0, pruning_round=1, **changes):
    changes = {"network": "lenet", "protocol": protocol()} | changes
    return Run(arm=arm, trial=trial, pruning_round=pruning_round, **changes)


def tiny_plan():
    """Every arm and procedure in two trials: dense, tickets, both controls, one-shot, its control, continued."""
    return synthetic.runs(
        synthetic.tickets(3, 2),
        synthetic.controls("random_reinit", (1, 3), 2, 2),
        synthetic.controls("random_sparsity", (1, 3), 2, 2),
        synthetic.tickets((2, 20), 2, procedure="one_shot"),
        synthetic.controls("random_reinit", (20,), 2, procedure="one_shot"),
        synthetic.tickets((1, 2, 3), 2, procedure="continued"),
    )


PLANS = {" ".join(name): plan.runs(plan.waves[-1]) for name, plan in experiments.PLANS.items()}
PLANS |= {"baseline quick": experiments.baseline("quick"), "tiny": tiny_plan()}
every_plan = pytest.mark.parametrize("plan", [pytest.param(plan, id=name) for name, plan in PLANS.items()])


# --- seeds -----------------------------------------------------------------------------------------------------------------


def test_every_part_of_a_seeds_name_changes_it():
    names = [
        ("init", "lenet", 0, 0, 0),
        ("mask", "lenet", 0, 0, 0),
        ("init", "conv2", 0, 0, 0),
        ("init", "lenet", 1, 0, 0),
        ("init", "lenet", 0, 1, 0),
        ("init", "lenet", 0, 0, 1),
        ("init", "lenet", 10, 0, 0),
    ]
    seeds = {experiments.seed(*name) for name in names}
    assert len(seeds) == len(names) and all(0 <= seed < 2**63 for seed in seeds)


def test_roles_of_a_run_have_different_seeds():
    for arm in paper.ARMS:
        assert len(set(run(arm).seeds.values())) == 3


def test_all_arms_of_a_trial_share_the_data_order_of_a_round():
    orders = {run(arm, 2, 5, replicate=r).seeds["data_order"] for arm in paper.ARMS[1:] for r in range(3)}
    assert len(orders) == 1
    others = {
        run(trial=2, pruning_round=6).seeds["data_order"],
        run(trial=1, pruning_round=5).seeds["data_order"],
    }
    assert len(others | orders) == 3


def test_tickets_of_a_trial_keep_its_initial_weights_and_trials_have_their_own():
    dense = run("dense", 2, 0).seeds["init"]
    assert {run(trial=2, pruning_round=r).seeds["init"] for r in range(1, 29)} == {dense}
    assert run(trial=2, pruning_round=20, procedure="one_shot").seeds["init"] == dense
    assert run("dense", 1, 0).seeds["init"] != dense


@pytest.mark.parametrize(
    ("arm", "role"), [("random_reinit", "init"), ("random_sparsity", "init"), ("random_sparsity", "mask")]
)
def test_controls_are_drawn_anew_in_every_trial_round_and_replicate(arm, role):
    drawn = [
        run(arm, trial, pruning_round, replicate=replicate).seeds[role]
        for trial in range(3)
        for pruning_round in (1, 2)
        for replicate in range(3)
    ]
    own = [run("dense", trial, 0).seeds[role] for trial in range(3)]
    assert len(set(drawn + own)) == len(drawn) + len(own)


# --- plans -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("network", "scale"), experiments.PLANS)
def test_every_wave_starts_with_the_whole_wave_before_it(network, scale):
    plan = experiments.PLANS[network, scale]
    for earlier, later in itertools.pairwise(plan.waves):
        before = plan.runs(earlier)
        assert plan.runs(later)[: len(before)] == before and len(plan.runs(later)) > len(before)


def test_wave_2_of_lenet_is_section_2_of_the_paper():
    count = collections.Counter((r.arm, r.procedure) for r in experiments.plan("lenet"))
    assert count == {
        ("dense", "iterative"): 5,
        ("winning_ticket", "iterative"): 28 * 5,
        ("random_reinit", "iterative"): 28 * 5 + 7 * 5 * 2,
        ("random_sparsity", "iterative"): 28 * 5 + 7 * 5,
        ("winning_ticket", "one_shot"): 16 * 5,
        ("random_reinit", "one_shot"): 8 * 5,
    }


@pytest.mark.parametrize(
    ("network", "scale", "wave"),
    [
        ("lenet5", "paper", 2),
        ("lenet5", "short", 2),
        ("lenet", "huge", 2),
        ("lenet", "reduced", 1),
        ("conv4", "quick", 1),
        ("lenet", "paper", 6),
        ("conv2", "paper", 8),
        ("conv4", "paper", 0),
        ("conv2", "reduced", 5),
        ("conv6", "reduced", 4),
    ],
)
def test_what_has_no_plan_is_refused_and_what_exists_is_named(network, scale, wave):
    with pytest.raises(ValueError, match=r"no plan for.*lenet at paper.*conv6 at paper|waves 1, 2"):
        experiments.plan(network, scale, wave)


@pytest.mark.parametrize("network", ["lenet", "conv2"])
def test_a_laptop_plan_has_every_arm_below_a_fifth_of_the_weights(network):
    plan = experiments.plan(network, "quick")
    deepest = max(r.pruning_round for r in plan if r.procedure == "iterative")
    assert {r.arm for r in plan if r.pruning_round == deepest} == set(paper.ARMS[1:])
    assert min(r.percent_remaining for r in plan) < 20 and {r.scale for r in plan} == {"quick"}
    assert sum(r.protocol.training_iterations for r in plan) <= {"lenet": 28_000, "conv2": 1_000}[network]


@every_plan
def test_no_run_is_planned_twice(plan):
    assert len({r.key for r in plan}) == len(plan) >= 1
    without_protocol = {tuple(v for k, v in r.identity.items() if k != "protocol_key") for r in plan}
    assert len(without_protocol) == len(plan)


@every_plan
def test_whatever_a_run_needs_is_planned_before_it(plan):
    seen, needing = set(), 0
    for r in plan:
        needed = experiments.needs(r)
        if needed is not None:
            assert needed.key in seen, f"{r} needs {needed}"
            assert (needed.trial, needed.network, needed.protocol) == (
                r.trial,
                r.network,
                r.mask_owner.protocol,
            )
            needing += 1
        seen.add(r.key)
    assert needing > 0 or plan[0].study == "baseline"


@every_plan
def test_names_of_runs_follow_the_design(plan):
    for r in plan:
        assert r.arm in paper.ARMS and r.procedure in paper.PROCEDURES and r.network in paper.WEIGHT_COUNTS
        assert (r.arm == "dense") == (r.pruning_round == 0)
        assert r.arm != "dense" or (r.procedure, r.replicate) == ("iterative", 0)
        assert r.protocol.network == r.network
        assert list(r.identity) == list(records.IDENTITY)
    trials = {r.trial for r in plan}
    assert trials == set(range(len(trials)))


def test_needs_is_the_training_that_decides_the_mask():
    def needed(*arguments, **settings):
        found = experiments.needs(run(*arguments, **settings))
        return found and (found.arm, found.procedure, found.pruning_round, found.replicate)

    assert needed("dense", 0, 0) is None
    assert needed("random_sparsity", 0, 7) is None
    assert needed("winning_ticket", 0, 1) == ("dense", "iterative", 0, 0)
    assert needed("winning_ticket", 0, 7) == ("winning_ticket", "iterative", 6, 0)
    assert needed("random_reinit", 0, 7, replicate=2) == ("winning_ticket", "iterative", 6, 0)
    assert needed("winning_ticket", 0, 30, procedure="one_shot") == ("dense", "iterative", 0, 0)
    assert needed("random_reinit", 0, 30, procedure="one_shot") == ("dense", "iterative", 0, 0)
    assert needed("winning_ticket", 0, 1, procedure="continued") == ("dense", "iterative", 0, 0)
    assert needed("winning_ticket", 0, 3, procedure="continued") == ("winning_ticket", "continued", 2, 0)


def test_test_curves_are_kept_where_figure_3_draws_them_and_nowhere_else():
    kept = {(r.arm, r.procedure, r.pruning_round) for r in experiments.plan("lenet") if r.test_curve_until}
    tickets = {("winning_ticket", "iterative", n) for n in (3, 7, 12, 15, 18)}
    reinits = {("random_reinit", "iterative", n) for n in (3, 7)}
    assert kept == tickets | reinits | {("dense", "iterative", 0)}
    assert {r.test_curve_until for r in experiments.plan("lenet")} == {0, 20_000}


# --- stacks ----------------------------------------------------------------------------------------------------------------


@every_plan
def test_stacks_partition_a_plan_into_runs_that_can_train_side_by_side(plan):
    stacks = experiments.stacks(plan)
    assert sorted(r.key for stack in stacks for r in stack) == sorted(r.key for r in plan)
    for stack in stacks:
        continued = stack[0].procedure == "continued"
        assert 1 <= len(stack) <= (2 if continued else networks.NETWORKS[stack[0].network].per_stack)
        assert len({(r.network, r.scale, r.study, r.variant, r.protocol.key()) for r in stack}) == 1
        assert len({(r.pruning_round, r.procedure, r.is_pruned) for r in stack}) == 1
        assert not {experiments.needs(r).key for r in stack if experiments.needs(r)} & {r.key for r in stack}


@every_plan
def test_runs_keep_the_order_of_the_plan_in_a_stack_and_in_the_order_of_stacks(plan):
    places, lasts = {r.key: place for place, r in enumerate(plan)}, {}
    for stack in experiments.stacks(plan):
        first = stack[0]
        group = (
            first.variant,
            first.study,
            first.protocol.key(),
            first.procedure,
            first.is_pruned,
            first.pruning_round,
        )
        lasts.setdefault(group, []).extend(places[r.key] for r in stack)
    assert all(found == sorted(found) for found in lasts.values())
    firsts = [found[0] for found in lasts.values()]
    assert firsts == sorted(firsts)


# --- from a run to weights and masks ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A chain of trial 0 up to the masks of round 4, and the "trained" weights of its rounds, which are made up."""
    chain, final = records.Store(tmp_path_factory.mktemp("store")), []
    masks = masking.ones(networks.initial_weights("lenet", 0))
    for pruning_round in range(4):
        link = run("winning_ticket" if pruning_round else "dense", 0, pruning_round)
        final.append(masking.apply(networks.initial_weights("lenet", 100 + pruning_round), masks))
        following = masking.prune_smallest(final[-1], masks, link.protocol.pruning_rates)
        chain.extend(link, masks, following, final[-1])
        if pruning_round == 0:
            chain.keep_weights(link, final[0])
        masks = following
    return chain, final


def own_initial(trial=0):
    return networks.initial_weights("lenet", run("dense", trial, 0).seeds["init"])


def ticket_masks(final, pruning_round):
    masks = masking.ones(final[0])
    for weights in final[:pruning_round]:
        masks = masking.prune_smallest(weights, masks, protocol().pruning_rates)
    return masks


def test_the_dense_network_starts_from_its_trials_own_draw(trained):
    for trial in (0, 1):
        weights, masks = experiments.starting_point(run("dense", trial, 0), trained[0])
        assert equal(weights, own_initial(trial)) and masking.density(masks) == 1.0


@pytest.mark.parametrize("pruning_round", [1, 2, 4])
def test_a_ticket_starts_from_the_same_draw_under_the_mask_of_the_chain(trained, pruning_round):
    chain, final = trained
    weights, masks = experiments.starting_point(run(pruning_round=pruning_round), chain)
    assert equal(masks, ticket_masks(final, pruning_round))
    assert equal(weights, rewinding.rewind(own_initial(), masks))


@pytest.mark.parametrize("replicate", [0, 1])
def test_random_reinit_keeps_the_tickets_mask_and_draws_new_weights(trained, replicate):
    chain, final = trained
    control = run("random_reinit", pruning_round=2, replicate=replicate)
    weights, masks = experiments.starting_point(control, chain)
    assert equal(masks, ticket_masks(final, 2))
    assert equal(weights, rewinding.rewind(networks.initial_weights("lenet", control.seeds["init"]), masks))
    own = own_initial()
    for name, mask in masks.items():
        assert float((weights[name] == own[name])[mask].float().mean()) < 0.01


def test_random_sparsity_draws_mask_and_weights_and_keeps_only_the_tickets_counts(trained):
    chain, final = trained
    ticket = ticket_masks(final, 3)
    weights, masks = experiments.starting_point(run("random_sparsity", pruning_round=3), chain)
    assert {n: int(m.sum()) for n, m in masks.items()} == {n: int(m.sum()) for n, m in ticket.items()}
    assert not any(torch.equal(masks[name], ticket[name]) for name in masks)
    own = own_initial()
    for name, mask in masks.items():
        assert not weights[name][~mask].any() and bool(weights[name][mask].all())
        assert float((weights[name] == own[name])[mask].float().mean()) < 0.01
    again, other = (
        experiments.starting_point(run("random_sparsity", pruning_round=3, replicate=r), chain)[1]
        for r in (0, 1)
    )
    assert equal(again, masks) and not equal(other, masks)


@pytest.mark.parametrize("arm", ["winning_ticket", "random_reinit"])
def test_one_shot_prunes_the_trained_dense_network_once(trained, arm):
    chain, final = trained
    one_shot = run(arm, pruning_round=20, procedure="one_shot")
    weights, masks = experiments.starting_point(one_shot, chain)
    rates = {"fc1.weight": 0.5, "fc2.weight": 0.5, "output.weight": 0.25}
    assert equal(masks, masking.prune_smallest(final[0], masking.ones(final[0]), rates))
    assert 100 * masking.density(masks) == pytest.approx(
        paper.one_shot_percent_remaining("lenet", 20), abs=0.001
    )
    drawn = (
        own_initial()
        if arm == "winning_ticket"
        else networks.initial_weights("lenet", one_shot.seeds["init"])
    )
    assert equal(weights, rewinding.rewind(drawn, masks))


def test_a_continued_run_is_reset_and_its_companion_is_not(trained):
    chain, final = trained
    continued = run(pruning_round=1, procedure="continued")
    weights, masks = experiments.starting_point(continued, chain)
    assert equal(masks, ticket_masks(final, 1))
    assert equal(weights, rewinding.rewind(own_initial(), masks))
    goes_on, same_masks = arms.continuation(continued, chain, masks)
    assert equal(goes_on, masking.apply(final[0], masks)) and same_masks is masks


def test_a_mask_that_no_training_has_decided_yet_is_refused(trained):
    for missing in (run(pruning_round=5), run(trial=1, pruning_round=1), run("random_reinit", trial=1)):
        with pytest.raises(records.StoreError):
            experiments.starting_point(missing, trained[0])


def test_masks_of_another_protocol_are_never_used(trained):
    other = run(pruning_round=1, protocol=protocol(learning_rate=0.5))
    with pytest.raises(records.StoreError):
        experiments.starting_point(other, trained[0])


def test_only_chain_links_are_pruned_after_training_and_only_dense_networks_keep_weights():
    links = {(r.arm, r.procedure) for r in tiny_plan() if r.is_pruned}
    assert links == {("dense", "iterative"), ("winning_ticket", "iterative"), ("winning_ticket", "continued")}
    assert {r.arm for r in tiny_plan() if r.keeps_weights} == {"dense"}
    assert all(r.keeps_weights for r in tiny_plan() if r.arm == "dense")
    assert not any(r.is_pruned for r in experiments.baseline("quick"))


def test_a_run_knows_its_key_from_its_identity_alone():
    first = run(trial=1, pruning_round=2)
    assert first.key == records.run_key(first.identity)
    assert dataclasses.replace(first, test_curve_until=100).key == first.key
    assert dataclasses.replace(first, protocol=protocol(batch_size=9)).key != first.key


def test_the_report_may_show_every_planned_wave_and_nothing_of_laptop_scale():
    together = {r.key for wave in experiments.waves().values() for r in wave}
    whole = [r for name, plan in PLANS.items() for r in plan if "quick" not in name and name != "tiny"]
    assert together == {r.key for r in whole}
    assert {"notebook 01", "Lenet, wave 2", "Conv-4, reduced, wave 1", "Conv-6, wave 4"} < set(
        experiments.waves()
    )


# --- names that there are not ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"variant": "unit_nrom"}, "unknown setting 'unit_nrom'; did you mean 'unit_norm'.* step_decay"),
        (
            {"arm": "wining_ticket"},
            "unknown arm 'wining_ticket'; did you mean 'winning_ticket'. there are dense",
        ),
        ({"procedure": "oneshot"}, "unknown procedure 'oneshot'; did you mean 'one_shot'"),
    ],
)
def test_a_name_that_there_is_not_is_refused_with_those_that_there_are(changes, said):
    with pytest.raises(ValueError, match=said):
        run(**changes)
    with pytest.raises(ValueError, match=said):
        Run.from_record(record(protocol=json.dumps(protocol().to_dict())) | changes)


def test_the_names_of_faults_belong_to_their_own_study():
    assert run(variant="rate_41", study="faults").key != run(study="faults").key


@pytest.mark.parametrize("name", experiments.SETTINGS)
def test_a_setting_changes_what_it_says_and_nothing_else(name):
    plain = experiments.paper_protocol("conv6")
    changed = under(plain, name).to_dict()
    different = {key for key, value in changed.items() if plain.to_dict().get(key) != value}
    ours = {key for key, value in experiments.SETTINGS[name].changes.items() if changed[key] == value}
    papers = {
        "channels_256": {"network"},
        "conv_rate_10": {"pruning_rates"},
        "dropout": {"training_iterations", "learning_rate", "dropout"},
    }
    assert different <= ours | papers.get(name, set())
    assert ours == set(experiments.SETTINGS[name].changes)


# --- an arm of one's own, as CONTRIBUTING shows it -------------------------------------------------------------------------


def test_the_worked_example_of_an_arm_in_contributing_runs(monkeypatch, trained):
    text = (ROOT / "CONTRIBUTING.md").read_text().split("## Add an arm")[1]
    example = text.split("```python\n")[1].split("```")[0]
    monkeypatch.setitem(arms.ARMS, "signed_reinit", None)  # taken out again afterwards
    names = {}
    exec(example, names)
    assert {(r.arm, r.pruning_round, r.trial) for r in names["plan"].runs(1)} >= {("signed_reinit", 3, 4)}
    own, ticket = run("signed_reinit", pruning_round=3), run(pruning_round=3)
    assert experiments.needs(own).key == experiments.needs(ticket).key
    (weights, masks), (kept, mask) = (experiments.starting_point(r, trained[0]) for r in (own, ticket))
    assert equal(masks, mask) and own.seeds["init"] != ticket.seeds["init"]
    for name in masks:
        assert torch.equal(weights[name].sign(), kept[name].sign())
        assert not torch.equal(weights[name], kept[name])
