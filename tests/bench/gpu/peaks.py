"""What the device can do, measured on it: a big product of float32 matrices, a big negation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from service.runtime import Provider
from tests.bench.gpu.sessions import bound, one_node, opened, served
from tests.bench.gpu.work import Work

PRODUCT, NEGATION = "product of two matrices", "negation of a matrix"
_NODES = {PRODUCT: ("MatMul", ["x", "x"]), NEGATION: ("Neg", ["x"])}
_FLOAT_BYTES = 4
# Sides of the matrices, too large for any cache.
SIDES: Mapping[str, int] = {PRODUCT: 8192, NEGATION: 16384}


@dataclass(frozen=True, slots=True)
class Peaks:
    """A second.

    Attributes:
        products: Additions and multiplications of a matrix product.
        moved_bytes: Read and written by an elementwise operator.
    """

    products: float
    moved_bytes: float


def work(kind: str, side: int) -> Work:
    """Of a call."""
    matrix = float(_FLOAT_BYTES * side**2)
    return Work(2.0 * side**3, 3 * matrix) if kind == PRODUCT else Work(0.0, 2 * matrix)


def call(kind: str, side: int, provider: Provider) -> Callable[[], object]:
    """A call whose matrices stay on the device."""
    node, inputs = _NODES[kind]
    matrix = {"x": np.random.default_rng(0).standard_normal((side, side), np.float32)}
    session = opened(one_node(node, inputs, side), served(provider))
    return bound(session, matrix, {"y": (side, side)}, provider).resident
