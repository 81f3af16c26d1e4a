"""A model with its place in the batcher: a lane for each way in which it runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from exported.manifest import Manifest
from service.expectation import Questions
from service.lanes import Array, Arrays, Lane, Take
from service.metrics import ModelMetrics
from service.model import Model
from service.results import Floats
from service.steps import choose


@dataclass(frozen=True, slots=True)
class Lanes:
    """The ways in which a model runs; rows that share a run share its number of steps.

    A conditional model's rows wait with their context behind them, as one matrix.

    Attributes:
        evaluate: Lane of :meth:`Model.evaluate`.
        decode: Lane of :meth:`Model.decode`.
        emit: Lane of :meth:`Model.emit`.
        explain: Lane of :meth:`Model.explain`.
    """

    evaluate: Lane
    decode: Lane
    emit: Lane
    explain: Lane

    @classmethod
    def of(cls, model: Model, metrics: ModelMetrics, steps: int | None) -> Lanes:
        """Lanes at one number of steps, None for a model without a solver."""
        given = len(model.manifest.context_features)

        def evaluate(rows: Array) -> Arrays:
            out = model.evaluate(*_apart(rows, given), steps)
            return out.log_prob, out.z, out.log_det, out.status

        def decode(rows: Array) -> Arrays:
            out = model.decode(*_apart(rows, given), steps)
            return out.x, out.log_prob, out.status

        def emit(rows: Array) -> Arrays:
            out = model.emit(*_apart(rows, given), steps)
            return out.x, out.log_prob, out.status

        def explain(rows: Array) -> Arrays:
            out = model.explain(*_apart(rows, given), steps)
            return out.log_prob, out.terms, out.status

        return cls(*(Lane(run, metrics) for run in (evaluate, decode, emit, explain)))


@dataclass(frozen=True, slots=True)
class Served:
    """A model with its lanes and its metrics.

    Attributes:
        model: The loaded bundle.
        metrics: Its series.
        columns: Names of the values of a row.
        latents: Names of the values of a latent row, for messages.
        by_steps: Lanes at each number of steps; those of None for a model without a solver.
    """

    model: Model
    metrics: ModelMetrics
    columns: tuple[str, ...]
    latents: tuple[str, ...]
    by_steps: Mapping[int | None, Lanes]

    @classmethod
    def of(cls, model: Model, metrics: ModelMetrics) -> Served:
        """Lanes for every number of steps that the model offers."""
        manifest = model.manifest
        columns = tuple(feature.name for feature in manifest.features)
        latents = tuple(f"z{i}" for i in range(manifest.latent_features))
        by_steps = {steps: Lanes.of(model, metrics, steps) for steps in _offered(manifest)}
        return cls(model, metrics, columns, latents, by_steps)

    def lanes(self, steps: int | None = None) -> Lanes:
        """The lanes at a number of steps, the model's default if None.

        Raises:
            ServiceError: ``invalid_input`` if the model does not offer that number.
        """
        return self.by_steps[choose(self.model.manifest, steps)]


def rows_of(x: Floats, context: Floats | None) -> Take:
    """Gives rows for a lane, each with its context behind it where there is one."""
    if context is None:
        return lambda start, stop: x[start:stop]
    return lambda start, stop: np.hstack([x[start:stop], context[start:stop]])


def noise_of(
    model: Model, seed: int, temperature: float, context: Floats | None
) -> tuple[int, Take]:
    """Bytes of a row of latents, and what gives those of a seed for a lane; see :func:`rows_of`.

    Args:
        model: Whose latents.
        seed: Draws them.
        temperature: See :meth:`Model.base_noise`.
        context: A row for each of them, or None.
    """

    def take(start: int, stop: int) -> Floats:
        z = model.base_noise(seed, temperature, start, stop)
        return z if context is None else np.hstack([z, context[start:stop]])

    columns = model.manifest.latent_features + len(model.manifest.context_features)
    return columns * np.dtype(np.float64).itemsize, take


def keeping(emit: Lane, questions: Questions) -> Lane:
    """A lane of one request, which keeps of the rows drawn what its questions need.

    Its runs give the arrays of :class:`Kept` and the status; whole rows end with each run, so that
    many samples of many features take no more memory than what is asked of them.
    """

    def run(rows: Array) -> Arrays:
        x, _, status = emit.run(rows)
        kept = questions.keep(x)
        return kept.values, kept.inside, status

    return Lane(run, emit.watch)


def _apart(rows: Array, given: int) -> tuple[Array, Array | None]:
    return (rows[:, :-given], rows[:, -given:]) if given else (rows, None)


def _offered(manifest: Manifest) -> tuple[int | None, ...]:
    if manifest.steps is None:
        return (None,)
    return tuple(choice.steps for choice in manifest.steps.offered)
