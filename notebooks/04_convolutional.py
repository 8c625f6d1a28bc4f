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
# # 04 Do convolutional networks hold winning tickets too?
#
# **Question.** Section 2 found tickets in a small fully connected network. Do they exist in convolutional networks on
# natural images, and do they need their own initial weights there?
#
# **Paper.** Section 3, Figure 5; from the same runs Figures 1 (notebook 02), 13 and the convolutional panels of 14.
#
# **Claims tested.** C23 to C38 of the ledger, and what C03, C04, C55, C58 and C60 say about Conv-2, Conv-4 and Conv-6.
#
# **If false we expect** tickets no faster and no more accurate than their dense network, or reinitialised networks
# that keep up with them.

# %% tags=["parameters"]
# "report": read committed records | "quick": train at laptop scale | "paper": train what is missing, then report
profile = "report"
conv2 = "paper 1"  # scale and wave of the runs that are shown; "" where there are none yet
conv4 = "reduced 1"
conv6 = "reduced 1"

# %%
import pandas as pd

from lth_utils import campaign, claims, experiments, notebooks, paper, plots, records
from lth_utils import masks as masking
from lth_utils.notebooks import summaries
from lth_utils.plots import comparisons, style

print(notebooks.check_profile(profile))
compared = profile != "quick"  # numbers of laptop scale are compared with nothing
mark = "" if compared else comparisons.LAPTOP
plan = [] if compared else experiments.plan("conv2", "quick")
for network, shown in {"conv2": conv2, "conv4": conv4, "conv6": conv6}.items():
    plan += experiments.plan(network, *shown.split()) if shown and compared else []
runs = campaign.obtain([run for run in plan if run.study == "paper"], profile)
runs = runs[runs["variant"] == ""]
rounds = {"a fifth": 7, "a twelfth": 11, "a twentieth": 14} if compared else {"a sixth": 2}

# %% [markdown]
# ## The answer
#
# Yes. Of Conv-2 the paper's whole experiment was repeated, and these are its numbers:

# %% tags=["nbval-check-output"]
mine = runs[runs["network"] == "conv2"]
mean = mine.groupby(["pruning_round", "arm"]).mean(numeric_only=True)
dense, length = mean.loc[0, "dense"], mine["training_iterations"].iloc[0]
print(f"Conv-2, {mine['trial'].nunique()} trial(s) of {length:,} iterations each{mark}\n")
print(f"{'weights':<9}{'network':<28}{'lowest loss at':>15}{'test accuracy':>15}{'at the end':>12}")
for pruning_round in [0, *rounds.values()]:
    for arm, row in mean.loc[pruning_round].sort_values("early_stop_iteration").iterrows():
        there, end = 100 * row.test_accuracy_at_early_stop, 100 * row.test_accuracy_at_end
        name = f"{row.percent_remaining:.1f} %".ljust(9) + f"{style.ARM_LABELS[arm]:<28}"
        print(f"{name}{row.early_stop_iteration:>15,.0f}{there:>13.2f} %{end:>10.2f} %")
if compared:
    ticket = mean.loc[rounds["a twelfth"], "winning_ticket"]
    ratio = dense["early_stop_iteration"] / ticket["early_stop_iteration"]
    gain = 100 * (ticket["test_accuracy_at_early_stop"] - dense["test_accuracy_at_early_stop"])
    print(
        f"\nA ticket of {ticket.percent_remaining:.1f} % learns {ratio:.1f} times as fast as the dense",
        end="",
    )
    print(f" network (the paper: 3.5 times) and is {gain:.1f} points more accurate.")

# %% [markdown]
# Tickets learn several times faster than the dense network and end more accurate. The same masks with new initial
# weights, or random masks, learn slower the sparser they are. So both the places and the values matter. Conv-4 and
# Conv-6 were trained for a quarter of the paper's length, in one trial: they point the same way and decide nothing.

# %%
figure, table = plots.figure("5", runs)
alt = (
    "Figure 5, the paper's curves in grey: tickets stop earlier and gain accuracy, reinits stop later.\n"
    + plots.alt_text(table)
)
plots.save(figure, table, "04_figure_5", profile, alt=alt)

# %% [markdown]
# *Figure 5 over P_m, the percent of weights remaining. Solid: tickets; dashed: the same masks with new weights; black
# squares: dense; grey: the paper's. Early-stop iteration (where validation loss is lowest), test and train accuracy
# there, test accuracy after the last iteration. Lines: means over trials (Conv-2: five, Conv-4 and Conv-6: one of
# reduced length); bars: minimum to maximum; faint dots: single trials. Triangle: in a trial the minimum is at the last
# evaluation, so that the mean is a bound. All axes are cut; the paper's dashed Conv-6 leaves the first one between 6 %
# and 1.5 %.*
#
# ## Protocol
#
# Train on CIFAR-10, prune the smallest survivors of every layer, set the rest back to their initial weights, train
# again. Nothing stops early: the early-stop iteration is read off afterwards.
#
# | setting | paper | ours | why |
# |---|---|---|---|
# | networks, optimizer, rates, batch | Figure 2 | the same | convolutions lose 10 % (Conv-6: 15 %) per round, fully connected layers 20 %, the output 10 % |
# | channels of Conv-6's last pair | 256 (Figure 2) | 192 | its Figure 5 lies on the ladder of 192: checked below |
# | Conv-2: length, evaluation | 20,000 iterations, every 100 | the same | |
# | Conv-4, Conv-6: length, evaluation | 25,000 and 30,000, every 100 | 6,000 and 8,000, every 200, train accuracy on 10,000 images | computing time |
# | arithmetic | not stated | bfloat16 products on weights in float32 | speed; compared with float32 below |
# | pixel scaling | **not stated** | raw values 0 to 255 | chosen below among three candidates |
# | reinits per ticket | 3 | 1 | computing time |
#
# Conv-2's runs of the paper's length were trained on one H200 by a prototype of the GPU path that took the place of the
# trainer. Seeds, initial weights, masks, data orders and records are those of this repository's own functions.

# %% tags=["nbval-check-output"]
for (network, scale, device), group in runs.groupby(["network", "scale", "device"], sort=False):
    label = f"{paper.NETWORK_LABELS[network]}, scale {scale}"
    print(f"{label}: {len(group)} runs" + (f" on {device}" if compared else mark))
print("differences from the paper:", *sorted(set(runs["protocol_differences"])), sep="\n    ")
print("diverged runs:", int(runs["diverged"].sum()))
plotted = paper.curves().query("fig == 5 and panel == 2")
for network in experiments.CONVOLUTIONAL:
    label = paper.NETWORK_LABELS[network]
    points = plotted[plotted["series"] == label].sort_values("x", ascending=False)["x"].tolist()
    ladder = [paper.percent_remaining(network, pruning_round) for pruning_round in range(len(points))]
    assert max(abs(ours / theirs - 1) for ours, theirs in zip(ladder, points, strict=True)) < 0.002
    print(f"{label}: all {len(points)} points of the paper's Figure 5 lie on its ladder")
wrong = paper.percent_remaining("conv6", 7, "channels_256")
print(f"Conv-6 after 7 rounds: {ladder[7]:.2f} %, plotted {points[7]:.2f} %; with 256 channels {wrong:.2f} %")

# %% [markdown]
# ## Ticket minus control, trial by trial
#
# A ticket shares its initial weights with its dense network, its mask with its reinit, and the order of images with
# both and with the random network of its round. So we subtract within each trial. Below zero in the upper row the
# ticket is sooner; above zero in the lower row it is more accurate.

# %%
others = ("dense", "random_reinit", "random_sparsity")
pairs = [("early_stop_iteration", "winning_ticket", arm) for arm in others]
figure, sooner = plots.difference_panels(runs, pairs)
alt = "Early-stop iteration of tickets minus dense networks, minus reinits, minus random sparse networks, trial by trial."
plots.save(figure, sooner, "04_sooner_trial_by_trial", profile, alt=alt)

# %%
pairs = [("test_accuracy_at_early_stop", "winning_ticket", arm) for arm in others]
figure, better = plots.difference_panels(runs, pairs)
alt = "Test accuracy of tickets minus dense networks, minus reinits, minus random sparse networks, trial by trial."
plots.save(figure, better, "04_better_trial_by_trial", profile, alt=alt)

# %% [markdown]
# *Small dots, set to the right of their rung: single trials; circles and bars: their mean and, from three trials on, its
# 95 % t-interval. Every panel has a scale of its own.* Conv-2 in numbers:

# %% tags=["nbval-check-output"]
shown = [21.2, 8.81, 4.58] if compared else [16.3]
for differences in (sooner, better):
    print(plots.intervals(differences[differences["network"] == "conv2"], shown) + mark)

# %% [markdown]
# ## The claims
#
# Conv-2's conditions by the frozen rule: met if the 95 % interval over trials lies inside the bounds, failed if outside,
# else inconclusive. They rest on runs in bfloat16. *Chosen* marks a quantity that helped to choose the pixel scaling.
# `python -m lth_utils claims C24 --conditions` prints those of Conv-4 and Conv-6, whose numbers are of reduced scale.

# %% tags=["nbval-check-output"]
ids = ["C03", "C04", *(f"C{number}" for number in range(23, 39)), "C55", "C58", "C60"]
comparison = claims.compare(runs if compared else runs[:0], ids)
decided = comparison[(comparison["network"] == "conv2") & (comparison["trials"] > 0)]
for row in decided.itertuples():
    paper_says = summaries.paper_number(row)
    print(f"{row.claim}{row.condition} {row.outcome:<13}{row.measure.removeprefix('Conv-2: ')}:", end=" ")
    print(f"paper {paper_says}, ours {claims.our_number(row)}, asked for {row.rule}")
waiting = comparison[(comparison["network"] == "conv2") & (comparison["trials"] == 0)]
print("not run:", *(waiting["claim"] + waiting["condition"]), mark)

# %% [markdown]
# ## Random masks beside reinits, and train accuracy
#
# Figure 14 sets the two controls side by side (C60 says that they do not differ); Figure 13 adds the train accuracy
# after the last iteration: at the paper's length the dense network, its tickets and most controls fit nearly every
# training image.

# %%
figure, table = plots.figure("14", runs, only="234")
alt = "Test accuracy at the end: tickets, reinits and random sparse networks, a panel per network."
plots.save(figure, table, "04_figure_14", profile, alt=alt)

# %%
figure, table = plots.figure("13", runs)
alt = "Train accuracy at the end joins the four panels of Figure 5, ours over the paper's in grey."
plots.save(figure, table, "04_figure_13", profile, alt=alt)

# %% [markdown]
# *As Figure 5. Figure 14: test accuracy after the last iteration, dotted for random sparsity. Figure 13: the panels of
# Figure 5, then train accuracy after the last iteration.*
#
# ## What a quarter of the length shows
#
# Conv-2 was first trained for 5,000 iterations on a CPU, in two trials, evaluated half as often. Below, each number of
# these runs stands before that of the paper's length.

# %% tags=["nbval-check-output"]
reduced = experiments.plan("conv2", "reduced", 4) if compared else plan
short = campaign.obtain(reduced, profile)
of_half = short[short["variant"] == ""].groupby(["pruning_round", "arm"]).mean(numeric_only=True)
print(f"{'weights':<9}{'network':<18}{'lowest loss at':>18}{'test accuracy there':>24}{'at the end':>20}")
for pruning_round in [0, *rounds.values()]:
    for arm in mean.loc[pruning_round].index.intersection(of_half.loc[pruning_round].index):
        few, all_ = of_half.loc[pruning_round, arm], mean.loc[pruning_round, arm]
        name = f"{all_.percent_remaining:.1f} %".ljust(9) + arm.replace("_", " ").ljust(18)
        print(f"{name}{few.early_stop_iteration:>8,.0f} | {all_.early_stop_iteration:>6,.0f} ", end="")
        for metric in ("test_accuracy_at_early_stop", "test_accuracy_at_end"):
            print(f"{100 * few[metric]:>10.2f} | {100 * all_[metric]:.2f} %", end="")
        print(mark)

# %% [markdown]
# A quarter of the length finds the tickets' early stops and their gain over the dense network. It misleads about the
# controls: it cuts off their minimum at a twentieth of the weights, and after its last iteration they stand *above* the
# ticket at a fifth, where at full length they fall behind it by more than a point.
#
# ## Does it depend on machine or precision?
#
# Wave 2 of Conv-2 trains three of the GPU's runs once more on another machine, from the same initial weights, masks and
# order of images; they stand here as soon as they are adopted. Then two networks of reduced length in float32 beside
# bfloat16.

# %% tags=["nbval-check-output"]
again = records.load(network="conv2", study=experiments.RETRAINED, adopted=True) if compared else short[:0]
precise, usual = (short[short["variant"] == variant] for variant in (experiments.FLOAT32, ""))
same = ["pruning_round", "arm", "trial"]
names = {"arm": "network", "percent_remaining": "P_m", "trial": "trial", "device": "device"}
names |= {"precision": "precision", "loss_at_0": "loss at 0", "early_stop_iteration": "lowest at"}
names |= {"test_accuracy_at_early_stop": "test there", "test_accuracy_at_end": "test at end"}
for title, once, more in (("another machine", mine, again), ("another precision", usual, precise)):
    pairs = pd.concat([once.merge(more[same]), more])
    pairs["loss_at_0"] = [curve[0] for curve in pairs["curve_validation_loss"]]
    shown = pairs.sort_values(same)[list(names)].rename(columns=names).round(4)
    print(f"{title}:", shown.to_string(index=False) if len(more) else f"not trained yet{mark}", sep="\n")

# %% [markdown]
# In float32 and bfloat16 a network starts from nearly the same loss; from then on rounding decides which way a noisy step
# goes. Float32 changes an early stop by at most one evaluation and an accuracy by up to about a point, in either direction.
#
# ## What does a ticket know before it is trained?
#
# Validation images that a network reads right before its first update. Ten percent is chance.

# %% tags=["nbval-check-output"]
untrained = runs.assign(at_start=[100 * curve[0] for curve in runs["curve_validation_accuracy"]])
chosen = untrained["arm"].isin(["winning_ticket", "random_reinit", "random_sparsity"])
known = untrained[chosen].groupby(["network", "arm"])["at_start"].agg(["mean", "min", "max", "count"])
for (network, arm), row in known.iterrows():
    name = f"{paper.NETWORK_LABELS[network]}, {style.ARM_LABELS[arm]}"
    print(
        f"{name:<36}{row['mean']:5.1f} % (from {row['min']:.1f} to {row['max']:.1f} %, {row['count']:.0f} runs){mark}"
    )

# %% [markdown]
# The mask alone teaches nothing: with new weights it reads at about chance. Mask and initial weights together read far more.
# (Zhou et al., arXiv 1905.01067, call such masks supermasks.) First-layer filters of trial 0, two rows per network,
# Conv-2 first: the trained dense network, and the same filters as the smallest ticket starts from them.

# %%
kept = campaign.chain(profile)
tickets = [run for run in plan if (run.arm, run.trial, run.study) == ("winning_ticket", 0, "paper")]
smallest = {run.network: run for run in tickets if run.variant == ""}
filters = []
for run in smallest.values():
    for weights in (kept.dense_weights(run), experiments.starting_point(run, kept)[0]):
        row = weights["conv1.weight"][:16]
        filters += [*(127.5 + 127.5 * row / row.abs().max()).numpy().astype("uint8")]
figure, table = plots.gallery(filters, columns=16)
alt = "Sixteen first-layer filters of each trained dense network; the same filters at the start of its smallest ticket."
plots.save(figure, table, "04_filters", profile, alt=alt)

# %% [markdown]
# *Each row has its own scale; grey is zero. A pixel is three weights, one per colour: only one that lost all three is
# grey.* Survivors of these tickets, layer by layer:

# %% tags=["nbval-check-output"]
for run in smallest.values():
    mask = experiments.starting_point(run, kept)[1]
    shares = (
        f"{name.removesuffix('.weight')} {100 * part.float().mean():.1f}" for name, part in mask.items()
    )
    print(
        f"{paper.NETWORK_LABELS[run.network]}, {100 * masking.density(mask):.2f} %:", ", ".join(shares) + mark
    )

# %% [markdown]
# ## What does the network see?
#
# The paper does not say how pixels are scaled. Three candidates: raw values from 0 to 255; the same divided by 255;
# each channel's mean subtracted, over its standard deviation. Dense Conv-2 decided, in three trials of 5,000
# iterations, by the three quantities that the paper plots for its dense network. They test nothing any more after that.

# %%
settings = {"raw_255": "raw 0 to 255", "unit_interval": "raw / 255", "standardized": "mean / std"}
settings = settings if compared else {"": "raw 0 to 255"}
seen = campaign.obtain(experiments.plan("conv2", "short"), profile) if compared else short
candidates = comparisons.labelled(seen[seen["arm"] == "dense"], settings)
at_early_stop = ["early_stop_iteration", "test_accuracy_at_early_stop", "train_accuracy_at_early_stop"]
figure, table = plots.compare_settings(candidates, at_early_stop)
alt = "Dense Conv-2 under three pixel scalings beside the paper's dense Conv-2: iteration and accuracies at early-stop."
plots.save(figure, table, "04_pixel_scaling", profile, alt=alt)

# %% [markdown]
# *Dots: single trials; dash and bar: mean, minimum to maximum. Grey line and band: the paper's dense Conv-2, mean and
# minimum to maximum of five trials. Accuracy axes are cut.*

# %% tags=["nbval-check-output"]
for metric in at_early_stop[:2]:
    print(comparisons.text(comparisons.by_trial(candidates, metric), metric), end="")
    print(comparisons.paper_range("conv2", metric) if compared else "")
if compared:
    print("\nof the paper's bar for each, our mean lies inside:")
    print(comparisons.inside_paper_bars(table).to_string())

# %% [markdown]
# ## What it costs
#
# What each wave of the paper's scale adds, in runs and in minutes of the GPU that trained Conv-2's first: arithmetic is
# counted (two operations per multiplication, forward once and backward twice, evaluations included) and divided by the
# rate of those runs. Nothing but Conv-2's was timed. Wave 1: tickets to 4 % and the controls above. 2: three of its runs
# once more on another machine. 3: deeper tickets and the ledger's other controls. 4: five trials and both controls at
# every rung. 5: the paper's number of controls. 6: Figures 10 and 1. 7: Figure 6.

# %% tags=["nbval-check-output"]
operations = {run.key: experiments.operations(run) for run in plan}
rate = mine["run_key"].map(operations).sum() / mine["wall_seconds"].sum()
print(f"{rate / 1e12:.3g} T operations per second on {mine['device'].iloc[0]}{mark}")
planned = set()
for wave in experiments.PLANS["conv2", "paper"].waves:
    cells = []
    for network in experiments.CONVOLUTIONAL:
        new = [run for run in experiments.plan(network, "paper", wave) if run.key not in planned]
        planned |= {run.key for run in new}
        minutes = sum(map(experiments.operations, new)) / rate / 60
        cells.append(f"{paper.NETWORK_LABELS[network]} {len(new):>4} runs {minutes:>6.1f} min")
    print(f"wave {wave}:  " + "   ".join(cells) + mark)

# %% [markdown]
# ## Discussion
#
# *What agrees.* At the paper's length dense Conv-2, its tickets and its controls lie on the paper's curves: notebook 00
# counts the rungs. Tickets stop sooner in every trial from two fifths of the weights on, about three times sooner from
# a quarter down to a twentieth, and are more accurate than their dense network at every rung, in every trial, at
# early-stop and at the end. Reinits and random networks stop later the sparser they are.
#
# *What accuracy shows, and where.* At a fifth of the weights tickets and controls are level at early-stop, and nearly so
# in the paper's plot: all of them are more accurate than the dense network there, whatever their weights. Ours lead in
# accuracy at a twelfth and below; after the last iteration they lead at a fifth already.
#
# *What is open.* Whether reinits and random networks are the same (C60): the intervals straddle bounds of 0.8 points.
# C35 and C58 want reinits at other rungs. One reinit per trial, not three, widens every interval on them. The first
# ticket (80 %) stops a little later than the dense network on average, the paper's sooner; the bars overlap.
#
# *Conv-4 and Conv-6* have one trial of reduced length, whose numbers get no verdict. Dropout (Figure 6) and continued
# training (Figure 10) were not run.
#
# **We saw**
#
# - Conv-2's Figure 5 repeated at the paper's length, five trials, on the paper's curves;
# - tickets that learn three times as fast as the dense network and are more accurate in every trial;
# - the same masks with new weights, and random masks, which learn slower the sparser they are and lose the lead;
# - masks that with their own initial weights read images before any training, and with new ones do not;
# - shortened runs that get the tickets right and the controls wrong.
