"""A GPU where there is one: which device trains, and steps that are compiled and captured there.

On a CPU the same steps run as they are. A GPU is told what to do once, in a CUDA graph, and repeats it without the host.
"""

import contextlib
import gc
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from functools import cache

import torch

DEFAULT = "LTH_DEVICE"  # the environment variable that names the device where no option does
EVALUATION_BATCH = 2500  # images: enough to fill a GPU
BYTES_PER_VALUE = (
    40  # of a network in training: weight, mask, moments, gradient, best so far, and what is loaded next
)
BYTES_PER_NETWORK, BYTES_BESIDE = 2**28, 2**31  # activations and work space; images, evaluation, kernels


def usable(device: str) -> str:
    """Why a device cannot be used here, in half a line; empty if it can: its kernels are there and memory is free."""
    try:
        if torch.device(device).type == "cuda" and (reason := _lacks_kernels(device)):
            return reason
        torch.zeros(2**20, device=device).add_(1).sum().item()
    except (RuntimeError, AssertionError) as error:  # the second where torch was built without CUDA
        return str(error).partition("\n")[0]
    return ""


def _lacks_kernels(device):
    """Wheels hold kernels for some architectures, and for some the code that a driver translates for newer ones."""
    own = torch.cuda.get_device_capability(device)
    known = [name.partition("_") for name in torch.cuda.get_arch_list()]
    there = [(kind, (int(digits[:-1]), int(digits[-1]))) for kind, _, digits in known if digits.isdigit()]
    same = any(kind == "sm" and made[0] == own[0] and made <= own for kind, made in there)
    translated = any(kind == "compute" and made <= own for kind, made in there)
    return (
        ""
        if same or translated
        else f"this torch has no kernels for its compute capability {own[0]}.{own[1]}"
    )


def default_device() -> str:
    """LTH_DEVICE, else a GPU that can be used, else the CPU; a warning says why a GPU that is there is not used."""
    if chosen := os.environ.get(DEFAULT):
        return chosen
    if not torch.cuda.is_available():
        return "cpu"
    if reason := usable("cuda"):
        warnings.warn(f"the GPU cannot be used ({reason}), so the CPU trains", stacklevel=2)
        return "cpu"
    return "cuda"


def captured(device: torch.device) -> bool:
    """Whether steps are compiled and captured there, in tensors that serve any weights and masks."""
    return device.type == "cuda"


def compiled(function: Callable, device: torch.device) -> Callable:
    """The function as one program for these shapes, made at its first call; on a CPU the function as it is."""
    return torch.compile(function, fullgraph=True, dynamic=False) if device.type == "cuda" else function


def capture(step: Callable[[], None], device: torch.device) -> Callable[[], None]:
    """A step that changes tensors in place, as one launch of everything it does; on a CPU the step as it is.

    Takes it twice first, so that all is compiled and measured.
    """
    if device.type != "cuda":
        return step
    before = torch.cuda.Stream(device)
    before.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(before):
        for _ in range(2):
            step()
    torch.cuda.current_stream(device).wait_stream(before)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay


@contextlib.contextmanager
def side_by_side(device: torch.device, count: int) -> Iterator[list]:
    """One place to work in for each of `count`: a stream on a GPU, so that small kernels fill it together."""
    if device.type != "cuda" or count == 1:
        yield [contextlib.nullcontext()] * count
        return
    main, streams = torch.cuda.current_stream(device), _streams(device, count)
    for stream in streams:
        stream.wait_stream(main)
    yield [torch.cuda.stream(stream) for stream in streams]
    for stream in streams:
        main.wait_stream(stream)


@cache
def _streams(device, count):
    return [torch.cuda.Stream(device) for _ in range(count)]


def current(device: torch.device):
    """Within this, work goes to this GPU where there are several."""
    return torch.cuda.device(device) if device.type == "cuda" else contextlib.nullcontext()


def room_for(values: int, device: torch.device) -> int:
    """How many networks of so many values this process may hold in a GPU's memory: at least one."""
    if device.type != "cuda":
        return sys.maxsize
    free = torch.cuda.mem_get_info(device)[0] + torch.cuda.memory_reserved(device)
    return max(1, (free - BYTES_BESIDE) // (BYTES_PER_VALUE * values + BYTES_PER_NETWORK))


def release() -> None:
    """Give back memory that nothing uses any more."""
    gc.collect()
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()
