"""What a borrower takes home: the example of CONTRIBUTING.md on networks of every kind, and imports that need little."""

import ast
import functools
import inspect
import re
import sys

import pytest
import torch
from torch import nn

import lth_utils
from lth_utils import checks, reference, rewinding
from lth_utils import masks as masking


def example(page, title):
    text = (lth_utils.ROOT / page).read_text(encoding="utf-8")
    return re.search(rf"## {title}.*?```python\n(.+?)```", text, re.S)[1]


EXAMPLE = example("CONTRIBUTING.md", "Take it to a model of your own")
ON_THE_FRONT_PAGE = example("README.md", "On your own model")


class Reader(nn.Module):
    """An LSTM over sequences of words, whose last state decides."""

    def __init__(self):
        super().__init__()
        self.words, self.output = nn.Embedding(12, 6), nn.Linear(8, 3)
        self.rnn = nn.LSTM(6, 8, batch_first=True)

    def forward(self, words):
        return self.output(self.rnn(self.words(words))[0][:, -1])


class Transformer(nn.Module):
    """Tied to its table of words, as language models are."""

    def __init__(self):
        super().__init__()
        self.words, self.output = nn.Embedding(12, 8), nn.Linear(8, 12)
        self.block = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
        self.output.weight = self.words.weight

    def forward(self, words):
        return self.output(self.block(self.words(words)).mean(1))


def convolutional():
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 3))


MODELS = {
    "Conv and BatchNorm": convolutional,
    "LSTM": Reader,
    "transformer": Transformer,
    "compiled": lambda: torch.compile(convolutional(), backend="eager"),
    "DataParallel": lambda: nn.DataParallel(convolutional()),
}


def given(name):
    """The three names that the example leaves to its reader."""
    torch.manual_seed(0)
    model, reads = MODELS[name](), name in ("LSTM", "transformer")
    inputs = torch.randint(12, (20, 5)) if reads else torch.randn(20, 1, 8, 8)
    targets = torch.randint(3, (20,))
    return {"model": model, "loss": nn.functional.cross_entropy, "batches": lambda: [(inputs, targets)] * 4}


def run(code, names):
    exec(compile(code, "CONTRIBUTING.md", "exec"), names)
    return names


def test_the_example_of_the_front_page_prunes_a_network_ten_times(capsys):
    done = run(ON_THE_FRONT_PAGE, given("Conv and BatchNorm"))
    left = f"{masking.density(done['ticket'].masks):.1%} of the weights left"
    assert capsys.readouterr().out.splitlines()[-1] == left
    checks.masked_weights_are_zero(done["model"], done["ticket"].masks)


@pytest.mark.parametrize("name", MODELS)
def test_the_example_prunes_every_kind_of_network_and_trains_both_controls(name, capsys):
    done = run(EXAMPLE, given(name))
    ticket, model = done["ticket"], done["model"]
    densities = [float(line.split()[1]) for line in capsys.readouterr().out.splitlines()]
    assert densities == pytest.approx([1, 0.8, 0.64, 0.512], abs=0.01)
    assert set(ticket.masks) == {n for n, value in model.named_parameters() if value.dim() > 1}
    for names in (ticket.final_weights, done["initial"]):
        assert set(names) == {n for n, _ in [*model.named_parameters(), *model.named_buffers()]}
    checks.masked_weights_are_zero(model, done["places"])  # it holds the last control


CONTROL = "rewinding.reinitialise(model, initial, ticket.masks, seed=1)"


@pytest.mark.parametrize(
    ("right", "wrong", "sentence"),
    [
        ("        rewinding.zero_pruned(model, masks)\n", "", "pruned weights are not zero"),
        ("rewinding.weights_of(model)  #", "dict(model.state_dict())  #", "initial values have changed"),
        ("model.parameters())", "[nn.Parameter(torch.ones(1))])", "survivors has moved"),
        ("(rounds, initial, rates=0.2)", "(rounds, initial, 0.1)", "weights went"),
        (CONTROL, "initial", "the ticket's own weight"),
        ("masks.random_like(ticket.masks, np.random.default_rng(1))", "ticket.masks", "keeps the same"),
    ],
)
def test_the_checks_of_the_example_stop_a_script_that_is_broken(right, wrong, sentence):
    assert EXAMPLE.count(right) == 1
    with pytest.raises(checks.CheckFailed, match=sentence):
        run(EXAMPLE.replace(right, wrong), given("Conv and BatchNorm") | {"nn": nn})


def grow(weights, masks, factor=1.5):
    """Stands for training."""
    return masking.apply({name: value * factor + 0.1 for name, value in weights.items()}, masks)


def test_a_model_that_diverges_stops_with_the_name_of_a_layer():
    initial = rewinding.weights_of(convolutional())
    diverge = functools.partial(grow, factor=float("inf"))
    with pytest.raises(ValueError, match=r"^0\.weight: .*not finite"):
        list(reference.iterative_pruning(initial, diverge, 0.2, 2))


def test_a_global_scope_and_spared_layers_go_through_the_same_loop():
    model = convolutional()
    initial, masks = rewinding.weights_of(model), masking.ones(model)
    del masks["4.weight"]
    prune = functools.partial(masking.prune_smallest, scope="global")
    rounds = reference.iterative_pruning(initial, grow, 0.5, 2, masks=masks, prune=prune)
    tickets = list(checks.every_round(rounds, initial))
    assert [masking.density(ticket.masks) for ticket in tickets] == [1, 0.5, 0.25]
    assert all(list(ticket.masks) == ["0.weight"] for ticket in tickets)


@pytest.mark.parametrize("room", [lth_utils, masking, checks, rewinding])
def test_masks_checks_and_rewinding_need_torch_and_numpy_alone(room):
    nodes = list(ast.walk(ast.parse(inspect.getsource(room))))
    names = [node.module for node in nodes if isinstance(node, ast.ImportFrom)]
    names += [name.name for node in nodes if isinstance(node, ast.Import) for name in node.names]
    needed = {name.split(".")[0] for name in names} - sys.stdlib_module_names
    assert needed <= {"torch", "numpy", "lth_utils"}
    ours = [node for node in nodes if isinstance(node, ast.ImportFrom) and "lth_utils" in node.module]
    assert {f"{node.module}.{name.name}" for node in ours for name in node.names} <= {
        "lth_utils.masks",
        "lth_utils.masks.Masks",
        "lth_utils.masks.Weights",
    }
