"""What is asked of the service, with the answers that the models give when nobody else asks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.config import ServiceConfig
from service.core import Core
from service.http.tables.columns import flat, layout
from service.operations.call import Call
from service.operations.kinds import operation_of
from service.results import STATUSES
from tests import linear_gaussian
from tests.bundles import ordinary_rows
from tests.variants import contexts, rows_given

Rows = NDArray[np.float64]
Columns = Mapping[str, NDArray[Any]]

SIZES = (1, 2, 7, 40, 300, 1500, 20_000)
SMALL = (1, 5, 60)  # of what costs a hundred times as much a row
# From a whole number of a sample, further than float32 sums differ from batch to batch.
MARGIN = 3e-5
LEAST_P, ALPHA = 0.003, 0.01
TOLERANCE = {"rtol": 1e-4, "atol": 1e-3}


@dataclass(frozen=True, slots=True, eq=False)
class Question:
    """An operation asked of a model.

    Attributes:
        model: Its name.
        operation: As manifests call it.
        rows: Rows or latents; None for a sample.
        context: Of a conditional density.
        settings: What is chosen, by name.
        expected: Columns of the answer by every name that a protocol has for them.
    """

    model: str
    operation: str
    rows: Rows | None = None
    context: Rows | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    expected: Columns = field(default_factory=dict)

    def check(self, got: Columns) -> None:
        """Compare an answer, whichever columns a protocol gives.

        Raises:
            AssertionError: If a value is not what the model gives.
        """
        assert set(got) > {"status"}, f"no columns but {list(got)}"
        for name, values in got.items():
            _check(name, self.expected, values)


def _check(name: str, expected: Columns, got: NDArray[Any]) -> None:
    wanted = expected[name]
    assert got.shape == wanted.shape, f"{name}: {got.shape} is not {wanted.shape}"
    if name == "status":
        np.testing.assert_array_equal(got, wanted, err_msg=name)
    elif name == "is_anomaly":
        sure = np.abs(expected["p_value"] - ALPHA) > LEAST_P
        np.testing.assert_array_equal(got[sure], wanted[sure], err_msg=name)
    else:
        tolerance = {"atol": LEAST_P} if name == "p_value" else TOLERANCE
        np.testing.assert_allclose(_told(got), _told(wanted), err_msg=name, **tolerance)


def _told(values: NDArray[Any]) -> NDArray[np.float64]:
    """Numbers; JSON has no infinities."""
    wide = values.astype(np.float64)
    return np.where(np.isfinite(wide), wide, np.nan)


def answered(root: Path) -> list[Question]:
    """Every operation of every kind of model at several sizes, each answered alone."""
    core = Core(ServiceConfig(bundles=root, provider="cpu", sessions=1))
    core.load()

    async def all_of_them() -> list[Question]:
        return [await _answer(core, question) for question in _asked(core)]

    try:
        return asyncio.run(all_of_them())
    finally:
        core.work._batcher.close()


async def _answer(core: Core, asked: Question) -> Question:
    served = core.find(asked.model, operation=asked.operation)
    operation = operation_of(served, asked.operation)
    answer = await operation.ask(served, Call(asked.rows, asked.context, asked.settings))
    columns = {**answer.columns, **flat(layout(served, operation), answer)}
    columns = {name: np.ma.filled(values, False) for name, values in columns.items()}
    if "rows" in columns:
        columns["x"] = columns["rows"]
    for name in ("log_prob", "score"):
        if name in columns:
            columns.setdefault("score", columns[name])  # as logdet.v1 calls it
    columns["status"] = np.array(STATUSES)[answer.status]
    return Question(
        asked.model, asked.operation, asked.rows, asked.context, asked.settings, columns
    )


def _asked(core: Core) -> list[Question]:
    made: list[Question] = []
    for size in SIZES:
        x, context = _rows(ordinary_rows, size), contexts(size, seed=size)
        z = np.random.default_rng(size).standard_normal((size, 3))
        for operation in ("log_prob", "score", "encode"):
            made.append(Question("gauss", operation, x))
            made.append(Question("given", operation, rows_given(context, size), context))
        made.append(Question("stepped", "log_prob", x, settings={"steps": 4}))
        made.append(Question("stepped", "encode", x, settings={"steps": 32}))
        made.append(Question("ordered", "feature_log_prob", x))
        made.append(Question("gauss", "decode", z))
        made += _latent(size)
        if size <= SIZES[-2]:
            made.append(Question("gauss", "sample", settings=_draw(core, size)))
    return made + [question for size in SMALL for question in _bounds(size)]


def _latent(size: int) -> list[Question]:
    x, z = (
        _rows(linear_gaussian.rows, size),
        np.random.default_rng(size).standard_normal((size, 2)),
    )
    return [
        Question("vae", "encode", x, settings={"depth": 2}),
        Question("vae", "reconstruct", x),
        Question("vae", "decode", z),
        Question("auto", "score", x),
        Question("auto", "encode", x),
        Question("auto", "reconstruct", x),
    ]


def _bounds(size: int) -> list[Question]:
    x = linear_gaussian.rows(size, seed=size)
    return [
        Question("vae", "score", x),
        Question("vae", "log_prob_bound", x, settings={"samples": 200, "seed": 3}),
        Question("plain", "log_prob_bound", x, settings={"samples": 1000, "seed": 4}),
    ]


def _rows(draw: Callable[[int, int], Rows], size: int) -> Rows:
    """Rows, of which some cannot be answered where there are enough."""
    x = draw(size, size)
    x[3::50, 0], x[5::70, 3] = np.nan, 8.0
    return x


def _draw(core: Core, n: int) -> dict[str, Any]:
    """A seed of which no row is rounded to another whole number by float32's last bit."""
    model: Any = core.find("gauss").model
    for seed in range(1000):
        drawn = model.decode(model.base_noise(seed, 1.0, 0, n)).x
        if (np.abs(drawn[:, 2] % 1.0 - 0.5) > MARGIN).all():
            return {"n": n, "seed": seed}
    raise AssertionError("no seed is without a tie")
