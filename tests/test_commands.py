"""What the commands do on small stores: what they print agrees with the store, and training keeps what it finished."""

import errno
import json
import os
import shutil

import pytest
import synthetic
from test_main import run

from lth_utils import campaign, claims, commands, experiments, faults, notebooks, spot_check, verify
from lth_utils.experiments import costs, runner
from lth_utils.notebooks import summaries
from lth_utils.records import Store


@pytest.fixture(autouse=True)
def committed(tmp_path, monkeypatch):
    """An empty folder in place of the committed records, tiny data, and workers that are this process."""
    monkeypatch.setattr("lth_utils.records.COMMITTED", tmp_path / "records")
    synthetic.instead_of_data(monkeypatch)
    monkeypatch.setattr(costs, "CALIBRATION_ITERATIONS", 4)
    monkeypatch.setattr(runner, "default_workers", lambda device: 2)
    monkeypatch.setattr(runner, "processes", lambda count: runner.InProcess())
    monkeypatch.setattr(verify.notebooks, "committed_problems", list)
    return Store(tmp_path / "records")


@pytest.fixture
def plan(monkeypatch):
    """Dense networks and first tickets of two trials, in place of the paper's plan."""
    runs = synthetic.runs(synthetic.tickets(1, 2))
    monkeypatch.setattr(experiments, "plan", lambda network, scale, wave: runs)
    return runs


@pytest.fixture(scope="module")
def three_trials(tmp_path_factory):
    """A store that training left: dense networks and first tickets of three trials."""
    store, runs = Store(tmp_path_factory.mktemp("trained")), synthetic.runs(synthetic.tickets(1, 3))
    synthetic.train(runs, store.folder)
    return store, runs


@pytest.fixture
def trained(three_trials, committed, monkeypatch):
    """That store, its dense networks adopted; planned are its runs, three more tickets, and two of Conv-2."""
    shutil.copytree(three_trials[0].folder, committed.folder)
    committed.adopt(committed.rows().query("arm == 'dense'"))
    more = synthetic.runs(synthetic.tickets(2, 3))
    other = synthetic.runs(synthetic.tickets(0, 2), network="conv2", scale="reduced")
    monkeypatch.setattr(commands, "waves", lambda: {"one": three_trials[1], "two": more, "three": other})
    return committed


def asked(*arguments):
    status, shown, message = run(*arguments, "--json")
    assert status == 0 and message == ""
    return json.loads(shown, parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))


# --- plan ------------------------------------------------------------------------------------------------------------


def test_the_plan_counts_what_is_done_missing_and_adopted(trained):
    rows = asked("plan")
    assert [tuple(row.values())[:-1] for row in rows] == [
        ("one", "lenet", "paper", 6, 6, 0, 3),
        ("two", "lenet", "paper", 9, 6, 3, 3),
        ("three", "conv2", "reduced", 2, 0, 2, 0),
    ]
    assert [row["wave"] for row in asked("plan", "--network", "lenet")] == ["one", "two"]
    assert [row["wave"] for row in asked("plan", "--scale", "reduced")] == ["three"]


def test_hours_follow_from_how_long_finished_runs_took(trained):
    one, two, three = (row["hours"] for row in asked("plan"))
    seconds = trained.rows()["cpu_seconds"].sum()
    assert one == 0 and three is None  # no run of Conv-2 has been timed
    assert two == pytest.approx(seconds / 3600 / 6 * 3 / 2)  # six runs took that long; three on two cores
    assert run("plan")[1].splitlines()[3].split()[-1] == "-"


def test_the_plan_of_a_folder_of_ones_own_looks_into_that_folder(trained, tmp_path):
    assert [row["done"] for row in asked("plan", "--records", str(tmp_path / "mine"))] == [0, 0, 0]


def test_the_report_may_show_every_planned_experiment_and_the_faults():
    named = commands.waves()
    assert experiments.waves().items() < named.items() and named["notebook 05b"] == faults.plan()


# --- train -----------------------------------------------------------------------------------------------------------


def test_train_makes_what_is_missing_and_says_so(committed, plan):
    status, shown, _ = run("train", "--device", "cpu")
    assert status == 0 and "4 runs planned, 4 missing" in shown and "estimated" in shown and "0 left" in shown
    assert set(committed.rows()["run_key"]) == {planned.key for planned in plan}
    assert "4 runs planned, 0 missing" in run("train", "--device", "cpu")[1]


def test_train_into_a_folder_of_ones_own_leaves_the_committed_records_alone(committed, plan, tmp_path):
    assert run("train", "--device", "cpu", "--records", str(tmp_path / "mine"))[0] == 0
    assert len(Store(tmp_path / "mine").rows()) == 4 and not committed.folder.exists()


def test_a_dry_run_shows_plan_and_estimate_and_trains_nothing(committed, plan):
    status, shown, _ = run("train", "--dry-run", "--device", "cpu", "--workers", "3")
    assert status == 0 and "4 missing, 3 worker(s) on cpu" in shown and "estimated" in shown
    assert not committed.folder.exists()


def test_a_plan_can_be_cut_to_arms_trials_and_rounds(plan, monkeypatch):
    asked = []
    monkeypatch.setattr(campaign, "train", lambda chosen, *more, **options: asked.append(chosen))
    for wish in ("--arms dense", "--trials 1", "--rounds 0", "--arms winning_ticket --trials 0,1 --rounds 1"):
        assert run("train", "--device", "cpu", *wish.split())[0] == 0
    dense, tickets = plan[:2], plan[2:]
    assert asked == [dense, plan[1::2], dense, tickets]
    assert all(run.arm == "dense" for run in dense) and all(run.trial == 1 for run in plan[1::2])


def test_runs_that_wait_for_others_are_explained(plan):
    status, shown, _ = run("train", "--device", "cpu", "--arms", "winning_ticket")
    assert status == 0 and "0 runs trained, 2 left" in shown and "they wait for runs that" in shown


def test_plan_and_train_print_the_same_estimate_and_say_when_they_measure(plan, monkeypatch):
    monkeypatch.setattr(commands, "waves", lambda: {"one": plan})
    train = ("train", "--device", "cpu", "--dry-run")
    assert "measuring lenet in float32 on cpu" in run(*train)[1]
    run("train", "--device", "cpu", "--arms", "dense")
    monkeypatch.setattr(costs, "estimated_seconds", lambda runs, rates, *more: 3600 * len(rates) * len(runs))
    shown = run(*train)[1]
    assert "estimated: 2.0 h" in shown and "measuring" not in shown
    assert asked("plan")[0]["hours"] == 2.0


def test_more_than_twelve_hours_need_a_budget(plan, monkeypatch):
    monkeypatch.setattr(costs, "estimated_seconds", lambda *arguments: 12.1 * 3600)
    status, _, message = run("train", "--device", "cpu")
    assert status == 1 and "12 hours; give a --budget" in message
    assert "0 left" in run("train", "--device", "cpu", "--budget", "3h")[1]


def test_faults_are_trained_chain_by_chain_within_the_budget(committed, monkeypatch):
    asked = []
    monkeypatch.setattr(faults, "execute", lambda *arguments, **options: asked.append((arguments, options)))
    status, _, _ = run("train", "--study", "faults", "--trials", "0,1", "--budget", "25m", "--workers", "3")
    (((runs, store), options),) = asked
    assert status == 0 and runs == [run for run in faults.plan() if run.trial < 2]
    assert (options["workers"], store, options["budget"]) == (3, committed, 1500)


@pytest.mark.parametrize("writes", [0, 7])
def test_a_full_disk_ends_in_one_sentence_and_a_store_that_loads(committed, plan, monkeypatch, writes):
    replace, seen = os.replace, []

    def full(*arguments):
        seen.append(arguments)
        if len(seen) > writes:
            raise OSError(errno.ENOSPC, "No space left on device")
        replace(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        status, _, message = run("train", "--device", "cpu")
    assert status == 1 and message.splitlines()[-1].startswith("Error: [Errno 28] No space left")
    assert len(committed.rows()) == (2 if writes else 0)
    assert "0 left" in run("train", "--device", "cpu")[1]


def test_a_damaged_store_ends_in_one_sentence_that_names_the_file(committed, plan):
    (committed.folder / "lenet" / "paper").mkdir(parents=True)
    (committed.folder / "lenet" / "paper" / "0123456789abcdef.parquet").write_bytes(b"half")
    status, _, message = run("train", "--device", "cpu")
    assert status == 1 and message.startswith("Error: lenet/paper/0123456789abcdef.parquet")


# --- report, claims --------------------------------------------------------------------------------------------------


def test_a_report_adopts_whole_waves_only(trained, monkeypatch):
    redone = []
    monkeypatch.setattr(commands, "calibrate", lambda store: redone.append(len(store.manifest())))
    monkeypatch.setattr(notebooks, "report", lambda tell: redone.append(len(trained.manifest())))
    status, shown, _ = run("report")
    assert status == 0 and redone == [6, 6]
    assert "one: 3 new of 6 runs adopted" in shown and "two: 3 of 9 runs missing, not adopted" in shown


def test_claims_are_cut_by_name_in_any_case_and_by_rank_and_read_adopted_records_only(trained, monkeypatch):
    read = []
    monkeypatch.setattr(summaries, "scored", lambda frame: read.append(set(frame["arm"])) or frame)
    every, central = asked("claims"), asked("claims", "--rank", "a")
    assert [row["claim"] for row in every] == list(dict.fromkeys(claims.ledger()["claim"]))
    assert {row["rank"] for row in central} == {"A"} and 0 < len(central) < len(every)
    assert [row["claim"] for row in asked("claims", "c05", "C04")] == ["C04", "C05"]
    conditions = asked("claims", "C02", "--conditions")
    assert len(conditions) > 1 and {row["outcome"] for row in conditions} == {"not run"}
    assert run("claims", "C02")[1].splitlines()[-1].startswith("claims: 0 reproduced")
    assert read == [{"dense"}] * 5


# --- verify ----------------------------------------------------------------------------------------------------------


def test_verify_says_of_each_check_that_it_is_fine(trained):
    status, shown, _ = run("verify")
    assert status == 0 and shown.splitlines()[-1] == "everything is as it should be"
    names = ("data mnist", "data cifar10", "records", "masks", "manifest", "notebooks")
    assert [line.split(":")[0] for line in shown.splitlines()[:-1]] == [f"ok     {name}" for name in names]


def test_verify_names_what_is_wrong_and_ends_with_status_1(trained, monkeypatch):
    monkeypatch.setattr(verify.notebooks, "committed_problems", lambda: ["01: " + "long " * 100 + "end"])
    status, shown, _ = run("verify")
    assert status == 1 and "WRONG  notebooks" in shown
    (line,) = (line for line in shown.splitlines() if "01: long" in line)
    assert len(line) < 320 and line.endswith("end")


def test_runs_are_retrained_and_both_numbers_shown(trained):
    status, shown, _ = run("verify", "--retrain", "2", "--seed", "3", "--iterations", "2")
    assert status == 0 and "--seed 3" in shown and shown.count("percent_remaining of the mask") == 2
    assert "6 are stored" in run("verify", "--retrain", "7")[2]


def test_a_run_that_comes_out_otherwise_ends_with_status_1(trained, monkeypatch):
    draw, column = spot_check.draw, "curve_validation_loss"
    altered = lambda *wish: [row | {column: row[column] + 1} for row in draw(*wish)]  # noqa: E731
    monkeypatch.setattr(spot_check, "draw", altered)
    status, shown, _ = run("verify", "--retrain", "1", "--iterations", "2")
    assert status == 1 and "outside" in shown and "something is wrong" in shown


# --- data, and what a quick run found --------------------------------------------------------------------------------


def test_data_are_named_with_their_sizes():
    status, shown, _ = run("data", "mnist")
    assert status == 0 and shown.startswith("mnist: 64 train, 32 validation, 32 test images")


def test_what_was_found_is_the_accuracy_of_the_smallest_networks_of_every_arm_beside_the_dense_one(committed):
    def record(arm, pruning_round, accuracy, **more):
        left = {"pruning_round": pruning_round, "percent_remaining": 100 / 2**pruning_round}
        return synthetic.record(arm=arm, **left, test_accuracy_at_end=accuracy, **more)

    accuracy = {
        "winning_ticket": (0.97, 0.98),
        "random_reinit": (0.94, 0.95),
        "random_sparsity": (0.93, 0.91),
    }
    rows = [record(arm, 2, accuracy[arm][trial], trial=trial) for arm in accuracy for trial in (0, 1)]
    rows += [record(arm, 1, 0.1) for arm in accuracy] + [record("dense", 0, 0.966)]
    rows.append(record("winning_ticket", 2, 0.1, procedure="continued"))
    committed.write(rows)
    assert commands.found(committed.rows()) == (
        "Lenet on MNIST, 200 iterations, 2 trials. Test accuracy with 25.0 % of the weights: winning ticket 97.5 %, "
        "reinitialised 94.5 %, random sparse network 92.0 %. Dense network: 96.6 %."
    )
