"""The strangest rows of a file, kept while it is read, and why they are strange."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from logdet.explaining import Explaining
from logdet.report.blocks import Block
from logdet.report.scored import Scored
from logdet.scoring import Scores, lowest
from service.kinds import AnyModel
from service.model import Model
from service.reasons import Method, methods_of
from service.results import Codes, Decision, Floats


@dataclass(frozen=True, slots=True)
class Rows:
    """Some rows of a file.

    Attributes:
        place: Of each in the file, from 0.
        by: The score that decides, shape ``(rows,)``.
        first: The model's first score, shaped alike.
        status: Shaped alike.
        x: Shape ``(rows, features)``.
        context: Shape ``(rows, context_features)``; None without.
        columns: All their columns, as in the file.
    """

    place: NDArray[np.int64]
    by: Floats
    first: Floats
    status: Codes
    x: NDArray[np.float64]
    context: NDArray[np.float64] | None
    columns: pa.Table

    @classmethod
    def of(cls, block: Block, scored: Scored, by: str, most: int) -> Rows:
        """The rows of a block that score lowest, lowest first."""
        chosen = lowest(scored.scores[by], most)
        first = next(iter(scored.scores.values()))
        context = None if block.context is None else block.context[chosen]
        place = block.first + np.array(chosen, dtype=np.int64)
        scores = scored.scores[by][chosen], first[chosen], scored.status[chosen]
        table = block.frame.columns.take(pa.array(chosen, pa.int64()))
        return cls(place, *scores, block.x[chosen], context, table)

    def merged(self, later: Rows, most: int) -> Rows:
        """The lowest of these and of later ones."""
        chosen = lowest(np.concatenate([self.by, later.by]), most)
        context = None
        if self.context is not None and later.context is not None:
            context = np.concatenate([self.context, later.context])[chosen]
        return Rows(
            place=np.concatenate([self.place, later.place])[chosen],
            by=np.concatenate([self.by, later.by])[chosen],
            first=np.concatenate([self.first, later.first])[chosen],
            status=np.concatenate([self.status, later.status])[chosen],
            x=np.concatenate([self.x, later.x])[chosen],
            context=context,
            columns=pa.concat_tables([self.columns, later.columns]).take(pa.array(chosen)),
        )


@dataclass(frozen=True, slots=True)
class Why:
    """Why rows are strange.

    Attributes:
        method: By which contributions were found.
        contribution: Shape ``(rows, features)``, nats; NaN where it is not known.
        nearest: Shape ``(rows, features)``: the nearest row that is no anomaly, NaN where there is
            none; None where it is not asked for.
        change: Shaped alike, the way there in deviations.
    """

    method: Method
    contribution: Floats
    nearest: Floats | None
    change: Floats | None


def why(model: AnyModel, rows: Rows, decision: Decision, by_first: bool) -> Why | None:
    """What makes rows unlikely; None of a model that cannot tell.

    Args:
        model: Of any kind.
        rows: Those to explain.
        decision: About all rows of the file.
        by_first: Whether the log-density decides, without which no row is told as nearest.
    """
    if not isinstance(model, Model):
        return None
    method = methods_of(model.manifest)[0]
    p_value, is_anomaly = decision.p_value[rows.place], decision.is_anomaly[rows.place]
    about = decision._replace(p_value=p_value, is_anomaly=is_anomaly)
    scores = Scores(model.manifest.SCORES, rows.first, rows.status, about)
    explaining = Explaining(model, rows.x, rows.context, scores)
    contribution = explaining.contributions(method)
    if not (by_first and "decode" in model.manifest.operations):
        return Why(method, contribution, None, None)
    columns = explaining.nearest()
    names = [feature.name for feature in model.manifest.features]
    near, change = (
        np.column_stack([columns[f"{prefix}_{name}"] for name in names])
        for prefix in ("nearest", "change")
    )
    return Why(method, contribution, near, change)
