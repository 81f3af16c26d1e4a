"""A request and its answer as arrays, whatever protocol they travel by."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.errors import invalid
from service.results import Codes, Floats, Scored

Told = Mapping[str, float | int | str | None]
# Settings that decisions are made at, of which a call has at most one.
RATES = ("alpha", "fdr")
_NOTHING: Mapping[str, Any] = MappingProxyType({})


class Call(NamedTuple):
    """What an operation is asked.

    Attributes:
        rows: Rows ``(rows, features)`` or latents ``(rows, latent_features)``, as the operation
            takes; None for one that draws.
        context: Of a conditional density, ``(1 or rows, context_features)``.
        settings: What may be chosen, by name; None is the same as left out. Not yet validated.
        outputs: Names of the columns wanted; None means all.
    """

    rows: Floats | None = None
    context: Floats | None = None
    settings: Mapping[str, object] = _NOTHING
    outputs: frozenset[str] | None = None

    def given(self) -> Floats:
        """The rows.

        Raises:
            ServiceError: ``invalid_input`` if there are none.
        """
        if self.rows is None:
            raise invalid("expected rows, got none")
        return self.rows

    def number(self, name: str) -> float | None:
        """A setting that is a finite number.

        Raises:
            ServiceError: ``invalid_input`` if it is something else.
        """
        value = self.settings.get(name)
        return None if value is None else number(value, name)

    def whole(self, name: str) -> int | None:
        """A setting that is a whole number.

        Raises:
            ServiceError: ``invalid_input`` if it is something else.
        """
        value = self.settings.get(name)
        return None if value is None else whole(value, name)


class Answer(NamedTuple):
    """What an operation answers.

    Attributes:
        columns: Of each row, by name: ``(rows,)`` or ``(rows, values)``. Not finite where there
            is no answer; a mask hides what cannot be told of a truth value.
        status: Of each row, indices into :data:`service.results.STATUSES`.
        told: What holds for all rows: the seed that was drawn, the threshold and the like.
    """

    columns: Mapping[str, NDArray[Any]]
    status: Codes
    told: Told = _NOTHING


def decided(scored: Scored) -> tuple[dict[str, NDArray[Any]], Told]:
    """The columns of a decision, and what is told of all of them."""
    decision = scored.decision
    unknown = np.isnan(decision.p_value)
    columns = {
        "p_value": decision.p_value,
        "is_anomaly": np.ma.masked_array(decision.is_anomaly, mask=unknown),
    }
    told: dict[str, float | str | None] = {
        "calibration": decision.calibration,
        "threshold": decision.threshold,
        "alpha": decision.alpha,
    }
    return columns, told if decision.fdr is None else {**told, "fdr": decision.fdr}


def rates(call: Call) -> dict[str, float | None]:
    """What of a call says how many false alarms are accepted; see :meth:`Loaded.decide`.

    Raises:
        ServiceError: ``invalid_input`` if one of them is no number.
    """
    return {name: call.number(name) for name in RATES}


def number(value: object, name: str) -> float:
    """A value that must be a finite number.

    Raises:
        ServiceError: ``invalid_input`` if it is something else.
    """
    if not isinstance(value, int | float) or type(value) is bool or not math.isfinite(value):
        raise invalid(f"expected {name!r} to be a number, got {shown(value)}")
    return float(value)


def whole(value: object, name: str) -> int:
    """A value that must be a whole number.

    Raises:
        ServiceError: ``invalid_input`` if it is something else.
    """
    if type(value) is not int:
        raise invalid(f"expected {name!r} to be a whole number, got {shown(value)}")
    return value


def shown(value: object) -> str:
    """A value in a message."""
    return repr(value)[:64]
