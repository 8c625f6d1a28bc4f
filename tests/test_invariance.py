"""What no change of the code may change: run keys, plans, seeds, weights, orders, masks, file names, verdicts.

Every hash below was taken from the code that trained the committed records. This file gains rows and is otherwise left as
it is: where a hash differs, the code is wrong. The names that may move stand in the first few lines.
"""

import collections
import hashlib
import json
from dataclasses import replace
from functools import cache

import pytest
from synthetic import digest

from lth_utils import claims, data, experiments, faults, networks, paper, records

run_of = experiments.Run.from_record

LAST_WAVE = {"lenet": 5, "conv2": 7, "conv4": 7, "conv6": 7}
LAST_REDUCED_WAVE = {"conv2": 4, "conv4": 3, "conv6": 3}
KINDS = ("_chains", "_weights")
STORE, stored_rows = records.committed(), records.read


def in_float32(network):
    """The networks that claims of Section 3 rest on, trained in float32 once more: no plan of the report."""
    rows = [
        row for row in experiments.PLANS[network, "paper"].rows if (row.study, row.setting) == ("paper", "")
    ]
    again = [replace(row, setting="float32_chain", wave=1) for row in rows]
    return replace(experiments.PLANS[network, "paper"], rows=again).runs(1)


def files_of(run):
    """What a run leaves beside its record, or its successor finds there, relative to the store."""
    paths = [STORE.path(run, "_chains", run.procedure)] if run.is_pruned else []
    if run.is_pruned and run.procedure == "continued":
        paths.append(STORE.path(run, "_weights", run.procedure, run.pruning_round))
    if run.keeps_weights:
        paths += [
            STORE.path(run, "_weights"),
            STORE.path(run, "_errors"),
        ]  # the second until a gallery was dropped
    return [path.relative_to(records.COMMITTED).as_posix() for path in paths]


# --- the tests themselves know none of this --------------------------------------------------------------------------------


def plans():
    """Every plan there is, by name, in the order in which its runs are trained."""
    found = {f"lenet paper {wave}": experiments.plan("lenet", "paper", wave) for wave in range(1, 6)}
    for network, last in LAST_REDUCED_WAVE.items():
        for scale, waves in (("paper", LAST_WAVE[network]), ("reduced", last)):
            for wave in range(1, waves + 1):
                found[f"{network} {scale} {wave}"] = experiments.plan(network, scale, wave)
        found[f"{network} short"] = experiments.plan(network, "short")
        found[f"{network} float32_chain"] = in_float32(network)
    found["lenet short"] = experiments.plan("lenet", "short")
    found["baseline quick"] = experiments.baseline("quick")
    found["lenet quick"] = experiments.plan("lenet", "quick")
    found["conv2 quick"] = experiments.plan("conv2", "quick")
    found["faults"], found["faults quick"] = faults.plan(), faults.plan("quick")
    return found


PLANS = {  # number of runs, hash of their keys in order
    "lenet paper 1": (225, "43ae1b8f8ca0a720"),
    "lenet paper 2": (650, "d4d7fd2ccf1ba26a"),
    "lenet paper 3": (758, "30b83f997bb652c0"),
    "lenet paper 4": (903, "552a50507dc9492c"),
    "lenet paper 5": (1128, "f7ece106aa25c3d3"),
    "conv2 paper 1": (120, "4f2fe6819475abaa"),
    "conv2 paper 2": (123, "fbdba87d6945b279"),
    "conv2 paper 3": (158, "fd8f3c737f0b703e"),
    "conv2 paper 4": (338, "53dc94a92b93193d"),
    "conv2 paper 5": (668, "9a5d28d5127da8ef"),
    "conv2 paper 6": (803, "b9cd9d064ddce9ef"),
    "conv2 paper 7": (918, "358c657f8449ec94"),
    "conv2 reduced 1": (28, "75a671ede33a9acc"),
    "conv2 reduced 2": (34, "92ad27f7023dd3db"),
    "conv2 reduced 3": (44, "931fabd965b1a6f7"),
    "conv2 reduced 4": (48, "a260ae44ecf1ad60"),
    "conv2 short": (9, "c90d73cc2783b929"),
    "conv2 float32_chain": (800, "e1cddb6d96148976"),
    "conv4 paper 1": (72, "ace0271d33fc74f9"),
    "conv4 paper 2": (75, "beec08a4f17cd54c"),
    "conv4 paper 3": (108, "4c69a5744d1dbe0c"),
    "conv4 paper 4": (398, "c30cbac645df91b5"),
    "conv4 paper 5": (788, "d19a7874fab294f8"),
    "conv4 paper 6": (947, "3e511b7d5faa416e"),
    "conv4 paper 7": (1082, "82a83c8c6650c51a"),
    "conv4 reduced 1": (15, "eda12cd831345cdb"),
    "conv4 reduced 2": (18, "7e1bee1203d98789"),
    "conv4 reduced 3": (24, "889383dfc16dfbc9"),
    "conv4 short": (1, "d1a284a8cf57eaa0"),
    "conv4 float32_chain": (944, "7aa4e3dc20d5f506"),
    "conv6 paper 1": (72, "517df700a6c96426"),
    "conv6 paper 2": (75, "7da71292f86962f0"),
    "conv6 paper 3": (108, "5e70aa260abb7a0b"),
    "conv6 paper 4": (398, "d1159b1a7770b317"),
    "conv6 paper 5": (788, "543076dfe638ce28"),
    "conv6 paper 6": (1402, "21b8c6558f0f3dcb"),
    "conv6 paper 7": (1537, "e673acf26206be01"),
    "conv6 reduced 1": (16, "0890b564e9b3431d"),
    "conv6 reduced 2": (19, "b65ed04a2d49ce64"),
    "conv6 reduced 3": (24, "d9f9dc0079975c4b"),
    "conv6 short": (1, "3335c0c8521ceb5f"),
    "conv6 float32_chain": (944, "387717723c1c4642"),
    "lenet short": (30, "5e252fe41e9c758f"),
    "baseline quick": (12, "b247076b3aaa3921"),
    "lenet quick": (28, "e2bca77d695144ae"),
    "conv2 quick": (5, "b1496a94998733ee"),
    "faults": (405, "ff9ed71f0be52092"),
    "faults quick": (36, "89c93e39275d51d5"),
}
WEIGHTS = {
    "lenet": ["d4b1c30c7086c6d8", "103ddfd5862e2830"],
    "conv2": ["245916b17b215184", "539216b0cc09deb4"],
    "conv4": ["c9a63731c9bce81e", "a94c96138ae45b29"],
    "conv6": ["4a81236858818637", "03cce082823c47d9"],
}
MASKS = {
    "lenet": ("86d90debe6faf9e1", "6a4d46a6218f0abb"),
    "conv2": ("3c7bdbc8f17f8301", "03908475074a9f6e"),
    "conv4": ("af94d8cca78cd3fb", "907e9b07a26b7470"),
    "conv6": ("4e1668f7f0e33efa", "265b3fa67cdfc61f"),
}

plans, rows = cache(plans), cache(stored_rows)


def short_hash(words):
    return hashlib.sha256("\n".join(map(str, words)).encode()).hexdigest()[:16]


def planned_once():
    return list({run.key: run for plan in plans().values() for run in plan}.values())


def test_every_committed_row_turns_into_a_run_and_gets_its_key_and_seeds_back():
    assert len(rows()) >= 1477
    for row in rows().to_dict("records"):
        run = run_of(row)
        assert (run.key, run.protocol.key()) == (row["run_key"], row["protocol_key"])
        assert records.run_key(row) == row["run_key"]
        assert json.loads(row["seeds"]) == run.seeds


def test_every_committed_row_is_planned():
    assert set(rows()["run_key"]) <= {run.key for run in planned_once()}


def test_all_plans_hold_the_same_runs_in_the_same_order():
    found = {name: (len(plan), short_hash(run.key for run in plan)) for name, plan in plans().items()}
    assert found == PLANS


def test_test_curves_are_asked_for_where_they_were():
    wanted = [f"{run.key} {run.test_curve_until}" for run in planned_once()]
    assert short_hash(wanted) == "451b2289ade0430a"


def test_runs_are_packed_into_the_same_stacks():
    """Records of a running campaign fit only if the same runs are trained side by side."""
    whole = [plan for name, plan in plans().items() if not name.startswith("faults")]
    stacks = [",".join(run.key for run in stack) for plan in whole for stack in experiments.stacks(plan)]
    assert (len(stacks), short_hash(stacks)) == (14504, "79f5f42ab8456aeb")


def test_every_run_waits_for_the_same_run():
    waits = [(run, experiments.needs(run)) for run in planned_once() if run.study != "faults"]
    assert short_hash(f"{run.key} {needed and needed.key}" for run, needed in waits) == "8f43a12ca01e5334"


def test_every_planned_run_has_the_same_seeds():
    seeds = [f"{run.key} {sorted(run.seeds.items())}" for run in planned_once()]
    assert (len(seeds), short_hash(seeds)) == (7976, "9360a3eea0b6fd09")
    assert experiments.seed("init", "lenet", 0, 0, 0) == 6449859974178852974


def test_files_beside_the_records_keep_their_names():
    names = [" ".join(files_of(run)) for run in planned_once() if run.study != "faults"]
    assert short_hash(names) == "2a183f4f229ee24f"


def test_every_file_beside_the_committed_records_belongs_to_a_run():
    there = {
        path.relative_to(records.COMMITTED).as_posix()
        for kind in KINDS
        for path in records.COMMITTED.glob(f"*/*/{kind}/*")
    }
    runs = [run_of(row) for row in rows().to_dict("records")]
    named = {name for run in runs if run.study != "faults" for name in files_of(run)}
    assert len(there) >= 38 and there <= named


@pytest.mark.parametrize("network", paper.WEIGHT_COUNTS)
def test_initial_weights_are_the_same_bytes(network):
    seeds = [experiments.seed("init", network, trial, 0, 0) for trial in (0, 3)]
    assert [digest(networks.initial_weights(network, seed))[:16] for seed in seeds] == WEIGHTS[network]


def test_data_orders_are_the_same():
    drawn = [data.DataOrder(seed, 55_000).take(60_000).numpy() for seed in (0, 2**62 + 1)]
    assert short_hash(order.astype("<i8").tobytes() for order in drawn) == "ece16798fe976203"


@pytest.mark.parametrize("network", paper.WEIGHT_COUNTS)
def test_random_masks_are_the_same(network):
    plan = plans()[f"{network} paper {LAST_WAVE[network]}"]
    drawn = [run for run in plan if (run.arm, run.pruning_round, run.trial) == ("random_sparsity", 1, 1)]
    weights, masks = experiments.starting_point(drawn[0], STORE)
    assert (digest(masks)[:16], digest(weights)[:16]) == MASKS[network]


def compared(*names):
    """Outcomes and digits of the ledger over the committed runs of these plans, which are whole."""
    keys = {run.key for name in names for run in plans()[name]}
    frame = rows()[rows()["run_key"].isin(keys)]
    assert len(frame) == len(keys)
    table = claims.compare(frame)
    lines = [
        f"{row.claim} {row.condition} {row.network} {row.outcome} {row.ours:.4g} {row.low:.4g} {row.high:.4g}"
        for row in table.itertuples()
    ]
    return dict(collections.Counter(table["outcome"])), short_hash(lines)


def test_the_frozen_verdicts_of_lenet_and_of_the_reduced_scale_stay():
    found = compared("lenet paper 3", "conv2 reduced 4", "conv4 reduced 1", "conv6 reduced 1")
    assert found == (
        {"inconclusive": 34, "met": 40, "reduced scale": 38, "not run": 71, "chosen": 15},
        "1b2ed718b53a71e3",
    )


def test_the_frozen_verdicts_of_conv2_at_the_papers_scale_stay():
    assert compared("conv2 paper 1") == (
        {"not run": 166, "met": 13, "chosen": 15, "inconclusive": 4},
        "dcd026e738394cd5",
    )
