"""Why rows of a file score as they do: explanations by a model in this process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from logdet.errors import UserError
from logdet.scoring import Scores, in_chunks
from service.jobs import Arrays
from service.kinds import AnyModel
from service.model import Model
from service.nearest import nearest
from service.reasons import Method, Rows, check_nearest, chosen, explain
from service.results import Floats
from service.ways import Ask, Steps, given_with, runs_of

# Rows whose explanations are worked on at once: each may be run once for every feature.
BLOCK_ROWS = 8192
TOLD = 3  # features of a row in the summary
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked of a model about scored rows.

    Attributes:
        method: By which contributions are found; None where none are asked for.
        nearest: Whether the nearest rows that are no anomalies are.
    """

    method: Method | None
    nearest: bool

    @classmethod
    def of(cls, model: AnyModel, *, explain: bool, method: str | None, nearest: bool) -> Asked:
        """What options ask.

        Raises:
            ServiceError: If the model has not got it.
            UserError: If it is no flow.
        """
        if not (explain or nearest):
            return cls(None, nearest=False)
        flow = expect_flow(model)
        if nearest:
            check_nearest(flow.manifest, "--nearest")
        named = chosen(flow.manifest, method, "--method to be") if explain else None
        return cls(named, nearest)

    def columns(
        self,
        model: AnyModel,
        x: NDArray[np.float64],
        context: NDArray[np.float64] | None,
        scores: Scores,
    ) -> dict[str, NDArray[np.generic]]:
        """The columns that are asked for, of every row."""
        if self.method is None and not self.nearest:
            return {}
        of = Explaining(expect_flow(model), x, context, scores)
        columns: dict[str, NDArray[np.generic]] = {}
        if self.method is not None:
            columns |= of.by_feature("contribution_", of.contributions(self.method))
        if self.nearest:
            columns |= of.nearest()
        return columns

    def reasons(
        self,
        model: AnyModel,
        x: NDArray[np.float64],
        context: NDArray[np.float64] | None,
        scores: Scores,
        rows: Sequence[int],
    ) -> list[str]:
        """Of some rows the features that make them unlikely; nothing where it is not asked for."""
        if self.method is None:
            return []
        of = Explaining(expect_flow(model), x, context, scores)
        return of.reasons(self.method, rows)


@dataclass(frozen=True, slots=True)
class Explaining:
    """Explains rows of a file.

    Attributes:
        model: The flow.
        x: Shape ``(rows, features)``.
        context: Shape ``(rows, context_features)``; None without.
        scores: Of the rows.
    """

    model: Model
    x: NDArray[np.float64]
    context: NDArray[np.float64] | None
    scores: Scores

    def contributions(self, method: Method, rows: Sequence[int] | None = None) -> Floats:
        """What each feature contributes to the log-density, nats; of some rows or all."""
        places = np.arange(len(self.x)) if rows is None else np.array(rows, dtype=np.intp)
        parts = [np.empty((0, self.x.shape[1]), np.float32)]
        for start in range(0, len(places), BLOCK_ROWS):
            block = self._rows(places[start : start + BLOCK_ROWS])
            parts.append(self._run(explain(self.model, block, method)).contribution)
        return np.concatenate(parts)

    def nearest(self) -> dict[str, NDArray[np.generic]]:
        """Columns of the nearest row that is no anomaly, of each anomaly."""
        threshold = self.scores.decision.threshold
        anomalies = np.flatnonzero(self.scores.decision.is_anomaly)
        z = np.full((len(self.x), self.model.manifest.latent_features), np.nan, np.float32)
        if len(anomalies):
            there = self._rows(anomalies)
            ask = Ask("evaluate", len(anomalies), given_with(there.x, there.context))
            z[anomalies] = self._answer(ask)[1]
        rows = self._rows(np.arange(len(self.x)))._replace(z=z)
        steps = nearest(self.model, rows, threshold, self.scores.decision.is_anomaly)
        near = self._run(steps)
        columns = self.by_feature("nearest_", near.x) | {"log_prob_nearest": near.log_prob}
        return columns | self.by_feature("change_", near.change)

    def reasons(self, method: Method, rows: Sequence[int]) -> list[str]:
        """The features that make some rows unlikely, worst first, for people."""
        names = [feature.name for feature in self.model.manifest.features]
        told = []
        for contribution in self.contributions(method, rows):
            worst = [int(i) for i in np.argsort(contribution) if contribution[i] < 0.0]
            told.append(", ".join(f"{names[i]} {contribution[i]:.3g}" for i in worst[:TOLD]))
        return told

    def by_feature(self, prefix: str, values: Floats) -> dict[str, NDArray[np.generic]]:
        """Columns of a matrix ``(rows, features)`` by name."""
        names = [prefix + feature.name for feature in self.model.manifest.features]
        return dict(zip(names, values.T, strict=True))

    def _rows(self, places: NDArray[np.intp]) -> Rows:
        context = None if self.context is None else self.context[places]
        # Whichever score decides, reasons are those of the log-density.
        known = self.scores.score if self.scores.log_prob is None else self.scores.log_prob
        z, status = np.empty((len(places), 0)), self.scores.status[places]
        return Rows(self.x[places], context, known[places], z, status)

    def _run(self, steps: Steps[T]) -> T:
        try:
            ask = next(steps)
            while True:
                ask = steps.send(self._answer(ask))
        except StopIteration as end:
            result: T = end.value
            return result

    def _answer(self, ask: Ask) -> Arrays:
        run = runs_of(self.model)[ask.way]

        def part(start: int, stop: int) -> Arrays:
            return run(ask.take(start, stop))

        return tuple(map(np.concatenate, zip(*in_chunks(self.model, ask.rows, part), strict=True)))


def expect_flow(model: AnyModel) -> Model:
    """The model, where only a flow will do.

    Raises:
        UserError: If it is none.
    """
    if not isinstance(model, Model):
        name, density = model.manifest.name, model.manifest.density
        raise UserError(
            f"expected a flow for --explain and --nearest, got {name} of the density {density!r}"
        )
    return model
