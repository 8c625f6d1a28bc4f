# ---
# jupyter:
#   jupytext:
#     cell_metadata_filter: tags,-all
#     notebook_metadata_filter: jupytext,kernelspec,-jupytext.text_representation.jupytext_version
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 05b Which mistake makes pruning look harmful?
#
# **Question.** Break the algorithm in exactly one place at a time: how much accuracy does each mistake cost?
#
# **Paper.** Section 1 (the algorithm in four steps), Section 2 and Figure 4 (Lenet keeps its accuracy down to a few
# percent of its weights), footnote 2 of Section 2 (training never stops early).
#
# **Earlier attempt.** An unfinished reproduction of 2020 (`grantgasser/lottery-ticket-hypothesis-reproduction`) found
# that "test accuracy goes down significantly the more we prune" and suspected two causes: that its training really
# stopped early, and that its validation set lay inside its training set. Notebook 05a takes its use of
# `torch.nn.utils.prune` apart; here we measure.
#
# **If either suspicion is right we expect** that suspect alone to cost a percentage point of test accuracy or more near
# 17 % of weights; if it is wrong, less. The bound was fixed before the runs: what the attempt saw is far larger.

# %% tags=["parameters"]
# "report": read committed records | "quick": train at laptop scale | "paper": train what is missing, then report
profile = "report"

# %%
from lth_utils import faults, notebooks, plots
from lth_utils.plots import comparisons
from lth_utils.plots import faults as fault_plots

print(notebooks.check_profile(profile))
compared = profile != "quick"  # numbers of laptop scale are judged by nothing
mark = "" if compared else comparisons.LAPTOP

# %% [markdown]
# ## Protocol
#
# The correct protocol is the paper's: train Lenet, prune the smallest survivors of every layer, set the rest back to
# their initial weights, repeat. It runs on `lth_utils.reference`, about a hundred plain lines whose steps can be
# exchanged one by one. Each *arm* has one mistake: in a step, a rate, the data or the reading. The networks of one
# trial share their initial weights and the order of their images, whatever the arm. (Where more images are trained on,
# the order is another. The rate that goes on decaying brings its decay along, from the first round on; its dense
# network shows that the decay alone does no harm.) Percent of weights remaining is P_m, a *rung* is one of its values;
# the *early-stop iteration* is where the validation loss is lowest, and accuracies are read there unless the end of
# training is named.
#
# | setting | paper | ours | why |
# |---|---|---|---|
# | network, optimizer, batch | Lenet, Adam at 1.2e-3, batches of 60 (Figure 2) | the same | only the fault may differ |
# | length | 50K iterations | shorter, printed below | the minimum of the validation loss lies inside for the correct protocol |
# | rounds | up to 28 | 8 after the dense one | enough to reach 17 % of weights |
# | trials | 5 | 3 | computing time; differences are taken within a trial, from the same initial weights |
# | early stop | read off afterwards | the same, where it is not the fault | footnote 2 |

# %% [markdown]
# ## The faults
#
# Seven of them stand together in the attempt that is quoted above: real early stopping, training on validation
# images, a mask that is not enforced, a copy of the weights after training, an optimizer of a replaced model, a
# learning rate that goes on decaying, and 41 % per round, which is what (.002)^(1/7) would have to *keep*. Frozen
# negative weights and aliased initial weights come from a much copied script (`rahulvigneswaran/Lottery-Ticket-
# Hypothesis-in-Pytorch`), Adam's moments and the choice on the test set from another reproduction (`Grzejdziok/deep-
# learning-group-2`). The two that remain, on biases and the output layer, depart from Figure 2 and are made easily.
#
# The second line of an entry names the assertions of `lth_utils.checks` that fail under the fault. `faults.audit`
# prunes Lenet for three short rounds, on a hundred noisy patterns, with the assertions about tickets in their places
# and reports what failed; the correct protocol must pass them all.

# %% tags=["nbval-check-output"]
from lth_utils.faults import audit

for fault in faults.FAULTS:
    found = audit.caught(fault)
    assert set(found) == set(fault.caught_by)
    print(f"{fault.label}: {fault.mistake}")
    print("    caught by", ", ".join(fault.caught_by) or "no check, as it should be")
print(f"not detectable this way: {', '.join(faults.UNDETECTED) or 'none'}")

# %% [markdown]
# Two remarks. A pruning rate that is misread from the paper is caught only if the check is given the paper's rate: no
# assertion can compare code with a text. And a mask that is not enforced is caught by a count of weights; the
# ranking below shows that accuracy alone would not give it away.
#
# This is how the checklist is used. It takes any module, needs nothing else of ours, and each failure says where.

# %% tags=["nbval-check-output"]
import torch

from lth_utils import checks

torch.manual_seed(0)
model = torch.nn.Sequential(torch.nn.Linear(8, 6), torch.nn.ReLU(), torch.nn.Linear(6, 2))
initial_weights = model.state_dict()  # not cloned: the classic
try:
    checks.saved_weights_are_copies(model, initial_weights)
except checks.CheckFailed as failure:
    print(failure)
initial_weights = {name: value.clone() for name, value in initial_weights.items()}
checks.saved_weights_are_copies(model, initial_weights)
print("cloned: passes")

# %% [markdown]
# `lth_utils/checks.py` lists its assertions by the moment at which they belong: once, at the start of a round, after
# training, after pruning, for every control and for every number that is reported.

# %% tags=["nbval-check-output"]
print(checks.__doc__.split("belong:\n\n")[1].split("\n\nEach")[0])

# %% [markdown]
# ## The runs

# %% tags=["nbval-check-output"]
runs = faults.obtain(profile)
names = {name: fault.label for name, fault in faults.FAULT.items() if name in set(runs["variant"])}
frame = comparisons.labelled(runs, names)
lengths = frame[frame["variant"] == ""]["training_iterations"]
sizes = frame["variant"].nunique() - 1, frame["trial"].nunique(), frame["pruning_round"].nunique()
print("faults {}, trials {}, rounds with the dense one {}".format(*sizes) + f"; {len(frame)} records{mark}")
print(f"correct protocol: {lengths.min():,} to {lengths.max():,} iterations per round")
assert not frame["diverged"].any()

# %% [markdown]
# Are the arms what they claim to be? Dense networks differ only where a fault reaches the first round; the ladders
# differ only for the two rates; and a training that really stops is shorter than planned, at least with the shorter
# patience, or the fault never fired.

# %% tags=["nbval-check-output"]
dense = frame[frame["pruning_round"] == 0].pivot(
    index="variant", columns="trial", values="test_accuracy_at_end"
)
untouched = [label for name, label in names.items() if name and (dense.loc[name] == dense.loc[""]).all()]
print("the same dense network as the correct protocol:", *untouched, sep="\n    ")
deepest = frame[(frame["pruning_round"] == 8) & (frame["trial"] == 0)].set_index("setting")
print("P_m of the last round:")
for value, group in deepest.groupby(deepest["percent_remaining"].round(2), sort=False):
    print(
        f"{value:>9.2f}  {len(group)} settings"
        if len(group) > 2
        else f"{value:>9.2f}  {', '.join(group.index)}"
    )

# %% tags=["nbval-check-output"]
stopped = frame[frame["variant"].str.startswith("stopped_after")]
for setting, arm in stopped.groupby("setting", sort=False):
    ended = arm["training_iterations"]
    print(f"{setting}: {ended.min():,} to {ended.max():,} iterations, mean {ended.mean():,.0f}")
    if compared and "1 epoch" in setting:
        assert ended.min() < lengths.min()
if stopped.empty:
    print(f"no arm that stops early{mark}")

# %% [markdown]
# ## What does each fault do to the curve?
#
# Faults stand in the order of their cost. Look for an orange line that leaves the black one: in the upper
# panels most do not, in the lower ones several do.

# %%
table = fault_plots.costs(frame)
limits = {"test_accuracy_at_early_stop": (0.965, 0.987), "early_stop_iteration": (0, 10_000)}
figure, drawn = fault_plots.small_multiples(frame, table["variant"].tolist(), limits if compared else None)
alt = "Test accuracy and early-stop iteration over percent of weights remaining, two panels per fault, costliest first."
plots.save(figure, drawn, "05b_one_fault_at_a_time", profile, alt=alt)

# %% [markdown]
# *Lines: means over three trials (one at laptop scale); bars: minimum to maximum. Upper panels: test accuracy at
# early-stop, on a cut axis; where the mean under a fault leaves that axis, the panel says how far it falls. Lower
# panels: the early-stop iteration. Black is the correct protocol, the same in all panels. Rungs below 12 % of weights,
# which only faster pruning reaches, are not drawn.*
#
# Round by round, the correct protocol and the three costliest faults: two leave the axis at once, but not alike.

# %% tags=["nbval-check-output"]
digits = {"test_accuracy_at_early_stop": "{:.3f}", "early_stop_iteration": "{:.0f}"}
costliest = drawn[drawn["variant"].isin(["", *table["variant"][:3]])]
for metric, rows in costliest.groupby("metric", sort=False):
    means = rows.pivot(index="setting", columns="pruning_round", values="mean")
    print(metric.replace("_", " ") + mark)
    print(means.to_string(float_format=digits[metric].format), end="\n\n")

# %% [markdown]
# ## What does each fault cost near 17 % of weights?
#
# The correct protocol minus the fault within each trial, at the rung of the correct protocol nearest to 17 %. Where a
# fault changes the ladder, its accuracy is interpolated between its two neighbouring rungs over the logarithm of P_m.
# A positive difference of accuracies is a loss, a negative one a gain; in brackets stands the 95 % t-interval over
# trials. With so many intervals at one rung one of them may exclude zero by chance, so small losses mean little.

# %% tags=["nbval-check-output"]
print(f"at {table['percent_remaining'].iloc[0]:.2f} % of weights{mark}")
print(fault_plots.ranking(table))

# %% tags=["nbval-check-output"]
if compared:
    assert (table["trials"] == 3).all()
    low, high = (table[f"test_accuracy_at_early_stop_{end}"] for end in ("low", "high"))
    told = {
        "lose accuracy": low > 0,
        "gain accuracy": high < 0,
        "cannot be told from zero": (low <= 0) & (high >= 0),
    }
    for what, chosen in told.items():
        print(f"{what}: {chosen.sum()}", *table.loc[chosen, "setting"], sep="\n    ")

# %% [markdown]
# ## The two suspects
#
# "Real" early stopping, and a validation set inside the training set: does either cost a percentage point or more?
# The word is decided by the interval: *reproduced* if all of it lies above the bound, *not reproduced* if all lies
# below.

# %% tags=["nbval-check-output"]
BOUND = 0.01
for suspect in ("stopped_after_1_epoch", "stopped_after_5_epochs", "validation_trained_on"):
    if suspect in names:
        print(
            fault_plots.judged(table, suspect, BOUND) if compared else f"{names[suspect]}: not judged{mark}"
        )

# %% [markdown]
# And the reverse question: which faults alone do bring accuracy down by a point or more?

# %% tags=["nbval-check-output"]
if compared:
    for row in table.itertuples():
        if row.test_accuracy_at_early_stop_estimate > BOUND:
            print(fault_plots.judged(table, row.variant, BOUND))
own = frame[frame["variant"] == ""].groupby("pruning_round")["test_accuracy_at_early_stop"].mean()
print(f"correct protocol: {100 * own[0]:.2f} % dense, {100 * own[8]:.2f} % in the last round{mark}")

# %% [markdown]
# ## How to find your bug
#
# Read the shape of your own curve against the panels.
#
# - *A cliff at the first pruning, and the lowest loss before the first update.* The optimizer belongs to a model that
#   no longer exists. Nothing trains after the first round, and what is measured is an untrained network under a mask.
# - *A slide over several rounds, the lowest loss at the very end of training, then at its very start.* Something is
#   never set back between rounds; here it is a learning rate that goes on decaying until nothing moves.
# - *Too low already before anything is pruned.* Do not look at the pruning: training itself is wrong. Here about half of
#   all weights cannot move.
# - *The right accuracy, and a loss that turns late or never.* The validation images are trained on. Their loss keeps
#   falling, so the early-stop iteration moves towards the end and says nothing; the test accuracy gives no sign of it.
# - *About the right accuracy, and sooner than it should be in the first rounds.* Rounds start from trained weights:
#   there was no rewind. What is found is good pruning, not a winning ticket.
# - *Nothing to see.* Most mistakes leave Lenet on MNIST about where it was. Count weights, compare tensors, run the
#   checks: no accuracy will tell.
#
# ## Limits
#
# One small network on one easy data set; three trials; runs that are shorter than the paper's. Faults were injected
# one by one, while real scripts combine them: the attempt that we quote has seven at once. A cost that cannot be told
# from zero here is not shown to be zero elsewhere.
#
# **We saw**
#
# - that neither suspect alone costs what was asked for, by rule, down to 17 % of the weights: training that really
#   stops early, and validation images in the training set; smaller networks were not tried;
# - two faults that alone bring Lenet almost down to chance, an optimizer bound to a replaced model and a learning rate
#   that is never set back; the attempt has both and suspects neither;
# - one more that costs about the point that was asked for, and shows before anything is pruned;
# - that most faults cannot be told from the correct protocol by their accuracy, and that every one of them is caught by
#   a check.
