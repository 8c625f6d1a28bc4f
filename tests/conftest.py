"""What every test shares: one thread, so that tests are repeatable and leave the machine to others."""

import pytest
import torch


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    """Tests of many tiny tensors are fastest and bit for bit repeatable on a single thread."""
    torch.set_num_threads(1)
