from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from training.onnx_export import GraphSpec, to_onnx

ROWS, COLUMNS = 101, 9
BATCHES = (1, 2, 3, 5, 16, 17, 33, 100)


class Curved(nn.Module):
    """What vector units compute otherwise than what is left over for them."""

    def forward(self, x: Tensor, given: Tensor) -> tuple[Tensor, Tensor]:
        bent = torch.log(torch.exp(torch.tanh(x + given).T) + 1.0)
        return bent.T.contiguous(), bent[0]


def answers(*, company: bool) -> tuple[list[np.ndarray], dict[int, list[np.ndarray]]]:
    """Of all rows at once, and of the first few."""
    examples = torch.randn(3, COLUMNS), torch.randn(3, COLUMNS)
    names = ("x", "given")
    spec = GraphSpec(Curved(), examples, names, ("y", "first"), 1, {}, company=company)
    session = onnxruntime.InferenceSession(to_onnx(spec), providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(0)
    feed = {name: rng.standard_normal((ROWS, COLUMNS)).astype(np.float32) for name in names}
    few = {n: session.run(None, {k: rows[-n:] for k, rows in feed.items()}) for n in BATCHES}
    return session.run(None, feed), few


def equal(whole: list[np.ndarray], few: dict[int, list[np.ndarray]]) -> bool:
    pairs = [
        (part, all_of[-n:])
        for n, parts in few.items()
        for part, all_of in zip(parts, whole, strict=True)
    ]
    assert all(part.shape == expected.shape for part, expected in pairs)
    return all(np.array_equal(part, expected) for part, expected in pairs)


def test_the_digits_of_a_row_do_not_depend_on_the_others() -> None:
    assert equal(*answers(company=True))


def test_without_company_they_do_on_most_machines() -> None:
    if equal(*answers(company=False)):
        pytest.skip("onnxruntime has one formula for all places of an array here")


def test_no_rows_are_answered_by_none() -> None:
    spec = GraphSpec(
        Curved(), (torch.randn(3, 2), torch.randn(3, 2)), ("x", "given"), ("y", "first"), 1, {},
        company=True,
    )  # fmt: skip
    session = onnxruntime.InferenceSession(to_onnx(spec), providers=["CPUExecutionProvider"])
    none = np.zeros((0, 2), np.float32)
    y, first = session.run(None, {"x": none, "given": none})
    assert y.shape == (0, 2)
    assert first.shape == (0,)
