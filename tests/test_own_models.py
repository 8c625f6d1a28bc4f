"""What a borrower takes home: the example of CONTRIBUTING.md on networks of every kind, and imports that need little."""

import functools
import re
import subprocess
import sys

import pytest
import torch
from torch import nn

import lth_utils
from lth_utils import checks, reference, rewinding
from lth_utils import masks as masking


def example(page, title):
    return re.search(
        rf"## {title}.*?```python\n(.+?)```", (lth_utils.ROOT / page).read_text(encoding="utf-8"), re.S
    )[1]


EXAMPLE = example("CONTRIBUTING.md", "Take it to a model of your own")
ON_THE_FRONT_PAGE = example("README.md", "On your own model")


class Reader(nn.Module):
    """An LSTM over sequences of words, whose last state decides."""

    def __init__(self):
        super().__init__()
        self.words, self.rnn, self.output = (
            nn.Embedding(12, 6),
            nn.LSTM(6, 8, batch_first=True),
            nn.Linear(8, 3),
        )

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
    assert (
        capsys.readouterr().out.splitlines()[-1]
        == f"{masking.density(done['ticket'].masks):.1%} of the weights left"
    )
    checks.masked_weights_are_zero(done["model"], done["ticket"].masks)


@pytest.mark.parametrize("name", MODELS)
def test_the_example_prunes_every_kind_of_network_and_trains_both_controls(name, capsys):
    done = run(EXAMPLE, given(name))
    ticket, model = done["ticket"], done["model"]
    densities = [float(line.split()[1]) for line in capsys.readouterr().out.splitlines()]
    assert densities == pytest.approx([1, 0.8, 0.64, 0.512], abs=0.01)
    matrices = {n for n, value in model.named_parameters() if value.dim() > 1}
    assert set(ticket.masks) == matrices
    for names in (ticket.final_weights, done["initial"]):
        assert set(names) == {n for n, _ in [*model.named_parameters(), *model.named_buffers()]}
    checks.masked_weights_are_zero(model, done["places"])  # it holds the last control


@pytest.mark.parametrize(
    ("fault", "mended", "sentence"),
    [
        ("        rewinding.zero_pruned(model, masks)\n", "", "pruned weights are not zero"),
        (
            "rewinding.weights_of(model)  #",
            "dict(model.state_dict())  #",
            "saved initial values have changed",
        ),
        ("model.parameters())", "[nn.Parameter(torch.ones(1))])", "survivors has moved"),
        (
            "checks.every_round(rounds, initial, rates=0.2)",
            "checks.every_round(rounds, initial, 0.1)",
            "weights went",
        ),
        (
            "rewinding.reinitialise(model, initial, ticket.masks, seed=1)",
            "initial",
            "the ticket's own weight",
        ),
        ("masks.random_like(ticket.masks, np.random.default_rng(1))", "ticket.masks", "keeps the same"),
    ],
)
def test_the_checks_of_the_example_stop_a_script_that_is_broken(fault, mended, sentence):
    assert EXAMPLE.count(fault) == 1
    with pytest.raises(checks.CheckFailed, match=sentence):
        run(EXAMPLE.replace(fault, mended), given("Conv and BatchNorm") | {"nn": nn})


def test_a_model_that_diverges_stops_with_the_name_of_a_layer():
    def train(weights, masks):
        return masking.apply({name: value / 0 for name, value in weights.items()}, masks)

    model = convolutional()
    rounds = reference.iterative_pruning(
        rewinding.weights_of(model), train, 0.2, 2, masks=masking.ones(model)
    )
    with pytest.raises(ValueError, match=r"^0\.weight: .*not finite"):
        list(rounds)


def test_a_global_scope_and_spared_layers_go_through_the_same_loop():
    model = convolutional()
    initial, masks = rewinding.weights_of(model), masking.ones(model)
    del masks["4.weight"]
    prune = functools.partial(masking.prune_smallest, scope="global")

    def train(weights, masks):
        return masking.apply({name: value * 1.5 + 0.1 for name, value in weights.items()}, masks)

    rounds = reference.iterative_pruning(initial, train, 0.5, 2, masks=masks, prune=prune)
    tickets = list(checks.every_round(rounds, initial))
    assert [masking.density(ticket.masks) for ticket in tickets] == [1, 0.5, 0.25]
    assert all(list(ticket.masks) == ["0.weight"] for ticket in tickets)


BLOCKED = """
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"pandas", "pyarrow", "matplotlib", "scipy", "tqdm", "torchvision", "IPython"}:
            raise ImportError(name + " is not needed here")

sys.meta_path.insert(0, Blocker())
import lth_utils.masks, lth_utils.checks, lth_utils.rewinding
print(sorted(name for name in sys.modules if name.startswith("lth_utils")))
"""


def test_masks_checks_and_rewinding_need_torch_and_numpy_alone():
    done = subprocess.run(
        [sys.executable, "-c", BLOCKED], capture_output=True, text=True, cwd=lth_utils.ROOT, check=True
    )
    rooms = ["lth_utils", "lth_utils.checks", "lth_utils.masks", "lth_utils.rewinding"]
    assert done.stdout.strip() == str(rooms)
