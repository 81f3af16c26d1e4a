"""What handlers of every kind of model read from a body, and how they write statuses."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.http.parsing import number, optional, required, whole
from service.results import STATUSES, Codes, Scored
from service.rows import table
from service.served_kinds import AnyServed

Body = dict[str, Any]

_STATUS_NAMES = np.array(STATUSES, dtype=object)


def rows_of(served: AnyServed, body: Body, operation: str) -> NDArray[np.float64]:
    """The rows of a body, shape ``(rows, features)``.

    Raises:
        ServiceError: If they are lacking, too many or not as expected.
    """
    rows = required(body, "rows")
    check_count(served, rows, operation)
    return table(rows, served.columns)


def latents_of(served: AnyServed, body: Body) -> NDArray[np.float64]:
    """The latents of a body, shape ``(rows, latent_features)``.

    Raises:
        ServiceError: If they are lacking, too many or not as expected.
    """
    z = required(body, "z")
    check_count(served, z, "decode")
    return table(z, served.latents, "z")


def drawing(body: Body) -> tuple[int, int | None, float]:
    """How many rows a body asks for, of which seed and at which temperature.

    Raises:
        ServiceError: If one of them is not as expected.
    """
    n = whole(required(body, "n"), "n")
    temperature = optional(body, "temperature", number)
    return n, optional(body, "seed", whole), 1.0 if temperature is None else temperature


def check_count(served: AnyServed, value: object, operation: str) -> None:
    """Refuse too many rows before the work of turning them into numbers.

    Raises:
        ServiceError: ``too_large``.
    """
    if isinstance(value, list):
        served.check_count(len(value), operation)


def decided(scored: Scored) -> Body:
    """The fields of a decision, and the status."""
    decision = scored.decision
    undecided = np.isnan(decision.p_value)
    return {
        "p_value": decision.p_value,
        "is_anomaly": np.where(undecided, None, decision.is_anomaly).tolist(),  # type: ignore[call-overload]
        "threshold": decision.threshold,
        "alpha": decision.alpha,
        "status": names(scored.status),
    }


def names(status: Codes) -> list[str]:
    """Statuses as words."""
    words: list[str] = _STATUS_NAMES[status].tolist()
    return words
