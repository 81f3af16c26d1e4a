"""Scores of a part of many rows, by the very bits that all rows at once would have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from logdet.every_score import score_by
from service.kinds import AnyModel

# onnxruntime sums along a row in vectors of four from where memory is aligned, so that the last
# bit of a log-density depends on the row's place in its run modulo four.
ROWS_ALIKE = 4


@dataclass(frozen=True, slots=True)
class Asking:
    """What is asked of rows.

    Attributes:
        model: Scores them.
        alpha: See :func:`logdet.scoring.score`.
        terms: See there.
        by: The score of a flow that decides, where it is asked for.
    """

    model: AnyModel
    alpha: float | None
    terms: bool
    by: str | None = None

    def columns(self, place: int, table: NDArray[np.float64]) -> dict[str, NDArray[Any]]:
        """The answers, as :meth:`logdet.scoring.Scores.columns` has them.

        Args:
            place: Of the first of the rows among all.
            table: Shape ``(rows, len(needed(manifest)))``, columns in that order.

        Raises:
            ServiceError: As :func:`logdet.scoring.score`.
            UserError: Likewise.
        """
        before = place % ROWS_ALIKE if len(table) else 0
        if before:
            table = np.concatenate([table[:1]] * before + [table])
        features = len(self.model.manifest.features)
        context = table[:, features:] if features < table.shape[1] else None
        x, rates = table[:, :features], (self.alpha, None)
        scores = score_by(self.model, self.by, x, rates, context, self.terms)
        return {name: column[before:] for name, column in scores.columns().items()}
