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
# # 01 Does a dense Lenet reach about 98 % on MNIST?
#
# **Question.** Before anything is pruned: is our dense network the one that the paper starts from?
#
# **Paper.** Figure 2 (the network and its training), and the dense network's curves in Figures 3, 4 and 11.
#
# **If false we expect** a mean test accuracy outside 97.6 to 98.3 %, a range fixed before the runs, or learning curves
# that leave the paper's. Every later notebook would then measure something else.

# %% tags=["parameters"]
# "report": read committed records | "quick": train at laptop scale | "paper": train what is missing, then report
profile = "report"

# %%
from lth_utils import campaign, experiments, masks, networks, notebooks, paper, plots, records
from lth_utils.paper import figures as paper_figures
from lth_utils.plots import comparisons

print(notebooks.check_profile(profile))
mine = campaign.obtain(experiments.baseline(profile), profile)  # the answer speaks of these
runs = campaign.obtain(experiments.baseline("report"), "report")  # and all the rest of the committed ones

# %% [markdown]
# ## The answer

# %% tags=["nbval-check-output"]
dense = comparisons.labelled(mine, {"": "dense Lenet, raw / 255"})
accuracy, stop = dense["test_accuracy_at_early_stop"], dense["early_stop_iteration"]
trained = f"{len(dense)} dense Lenets, trained for {dense['training_iterations'].iloc[0]:,} iterations, read"
trained += f" {100 * accuracy.mean():.2f} % of the test images right ({100 * accuracy.min():.2f} to"
trained += f" {100 * accuracy.max():.2f} %)"
if profile == "quick":
    print(f"On your machine: {trained}.\nNothing is compared:", end=" ")
    print(f"the paper trains for {paper.protocol('lenet').training_iterations:,} iterations.")
    others = mine[mine["variant"] != ""].groupby("variant")["test_accuracy_at_early_stop"].mean()
    print("Other settings:", ", ".join(f"{name} {100 * share:.2f} %" for name, share in others.items()))
else:
    assert 0.976 < accuracy.mean() < 0.983
    (theirs,) = paper_figures.dense("lenet", "test_accuracy_at_early_stop").itertuples()
    (their_stop,) = paper_figures.dense("lenet", "early_stop_iteration").itertuples()
    print(f"Yes: {trained};\nthe paper's five read {100 * theirs.mean:.2f} %", end=" ")
    print(f"({100 * theirs.minimum:.2f} to {100 * theirs.maximum:.2f} %).")
    print(f"Our validation loss is lowest after {stop.mean():,.0f} iterations ({stop.min():,} to", end=" ")
    print(f"{stop.max():,}), the paper's after {their_stop.mean:,.0f}", end=" ")
    print(f"({their_stop.minimum:,.0f} to {their_stop.maximum:,.0f}).")

# %%
window = {"validation_loss": (0.04, 0.2), "validation_accuracy": (0.94, 0.99)}
own_curves = comparisons.labelled(records.curves(mine), {"": "dense Lenet, raw / 255"})
figure, table = plots.learning_curves(own_curves, list(window), limits=window)
alt = "Validation loss and accuracy of dense Lenets while they train, the loss beside the paper's."
plots.save(figure, table, "01_learning_curves", profile, alt=alt)

# %% [markdown]
# *Thin lines: single trials. Thick: their mean. Grey: mean validation loss of the paper's five dense trials, digitized
# from Figure 11; the paper plots no validation accuracy over time. At full length both axes are cut.*
#
# The test accuracy is read where the validation loss is lowest: at *early-stop*. Nothing ever stops training early; the
# iteration is looked up afterwards. A *trial* repeats everything from other seeds. **What follows discusses the
# committed records (profile report).**
#
# ## Protocol
#
# | setting | paper | ours | why |
# |---|---|---|---|
# | network | 784-300-100-10, "266K" weights (Figure 2) | the same | asserted below |
# | optimizer, batch | Adam at 1.2e-3, batches of 60 (Figure 2) | the same | Adam's other constants are not stated: the defaults, on which TensorFlow and PyTorch agree |
# | learning rate schedule | none mentioned for Lenet | constant | a decay is compared below |
# | length | 50K iterations (Figure 2) | shorter, printed below | enough to see the minimum of the validation loss; notebook 03 trains at full length |
# | initial weights | "Gaussian Glorot" (Figure 2) | Gaussian Glorot cut at two standard deviations, biases zero | the cut is read off Figure 15; biases are **not stated** |
# | data | 55,000 / 5,000 / 10,000 images to train, validate, test | the same, one fixed split | the validation images are "randomly sampled" from the training images |
# | data order | reshuffled every epoch (Appendix G.1) | the same | a batch may span two epochs, so no image is dropped |
# | pixel scaling | **not stated** | raw / 255 | chosen below among three candidates |
# | loss, activation | **not stated** | cross-entropy, ReLU | the usual pair |
# | evaluation | every 100 iterations; bars from minimum to maximum over 5 trials | the same | the paper's marks lie one iteration after ours |

# %% tags=["nbval-check-output"]
curves = records.curves(runs)
untrained = curves[curves["iteration"] == 0]
assert untrained["validation_accuracy"].max() < 0.3
assert untrained["validation_loss"].min() > 2.2  # an even guess costs log(10) = 2.303
for (variant, differences), group in runs.groupby(["variant", "protocol_differences"]):
    print(f"{variant or '(paper)':<16}{len(group)} trials; {differences}")

# %% [markdown]
# Within a trial all six settings start from the same initial weights and see the images in the same order. Each line
# names everything that differs from the paper.
#
# ## Is it the paper's network?
#
# Three checks need no training. First the sizes: "266K" weights; pruning never touches biases.

# %% tags=["nbval-check-output"]
drawn = networks.initial_weights("lenet", seed=0)
everything = masks.ones(drawn)
counts = {layer: int(mask.sum()) for layer, mask in everything.items()}
assert counts == {"fc1.weight": 784 * 300, "fc2.weight": 300 * 100, "output.weight": 100 * 10}
assert counts == paper.weight_counts("lenet") and sum(counts.values()) == 266_200
for layer, count in (counts | {"together": sum(counts.values())}).items():
    print(f"{layer:<14}{count:>8,}")

# %% [markdown]
# Second the ladder. A *round* of pruning removes 20 % of a layer's surviving weights, half of that in the output layer.
# So the percent of weights remaining (P_m) after every round is known in advance. We prune for real and hold the counts
# against the formula, and against the places of the points in the paper's Figures 4 and 12.

# %% tags=["nbval-check-output"]
ladder, pruned = [], everything
for pruning_round in range(29):
    ladder.append(100 * masks.density(pruned))
    assert abs(ladder[-1] - paper.percent_remaining("lenet", pruning_round)) < 0.001
    pruned = masks.prune_smallest(drawn, pruned, paper.protocol("lenet").pruning_rates)
plotted = paper.curves().query("fig in (4, 12) and series == 'Winning Ticket (Iterative)'")
places = plotted["x"] / plotted["round"].astype(int).map(dict(enumerate(ladder)))
assert places.between(0.998, 1.002).all()
print("P_m (%):", *(f"{percent:.3g}" for percent in ladder))
print(f"{len(places)} plotted points, up to round {plotted['round'].max():.0f}, lie on this ladder")

# %% [markdown]
# Third the initial weights. In Figure 15 the paper's histograms end in hard edges at twice Glorot's standard deviation
# sigma. The spread inside is that of a normal distribution cut there and left as it is. A plain Glorot normal would be
# a seventh wider and have no edges.

# %% tags=["nbval-check-output"]
for layer in counts:
    sigma = (2 / sum(drawn[layer].shape)) ** 0.5
    edge, spread = float(drawn[layer].abs().max()), float(drawn[layer].std())
    assert 1.9 < edge / sigma < 2 and abs(spread / sigma - 0.8796) < 0.03
    print(
        f"{layer:<14}sigma {sigma:.4f}, largest {edge / sigma:.2f} sigma, spread {spread / sigma:.2f} sigma"
    )
assert not any(drawn[name].any() for name in drawn if name.endswith("bias"))

# %% [markdown]
# ## How did the paper scale its pixels?
#
# It does not say, and the choice moves everything that is read at early-stop. The candidates: raw values divided by
# 255; those minus the data set's mean and over its standard deviation, as in many PyTorch examples; every image brought
# to unit length, as in code that the authors published later. Look which column follows the grey line.

# %%
scalings = {"": "raw / 255", "standardized": "mean / std", "unit_norm": "unit length"}
scaled = comparisons.labelled(curves, scalings)
figure, losses = plots.learning_curves(scaled, ["validation_loss"], limits=window)
alt = "Validation loss under three pixel scalings, each beside the paper's."
plots.save(figure, losses, "01_scaling_loss", profile, alt=alt)

# %%
limits = {"test_accuracy": (0.91, 0.98)}
figure, early = plots.learning_curves(scaled, ["test_accuracy"], limits=limits, last_iteration=2100)
alt = "Test accuracy of the first iterations under three pixel scalings, each beside the paper's."
plots.save(figure, early, "01_scaling_accuracy", profile, alt=alt)

# %% [markdown]
# *Top: validation loss, in grey the paper's Figure 11. Bottom: test accuracy of the first iterations, in grey its
# Figure 3. Thin lines single trials, thick their mean.*

# %%
metrics = ["early_stop_iteration", "test_accuracy_at_early_stop", "validation_loss_at_early_stop"]
figure, at_stop = plots.compare_settings(comparisons.labelled(runs, scalings), metrics)
alt = "Early-stop iteration, and accuracy and loss there, of every trial under three pixel scalings."
plots.save(figure, at_stop, "01_scaling_at_early_stop", profile, alt=alt)

# %% [markdown]
# *Dots: single trials. Dash and bar: mean, minimum to maximum. Grey line and band: the paper's dense network, mean and
# minimum to maximum of five trials; it reports no loss at early-stop.*

# %% tags=["nbval-check-output"]
import pandas as pd

print("our mean inside the paper's bars, where it draws any")
print(comparisons.inside_paper_bars(pd.concat([early, losses, at_stop])).to_string(), end="\n\n")
distance = comparisons.distance_from_paper(pd.concat([early, losses]))
print("root mean square distance from the paper's curve")
print(distance.to_string(float_format="%.4f"))
assert (distance.idxmin(axis=1) == "raw / 255").all()

# %% [markdown]
# **We choose raw / 255.** It is the nearest on both curves and the only candidate whose early-stop iteration and
# accuracy both lie in the paper's range. The loss of mean / std bottoms out too high; unit length starts too slowly. A
# mix or another scaling may fit as well.
#
# The choice has a price. The dense early-stop iteration, the accuracy there and the first iterations were used to make
# it, so they are **no longer a test of the reproduction**. The ledger of claims marks the conditions that lean on them
# and does not score those.
#
# Under raw / 255 the corners of MNIST are zero in every image. Such a pixel sends no gradient: its weights keep the
# values that they were drawn with. They are mostly smaller than trained weights, so pruning takes most of them early.

# %% tags=["nbval-check-output"]
run = next(run for run in experiments.baseline("report") if run.keeps_weights)
weights = campaign.chain("report").dense_weights(run)["fc1.weight"]
initial = networks.initial_weights("lenet", run.seeds["init"])["fc1.weight"]
still = (weights == initial).all(dim=0)
assert 60 < int(still.sum()) < 80 and bool(still[0])
print(f"trial 0: {int(still.sum())} of {still.numel()} pixels never moved a weight;", end=" ")
print(f"spread of their weights {weights[:, still].std():.4f}, of all others {weights[:, ~still].std():.4f}")

# %% [markdown]
# ## Does a decaying learning rate matter?
#
# The paper names drops of the rate for its deeper networks and none for Lenet. We try what tutorials do: 0.7 times the
# rate after every epoch. Look which of the two keeps to the grey line.

# %%
decays = comparisons.labelled(curves, {"": "constant rate", "step_decay": "rate x 0.7 every epoch"})
figure, table = plots.learning_curves(decays, list(window), limits=window, last_iteration=5000)
alt = "Validation loss and accuracy with a constant and with a decayed learning rate; the decayed curves are smoother."
plots.save(figure, table, "01_step_decay", profile, alt=alt)

# %% [markdown]
# *As the first figure; both columns share their axes. The gain compares the two settings within each trial.*

# %% tags=["nbval-check-output"]
last = comparisons.by_trial(decays[decays["iteration"] == 5000], "validation_accuracy")
print("gain of the decay at iteration 5,000:", comparisons.interval(last.diff().iloc[1], "points"))
losses = table[table["metric"] == "validation_loss"]
print("root mean square distance from the paper's curve")
print(comparisons.distance_from_paper(losses).to_string(float_format="%.4f"))

# %% [markdown]
# A decay in the paper is unlikely. With it the accuracy is higher and the loss keeps falling where the paper's has
# stopped. We keep the rate constant.
#
# ## Discussion
#
# *What agrees.* The network has the paper's sizes, ladder and initial distribution. Its validation loss follows
# Figure 11 down and up again. Its mean accuracy at early-stop lies among the paper's trials and inside the range asked
# for; the interval of that mean reaches just past the upper end of the range.

# %% tags=["nbval-check-output"]
committed = comparisons.labelled(runs, {"": "dense Lenet, raw / 255"})
for metric in ("test_accuracy_at_early_stop", "train_accuracy_at_early_stop"):
    (values,) = comparisons.by_trial(committed, metric).to_numpy()
    print(f"{metric.replace('_', ' ')}: {comparisons.interval(values)}")
    print("    " + comparisons.paper_range("lenet", metric), end="")

# %% [markdown]
# *What does not.* Our early-stop iterations come later on average, and the train accuracy there is higher accordingly.
# The smallest explanation is noise. Around the minimum the loss is flat and jitters, so its iteration differs between
# trials by more than a thousand, here and in the paper. Five trials cannot separate the two means; a few dozen would.
# These runs are also shorter than the paper's: a later minimum would go unseen, though none comes close to the end.
#
# *Open.* The paper's plotted training accuracies are multiples of 1/60,000 although 55,000 images are said to be
# trained on. Notebook 03 trains on all 60,000 and says why a longer epoch is unlikely.
#
# ## Fine print: numbers reported elsewhere
#
# An unfinished reproduction (source at the end) reports the dense network's validation accuracy after one epoch and
# after five, with the decayed rate, read on 500 images. We allow twice the sampling error of 500 images. An epoch is 55,000 images
# or 60,000; we look at both. It also reports that Adam does not converge at a learning rate of 1.0 and that Adadelta
# does; we call a trial converged if its last validation accuracy is above 95 %.

# %% tags=["nbval-check-output"]
for iteration, reported in {900: 0.9755, 1000: 0.9755, 4600: 0.9806, 5000: 0.9806}.items():
    read = curves[curves["variant"].eq("step_decay") & curves["iteration"].eq(iteration)]
    error = 2 * (reported * (1 - reported) / 500) ** 0.5
    judged = comparisons.verdict(read["validation_accuracy"], reported - error, reported + error)
    print(f"iteration {iteration:,}, {100 * reported:.2f} % reported: mean {judged}")
for variant, name in {"adam_rate_1": "Adam", "adadelta_rate_1": "Adadelta"}.items():
    last = curves[curves["variant"].eq(variant) & curves["iteration"].eq(5000)]["validation_accuracy"]
    print(f"{name} at a rate of 1.0: {(last > 0.95).sum()} of {len(last)} trials converged")

# %% [markdown]
# **We saw**
#
# - a dense Lenet that passes the gate: every trial near 98 %, their mean inside the range fixed before;
# - raw / 255 pixels as the scaling nearest to the paper, chosen with quantities that can no longer test it;
# - that a decaying learning rate raises the validation accuracy and leaves the paper's loss curve;
# - Adam at a rate of 1.0 stuck at chance in every trial, and Adadelta at the same rate learning in every trial.
#
# <small>Source of the fine print: `grantgasser/lottery-ticket-hypothesis-reproduction` on GitHub, 2020. What it calls
# "60K iterations" is one epoch, counted in examples.</small>
