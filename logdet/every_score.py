"""Rows by every score that a model has, in chunks on several threads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from exported.scores import LIKELIHOOD_RATIO, Scorer
from logdet.errors import UserError
from logdet.scoring import Scores, in_chunks, score
from service.kinds import AnyModel
from service.model import Model
from service.results import Codes, Floats, Judged
from service.vae import VAE

Rows = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class EveryScore:
    """What is known of each row.

    Attributes:
        scores: By name, the first of the model's before those beside it, each of shape
            ``(rows,)``; -inf out of support, NaN without an answer.
        status: Shape ``(rows,)``, indices into :data:`service.results.STATUSES`.
    """

    scores: Mapping[str, Floats]
    status: Codes


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

    def run(start: int, stop: int) -> tuple[Mapping[str, Floats], Codes]:
        rows = x[start:stop]
        if not isinstance(model, Model):
            values, status = model.score(rows)
            return {model.manifest.SCORES: values}, status
        given = None if context is None else context[start:stop]
        judged = model.judge(rows, given)
        if background is not None:
            judged = _against(model, judged, background.evaluate(rows, given).log_prob)
        return {model.manifest.SCORES: judged.evaluated.log_prob, **judged.scores}, (
            judged.evaluated.status
        )

    samples = model.scoring().plan.samples if isinstance(model, VAE) else 1
    parts, statuses = zip(*in_chunks(len(x), run, samples), strict=True)
    names = parts[0].keys()
    scores = {name: np.concatenate([part[name] for part in parts]) for name in names}
    return EveryScore(scores, np.concatenate(statuses))


def score_by(
    model: AnyModel,
    by: str | None,
    x: Rows,
    rates: tuple[float | None, float | None],
    context: Rows | None = None,
    terms: bool = False,
) -> Scores:
    """Scores and decisions of rows, by one of the scores of a flow where it is asked for.

    Args:
        model: The bundle, running.
        by: The score that decides; None for :func:`logdet.scoring.score`.
        x: Rows of shape ``(rows, features)``.
        rates: alpha and fdr; see :func:`logdet.scoring.score`.
        context: Of a conditional density, shape ``(rows, context_features)``.
        terms: See :func:`logdet.scoring.score`; not with another score.

    Raises:
        ServiceError: As :func:`logdet.scoring.score`.
        UserError: If the model has no such score.
    """
    if by is None:
        return score(model, x, rates[0], context, terms, rates[1])
    known = model.calibrations if isinstance(model, Model) else {model.manifest.SCORES: None}
    if not isinstance(model, Model) or by not in known:
        raise UserError(
            f"expected --by with one of the scores of {model.manifest.name} "
            f"({', '.join(known)}), got {by}"
        )
    model.decide(np.empty(0), *rates, model.calibrations[by])  # which costs no rows
    found = every_score(model, x, context)
    values, first = found.scores[by], model.manifest.SCORES
    decision = model.decide(values, *rates, model.calibrations[by])
    if by == first:
        return Scores(first, values, found.status, decision, by=by)
    log_prob = found.scores[first]
    return Scores("score", values, found.status, decision, by=by, log_prob=log_prob)


def _against(model: Model, judged: Judged, background: Floats) -> Judged:
    """The same with the likelihood ratio to the log-densities of another flow."""
    whole, base = judged.evaluated, model.manifest.base
    found = Scorer(base, (LIKELIHOOD_RATIO,))(whole.log_prob, whole.z, background)
    return Judged(whole, {**judged.scores, **found})
