"""The networks: sizes, the initial distribution, bytes that never change, and a forward pass that torch agrees with."""

import math
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from synthetic import digest
from torch import nn

from lth_utils import networks
from lth_utils.architectures import Mlp

# Start of the SHA-256 over all tensors of initial_weights(network, 0) in order: if it changes, every record becomes another experiment.
INITIAL_WEIGHTS = {
    "lenet": "d77ef3e56fc6461d",
    "conv2": "4b81f080b79835de",
    "conv4": "d363bb384e6f94a7",
    "conv6": "b66a2acd9c17d5e8",
    "conv6_256": "9e95775659e8060b",
}
LAYERS = {  # weights per layer, by hand from Figure 2 and Appendix I; the convolutions of Conv-4 are the first of Conv-6's
    "lenet": [784 * 300, 300 * 100, 100 * 10],
    "conv2": [1_728, 36_864, 4_194_304, 65_536, 2_560],
    "conv4": [1_728, 36_864, 73_728, 147_456, 2_097_152, 65_536, 2_560],
    "conv6": [1_728, 36_864, 73_728, 147_456, 221_184, 331_776, 786_432, 65_536, 2_560],
    "conv6_256": [1_728, 36_864, 73_728, 147_456, 294_912, 589_824, 1_048_576, 65_536, 2_560],
    "resnet18": [432] + 6 * [2_304] + [4_608] + 5 * [9_216] + [18_432] + 5 * [36_864],
    "vgg19": [1_728, 36_864, 73_728, 147_456, 294_912] + 3 * [589_824] + [1_179_648] + 7 * [2_359_296],
}
DEEP = {
    "resnet18": (270_896, 40.81),
    "vgg19": (20_024_000, 398.1),
}  # all matrices, millions of multiplications


@pytest.fixture(scope="module")
def drawn():
    """Initial weights of every network of Figure 2, seed 0; tests only look at them."""
    return {network: networks.initial_weights(network, 0) for network in INITIAL_WEIGHTS}


@pytest.mark.parametrize("network", INITIAL_WEIGHTS)
def test_a_seed_gives_the_same_bytes_on_every_machine_in_torch_layout_with_biases_of_zero(drawn, network):
    weights, shapes = drawn[network], networks.weight_shapes(network)
    assert digest(weights)[:16] == INITIAL_WEIGHTS[network]
    assert list(weights) == [key for name in shapes for key in (name, name.replace(".weight", ".bias"))]
    assert all(value.dtype == torch.float32 and value.device.type == "cpu" for value in weights.values())
    for name, shape in shapes.items():
        bias = weights[name.replace(".weight", ".bias")]
        assert weights[name].shape == shape and bias.shape == shape[:1] and not bias.any()
        assert len(shape) == (4 if name.startswith("conv") else 2)


def test_seeds_differ_and_leave_the_global_generator_alone(drawn):
    networks._built.cache_clear()
    state = torch.get_rng_state()
    other = networks.initial_weights("lenet", 1)
    assert torch.equal(torch.get_rng_state(), state)
    for name in networks.weight_shapes("lenet"):
        assert float((other[name] == drawn["lenet"][name]).float().mean()) < 0.001


@pytest.mark.parametrize("network", networks.NETWORKS)
def test_layers_have_the_sizes_that_the_paper_gives(network):
    shapes = networks.weight_shapes(network)
    assert [math.prod(shape) for shape in shapes.values()] == LAYERS[network]
    assert sum(LAYERS[network]) == networks.NETWORKS[network].weights


@pytest.mark.parametrize("network", DEEP)
def test_deep_networks_spare_shortcuts_output_and_batch_norm(network):
    shapes, values = networks.weight_shapes(network), networks.module(network).state_dict()
    matrices, work = DEEP[network]
    assert sum(value.numel() for value in values.values() if value.dim() > 1) == matrices
    assert not [name for name in shapes if "norm" in name or "shortcut" in name or "output" in name]
    assert sum(networks.multiplications(network).values()) / 1e6 == pytest.approx(work, rel=1e-3)


def test_a_convolution_multiplies_its_weights_at_every_position():
    work = networks.multiplications("conv6")
    places = {
        "conv1.weight": 1024,
        "conv2.weight": 1024,
        "conv3.weight": 256,
        "conv6.weight": 64,
        "fc1.weight": 1,
    }
    assert {name: work[name] / math.prod(networks.weight_shapes("conv6")[name]) for name in places} == places


def test_batch_norm_starts_as_the_identity():
    weights, images = networks.initial_weights("resnet18", 0), torch.rand(2, 3, 32, 32)
    norm = nn.BatchNorm2d(16)
    for name, start in norm.state_dict().items():
        assert torch.equal(weights[f"norm.{name}"], start), name
    assert networks.forward("resnet18", weights, images).isfinite().all()
    assert not weights["norm.num_batches_tracked"]


def test_a_line_with_the_wrong_number_of_weights_is_refused(monkeypatch):
    line = networks.Network("Lenet-50-17", "mnist", lambda: Mlp(784, 50, 17), 40_219)
    monkeypatch.setitem(networks.NETWORKS, "lenet_50_17", line)
    with pytest.raises(AssertionError, match="lenet_50_17 has 40220 prunable weights, not 40219"):
        networks.initial_weights("lenet_50_17", 0)


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
    z = drawn[network][layer].flatten().double() / math.sqrt(2 / (fan_in + fan_out))
    count = len(z)
    assert 1.98 < float(z.abs().max()) <= 2
    assert float(z.mean()) == pytest.approx(0, abs=4 * 0.88 / math.sqrt(count))
    assert float(z.std()) == pytest.approx(0.87963, abs=4 * 0.55 / math.sqrt(count))
    share = (math.erf(0.5 / math.sqrt(2))) / math.erf(2 / math.sqrt(2))  # of a normal within half a sigma
    assert float((z.abs() < 0.5).double().mean()) == pytest.approx(share, abs=4 * 0.5 / math.sqrt(count))


def test_lenets_weights_end_where_figure_15_ends(drawn):
    for layer, edge in {"fc1.weight": 0.086, "fc2.weight": 0.141, "output.weight": 0.270}.items():
        assert 0.98 * edge < float(drawn["lenet"][layer].abs().max()) < edge + 0.0005


# --- forward -------------------------------------------------------------------------------------------------------------


CHANNELS = {"conv2": [3, 64, 64], "conv4": [3, 64, 64, 128, 128], "conv6": [3, 64, 64, 128, 128, 192, 192]}
CHANNELS |= {"lenet": [1], "conv6_256": [3, 64, 64, 128, 128, 256, 256]}


def torch_module(network):
    """The same architecture, spelled with torch's own modules from the words of Figure 2."""
    parts, channels = [], CHANNELS[network]
    for number, (before, after) in enumerate(zip(channels, channels[1:]), start=1):
        parts += [nn.Conv2d(before, after, 3, padding="same"), nn.ReLU()]
        parts += [nn.MaxPool2d(2)] if number % 2 == 0 else []
    parts.append(nn.Flatten())
    side = 32 >> len(channels) // 2
    linears = [784, 300, 100, 10] if network == "lenet" else [channels[-1] * side**2, 256, 256, 10]
    for before, after in zip(linears, linears[1:]):
        parts += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*parts[:-1])


@pytest.mark.parametrize("network", INITIAL_WEIGHTS)
def test_forward_agrees_with_torchs_own_modules(drawn, network):
    module = torch_module(network)
    weights = dict(drawn[network])
    generator = torch.Generator().manual_seed(0)
    for name in weights:
        if name.endswith(".bias"):
            weights[name] = 0.1 * torch.randn(weights[name].shape, generator=generator)
    with torch.no_grad():
        for parameter, value in zip(module.parameters(), weights.values(), strict=True):
            parameter.copy_(value)
        images = torch.rand(3, *networks.NETWORKS[network].image_shape, generator=generator)
        logits = networks.forward(network, weights, images)
        assert logits.shape == (3, 10)
        assert torch.allclose(logits, module(images), rtol=1e-5, atol=1e-6)


def test_threads_do_not_see_each_others_weights(drawn):
    weights = [drawn["lenet"], networks.initial_weights("lenet", 1)] * 20
    images = torch.rand(50, 1, 28, 28)
    with torch.no_grad():
        alone = [networks.forward("lenet", entry, images) for entry in weights[:2]]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda entry: networks.forward("lenet", entry, images), weights))
    assert all(torch.allclose(logits, alone[k % 2], atol=1e-6) for k, logits in enumerate(together))


def test_weights_of_another_network_and_unknown_networks_are_refused_by_name(drawn):
    with pytest.raises(RuntimeError, match=r"conv1\.weight"):
        networks.forward("lenet", drawn["conv2"], torch.rand(1, 1, 28, 28))
    with pytest.raises(ValueError, match=r"lenet, conv2, .*; got 'lenet5'"):
        networks.initial_weights("lenet5", 0)


def test_hidden_units_are_those_that_figure_6_can_drop():
    assert networks.hidden_units("lenet") == (300, 100) and networks.hidden_units("vgg19") == ()
    assert networks.hidden_units("conv6") == (256, 256)
