"""The networks: sizes, the initial distribution, bytes that never change, and a forward pass that torch agrees with."""

import math

import pytest
import torch
from synthetic import digest
from torch import nn

from lth_utils import networks, paper

# Start of the SHA-256 over all tensors of initial_weights(network, 0) in order: if it changes, every record becomes another experiment.
INITIAL_WEIGHTS = {
    ("lenet", ""): "d77ef3e56fc6461d",
    ("conv2", ""): "4b81f080b79835de",
    ("conv4", ""): "d363bb384e6f94a7",
    ("conv6", ""): "b66a2acd9c17d5e8",
    ("conv6", "channels_256"): "9e95775659e8060b",
}


@pytest.fixture(scope="module")
def drawn():
    """Initial weights of every network, seed 0; tests only look at them."""
    return {key: networks.initial_weights(key[0], 0, key[1]) for key in INITIAL_WEIGHTS}


@pytest.mark.parametrize(("network", "variant"), INITIAL_WEIGHTS)
def test_a_seed_gives_the_same_bytes_on_every_machine(drawn, network, variant):
    assert digest(drawn[network, variant])[:16] == INITIAL_WEIGHTS[network, variant]


def test_a_few_initial_weights_are_those_written_here(drawn):
    lenet = drawn["lenet", ""]
    assert lenet["fc1.weight"][0, :3].tolist() == pytest.approx(
        [0.0054005752, -0.0056743897, 0.0275085084], abs=1e-9
    )


def test_seeds_repeat_and_differ(drawn):
    assert digest(networks.initial_weights("lenet", 0)) == digest(drawn["lenet", ""])
    other = networks.initial_weights("lenet", 1)
    for name, value in other.items():
        if name.endswith(".weight"):
            assert float((value == drawn["lenet", ""][name]).float().mean()) < 0.001


def test_drawing_weights_leaves_the_global_generators_alone():
    state = torch.get_rng_state()
    networks.initial_weights("lenet", 3)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(("network", "variant"), INITIAL_WEIGHTS)
def test_weights_are_ordered_float32_in_torch_layout_with_the_papers_counts(drawn, network, variant):
    weights = drawn[network, variant]
    layers = list(paper.weight_counts(network, variant))
    assert list(weights) == [key for name in layers for key in (name, name.replace(".weight", ".bias"))]
    assert all(value.dtype == torch.float32 and value.device.type == "cpu" for value in weights.values())
    counts = {name: value.numel() for name, value in weights.items() if name.endswith(".weight")}
    assert counts == paper.weight_counts(network, variant)
    for name in layers:
        assert len(weights[name.replace(".weight", ".bias")]) == weights[name].shape[0]
        assert weights[name].dim() == (4 if name.startswith("conv") else 2)


def test_biases_start_at_zero(drawn):
    biases = [v for weights in drawn.values() for name, v in weights.items() if name.endswith(".bias")]
    assert len(biases) == 3 + 5 + 7 + 9 + 9
    assert all(not bias.any() for bias in biases)


@pytest.mark.parametrize(
    ("network", "layer", "fan_in", "fan_out"),
    [
        ("lenet", "fc1.weight", 784, 300),
        ("lenet", "fc2.weight", 300, 100),
        ("conv2", "conv2.weight", 64 * 9, 64 * 9),
        ("conv4", "conv3.weight", 64 * 9, 128 * 9),
        ("conv6", "fc1.weight", 3072, 256),
    ],
)
def test_the_initial_distribution_is_glorot_cut_at_two_sigma_and_not_rescaled(
    drawn, network, layer, fan_in, fan_out
):
    z = drawn[network, ""][layer].flatten().double() / math.sqrt(2 / (fan_in + fan_out))
    count = len(z)
    assert 1.98 < float(z.abs().max()) <= 2
    assert float(z.mean()) == pytest.approx(0, abs=4 * 0.88 / math.sqrt(count))
    assert float(z.std()) == pytest.approx(0.87963, abs=4 * 0.55 / math.sqrt(count))
    share = (math.erf(0.5 / math.sqrt(2))) / math.erf(2 / math.sqrt(2))  # of a normal within half a sigma
    assert float((z.abs() < 0.5).double().mean()) == pytest.approx(share, abs=4 * 0.5 / math.sqrt(count))


@pytest.mark.parametrize(
    ("layer", "edge"), [("fc1.weight", 0.086), ("fc2.weight", 0.141), ("output.weight", 0.270)]
)
def test_lenets_weights_end_where_figure_15_ends(drawn, layer, edge):
    largest = float(drawn["lenet", ""][layer].abs().max())
    assert 0.98 * edge < largest < edge + 0.0005


# --- forward -------------------------------------------------------------------------------------------------------------


def torch_module(network, variant=""):
    """The same architecture, spelled with torch's own modules from the words of Figure 2."""
    linears = {
        "lenet": [784, 300, 100, 10],
        "conv2": [16384, 256, 256, 10],
        "conv4": [8192, 256, 256, 10],
        "conv6": [4096 if variant == "channels_256" else 3072, 256, 256, 10],
    }[network]
    last = 256 if variant == "channels_256" else 192
    channels = {
        "lenet": [1],
        "conv2": [3, 64, 64],
        "conv4": [3, 64, 64, 128, 128],
        "conv6": [3, 64, 64, 128, 128, last, last],
    }
    parts = []
    for number, (before, after) in enumerate(zip(channels[network], channels[network][1:]), start=1):
        parts += [nn.Conv2d(before, after, 3, padding="same"), nn.ReLU()]
        parts += [nn.MaxPool2d(2)] if number % 2 == 0 else []
    parts.append(nn.Flatten())
    for before, after in zip(linears, linears[1:]):
        parts += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*parts[:-1])


@pytest.mark.parametrize(
    ("network", "variant"), [*((name, "") for name in paper.WEIGHT_COUNTS), ("conv6", "channels_256")]
)
def test_forward_agrees_with_torchs_own_modules(drawn, network, variant):
    module = torch_module(network, variant)
    weights = dict(drawn[network, variant])
    generator = torch.Generator().manual_seed(0)
    for name in weights:
        if name.endswith(".bias"):
            weights[name] = 0.1 * torch.randn(weights[name].shape, generator=generator)
    with torch.no_grad():
        for parameter, value in zip(module.parameters(), weights.values(), strict=True):
            parameter.copy_(value)
        images = torch.rand(3, *networks.IMAGE_SHAPES[network], generator=generator)
        logits = networks.forward(network, weights, images)
        assert logits.shape == (3, 10)
        assert torch.allclose(logits, module(images), rtol=1e-5, atol=1e-6)


def test_gradients_reach_every_weight_and_bias(drawn):
    live = {name: value.clone().requires_grad_() for name, value in drawn["conv2", ""].items()}
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    networks.forward("conv2", live, images).square().sum().backward()
    assert all(bool(value.grad.any()) for value in live.values())


def test_unknown_networks_are_refused():
    with pytest.raises(ValueError, match="resnet18"):
        networks.initial_weights("resnet18", 0)


def test_the_most_confident_errors_come_first_and_are_all_errors():
    """Every image is classed as 7, with a confidence that grows with its first pixel."""
    weights = {name: torch.zeros_like(value) for name, value in networks.initial_weights("lenet", 0).items()}
    weights["fc1.weight"][0, 0] = weights["fc2.weight"][0, 0] = weights["output.weight"][7, 0] = 1.0
    images = torch.zeros(5, 1, 28, 28)
    images[:, 0, 0, 0] = torch.tensor([2.0, 5.0, 1.0, 4.0, 3.0])
    pixels, labels = (10 * images).to(torch.uint8), torch.tensor([1, 7, 2, 3, 7])
    errors = networks.most_confident_errors("lenet", weights, images, pixels, labels, 2)
    assert errors["label"].tolist() == [3, 1] and errors["prediction"].tolist() == [7, 7]
    assert errors["pixels"][:, 0, 0, 0].tolist() == [40, 20]
    expected = [math.exp(x) / (math.exp(x) + 9) for x in (4.0, 2.0)]
    assert errors["confidence"].tolist() == pytest.approx(expected, rel=1e-5)
    assert len(networks.most_confident_errors("lenet", weights, images, pixels, labels, 40)["label"]) == 3
