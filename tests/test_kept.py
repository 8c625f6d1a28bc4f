"""What finished runs leave for later ones: masks by round, trained weights."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from synthetic import equal, protocol

from lth_utils import experiments, networks
from lth_utils import masks as masking
from lth_utils.experiments import Run
from lth_utils.records import Store, StoreError


def link(pruning_round, procedure="iterative", trial=0):
    place = {"trial": trial, "pruning_round": pruning_round, "procedure": procedure}
    arm = "winning_ticket" if pruning_round else "dense"
    return Run(network="lenet", arm=arm, protocol=protocol(), **place)


def extend(chain, run, masks, final_weights):
    """Prune a trained network and store what follows, as the runner does."""
    chain.extend(run, masks, experiments.next_masks(run, final_weights, masks), final_weights)


@pytest.fixture(scope="module")
def trained():
    """Masks and made-up trained weights of rounds 0, 1, 2, and the masks of round 3."""
    masks, final = [masking.ones(networks.initial_weights("lenet", 0))], []
    for seed in range(3):
        final.append(masking.apply(networks.initial_weights("lenet", seed), masks[-1]))
        masks.append(masking.prune_smallest(final[-1], masks[-1], protocol().pruning_rates))
    return masks, final


@pytest.fixture(scope="module")
def template(tmp_path_factory, trained):
    masks, final = trained
    chain = Store(tmp_path_factory.mktemp("template"))
    for pruning_round in range(3):
        extend(chain, link(pruning_round), masks[pruning_round], final[pruning_round])
    return chain


@pytest.fixture
def chain(tmp_path, template):
    """The chain of one trial after its second ticket."""
    return Store(Path(shutil.copytree(template.folder, tmp_path / "store")))


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_chain_gives_the_masks_of_every_round_that_training_has_decided(chain, trained):
    for pruning_round in (1, 2, 3):
        assert equal(chain.masks(link(pruning_round)), trained[0][pruning_round])
    (path,) = contents(chain.folder)
    assert path.relative_to(chain.folder).parts[2].startswith("_")  # hidden from readers of records


def test_a_round_that_training_has_not_reached_has_no_mask(chain):
    with pytest.raises(StoreError, match="no mask for round 4"):
        chain.masks(link(4))


@pytest.mark.parametrize("pruning_round", [0, 1, 2])
def test_repeating_any_link_changes_nothing(chain, trained, pruning_round):
    before = contents(chain.folder)
    extend(chain, link(pruning_round), trained[0][pruning_round], trained[1][pruning_round])
    assert contents(chain.folder) == before


def test_a_repetition_that_decides_otherwise_is_refused_instead_of_cutting_the_chain(chain, trained):
    masks, _ = trained
    before = contents(chain.folder)
    other = masking.apply(networks.initial_weights("lenet", 9), masks[1])
    with pytest.raises(StoreError, match="later rounds of another training"):
        extend(chain, link(1), masks[1], other)
    assert contents(chain.folder) == before


def rewrite(chain, kind, change):
    """Replace the only file of a kind by what `change` makes of its arrays."""
    (path,) = chain.folder.rglob(f"{kind}/*.npz")
    with np.load(path) as arrays:
        np.savez(path, **change(dict(arrays)))
    return path.name


FOREIGN = {
    "a layer less": lambda arrays: {name: arrays[name] for name in list(arrays)[1:]},
    "a layer more": lambda arrays: arrays | {"fc9.weight": np.zeros((3, 3), np.uint8)},
    "another shape": lambda arrays: arrays | {"fc2.weight": arrays["fc2.weight"][:, :-1]},
    "another type": lambda arrays: arrays | {"fc1.weight": arrays["fc1.weight"].astype(np.int64)},
    "nothing": lambda arrays: {},
}


@pytest.mark.parametrize("change", FOREIGN.values(), ids=FOREIGN)
def test_masks_and_weights_of_something_else_are_named(chain, trained, change):
    chain.keep_weights(link(0), trained[1][0])
    masks, weights = (rewrite(chain, kind, change) for kind in ("_chains", "_weights"))
    with pytest.raises(StoreError, match=f"{masks} does not hold the layers of lenet"):
        chain.masks(link(1))
    with pytest.raises(StoreError, match=f"{masks} does not hold"):
        extend(chain, link(2), trained[0][2], trained[1][2])
    with pytest.raises(StoreError, match=f"{weights} does not hold"):
        chain.dense_weights(link(0))


def test_trials_and_procedures_have_their_own_chains(chain, trained):
    masks, _ = trained
    with pytest.raises(StoreError):
        chain.masks(link(1, trial=1))
    with pytest.raises(StoreError):
        chain.masks(link(2, "continued"))
    assert equal(chain.masks(link(1, "continued")), masks[1])  # the first pruning is the same one


def test_a_continued_chain_keeps_the_weights_from_which_it_goes_on(chain, trained):
    masks, final = trained
    chain.keep_weights(link(0), final[0])
    assert equal(chain.dense_weights(link(5)), final[0])
    assert equal(chain.continued_weights(link(1, "continued")), final[0])
    extend(chain, link(1, "continued"), masks[1], final[1])
    assert equal(chain.continued_weights(link(2, "continued")), final[1])
    assert equal(chain.masks(link(2, "continued")), masks[2])
    extend(chain, link(2, "continued"), masks[2], final[2])
    assert equal(chain.continued_weights(link(3, "continued")), final[2])
    killed_before_its_record = link(2, "continued")
    assert equal(chain.continued_weights(killed_before_its_record), final[1])
    extend(chain, killed_before_its_record, masks[2], final[2])
    assert equal(chain.continued_weights(link(3, "continued")), final[2])
    assert len(list(chain.folder.rglob("*-continued-*-round*.npz"))) == 2
    assert equal(chain.masks(link(2)), masks[2])


def test_of_a_large_network_only_the_filters_come_back(tmp_path):
    run = experiments.plan("conv2", "reduced", 1)[0]
    weights, ticket = networks.initial_weights("conv2", 0), experiments.plan("conv2", "reduced", 1)[4]
    Store(tmp_path).keep_weights(run, weights)
    assert ticket.arm == "winning_ticket" and ticket.trial == run.trial == 0
    kept = Store(tmp_path).dense_weights(ticket)
    assert set(kept) == {f"conv{number}.{part}" for number in (1, 2) for part in ("weight", "bias")}
    assert all(bool((value == weights[name]).all()) for name, value in kept.items())
