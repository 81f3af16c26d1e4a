"""Rows by every score that a model has, in chunks on several threads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from exported.calibration import Calibration
from exported.latents import LatentMoments
from exported.scores import LIKELIHOOD_RATIO, Scorer
from logdet.errors import UserError
from logdet.scoring import Scores, in_chunks, score
from service.kinds import AnyModel
from service.model import Model
from service.results import OK, Codes, Floats, Judged
from service.vae import VAE

Rows = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class EveryScore:
    """What is known of each row.

    Attributes:
        scores: By name, the first of the model's before those beside it, each of shape
            ``(rows,)``; -inf out of support, NaN without an answer.
        status: Shape ``(rows,)``, indices into :data:`service.results.STATUSES`.
        latents: What those of the rows in support are like; None of a model that has no density.
    """

    scores: Mapping[str, Floats]
    status: Codes
    latents: LatentMoments | None = None


def every_score(
    model: AnyModel, x: Rows, context: Rows | None = None, background: Model | None = None
) -> EveryScore:
    """Every score of rows ``(rows, features)``, and of their context.

    Args:
        model: The bundle, running.
        x: The rows.
        context: Of a conditional density, shape ``(rows, context_features)``.
        background: In place of the model's own, if it has one: another flow of the same rows.
    """

    def run(start: int, stop: int) -> EveryScore:
        rows = x[start:stop]
        if not isinstance(model, Model):
            values, status = model.score(rows)
            return EveryScore({model.manifest.SCORES: values}, status)
        given = None if context is None else context[start:stop]
        judged = model.judge(rows, given)
        if background is not None:
            judged = _against(model, judged, background.evaluate(rows, given).log_prob)
        known = judged.evaluated
        moments = LatentMoments.of(model.manifest.base, known.z[known.status == OK])
        scores = {model.manifest.SCORES: known.log_prob, **judged.scores}
        return EveryScore(scores, known.status, moments)

    samples = model.scoring().plan.samples if isinstance(model, VAE) else 1
    return _joined(in_chunks(model, len(x), run, samples))


def _joined(parts: Sequence[EveryScore]) -> EveryScore:
    names = parts[0].scores
    scores = {name: np.concatenate([part.scores[name] for part in parts]) for name in names}
    moments = [part.latents for part in parts if part.latents is not None]
    whole = sum(moments[1:], moments[0]) if moments else None
    return EveryScore(scores, np.concatenate([part.status for part in parts]), whole)


def score_by(
    model: AnyModel,
    by: str | None,
    x: Rows,
    rates: tuple[float | None, float | None],
    context: Rows | None = None,
    terms: bool = False,
) -> Scores:
    """Scores and decisions of rows, by one of the model's scores where it is asked for.

    Args:
        model: The bundle, running.
        by: The score that decides, of which only flows have several; None for the first.
        x: Rows of shape ``(rows, features)``.
        rates: alpha and fdr; see :func:`logdet.scoring.score`.
        context: Of a conditional density, shape ``(rows, context_features)``.
        terms: See :func:`logdet.scoring.score`; only of the first score.

    Raises:
        ServiceError: As :func:`logdet.scoring.score`.
        UserError: If the model has no such score.
    """
    first = model.manifest.SCORES
    if by is None or by == first:
        return replace(score(model, x, rates[0], context, terms, rates[1]), by=by)
    calibration = calibration_by(model, by)
    model.decide(np.empty(0), *rates, calibration)  # which costs no rows
    found = every_score(model, x, context)
    values, log_prob = found.scores[by], found.scores[first]
    decision = model.decide(values, *rates, calibration)
    return Scores("score", values, found.status, decision, by=by, log_prob=log_prob)


def calibration_by(model: AnyModel, by: str) -> Calibration:
    """Of the score that is to decide.

    Raises:
        UserError: If the model has no such score.
    """
    if by not in model.calibrations:
        known = ", ".join(model.calibrations)
        raise UserError(
            f"expected --by with one of the scores of {model.manifest.name} ({known}), got {by}"
        )
    return model.calibrations[by]


def _against(model: Model, judged: Judged, background: Floats) -> Judged:
    """The same with the likelihood ratio to the log-densities of another flow."""
    whole, base = judged.evaluated, model.manifest.base
    found = Scorer(base, (LIKELIHOOD_RATIO,))(whole.log_prob, whole.z, background)
    return Judged(whole, {**judged.scores, **found})
