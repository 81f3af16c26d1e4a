"""Why a row is as unlikely as it is: what each feature contributes to its log-density."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from exported.kinds import GRADIENT_GRAPH, FlowManifest
from service.errors import ErrorKind, ServiceError, invalid
from service.jobs import Array
from service.model import Model
from service.results import OK, OUT_OF_SUPPORT, Codes, Floats
from service.ways import Ask, Steps, given_with

Method = Literal["conditional", "leave_one_out", "gradient"]


class Rows(NamedTuple):
    """Rows that were scored.

    Attributes:
        x: Shape ``(rows, features)``, float64, in the user's units.
        context: Of a conditional density, shape ``(rows, context_features)``; None without.
        log_prob: Shape ``(rows,)``, nats.
        z: Shape ``(rows, latent_features)``; NaN where the status is not ok.
        status: Shape ``(rows,)``.
    """

    x: Floats
    context: Floats | None
    log_prob: Floats
    z: Floats
    status: Codes

    def only(self, places: NDArray[np.integer] | NDArray[np.bool_]) -> Rows:
        """Some of them."""
        context = None if self.context is None else self.context[places]
        rest = self.log_prob[places], self.z[places], self.status[places]
        return Rows(self.x[places], context, *rest)


class Reasons(NamedTuple):
    """What each feature contributes.

    Attributes:
        method: By which it was found.
        contribution: Shape ``(rows, features)``, nats; of ``gradient`` nats per deviation. Of a
            row out of support -inf for each value that is impossible by itself, 0 for the others;
            NaN where there is no answer.
        baseline: Of ``conditional``: what is usual, which with a row's contributions makes its
            log-density; None of other methods.
    """

    method: Method
    contribution: Floats
    baseline: float | None = None


def methods_of(manifest: FlowManifest) -> tuple[Method, ...]:
    """The methods that a model has, best first."""
    has: Mapping[Method, bool] = {
        "conditional": "feature_log_prob" in manifest.operations,
        "leave_one_out": True,
        "gradient": GRADIENT_GRAPH in manifest.graphs,
    }
    return tuple(method for method, is_there in has.items() if is_there)


def chosen(manifest: FlowManifest, asked: str | None, expected: str) -> Method:
    """The method that was named, or the best.

    Args:
        manifest: Of the flow.
        asked: Its name; None for the best.
        expected: What the caller names it with, for the message.

    Raises:
        ServiceError: ``invalid_input`` if the flow has not got it.
    """
    known = methods_of(manifest)
    for method in known:
        if asked in (None, method):
            return method
    raise invalid(
        f"expected {expected} one of {', '.join(map(repr, known))}, which {manifest.name} has, "
        f"got {(asked or '')[:64]!r}"
    )


def check_nearest(manifest: FlowManifest, called: str) -> None:
    """Refuse a flow that has no nearest rows.

    Args:
        manifest: Of the flow.
        called: What they are asked for with.

    Raises:
        ServiceError: ``unsupported``.
    """
    if "decode" not in manifest.operations:
        raise ServiceError(
            ErrorKind.UNSUPPORTED,
            f"expected a model with the operation 'decode' for {called}, got {manifest.name}",
        )


def varied(model: Model) -> int:
    """Features that can be left out."""
    return int((~model.rules.constant).sum())


def check_rows(model: Model, rows: int, method: Method, limit: int) -> None:
    """Refuse more rows than can be explained at once.

    Args:
        model: Whose rows they are.
        rows: How many.
        method: By which.
        limit: Most rows that a request may have run.

    Raises:
        ServiceError: ``too_large``.
    """
    each = varied(model)
    if method == "leave_one_out" and rows * each > limit:
        raise ServiceError(
            ErrorKind.TOO_LARGE,
            f"expected at most {limit // each} rows a request with 'explain' by leave_one_out, "
            f"which runs every row of {model.manifest.name} {each} times, got {rows}; for more, "
            f"use the command 'logdet score {model.manifest.name} FILE -o OUT --explain' or "
            "several requests",
        )


def explain(model: Model, rows: Rows, method: Method) -> Steps[Reasons]:
    """What each feature contributes to the log-density of each row."""
    ok = np.flatnonzero(rows.status == OK)
    contribution = _unexplained(model, rows)
    if len(ok):
        by = _BY[method]
        contribution[ok] = yield from by(model, rows.only(ok))
    is_conditional = method == "conditional"
    baseline = float(model.usual_terms.sum()) if is_conditional else None
    return Reasons(method, contribution, baseline)


def _unexplained(model: Model, rows: Rows) -> Floats:
    """Contributions before any run: those of the rows that are out of support by themselves."""
    contribution = np.full(rows.x.shape, np.nan, np.float32)
    impossible = ~model.rules.inside(rows.x)
    alone = (rows.status == OUT_OF_SUPPORT) & impossible.any(axis=1)
    contribution[alone] = np.where(impossible[alone], -np.inf, 0.0)
    return contribution


def _conditional(model: Model, rows: Rows) -> Steps[Floats]:
    """Each term less what is usual of it."""
    out = yield Ask("terms", len(rows.x), given_with(rows.x, rows.context))
    contribution: Floats = out[1].astype(np.float64) - model.usual_terms
    return contribution.astype(np.float32)


def _leave_one_out(model: Model, rows: Rows) -> Steps[Floats]:
    """The log-density less that of the row with one feature at its median."""
    contribution = np.zeros(rows.x.shape, np.float32)
    # What is at its median already changes nothing.
    row, feature = np.nonzero((rows.x != model.rules.median) & ~model.rules.constant)
    if not len(row):
        return contribution

    def take(start: int, stop: int) -> Array:
        places, left_out = row[start:stop], feature[start:stop]
        x = rows.x[places]
        x[np.arange(len(x)), left_out] = model.rules.median[left_out]
        return x if rows.context is None else np.hstack([x, rows.context[places]])

    log_prob, status = yield Ask("varied", len(row), take)
    change = rows.log_prob[row] - log_prob
    contribution[row, feature] = np.where(status == OK, change, np.nan)
    return contribution


def _gradient(model: Model, rows: Rows) -> Steps[Floats]:
    out = yield Ask("gradient", len(rows.x), given_with(rows.x, rows.context))
    return out[0]


_BY: Mapping[Method, Callable[[Model, Rows], Steps[Floats]]] = {
    "conditional": _conditional,
    "leave_one_out": _leave_one_out,
    "gradient": _gradient,
}
