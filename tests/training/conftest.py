"""One thread for torch: at these sizes two are no faster, and slow beside a busy neighbour."""

from collections.abc import Iterator

import pytest
import torch

torch.set_num_threads(1)


@pytest.fixture
def in_float64() -> Iterator[None]:
    """New tensors are float64, and random ones the same every time."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    yield
    torch.set_default_dtype(before)
