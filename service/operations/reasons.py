"""Explanations beside the scores of a flow, where a call asks for them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from service.errors import invalid
from service.explainer import NOTHING, Wanted
from service.operations.call import Call, Told, shown
from service.results import Evaluated, Scored
from service.served_flow import ServedFlow

Columns = Mapping[str, NDArray[Any]]

SETTINGS = ("explain", "nearest")
_WORDS = {"true": True, "false": False}


def wanted(served: ServedFlow, call: Call) -> Wanted:
    """What of explanations a call asks for.

    Raises:
        ServiceError: If it is not as expected, or the model has not got it.
    """
    if not call.settings:
        return NOTHING
    explain, nearest = (_word(call.settings, name) for name in SETTINGS)
    if not isinstance(nearest, bool):
        raise invalid(f"expected 'nearest' to be true or false, got {shown(nearest)}")
    if not isinstance(explain, bool | str):
        raise invalid(
            f"expected 'explain' to be true, false or the name of a method, got {shown(explain)}"
        )
    return served.explainer.wanted(explain, nearest, len(call.given()))


def asked_for(settings: Mapping[str, object]) -> frozenset[str]:
    """Which of :data:`SETTINGS` are given, and not as false."""
    return frozenset(name for name in SETTINGS if _word(settings, name) is not False)


async def reasons(
    served: ServedFlow, call: Call, asked: Wanted, evaluated: Evaluated, scored: Scored
) -> tuple[Columns, Told]:
    """The columns that are wanted, and what is told of all of them."""
    columns: dict[str, NDArray[Any]] = {}
    told: dict[str, float | int | str | None] = {}
    rows, context = call.given(), call.context
    found, near = await served.explainer.told(asked, rows, context, evaluated, scored)
    if found is not None:
        columns["contribution"], told["method"] = found.contribution, found.method
        if found.baseline is not None:
            told["baseline"] = found.baseline
    if near is not None:
        columns |= {"nearest": near.x, "log_prob_nearest": near.log_prob, "change": near.change}
    return columns, told


def _word(settings: Mapping[str, object], name: str) -> object:
    """A setting; a truth value that could only travel as text is one."""
    value = settings.get(name)
    if value is None:
        return False
    return _WORDS.get(value, value) if isinstance(value, str) else value
