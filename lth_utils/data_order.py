import numpy as np
import torch


class DataOrder:
    """An endless stream of training image indices: every pass over the data is a fresh permutation.

    Batches are cut from the stream one after the other, also across the end of a pass, so that every image is
    seen exactly once per pass. Drawn by NumPy on the CPU: a seed gives the same order on every machine.
    """

    def __init__(self, seed: int, examples: int):
        self._generator = np.random.Generator(np.random.PCG64(seed))
        self._examples = examples
        self._waiting = np.empty(0, dtype=np.int64)

    def take(self, count: int) -> torch.Tensor:
        """The next `count` indices of the stream, int64 [count] on the CPU."""
        parts = [self._waiting]
        while sum(map(len, parts)) < count:
            parts.append(self._generator.permutation(self._examples))
        stream = np.concatenate(parts)
        self._waiting = stream[count:]
        return torch.from_numpy(stream[:count].copy())
