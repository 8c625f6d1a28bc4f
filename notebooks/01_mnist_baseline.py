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
# **Paper.** Figure 2 (the network and its training), Figures 3 and 4 (its curves at "100.0" percent of weights
# remaining), Figure 11 and Appendix C (its validation loss).
#
# **Earlier attempt.** An unfinished reproduction of 2020 (`grantgasser/lottery-ticket-hypothesis-reproduction`)
# reports a handful of numbers for this network alone. We rerun each of them and say what holds.
#
# **If false we expect** a mean test accuracy at early-stop outside 97.6 to 98.3 %, a range fixed before the runs, or
# learning curves that leave the paper's. Every later notebook would then measure something else.

# %% tags=["parameters"]
# "report": read committed records | "quick": train at laptop scale | "paper": train what is missing, then report
profile = "report"

# %%
from lth_utils import campaign, experiments, notebooks, paper, plots, records
from lth_utils.plots import comparisons

print(notebooks.check_profile(profile))
compared = profile != "quick"  # numbers of laptop scale are compared with nothing
mark = "" if compared else comparisons.LAPTOP
protocol = paper.protocol("lenet")

# %% [markdown]
# ## Protocol
#
# Draw initial weights; train on batches; every 100 iterations write down loss and accuracy on validation data. Read
# afterwards at which iteration the validation loss was lowest (the *early-stop iteration*) and take the test accuracy
# of that very moment. Nothing ever stops early. A *trial* repeats all of it from other seeds.
#
# | setting | paper | ours | why |
# |---|---|---|---|
# | network | 784-300-100-10, "266K" weights (Figure 2) | the same | asserted below |
# | optimizer, batch | Adam at 1.2e-3, batches of 60 (Figure 2) | the same | Adam's other constants are not stated: we keep the defaults, on which TensorFlow and PyTorch agree |
# | learning rate schedule | none mentioned for Lenet | constant | the earlier attempt used a decay: compared below |
# | length | 50K iterations (Figure 2) | shorter, printed below | enough to see the minimum of the validation loss; the full length belongs to the notebooks that prune |
# | initial weights | "Gaussian Glorot" (Figure 2) | Gaussian Glorot cut at two standard deviations, biases zero | the cut is read off Figure 15 and checked below; biases are **not stated** |
# | data | 55,000 / 5,000 / 10,000 images to train, validate, test | the same, one fixed split | the validation images are "randomly sampled" from the training images |
# | data order | reshuffled every epoch (Appendix G.1) | the same | a batch may span two epochs, so no image is dropped |
# | pixel scaling | **not stated** | raw / 255 | chosen below among three candidates |
# | loss, activation | **not stated** | cross-entropy, ReLU | the usual pair |
# | evaluation | every 100 iterations; bars from minimum to maximum over 5 trials | the same | the paper's marks lie one iteration after ours |

# %% [markdown]
# ## Is it the paper's network?
#
# Three checks that need no training. First the sizes: Figure 2 says "266K" weights; pruning never touches biases.

# %% tags=["nbval-check-output"]
from lth_utils import masks, networks

drawn = networks.initial_weights("lenet", seed=0)
everything = masks.ones(drawn)
counts = {layer: int(mask.sum()) for layer, mask in everything.items()}
assert counts == {"fc1.weight": 784 * 300, "fc2.weight": 300 * 100, "output.weight": 100 * 10}
assert counts == paper.weight_counts("lenet") and sum(counts.values()) == 266_200
for layer, count in (counts | {"together": sum(counts.values())}).items():
    print(f"{layer:<14}{count:>8,}")

# %% [markdown]
# Second the ladder. Every round prunes 20 % of the surviving weights of a layer and half of that share in the output
# layer, so the percent of weights remaining (P_m) is known in advance for every round. We prune for real, round after
# round, and hold the counts against the formula and against the places of the points in the paper's Figures 4 and 12.

# %% tags=["nbval-check-output"]
ladder, pruned = [], everything
for pruning_round in range(29):
    ladder.append(100 * masks.density(pruned))
    assert abs(ladder[-1] - paper.percent_remaining("lenet", pruning_round)) < 0.001
    pruned = masks.prune_smallest(drawn, pruned, protocol.pruning_rates)
plotted = paper.curves().query("fig in (4, 12) and series == 'Winning Ticket (Iterative)'")
places = plotted["x"] / plotted["round"].astype(int).map(dict(enumerate(ladder)))
assert places.between(0.998, 1.002).all()
print("P_m (%):", *(f"{percent:.3g}" for percent in ladder))
print(f"{len(places)} plotted points, up to round {plotted['round'].max():.0f}, lie on this ladder")

# %% [markdown]
# Third the initial weights. In Figure 15 the paper's histograms end in hard edges at twice Glorot's standard deviation
# sigma, and the spread inside is that of a normal distribution cut there and left as it is. A plain Glorot normal would
# be a seventh wider and have no edges.

# %% tags=["nbval-check-output"]
for layer in counts:
    sigma = (2 / sum(drawn[layer].shape)) ** 0.5
    edge, spread = float(drawn[layer].abs().max()), float(drawn[layer].std())
    assert 1.9 < edge / sigma < 2 and abs(spread / sigma - 0.8796) < 0.03
    sizes = f"sigma {sigma:.4f}   largest {edge:.4f}   spread {spread:.4f} = {spread / sigma:.2f} sigma"
    print(f"{layer:<14}{sizes}")
assert not any(drawn[name].any() for name in drawn if name.endswith("bias"))

# %% [markdown]
# ## The runs
#
# Six settings. Within a trial all of them start from the same initial weights and see the images in the same order. The
# first line is the paper's setting with raw / 255 pixels; each line names everything that differs from the paper. Two
# more checks: untrained networks are at chance level, and the early-stop loss is the minimum of the recorded curve.

# %% tags=["nbval-check-output"]
runs = campaign.obtain(experiments.baseline(profile), profile)
curves = records.curves(runs)
untrained = curves[curves["iteration"] == 0]
assert untrained["validation_accuracy"].max() < 0.3
assert untrained["validation_loss"].min() > 2.2  # an even guess costs log(10) = 2.303
lowest = curves.groupby("run_key")["validation_loss"].min()
assert (lowest - runs.set_index("run_key")["validation_loss_at_early_stop"]).abs().max() < 1e-5
for (variant, differences), group in runs.groupby(["variant", "protocol_differences"]):
    print(f"{variant or '(paper)':<16}{len(group)} trials{mark}; {differences}")

# %% [markdown]
# ## Do five dense trials reach about 98 %?
#
# Look for the validation loss to fall, bottom out and rise as in Appendix C, near the grey line, while the accuracy
# still creeps up.

# %%
labels = {"": "dense Lenet, raw / 255"}
dense, dense_curves = comparisons.labelled(runs, labels), comparisons.labelled(curves, labels)
window = {"validation_loss": (0.04, 0.2), "validation_accuracy": (0.94, 0.99)}
if not compared:
    window = {"validation_loss": (0.05, 0.5), "validation_accuracy": (0.85, 1)}
figure, table = plots.learning_curves(dense_curves, list(window), limits=window, paper_dense=compared)
alt = "Validation loss and accuracy of dense Lenets while they train, the loss beside the paper's."
plots.save(figure, table, "01_learning_curves", profile, alt=alt)

# %% [markdown]
# *Thin lines: single trials (five; two at laptop scale). Thick: their mean. Grey: mean validation loss of the paper's
# five dense trials, digitized from Figure 11; the paper plots no validation accuracy over time. Both axes are cut.*

# %% tags=["nbval-check-output"]
for metric in window:
    print(comparisons.at_iterations(table, metric, [500, 1000, 3000, 5000, 7000, 9000]))

# %% [markdown]
# The test accuracy at early-stop answers the question. The range of 97.6 to 98.3 % is a gate for the mean; the interval
# says how well five trials know that mean. Under each table stands the paper's own dense network (Figure 4).

# %% tags=["nbval-check-output"]
accuracy = comparisons.by_trial(dense, "test_accuracy_at_early_stop")
assert accuracy.min(axis=None) > 0.9
for metric in ("test_accuracy_at_early_stop", "train_accuracy_at_early_stop", "early_stop_iteration"):
    print(comparisons.text(comparisons.by_trial(dense, metric), metric), end="")
    print(comparisons.paper_range("lenet", metric) if compared else "")
if compared:
    assert 0.976 < accuracy.mean(axis=None) < 0.983
    print("test accuracy at early-stop: mean", comparisons.interval(accuracy.iloc[0]))

# %% [markdown]
# ## Do the earlier attempt's numbers hold?
#
# It reports 97.55 % on validation data after one epoch and 98.06 % after five, and calls the first number the result of
# "60K iterations". In the paper an iteration is one batch; there it was one example, so the counts differ by the batch
# size.

# %% tags=["nbval-check-output"]
batch, paper_length = protocol.batch_size, protocol.training_iterations
print(f"60,000 examples in batches of {batch}: {60_000 / batch:,.0f} iterations")
print(f"one epoch of 55,000 images: {55_000 / batch:,.1f} iterations, five: {5 * 55_000 / batch:,.1f}")
print(f"the paper's {paper_length:,} iterations: {paper_length * batch / 55_000:.1f} epochs")
print("nearest evaluations: 900 and 4,600; if an epoch is 60,000 images, 1,000 and 5,000")

# %% [markdown]
# Two more settings stand beside ours: the attempt decayed its learning rate, and we do not know how it scaled its
# pixels. It validated on 500 images that it also trained on. A share of 500 images is a multiple of 0.2 %, which
# neither number is, so they may be averages over batches; we cannot tell. We allow twice the sampling error of 500
# images and judge the line with the decayed rate, the ingredient that we know. At iteration 900 both rates are still
# the same run: the first drop comes at 917.

# %% tags=["nbval-check-output"]
labels = {"": "constant rate", "step_decay": "decayed rate", "standardized": "constant, mean / std pixels"}
candidates = comparisons.labelled(curves, labels)
for iteration, reported in {900: 0.9755, 1000: 0.9755, 4600: 0.9806, 5000: 0.9806}.items():
    evaluated = candidates[candidates["iteration"] == iteration]
    readings = comparisons.by_trial(evaluated, "validation_accuracy")
    print(f"iteration {iteration:,}", comparisons.text(readings, "validation_accuracy"), sep="\n", end="")
    if compared:
        error = 2 * (reported * (1 - reported) / 500) ** 0.5
        judged = comparisons.verdict(readings.loc["decayed rate"], reported - error, reported + error)
        print(f"decayed rate, {100 * reported:.2f} % reported: mean {judged}")
    print()

# %% [markdown]
# ## Does a decaying learning rate matter?
#
# The attempt used PyTorch's `StepLR` with a factor of 0.7 and was unsure whether the paper did. After how many
# iterations the factor applied we do not know; we read it as tutorials have it, after every epoch. The paper names
# drops of the rate for its deeper networks and none for Lenet. Look which of the two keeps to the grey line.

# %%
decays = comparisons.labelled(curves, {"": "constant rate", "step_decay": "rate x 0.7 every epoch"})
end = 5000 if compared else 1000
options = {"limits": window, "last_iteration": end, "paper_dense": compared}
figure, table = plots.learning_curves(decays, list(window), **options)
alt = "Validation loss and accuracy with a constant and with a decayed learning rate; the decayed curves are smoother."
plots.save(figure, table, "01_step_decay", profile, alt=alt)

# %% [markdown]
# *As above; both columns share their axes. The gain compares the two settings within each trial.*

# %% tags=["nbval-check-output"]
last = comparisons.by_trial(decays[decays["iteration"] == end], "validation_accuracy")
print(comparisons.text(last, "validation_accuracy"))
print(f"gain of the decay{mark}: mean", comparisons.interval(last.diff().iloc[1], "points"))
if compared:
    losses = table[table["metric"] == "validation_loss"]
    print(f"up to iteration {end:,}:", comparisons.lowest_mean(losses))
    print("root mean square distance from the paper's curve")
    print(comparisons.distance_from_paper(losses).to_string(float_format="%.4f"))

# %% [markdown]
# ## Which optimizers survive a learning rate of 1.0?
#
# The attempt says that Adam does not converge at a rate of 1.0 and that Adadelta does. We call a trial converged if its
# last validation accuracy is above 95 %. Adam's step is about as long as its rate, whatever the gradient; Adadelta's is
# scaled by the steps before it, so the same 1.0 means something else.

# %%
labels = {"": "Adam, 1.2e-3", "adam_rate_1": "Adam, 1.0", "adadelta_rate_1": "Adadelta, 1.0"}
rates = comparisons.labelled(curves, labels)
options = {"limits": {"validation_accuracy": (0, 1)}, "last_iteration": end}
figure, table = plots.learning_curves(rates, ["validation_accuracy"], **options)
alt = "Validation accuracy: Adam at its usual rate and Adadelta at 1.0 rise steeply, Adam at 1.0 stays near chance."
plots.save(figure, table, "01_rate_of_one", profile, alt=alt)

# %% [markdown]
# *Validation accuracy on its full axis; thin lines single trials, thick their mean.*

# %% tags=["nbval-check-output"]
last = comparisons.by_trial(rates[rates["iteration"] == end], "validation_accuracy")
print(comparisons.text(last, "validation_accuracy"))
if compared:
    for setting, converged in (last > 0.95).sum(axis=1).items():
        print(f"{setting}: {converged} of {last.shape[1]} trials converged")

# %% [markdown]
# ## How did the paper scale its pixels?
#
# It does not say, and the choice moves everything that is read at early-stop. The candidates: raw values divided by
# 255; those minus the data set's mean (0.1307) and over its standard deviation (0.3081), as many PyTorch examples do;
# every image brought to unit length, as in code that the authors published later. Look which column follows the grey
# line.

# %%
scalings = {"": "raw / 255", "standardized": "mean / std", "unit_norm": "unit length"}
scaled = comparisons.labelled(curves, scalings)
options = {"limits": window, "paper_dense": compared}
figure, losses = plots.learning_curves(scaled, ["validation_loss"], **options)
alt = "Validation loss under three pixel scalings, each beside the paper's."
plots.save(figure, losses, "01_scaling_loss", profile, alt=alt)

# %%
zoom = {"limits": {"test_accuracy": (0.91, 0.98)}, "last_iteration": 2100, "paper_dense": True}
figure, early = plots.learning_curves(scaled, ["test_accuracy"], **(zoom if compared else {}))
alt = "Test accuracy of the first iterations under three pixel scalings, each beside the paper's."
plots.save(figure, early, "01_scaling_accuracy", profile, alt=alt)

# %% [markdown]
# *Top: validation loss, in grey the paper's Figure 11. Bottom: test accuracy of the first iterations, in grey its
# Figure 3. Thin lines single trials, thick their mean.*

# %% tags=["nbval-check-output"]
print(comparisons.at_iterations(early, "test_accuracy", [500, 1000, 2000]))
print(comparisons.lowest_mean(losses))

# %% [markdown]
# The same for what the later notebooks read at early-stop.

# %%
final = comparisons.labelled(runs, scalings)
metrics = ["early_stop_iteration", "test_accuracy_at_early_stop", "validation_loss_at_early_stop"]
drawn_metrics = metrics if compared else metrics[2:]  # the others would stand beside the paper's
figure, at_stop = plots.compare_settings(final, drawn_metrics)
alt = "Early-stop iteration, and accuracy and loss there, of every trial under three pixel scalings."
plots.save(figure, at_stop, "01_scaling_at_early_stop", profile, alt=alt)

# %% [markdown]
# *Dots: single trials. Dash and bar: mean, minimum to maximum. Grey line and band: the paper's dense network, mean and
# minimum to maximum of five trials; it reports no loss at early-stop.*

# %% tags=["nbval-check-output"]
import pandas as pd

for metric in metrics:
    print(comparisons.text(comparisons.by_trial(final, metric), metric))
if compared:
    together = pd.concat([early, losses, at_stop])
    print("our mean inside the paper's bars, where it draws any")
    print(comparisons.inside_paper_bars(together).to_string(), end="\n\n")
    distance = comparisons.distance_from_paper(pd.concat([early, losses]))
    print("root mean square distance from the paper's curve")
    print(distance.to_string(float_format="%.4f"))
    assert (distance.idxmin(axis=1) == "raw / 255").all()

# %% [markdown]
# **We choose raw / 255.** It is the nearest on both curves and the only candidate whose early-stop iteration and
# accuracy both lie in the paper's range. The first iterations alone would not decide: mean / std is about as near
# there, but its loss bottoms out too high, and its accuracy at early-stop is not in the paper's range. Where the mean
# loss bottoms out says little around so flat a minimum. Unit length starts too slowly. A mix or another scaling may fit
# as well.
#
# The choice has a price. The dense early-stop iteration, the accuracy there and the first iterations were used to
# make it, so they are **no longer a test of the reproduction**. The ledger of claims marks the conditions that lean
# on them and does not score those; all others stay tests.

# %% [markdown]
# ## What does the first layer look like?
#
# Each picture shows the weights from the image to one hidden unit, for the first thirty units of trial 0 after its last
# iteration. Look for strokes in the middle, then at the corners.

# %%

run = next(run for run in experiments.baseline(profile) if run.keeps_weights)
kept = campaign.chain(profile)
weights = kept.dense_weights(run)["fc1.weight"].reshape(-1, 28, 28)
figure, table = plots.weight_images(weights[:30])
alt = "Weights of thirty hidden units as images: patches of both signs in the middle, fine noise along the border."
plots.save(figure, table, "01_first_layer", profile, alt=alt)

# %% [markdown]
# *One scale for all, white is zero.* In the corners MNIST is black in every image. A pixel that is always zero sends no
# gradient, so its weights keep the values that they were drawn with; under mean / std scaling they would move. The
# count draws trial 0's initial weights again from their seed and compares bit for bit. Their magnitudes are the luck of
# the draw, and mostly smaller than those of trained weights: pruning takes most of them early.

# %% tags=["nbval-check-output"]
initial = networks.initial_weights("lenet", run.seeds["init"])["fc1.weight"].reshape(-1, 28, 28)
still = (weights == initial).all(dim=0)
assert 60 < int(still.sum()) < 80 and bool(still[0, 0])
print(f"{int(still.sum())} of {still.numel()} pixels never moved a weight{mark}")
spreads = f"{weights[:, still].std():.4f}, of all others {weights[:, ~still].std():.4f}"
print(f"spread of their weights {spreads}{mark}")

# %% [markdown]
# ## Where is it most confidently wrong?
#
# The test digits that the final network of trial 0 misreads, the surest mistakes first: the label, what was read, and
# the probability that the network gave to it.

# %%
errors = kept.errors(run)
answers = zip(errors["label"], errors["prediction"], errors["confidence"], strict=True)
titles = [f"{label} read as {read}\n{100 * confidence:.4f} %" for label, read, confidence in answers]
figure, table = plots.gallery(errors["pixels"][:24], titles[:24])
alt = "Misread test digits with label, reading and confidence: " + ", ".join(titles[:24]).replace("\n", " ")
plots.save(figure, table, "01_confident_errors", profile, alt=alt)

# %% [markdown]
# *Dark is ink; probabilities are rounded.* Several would divide human readers too; others are plain digits that the
# network gets wrong with no doubt. That a network grows surer after its early-stop iteration, right or wrong, would
# explain why the loss rises while the accuracy stays; it was not measured here.

# %% tags=["nbval-check-output"]
assert (errors["label"] != errors["prediction"]).all()
least = 100 * errors["confidence"].min()
print(f"confidence of the {len(titles)} surest errors: {least:.2f} % and more{mark}")

# %% [markdown]
# ## Discussion
#
# *What agrees.* The network has the paper's sizes, ladder and initial distribution. Its validation loss follows
# Figure 11 down and up again, and its mean accuracy at early-stop lies among the paper's trials and inside the range
# that we asked for. The interval of that mean reaches just past the upper end of the range.
#
# *What does not.* Our early-stop iterations come later on average, and the train accuracy there is higher
# accordingly. The smallest explanation is noise: around the minimum the loss is flat and jitters, so the iteration of
# the minimum differs between trials by more than a thousand, here and in the paper. Five trials cannot separate the
# two means; a few dozen would. These runs are also shorter than the paper's: a minimum after their end would go
# unseen, though none comes close.
#
# *The earlier attempt.* Its five-epoch number is reproduced. Its one-epoch number is reproduced if an epoch is 60,000
# images and inconclusive if it is 55,000; in both readings it lies above every trial of ours, and only the wide error
# of 500 images covers the gap. Images that were also trained on and another initial distribution (it used a uniform
# one) are candidates; its exact setting, read on 5,000 held-out images, would tell. Its later number lies between ours
# at a constant and at a decayed rate, and its own error covers both. Both of its statements about a rate of 1.0 are
# reproduced. A decay in the paper is unlikely: with it the loss keeps falling where the paper's has stopped.
#
# *Open.* The paper's plotted training accuracies are multiples of 1/60,000 although 55,000 images are said to be
# trained on. Was an epoch a tenth longer there? Notebook 03 trains on all 60,000 and says why that is unlikely.
#
# **We saw**
#
# - a dense Lenet that passes the gate: five trials, every one near 98 %, their mean inside the range fixed before;
# - an earlier attempt whose two accuracies hold only within their own wide error, its "iterations" read as examples;
# - that a decaying learning rate raises the validation accuracy at iteration 5,000 and leaves the paper's loss curve,
#   so we keep the rate constant;
# - Adam at a rate of 1.0 stuck at chance in every trial, and Adadelta at the same rate learning in every trial;
# - raw / 255 pixels as the scaling nearest to the paper, chosen with quantities that can no longer test it.
