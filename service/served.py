"""What every served model has: its place in the batcher, its metrics, its limits."""

from __future__ import annotations

import secrets
from collections.abc import Coroutine, Mapping
from typing import Any, Generic, TypeVar

import numpy as np

from exported.noise import MAX_SEED
from service.drift.sketch import Sketch
from service.drift.sums import Ordinary
from service.errors import invalid
from service.jobs import Arrays, Take
from service.lanes import Lane
from service.loaded import Loaded
from service.model_metrics import ModelMetrics
from service.results import Codes, Floats, Scored
from service.tracing.current import answered
from service.work import Work

MAX_RANDOM_SEED = 2**53 - 1  # a seed drawn here survives JSON readers that know only doubles

L = TypeVar("L", bound=Loaded[Any])


class Served(Generic[L]):
    """A model whose operations run in shared batches; each kind adds its own.

    Args:
        model: The loaded bundle.
        metrics: Its series.
        work: Where it runs.

    Attributes:
        columns: Names of the values of a row.
        latents: Names of the values of a latent row, for messages.
        drift: Sees what is answered about callers' rows; None where nothing looks for drift.
    """

    def __init__(self, model: L, metrics: ModelMetrics, work: Work) -> None:
        self.model = model
        self.metrics = metrics
        self.work = work
        manifest = model.manifest
        self.name: str = manifest.name
        self.columns = tuple(feature.name for feature in manifest.features)
        self.latents = tuple(f"z{i}" for i in range(manifest.latent_features))
        rate = work.config.drift_alarm_rate
        which = f"{self.name}/{manifest.version}"
        self.drift = Sketch(Ordinary(model), rate, which) if rate else None

    def told(self) -> Mapping[str, object]:
        """What every answer begins with."""
        manifest = self.model.manifest
        return {"model": self.name, "version": manifest.version, "density": manifest.density}

    def check_count(self, count: int, operation: str) -> None:
        """Refuse more rows than one request may have.

        Raises:
            ServiceError: ``too_large``.
        """
        self.work.check_count(count, self.name, operation)

    def _rows(self, operation: str, lane: Lane, rows: Floats) -> Coroutine[Any, Any, Arrays]:
        """Answer about rows, counted; the last array is their status."""
        if len(rows) > self.work.config.limit_rows:
            self.check_count(len(rows), operation)
        return self._run(operation, lane, len(rows), row_bytes(rows), taken(rows))

    async def _run(self, operation: str, lane: Lane, rows: int, memory: int, take: Take) -> Arrays:
        with self.work.in_flight():
            out = await self.work.run(lane, rows, memory, take)
        self.metrics.answered(operation, out[-1])
        answered(len(out[-1]))
        return out

    def _scored(
        self, score: Floats, status: Codes, alpha: float | None, fdr: float | None
    ) -> Scored:
        self.metrics.judged(score, status)
        return Scored(score, status, self.model.decide(score, alpha, fdr))


def row_bytes(rows: Floats | None) -> int:
    """Memory of a row of ``(rows, columns)``; none of nothing."""
    return 0 if rows is None else rows.shape[1] * rows.itemsize


def taken(rows: Floats) -> Take:
    """Gives rows for a lane."""
    return lambda start, stop: rows[start:stop]


def beside(rows: Floats, more: Take | None) -> Take:
    """Gives rows for a lane, each with what belongs to it behind it where there is something."""
    if more is None:
        return taken(rows)
    return lambda start, stop: np.hstack([rows[start:stop], more(start, stop)])


def settle_seed(seed: int | None) -> int:
    """The seed, or one drawn.

    Raises:
        ServiceError: ``invalid_input`` if it is not one.
    """
    if seed is None:
        return secrets.randbelow(MAX_RANDOM_SEED)
    if not 0 <= seed <= MAX_SEED:
        raise invalid(f"expected 'seed' between 0 and {MAX_SEED}, got {seed}")
    return seed


def check_drawing(n: int, temperature: float) -> None:
    """Refuse a number of rows or a temperature at which nothing can be drawn.

    Raises:
        ServiceError: ``invalid_input``.
    """
    if n < 1:
        raise invalid(f"expected 'n' to be at least 1, got {n}")
    if not 0.0 <= temperature < np.inf:
        raise invalid(f"expected 'temperature' to be finite and not negative, got {temperature}")
