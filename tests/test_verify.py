"""Verification: a sound store passes, every kind of damage is named, and a retrained run is judged by stated rules."""

import json
import math
import shutil

import numpy as np
import pandas as pd
import pytest
import synthetic

from lth_utils import data, experiments, faults, kept, records, spot_check, verify
from lth_utils.data import DataError
from lth_utils.records import Store


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A store that a campaign left: sixteen runs of every arm and procedure, none adopted."""
    folder = tmp_path_factory.mktemp("trained")
    synthetic.train(synthetic.plan(), folder)
    return folder


@pytest.fixture
def store(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(data, "load", synthetic.load)
    return shutil.copytree(trained, tmp_path / "records")


@pytest.fixture(scope="module")
def rows(trained):
    return Store(trained).rows()


@pytest.fixture
def frame(rows):
    return rows.copy()


@pytest.fixture
def ticket(rows):
    """The record of one winning ticket of round 1."""
    found = rows.query("arm == 'winning_ticket' and procedure == 'iterative' and pruning_round == 1")
    return found.to_dict("records")[0]


def curve(row, name, place, value):
    values = np.array(row[f"curve_{name}"], dtype=float)
    values[place] = value
    return {f"curve_{name}": values}


def outcomes(found):
    return {one.quantity: one.outcome for one in found}


# --- checks ------------------------------------------------------------------------------------------------------------------


def test_what_a_campaign_left_has_no_problem(store, frame):
    Store(store).adopt(frame[:5])
    found = [
        verify.check_records(frame),
        verify.check_masks(frame, Store(store)),
        verify.check_manifest(frame, Store(store)),
    ]
    assert [check.problems for check in found] == [(), (), ()]
    assert "16 runs" in found[0].detail and "6 against" in found[1].detail and "5 runs" in found[2].detail


READ, LATE, LOW = "protocol or its seeds cannot be read", {"early_stop_iteration": 3}, {"loss": (0, 0.01)}
NOT_LOWEST = "not lowest at iteration"
DAMAGE = {  # what is changed in a sound record -> the words of the problem, none where it is none
    "another protocol": ({"protocol_key": "0123456789ab"}, "not the one of its protocol_key"),
    "no protocol": ({"protocol": "{}"}, READ),
    "an impossible protocol": ({"protocol": json.dumps({"optimizer": "eve"})}, READ),
    "no seeds": ({"seeds": "{"}, READ),
    "another seed": ({"trial": 1}, "seeds are not those of its identity"),
    "off the ladder": ({"percent_remaining": 79.0}, "79.0000, the ladder says 80.0"),
    "a fault off the ladder": ({"percent_remaining": 79.0, "study": "faults"}, ""),
    "an accuracy in percent": ({"test_accuracy_at_end": 97.0}, "no fraction: 97.0"),
    "a stop never evaluated": (LATE, NOT_LOWEST + " 3"),
    "a fault with such a stop": (LATE | {"study": "faults"}, NOT_LOWEST + " 3"),
    "a fault on test with such a stop": (LATE | {"study": "faults", "variant": faults.ON_TEST}, NOT_LOWEST),
    "a stop beyond the end": ({"early_stop_iteration": 99}, NOT_LOWEST + " 99"),
    "a lower minimum": (LOW, NOT_LOWEST),
    "a fault with a lower minimum": (LOW | {"study": "faults"}, NOT_LOWEST),
    "a fault that reads on test": (LOW | {"study": "faults", "variant": faults.ON_TEST}, ""),
    "another end": ({"training_iterations": 50_000}, "training_iterations is 50000, its curve says 4"),
    "another final accuracy": ({"test_accuracy_at_end": 0.99}, "test_accuracy_at_end is"),
    "another loss": ({"validation_loss_at_early_stop": 0.001}, "validation_loss_at_early_stop is"),
    "a hidden divergence": ({"loss": (1, np.nan)}, "diverged is False"),
    "a claimed divergence": ({"diverged": True}, "say otherwise"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_number_that_does_not_fit_is_named(ticket, kind):
    change, words = dict(DAMAGE[kind][0]), DAMAGE[kind][1]
    if "loss" in change:
        change |= curve(ticket, "validation_loss", *change.pop("loss"))
    assert verify.record_problems(ticket) == []
    problems = verify.record_problems(ticket | change)
    assert any(words in problem for problem in problems) if words else problems == []
    companions = ticket | {"diverged": True, "procedure": "continued"}  # it alone may have diverged
    assert "otherwise" not in str(verify.record_problems(companions))


def test_a_check_of_records_names_file_and_run_and_an_empty_store_is_a_problem(frame):
    assert not verify.check_records(frame[:0]).ok
    frame.loc[0, "percent_remaining"] = 1.0
    (problem,) = verify.check_records(frame).problems
    assert frame["file"][0] in problem and "lenet" in problem and "trial 0" in problem


def test_a_mask_of_equal_size_that_does_not_follow_from_the_dense_weights_is_found(store, frame, ticket):
    path = store / "lenet" / "paper" / "_chains" / f"paper-{ticket['protocol_key']}-trial0.npz"
    arrays = kept.load_arrays(path)
    kept.save_arrays(path, arrays | {"fc1.weight": arrays["fc1.weight"][::-1]})
    problems = verify.check_masks(frame, Store(store)).problems
    assert problems and all("does not follow" in problem for problem in problems)
    kept.save_arrays(path, arrays | {"output.weight": np.zeros_like(arrays["output.weight"])})
    assert "another density" in str(verify.check_masks(frame, Store(store)).problems)
    path.unlink()
    assert "cannot be read" in str(verify.check_masks(frame, Store(store)).problems)
    frame.loc[frame["arm"] == "winning_ticket", "protocol"] = "{}"
    assert verify.check_masks(frame, Store(store)).ok  # left to the check of records


def test_masks_of_float32_runs_are_those_of_the_chain_that_they_borrow_from(monkeypatch):
    plan = experiments.plan("conv2", "reduced", 4)
    run = next(run for run in plan if run.variant == experiments.FLOAT32 and run.arm == "winning_ticket")
    asked = []
    monkeypatch.setattr(Store, "masks", lambda self, of: asked.append(of.key) or {"w": np.ones(1, bool)})
    monkeypatch.setattr(verify.masking, "density", lambda masks: run.percent_remaining / 100)
    row = run.identity | {
        "protocol": json.dumps(run.protocol.to_dict()),
        "percent_remaining": run.percent_remaining,
    }
    assert verify.check_masks(pd.DataFrame([row]), records.committed()).ok
    assert asked == [run.mask_owner.key] != [run.key]


def test_a_manifest_that_names_other_runs_is_found(store, frame):
    Store(store).adopt(frame)
    path = store / "_manifest.csv"
    table = Store(store).manifest()
    table.assign(trial=table["trial"] + 5).to_csv(path, index=False)
    problems = verify.check_manifest(frame, Store(store)).problems
    assert len(problems) == 16 and all("belongs to another run" in problem for problem in problems)
    pd.concat([table, table[:1]]).to_csv(path, index=False)
    assert verify.check_manifest(frame, Store(store)).problems == ("1 run(s) are named twice",)
    table.to_csv(path, index=False)
    (problem,) = verify.check_manifest(frame[1:], Store(store)).problems
    assert "it has no record" in problem


def test_all_checks_run_whatever_the_first_ones_find(store, monkeypatch):
    def missing(name):
        raise DataError(f"{name} is not here")

    monkeypatch.setattr(data, "load", missing)
    monkeypatch.setattr(verify.notebooks, "committed_problems", lambda: ["01: stale"])
    next(store.rglob("*.parquet")).write_bytes(b"half")
    found = {check.name: check for check in verify.checks(Store(store))}
    monkeypatch.setattr(verify.notebooks, "names", list)
    assert verify.check_notebooks().problems == ("there is no notebook",)
    assert list(found) == ["data mnist", "data cifar10", "records", "notebooks"]
    assert not any(check.ok for check in found.values())
    assert (
        found["data mnist"].problems == ("mnist is not here",) and "01: stale" in found["notebooks"].problems
    )


# --- spot checks -------------------------------------------------------------------------------------------------------------


def test_a_seed_draws_the_same_runs_whatever_their_order(frame):
    keys = [[row["run_key"] for row in spot_check.draw(frame, 3, seed)] for seed in (1, 1, 2)]
    assert keys[0] == keys[1] != keys[2]
    assert keys[0] == [row["run_key"] for row in spot_check.draw(frame[::-1], 3, 1)]


def test_only_runs_that_claims_rest_on_are_drawn(frame):
    frame.loc[0, "diverged"], frame.loc[1, "study"] = True, "faults"
    drawn = {row["run_key"] for row in spot_check.draw(frame, 14, 0)}
    assert drawn == set(frame["run_key"][2:])
    for count in (15, 0):
        with pytest.raises(ValueError, match="14 are stored"):
            spot_check.draw(frame, count, 0)


def test_every_kind_of_run_can_be_retrained_and_comes_out_bit_for_bit(store, frame):
    for row in frame.to_dict("records"):
        found = outcomes(spot_check.retrain(row, frame, store=Store(store)))
        beginning = [name for name in found if name.startswith("validation_loss at")]
        assert beginning == ["validation_loss at 0", "validation_loss at 2", "validation_loss at 4"]
        exact = [*beginning, "percent_remaining of the mask"]
        assert {found[name] for name in exact} == {"same"}, (row["arm"], row["procedure"], found)
        assert "outside" not in found.values()


def test_the_same_curve_is_the_same_although_a_record_stores_fewer_digits(frame, ticket):
    loss = np.asarray(ticket["curve_validation_loss"], float) + 1e-9  # float64, as it is measured
    assert (loss != ticket["curve_validation_loss"]).all()
    again = {"curve_iteration": [0, 2, 4], "curve_validation_loss": loss}
    found = outcomes(spot_check.compare(ticket, again, frame))
    assert set(found.values()) == {"same"} and len(found) == 3


def test_another_curve_another_mask_and_another_data_order_are_outside(store, frame, ticket, monkeypatch):
    for change in (
        curve(ticket, "validation_loss", 0, ticket["curve_validation_loss"][0] + 0.001),
        curve(ticket, "validation_loss", 1, ticket["curve_validation_loss"][1] + 0.01),
        {"percent_remaining": ticket["percent_remaining"] + 1e-9},
    ):
        found = outcomes(spot_check.retrain(ticket | change, frame, store=Store(store)))
        assert list(found.values()).count("outside") == 1, change
    monkeypatch.setattr(experiments.Run, "seeds", json.loads(ticket["seeds"]) | {"data_order": 7})
    found = outcomes(spot_check.retrain(ticket, frame, store=Store(store)))
    assert found["validation_loss at 0"] == "same"
    assert found["validation_loss at 2"] == found["validation_loss at 4"] == "outside"


def test_a_limit_compares_only_the_beginning_of_the_curve(store, frame, ticket):
    seen = []
    found = outcomes(spot_check.retrain(ticket, frame, limit=2, store=Store(store), progress=seen.append))
    assert seen == [0, 2] and "validation_loss at 2" in found and not set(spot_check.WHOLE_RUN) & set(found)
    assert [spot_check.iterations_of(ticket, limit) for limit in (1, 2, 3, 100, None)] == [2, 2, 4, 4, 4]


def trials(**changes):
    """Five trials of one setting, evaluated at 0, 100, ..., 500; noise of 0.01 in losses and accuracies, 100 in early stop."""
    rows = []
    for trial, shift in enumerate((0.01, -0.01, 0.0, 0.005, -0.005)):
        loss = np.array([2.3, 0.5, 0.3, 0.2, 0.15, 0.16]) + shift
        row = synthetic.record(trial=trial, curve_iteration=100.0 * np.arange(6), curve_validation_loss=loss)
        row |= {
            "curve_test_accuracy": np.full(6, np.nan),
            "early_stop_iteration": int(400 + 1e4 * shift),
            "test_accuracy_at_end": 0.9 + shift,
        }
        rows.append(row | {"test_accuracy_at_early_stop": 0.9 + shift} | changes)
    return rows


def drifted(row, start=0.0, at_100=0.0, later=0.0, accuracy=0.0, stop=0):
    loss = np.array([start, at_100, later, later, later, later]) + row["curve_validation_loss"]
    measured = {name: row[name] + accuracy for name in spot_check.WHOLE_RUN if "accuracy" in name}
    return (
        row
        | measured
        | {"curve_validation_loss": loss, "early_stop_iteration": row["early_stop_iteration"] + stop}
    )


@pytest.mark.parametrize(
    ("precision", "drift", "outside"),
    [
        (
            "float32",
            {"at_100": 0.0005, "later": 0.004, "accuracy": 0.002, "stop": 100},
            [],
        ),  # rounding has grown: no wolf
        ("float32", {"at_100": 0.002}, ["validation_loss at 100"]),
        ("float32", {"start": 0.0005}, ["validation_loss at 0"]),
        ("bfloat16", {"start": 0.002, "at_100": 0.01, "later": 0.004, "accuracy": 0.002, "stop": 100}, []),
        ("bfloat16", {"start": 0.004}, ["validation_loss at 0"]),
        ("bfloat16", {"later": 0.2}, ["mean validation_loss of 100 to 500"]),
        ("float32", {"later": 0.2}, ["mean validation_loss of 200 to 500"]),
        ("float32", {"accuracy": -0.2}, ["test_accuracy_at_early_stop", "test_accuracy_at_end"]),
        ("float32", {"stop": 3000}, ["early_stop_iteration"]),
    ],
)
def test_beginnings_are_held_strictly_and_the_rest_by_the_noise_of_trials(precision, drift, outside):
    rows = trials(precision=precision)
    found = outcomes(spot_check.compare(rows[0], drifted(rows[0], **drift), pd.DataFrame(rows)))
    assert [name for name in found if found[name] == "outside"] == outside
    assert "not judged" not in found.values()


def test_without_three_sound_trials_noise_is_not_known_and_nothing_judged_by_it():
    rows = trials()
    rows[3]["diverged"] = rows[4]["diverged"] = rows[2]["diverged"] = True
    found = outcomes(spot_check.compare(rows[0], drifted(rows[0], later=9, accuracy=9), pd.DataFrame(rows)))
    judged = {name for name, outcome in found.items() if outcome != "not judged"}
    assert judged == {"validation_loss at 0", "validation_loss at 100"}


def test_only_trials_of_the_same_setting_are_noise():
    rows = trials()
    others = [row | {"pruning_round": 2, "test_accuracy_at_end": 0.1 * row["trial"]} for row in rows]
    again = drifted(rows[0], accuracy=-0.2)
    for frame in (pd.DataFrame(rows), pd.DataFrame(rows + others)):
        assert outcomes(spot_check.compare(rows[0], again, frame))["test_accuracy_at_end"] == "outside"


def retrained_store(**drift):
    rows = [row | {"run_key": records.run_key(row)} for row in trials(precision="bfloat16")]
    again = drifted(rows[1], **drift) | {"study": experiments.RETRAINED}
    return pd.DataFrame([*rows, again | {"run_key": records.run_key(again)}]).assign(file="x.parquet")


def test_runs_trained_again_elsewhere_are_held_against_their_originals():
    sound = verify.check_retrained(retrained_store(start=0.0005, later=0.004, accuracy=0.002, stop=100))
    assert sound.ok and "1 of 1 against" in sound.detail
    assert all(part in sound.detail for part in ("at 0 0.0005", "early_stop_iteration 1e+02", "at_end 0.002"))
    (problem,) = verify.check_retrained(retrained_store(start=0.1)).problems
    assert (
        "lenet winning_ticket" in problem
        and "trial 1: validation_loss at 0 is 2.29, trained again 2.39" in problem
    )
    assert (
        "0 of 1" in verify.check_retrained(retrained_store().query("trial != 1 or study != 'paper'")).detail
    )


def test_runs_trained_again_elsewhere_are_checked_where_there_are_any(store, monkeypatch):
    monkeypatch.setattr(Store, "rows", lambda self: retrained_store(start=0.1))
    monkeypatch.setattr(verify.notebooks, "committed_problems", list)
    found = {check.name: check for check in verify.checks(Store(store))}
    assert not found["retrained"].ok and found["notebooks"].ok


def test_the_noise_tolerance_is_a_t_interval_of_a_difference():
    values = [1.0, 2.0, 3.0]
    assert spot_check.noise_tolerance(values, 1, 0) == pytest.approx(4.302653 * math.sqrt(2))
    assert spot_check.noise_tolerance(values, 6, 0) > 2 * spot_check.noise_tolerance(values, 1, 0)
    assert (
        spot_check.noise_tolerance([1.0, 1.0, 1.0], 1, 100) == 100
    )  # no spread: what cannot be told apart passes
    assert spot_check.noise_tolerance(values[:2], 1, 0) is None
    assert spot_check.Comparison("loss", 0.5, math.nan, 1e-4).outcome == "outside"


def test_nothing_is_written(store, frame, ticket, monkeypatch):
    monkeypatch.setattr(verify.notebooks, "committed_problems", list)
    before = {path: path.read_bytes() for path in store.rglob("*") if path.is_file()}
    spot_check.retrain(ticket, frame, store=Store(store))
    list(verify.checks(Store(store)))
    assert before == {path: path.read_bytes() for path in store.rglob("*") if path.is_file()}


def test_the_committed_records_their_masks_and_the_manifest_are_sound():
    frame, store = records.read(), records.committed()
    assert len(frame) > 600
    # The masks of one round in seven: all of them are the business of `verify`, and of half a minute.
    looked_at = frame[frame["pruning_round"] % 7 == 1]
    assert set(looked_at["network"]) == set(frame["network"])
    found = [
        verify.check_records(frame),
        verify.check_masks(looked_at, store),
        verify.check_manifest(frame, store),
    ]
    assert [check.problems for check in found] == [(), (), ()]
