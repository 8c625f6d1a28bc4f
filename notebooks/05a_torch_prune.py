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
# # 05a Does torch's prune module fail at iterative pruning?
#
# **Question.** Many people prune with `torch.nn.utils.prune`, like the network after one round and dislike it after ten.
# Is it the library, or what is written around it?
#
# **Paper.** Sections 1 and 2: train, prune the smallest survivors, reset the rest to their initial weights, repeat. One
# repetition is a *round*; P_m is the percent of weights remaining. The paper does not use torch.
#
# **If the library failed we would expect** its masks to leave those of `lth_utils.masks` from the second round on.

# %% tags=["parameters"]
# every profile does the same here: no record is read, nothing is trained on a data set
profile = "report"

# %%
from collections import OrderedDict
from copy import deepcopy
from dataclasses import replace

import pandas as pd
import torch
from scipy import sparse
from torch import nn
from torch.nn.functional import cross_entropy
from torch.nn.utils import prune
from torch.optim import SGD, Adam

from lth_utils import data, masks, networks, notebooks, paper, plots, reference

torch.set_num_threads(1)
notebooks.check_profile(profile)
print(
    "torch",
    torch.__version__.split("+")[0],
    "on toys and noise: no record is read, every profile does the same",
)

# %% [markdown]
# ## The answer
#
# No. Prune the first layer of a Lenet, 20 % per round, by the module and by `lth_utils.masks`:

# %% tags=["nbval-check-output"]
initial = networks.initial_weights("lenet", seed=0)
first, rows = {"fc1.weight": initial["fc1.weight"]}, []
total = first["fc1.weight"].double().abs().sum()
for method in ("masks kept", "remove() each round"):
    layer, ours = nn.Linear(784, 300), masks.ones(first)
    layer.load_state_dict({"weight": initial["fc1.weight"], "bias": initial["fc1.bias"]})
    for pruning_round in range(6):
        if pruning_round:
            prune.l1_unstructured(layer, "weight", amount=0.2)
            ours = masks.prune_smallest(first, ours, 0.2)
        same = torch.equal(layer.weight != 0, ours["fc1.weight"])
        assert same or (method == "remove() each round" and pruning_round > 1)
        if pruning_round and method == "remove() each round":
            prune.remove(layer, "weight")
        weight = layer.weight.detach().double()
        shares = {"weights": (weight != 0).double().mean(), "L1 mass": weight.abs().sum() / total}
        rows += [(method, measure, pruning_round, 100 * float(share)) for measure, share in shares.items()]
    print(
        f"{method}: {100 * float(shares['weights']):.1f} % of weights after {pruning_round} rounds", end=", "
    )
    print("the same ones as ours in every round" if same else "the mask is lost after the first round")

# %%
survivors = pd.DataFrame(rows, columns=["method", "measure", "pruning_round", "percent"])
figure, table = plots.lines(survivors, panel="measure", series="method", x="pruning_round", y="percent")
alt = (
    "Percent of weights and of L1 mass by pruning round, with masks kept and with remove() after each round."
)
plots.save(figure, table, "05a_survivors", profile, alt=alt)

# %% [markdown]
# *One layer at its initial weights. Left: weights that are not zero. Right: the sum of magnitudes, often taken for that.*
#
# The library's fault is silence: a forgotten mask, or a rewind that spares the weights, prints nothing.
#
# ## Is your script broken? Start here
#
# | symptom | where | cell |
# |---|---|---|
# | the count of survivors falls once and never again | Trap 1 | [6] |
# | more seems to be left than was kept | Trap 2 | [7] |
# | one weight is pruned, or every one; ValueError; "backward through the graph a second time" | Trap 3 | [8] |
# | deepcopy raises "Only Tensors created explicitly by the user"; or the loss is flat, gradients grow | Trap 4 | [9] |
# | "Missing key(s) in state_dict"; resetting is as good as continued training | Trap 5 | [10] |
# | random reinit is as good as the ticket | Trap 5 | [11] |
# | pruned weights are back after a load | Trap 5 | [12] |
# | iterative masks equal one-shot masks; large weights are pruned | Trap 6 | [13] |
# | pruned weights move, or are no longer zero; later rounds start unlike the first | Trap 7 | [14], [15] |
# | the first rewind is right, later ones are not | Trap 8 | [16] |
# | the pruned model is neither smaller nor faster | Question 1 | [20] |
# | "Unexpected key(s)" when a pruned checkpoint is loaded | Question 2 | [21] |
# | "has to be pruned before pruning can be removed" | Question 3 | [22] |
# | a load that changes nothing; names begin with "module." | Question 4 | [23] |
# | batch norm: what is pruned, what is rewound? | Question 5 | [24] |
# | frozen layers: does their accuracy suffer? | Question 6 | [25] |
# | masks and counts are right, accuracy still falls | notebook 05b, one fault at a time | |
#
# Every statement about torch is asserted, here or in `tests/test_torch_prune.py`.
#
# ## How the module works
#
# Our toy has ten weights of magnitude 0.1, 0.2, ... 1.0 with alternating signs, so every count can be checked by hand.
# `l1_unstructured` renames the parameter to `weight_orig`, adds a buffer `weight_mask`, and leaves in `layer.weight` a
# plain tensor: their product. A hook recomputes it before every forward pass. A further call looks only where the mask
# is still one, so **amount is a fraction of what remains**. Half of the traps lose the mask or read an old product.

# %% tags=["nbval-check-output"]
inputs = torch.ones(1, 10)


def toy() -> nn.Linear:
    layer = nn.Linear(10, 1)
    weight = torch.arange(1, 11) / 10 * torch.tensor([1, -1] * 5)
    layer.load_state_dict({"weight": weight[None], "bias": torch.zeros(1)})
    return layer


def train(layer: nn.Module, optimizer: torch.optim.Optimizer, iterations: int) -> None:
    for _ in range(iterations):
        optimizer.zero_grad()
        (layer(inputs) - 1).square().sum().backward()
        optimizer.step()


layer = toy()
parameter = layer.weight
prune.l1_unstructured(layer, "weight", amount=0.2)
assert layer.weight_orig is parameter and not isinstance(layer.weight, nn.Parameter)
print("parameters", [name for name, _ in layer.named_parameters()], end=", ")
print("buffers", [name for name, _ in layer.named_buffers()])

# %% [markdown]
# ## Trap 1: `remove()` between rounds
#
# **People write** prune, train, `prune.remove(layer, "weight")`, again: the layer "remains permanently pruned", says
# its documentation. **What happens:** the mask is gone, zeros are ordinary weights and the smallest of all, so each
# round prunes the same ones. **Mend:** call `remove` once, after the last round, or never.

# %% tags=["nbval-check-output"]
counts = {"masks kept": [], "remove() each round": []}
for method, found in counts.items():
    layer = toy()
    for _ in range(3):
        prune.l1_unstructured(layer, "weight", amount=0.2)
        if method == "remove() each round":
            prune.remove(layer, "weight")
        found.append(int(layer.weight.count_nonzero()))
    print(f"{method:<20} survivors of 10: {found}")
assert counts == {"masks kept": [8, 6, 5], "remove() each round": [8, 8, 8]}

# %% [markdown]
# ## Trap 2: an L1 mass read as a count
#
# **People write** `weight.abs().sum()` before and after, as the share of survivors. **What happens:** the small weights
# go, so the mass shrinks less than the count: of uniform weights, the largest fraction k holds a mass of 1 - (1 - k)².
# **Mend:** count, `weight.count_nonzero()`.

# %% tags=["nbval-check-output"]
wide = nn.Linear(300, 100)
nn.init.uniform_(wide.weight, -0.05, 0.05, generator=torch.Generator().manual_seed(0))
whole, kept = wide.weight.abs().sum().item(), 1.0
for amount in (0.6, 0.4):
    prune.l1_unstructured(wide, "weight", amount=amount)
    kept *= 1 - amount
    count, mass = int(wide.weight.count_nonzero()), wide.weight.abs().sum().item() / whole
    assert count == round(kept * 30_000) and abs(mass - (1 - (1 - kept) ** 2)) < 0.002
    print(f"prune {amount:.0%}: {count:,} of 30,000 = {count / 30_000:.2f}, mass {mass:.2f}")

# %% [markdown]
# ## Trap 3: int against float
#
# **People write** `amount=1` for everything, `amount=20` for 20 %. **What happens:** an int is a number of weights.
# **Mend:** a float in [0, 1). An int larger than what remains raises ValueError; after a failed second call the hook is
# gone, and the layer with it: build it anew.

# %% tags=["nbval-check-output"]
for amount, expected in ((1, 9), (1.0, 0)):
    layer = toy()
    prune.l1_unstructured(layer, "weight", amount=amount)
    assert layer.weight.count_nonzero() == expected
    print(f"amount={amount}: {expected} of 10 survive")
layer = prune.l1_unstructured(toy(), "weight", amount=0.8)
try:
    prune.l1_unstructured(layer, "weight", amount=5)
except ValueError as error:
    print(error)
stale = layer.weight.detach().clone()
try:
    train(layer, SGD(layer.parameters(), lr=0.01), iterations=2)
except RuntimeError as error:
    print("training:", str(error).split(" (")[0])
assert torch.equal(layer.weight, stale) and not torch.equal(layer.weight_orig * layer.weight_mask, stale)
print("has a mask:", hasattr(layer, "weight_mask"), " is_pruned:", prune.is_pruned(layer))

# %% [markdown]
# ## Trap 4: deepcopy
#
# **People write** `deepcopy(model)` to keep a state. **What happens:** it raises after a pruning call and after a pass
# with gradients, as `layer.weight` is then no leaf of the graph. When it works, the optimizer still owns the *old*
# model: the copy learns nothing, and its gradients pile up. Pruning alone makes no optimizer stale (cell [5]). **Mend:**
# save cloned tensors, not models; a new optimizer for a new model.

# %% tags=["nbval-check-output"]
layer = toy()
optimizer = SGD(layer.parameters(), lr=0.01)
prune.l1_unstructured(layer, "weight", amount=0.2)
try:
    deepcopy(layer)
except RuntimeError as error:
    print("deepcopy:", str(error).split(" (")[0])
with torch.no_grad():
    layer(inputs)
copied = deepcopy(layer)
before = [value.detach().clone() for value in copied.parameters()]
train(copied, optimizer, iterations=1)
gradient = copied.weight_orig.grad.norm().item()
train(copied, optimizer, iterations=49)
changed = sum(not torch.equal(old, new) for old, new in zip(before, copied.parameters(), strict=True))
growth = copied.weight_orig.grad.norm().item() / gradient
print(f"50 iterations: {changed} of {len(before)} parameters changed, gradient {growth:.0f} times as long")
assert changed == 0 and round(growth) == 50

# %% [markdown]
# ## Trap 5: rewinding the wrong tensor
#
# **People write** `load_state_dict(saved, strict=False)`, since strict loading complains. **What happens:** the saved
# `weight` has no partner in a layer with `weight_orig`, so only biases are rewound, silently: "resetting" is then
# continued training. **Mend:** `layer.weight_orig.copy_(saved["weight"])`, without gradients.

# %% tags=["nbval-check-output"]
layer = toy()
saved = {name: value.clone() for name, value in layer.state_dict().items()}
prune.l1_unstructured(layer, "weight", amount=0.2)
train(layer, SGD(layer.parameters(), lr=0.01), iterations=5)
try:
    layer.load_state_dict(saved)
except RuntimeError as error:
    print("strict:", str(error).splitlines()[1].strip())
layer.load_state_dict(saved, strict=False)
rewound = {"weights": torch.equal(layer.weight_orig, saved["weight"])}
rewound["biases"] = torch.equal(layer.bias, saved["bias"])
print("strict=False: rewound", rewound)
assert rewound == {"weights": False, "biases": True}

# %% [markdown]
# Copying into `layer.weight` lasts until the next forward pass. `reset_parameters()` fills that same tensor: **a random
# reinit made this way trains the old weights**, with new biases. **Mend:** draw into `weight_orig`.

# %% tags=["nbval-check-output"]
trained = (layer.weight_orig * layer.weight_mask).detach()
with torch.no_grad():
    layer.weight.copy_(saved["weight"])
layer(inputs)
print("weight.copy_: weights changed", not torch.equal(layer.weight, trained))
layer.reset_parameters()
layer(inputs)
print("reset_parameters: weights changed", not torch.equal(layer.weight, trained), end=", ")
print("bias changed", not torch.equal(layer.bias, saved["bias"]))
assert torch.equal(layer.weight, trained)

# %% [markdown]
# An initial state saved after `prune.identity` has the right keys, and a mask of ones: loading it un-prunes. **Mend:**
# load it with the current `weight_mask` in place of its own.

# %% tags=["nbval-check-output"]
layer = prune.identity(toy(), "weight")
with_ones = {name: value.clone() for name, value in layer.state_dict().items()}
prune.l1_unstructured(layer, "weight", amount=0.2)
pruned = [int((layer.weight_mask == 0).sum())]
layer.load_state_dict(with_ones)
pruned.append(int((layer.weight_mask == 0).sum()))
print("pruned weights before and after loading:", pruned)
assert pruned == [2, 0]

# %% [markdown]
# ## Trap 6: a stale ranking
#
# **People write** `load_state_dict(trained)` or `optimizer.step()`, then prune. **What happens:** the module ranks
# `layer.weight`, the product made by the last forward pass. After a load it is arbitrarily old: the "iterative" masks of
# this toy equal its one-shot masks. **Mend:** a pass without gradients, or `importance_scores=layer.weight_orig`.

# %% tags=["nbval-check-output"]
places = {}
for remedy in ("no remedy", "forward pass", "importance_scores"):
    layer = toy()
    prune.l1_unstructured(layer, "weight", amount=0.2)
    flipped = {"weight_orig": layer.weight_orig.detach().flip(1)}  # as if training had reversed the order
    layer.load_state_dict(layer.state_dict() | flipped)
    if remedy == "forward pass":
        with torch.no_grad():
            layer(inputs)
    scores = layer.weight_orig if remedy == "importance_scores" else None
    prune.l1_unstructured(layer, "weight", amount=0.25, importance_scores=scores)
    places[remedy] = layer.weight_mask[0].eq(0).nonzero().flatten().tolist()
    print(f"{remedy:<18} pruned places {places[remedy]}")
layer = prune.l1_unstructured(toy(), "weight", amount=0.4)
print(f"{'one-shot':<18} pruned places {layer.weight_mask[0].eq(0).nonzero().flatten().tolist()}")
assert list(places.values()) == [[0, 1, 2, 3], [0, 1, 8, 9], [0, 1, 8, 9]]

# %% [markdown]
# ## Trap 7: optimizer state
#
# **People write** one optimizer for all rounds: pruned weights should rest, as their gradient is zero. **What happens:**
# momentum and Adam's moments from before pruning go on moving the masked entries of `weight_orig`; weight decay does so
# even in a new optimizer. The hook hides it; after `remove`, or with a mask multiplied once, it shows. **Mend:** a new
# optimizer every round, without weight decay; without the hook, the mask applied after every update as well.

# %%
makers = {
    "momentum 0.9": lambda values: SGD(values, lr=0.01, momentum=0.9),
    "Adam": lambda values: Adam(values, lr=0.01),
    "weight decay 0.1": lambda values: SGD(values, lr=0.01, weight_decay=0.1),
    "plain SGD": lambda values: SGD(values, lr=0.01),
}
rows = []
for setting in ("optimizer kept from before pruning", "new optimizer after pruning"):
    for name, make in makers.items():
        layer = toy()
        optimizer = make(layer.parameters())
        train(layer, optimizer, iterations=5)
        prune.l1_unstructured(layer, "weight", amount=0.4)
        optimizer = make(layer.parameters()) if setting.startswith("new") else optimizer
        start, dead = layer.weight_orig.detach().clone(), layer.weight_mask == 0
        for iteration in range(51):
            rows.append((setting, name, iteration, (layer.weight_orig - start)[dead].abs().max().item()))
            train(layer, optimizer, iterations=1)
drift = pd.DataFrame(rows, columns=["setting", "optimizer", "iteration", "distance"])
figure, table = plots.lines(drift, panel="setting", series="optimizer", x="iteration", y="distance")
plots.save(figure, table, "05a_drift", profile, alt="Shift of pruned weights while training, by optimizer.")

# %% [markdown]
# *The toy: five iterations, four of ten weights pruned, fifty more. Look for lines that leave zero: the largest shift of
# a pruned weight.* After `remove`, plain SGD moves them as well; and an optimizer that lives on starts each round with
# the step count, and the moments, of the rounds before.

# %% tags=["nbval-check-output"]
last = drift[drift["iteration"] == 50].pivot(index="optimizer", columns="setting", values="distance")
assert (last > 0).sum().tolist() == [1, 3] and last.loc["weight decay 0.1"].min() > 0
layer = prune.remove(prune.l1_unstructured(toy(), "weight", amount=0.4), "weight")
zeros = [int((layer.weight == 0).sum())]
train(layer, SGD(layer.parameters(), lr=0.01), iterations=1)
zeros.append(int((layer.weight == 0).sum()))
print("zeros after remove(), and one update later:", zeros)
layer, step_counts = toy(), []
optimizer = Adam(layer.parameters())
for _ in range(3):
    train(layer, optimizer, iterations=5)
    step_counts.append(int(optimizer.state[layer.bias]["step"]))
    prune.l1_unstructured(layer, "weight", amount=0.2)
print("Adam's step count after rounds of 5 iterations:", step_counts)
assert zeros == [4, 0] and step_counts == [5, 10, 15]

# %% [markdown]
# ## Trap 8: aliased initial weights
#
# **People write** `parameter.data = saved[name]`. **What happens:** both share memory. The first rewind is right, then
# training edits the saved weights. An uncloned `state_dict()` is aliased from the start; `.detach()` and `.to()` on the
# same device copy nothing either. **Mend:** `.clone()` to save, `copy_` to rewind.

# %% tags=["nbval-check-output"]
for method in ("parameter.data = saved", "parameter.copy_(saved)"):
    layer, truth, right = toy(), toy().weight, []
    saved = layer.state_dict()["weight"].clone()
    for _ in range(3):
        if method == "parameter.data = saved":
            layer.weight.data = saved
        else:
            layer.weight.data.copy_(saved)
        right.append(torch.equal(layer.weight, truth))
        train(layer, SGD(layer.parameters(), lr=0.01), iterations=5)
    print(f"{method:<24} rounds that start from the initial weights: {sum(right)} of 3")
    assert right == ([True, False, False] if method == "parameter.data = saved" else [True] * 3)

# %% [markdown]
# ## The recipe that works
#
# Cloned initial weights, a new optimizer every round, live scores, a float amount, no `remove`, and a rewind into
# `weight_orig`: a Lenet in six short trainings on noise, at the paper's rates, batch and learning rate.

# %%
protocol = replace(paper.protocol("lenet"), training_iterations=20, evaluation_interval=20)
generator = torch.Generator().manual_seed(0)
pixels = torch.randint(256, (600, 1, 28, 28), dtype=torch.uint8, generator=generator)
labels = torch.randint(10, (600,), generator=generator)
parts = {f"{part}_images": pixels for part in ("train", "validation", "test")}
noise = data.Dataset(name="noise", **parts, **{key.replace("images", "labels"): labels for key in parts})
images, seeds = data.scale_pixels(pixels, protocol.pixel_scaling), range(6)
hidden = {"fc1": nn.Linear(784, 300), "relu1": nn.ReLU(), "fc2": nn.Linear(300, 100), "relu2": nn.ReLU()}
model = nn.Sequential(OrderedDict(flatten=nn.Flatten(), **hidden, output=nn.Linear(100, 10)))
model.load_state_dict(initial)
layers = {f"{name}.weight": model.get_submodule(name) for name in ("fc1", "fc2", "output")}

# %% [markdown]
# Without the lines that fill `ours` and `theirs`, this loop is all that a user of the module needs. In every round
# `masks.prune_smallest` gets the same trained weights.

# %%
original = {name: value.clone() for name, value in initial.items()}
ours, theirs = [masks.ones(initial)], []
for seed in seeds:
    optimizer, order = Adam(model.parameters(), lr=protocol.learning_rate), data.DataOrder(seed, len(images))
    for _ in range(protocol.training_iterations):
        batch = order.take(protocol.batch_size)
        optimizer.zero_grad()
        cross_entropy(model(images[batch]), labels[batch]).backward()
        optimizer.step()
    live = {name: getattr(layer, "weight_orig", layer.weight).detach() for name, layer in layers.items()}
    ours.append(masks.prune_smallest(live, ours[-1], protocol.pruning_rates))
    with torch.no_grad():
        for name, layer in layers.items():
            rate = protocol.pruning_rates[name]
            prune.l1_unstructured(layer, "weight", amount=rate, importance_scores=live[name])
            layer.weight_orig.copy_(initial[name])
            layer.bias.copy_(initial[name.replace("weight", "bias")])
    theirs.append({name: layer.weight_mask.bool() for name, layer in layers.items()})
assert all(torch.equal(initial[name], original[name]) for name in initial)

# %% [markdown]
# A second comparison shares only initial weights, noise and seeds: our reference trains, prunes and resets its own Lenet.

# %% tags=["nbval-check-output"]
rounds = reference.paper_rounds(initial, list(seeds), protocol, noise)
print("round   P_m %  survivors by layer     as prune_smallest  as reference")
for pruning_round, ticket in enumerate(theirs[:5], start=1):
    others = (ours[pruning_round], rounds[pruning_round].masks)
    same = [all(torch.equal(ticket[name], other[name]) for name in layers) for other in others]
    percent = 100 * masks.density(ticket)
    assert all(same) and abs(percent - paper.percent_remaining("lenet", pruning_round)) < 0.001
    found = "".join(f"{int(mask.sum()):>9,}" for mask in ticket.values())
    print(f"{pruning_round:>5}{percent:>8.2f}{found}  {same[0]!s:>12}{same[1]!s:>17}")

# %% [markdown]
# ## Question 1: why is the pruned model neither smaller nor faster?
#
# Zeros are stored and multiplied like all numbers, and the mask is stored as well. Sparse formats and layers of fewer
# units are smaller, and may be faster. Bytes, over those of the dense layer:

# %% tags=["nbval-check-output"]
dense, pruned = nn.Linear(784, 300), prune.l1_unstructured(nn.Linear(784, 300), "weight", amount=0.95)
rows = sparse.csr_array(pruned.weight.detach().numpy())
sizes = {"with its mask": sum(value.nbytes for value in pruned.state_dict().values())}
prune.remove(pruned, "weight")
sizes["after remove()"] = sum(value.nbytes for value in pruned.state_dict().values())
sizes["as compressed sparse rows"] = rows.data.nbytes + rows.indices.nbytes + rows.indptr.nbytes
sizes["of 15 units, not 300"] = sum(value.nbytes for value in nn.Linear(784, 15).state_dict().values())
whole = sum(value.nbytes for value in dense.state_dict().values())
print("5 % of weights:", ", ".join(f"{name} {part / whole:.2f}" for name, part in sizes.items()))

# %% [markdown]
# ## Question 2: how is a pruned checkpoint loaded?
#
# Into a model that has the same names: `prune.identity` first. Or `remove` before saving; the mask is lost then.

# %% tags=["nbval-check-output"]
checkpoint = prune.l1_unstructured(toy(), "weight", amount=0.2).state_dict()
try:
    toy().load_state_dict(checkpoint)
except RuntimeError as error:
    print(str(error).splitlines()[2].strip())
layer = prune.identity(toy(), "weight")
print(layer.load_state_dict(checkpoint), int(layer.weight_mask.sum()), "of 10 survive")

# %% [markdown]
# ## Question 3: how is pruning removed from a whole model?
#
# Layer by layer. `is_pruned` says True of every container of a pruned layer, on which `remove` fails; look for the mask.

# %% tags=["nbval-check-output"]
model = nn.Sequential(prune.l1_unstructured(toy(), "weight", amount=0.2), nn.ReLU())
try:
    prune.remove(model, "weight")
except ValueError as error:
    print("is_pruned:", prune.is_pruned(model), "remove: ...", str(error).splitlines()[-1])
for module in model.modules():
    if hasattr(module, "weight_mask"):
        prune.remove(module, "weight")
print("pruned layers left:", prune.is_pruned(model))

# %% [markdown]
# ## Question 4: why do names begin with "module."?
#
# `DataParallel` wraps the model. Loaded with `strict=False` such names fit nothing, silently.

# %% tags=["nbval-check-output"]
wrapped = nn.DataParallel(toy()).state_dict()
print("not loaded:", toy().load_state_dict(wrapped, strict=False).unexpected_keys)
print(toy().load_state_dict({name.removeprefix("module."): value for name, value in wrapped.items()}))

# %% [markdown]
# ## Question 5: what about batch norm?
#
# Its scale is a vector and stays: `masks.ones` covers matrices and filters. Its running statistics are buffers: rewind
# them too, by `state_dict()`, or a "rewound" network starts with trained ones.

# %% tags=["nbval-check-output"]
network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4))
print("pruned:", *masks.ones(network), " rewound by parameters alone:", *dict(network.named_parameters()))
print("left as trained:", *dict(network.named_buffers()))

# %% [markdown]
# ## Question 6: may a frozen layer be pruned?
#
# It is pruned like any other, and what it lost is never relearned. Leave it out of the masks, or train it.

# %% tags=["nbval-check-output"]
layer = toy().requires_grad_(False)
prune.l1_unstructured(layer, "weight", amount=0.5)
print("trainable:", layer.weight_orig.requires_grad, " pruned:", int((layer.weight == 0).sum()), "of 10")

# %% [markdown]
# ## Checks for your own model
#
# `lth_utils/checks.py` holds such assertions for any module; its first lines say where in a script each belongs.
# `checks.layers_lose_their_share` stops trap 1, `checks.optimizer_owns_the_live_weights` trap 4,
# `checks.weights_are_rewound` and `checks.reinit_differs` trap 5, `checks.optimizer_starts_without_state` and
# `checks.masked_weights_are_zero` trap 7, `checks.saved_weights_are_untouched` trap 8. For trap 6
# take the mend: a stale ranking leaves no trace.
#
# ## Discussion
#
# That the module works for one round and fails for several has been reported: the first half is reproduced, the second
# not reproduced. It is easily believed, since one round hides trap 1. Notebook 05b measures what mistakes cost in
# accuracy.
#
# *Limits.* One version of torch, on the CPU, unstructured pruning by magnitude.
#
# **We saw**
#
# - masks equal to `prune_smallest`'s, and to those of a separately trained reference, in each of five rounds;
# - `remove()` between rounds holding the count where the first round left it;
# - a "rewind" that spares every weight, and a "random reinit" that draws none.
#
# <small>The report: `grantgasser/lottery-ticket-hypothesis-reproduction` on GitHub, 2020.</small>
