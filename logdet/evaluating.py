"""Labelled rows by every score of a bundle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from logdet.beside import Given
from logdet.errors import UserError
from logdet.every_score import calibrations_of, every_score
from logdet.separation import ALPHAS, Labels, Separation, separations
from service.kinds import AnyModel


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What is known of a bundle's scores.

    Attributes:
        scores: By name, the first before those beside it.
        positive: Rows that count as anomalies.
        negative: Rows that do not.
        left_out: Rows without a label or an answer.
    """

    scores: Mapping[str, Separation]
    positive: int
    negative: int
    left_out: int

    @property
    def best(self) -> str:
        """The score of the largest area; of equal ones the first."""
        return max(self.scores, key=lambda name: self.scores[name].auroc.value)


def evaluate(model: AnyModel, given: Given, positive: Labels, known: Labels) -> Evaluation:
    """Score rows as the service does and hold the scores against labels.

    Args:
        model: The bundle, running.
        given: The rows.
        positive: Which are anomalies, shape ``(rows,)``.
        known: Which have a label.

    Raises:
        UserError: If there are not two rows of each kind.
    """
    found = every_score(model, given.x, given.context)
    counts = known & ~np.isnan(found.scores[model.manifest.SCORES])
    scores = {name: values[counts].astype(np.float64) for name, values in found.scores.items()}
    calibrations = calibrations_of(model)
    p_values = {name: calibrations[name].p_value(values) for name, values in scores.items()}
    chosen = positive[counts]
    alphas = [alpha for alpha in ALPHAS if alpha >= model.calibration.smallest_alpha]
    try:
        separated = separations(scores, p_values, chosen, alphas)
    except ValueError as error:
        raise UserError(str(error)) from error
    total = int(chosen.sum())
    return Evaluation(separated, total, len(chosen) - total, int((~counts).sum()))
