"""Scores of a flow beside its log-density: decisions by one of them, and all of them at once."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, get_args

import numpy as np

from exported.calibration_summary import ScoreName
from exported.manifest import Manifest
from exported.scores import LOG_PROB
from service.choice import Choice
from service.errors import invalid
from service.operations.call import Answer, Call, Told, decided, rates, shown
from service.operations.spec import Operation, Output
from service.results import Evaluated, Floats, Judged, Scored
from service.served_flow import ServedFlow

BY = "by"
_P_VALUE = "_p_value"
# There where another score than log_prob decides.
SCORE = Output("score", datatype="FP64", asked_by=BY)
# What the operation ``scores`` can answer; of a bundle, the scores that it has.
OUTPUTS = tuple(
    output
    for name in (LOG_PROB, *get_args(ScoreName))
    for output in (
        Output(name, datatype="FP32" if name == LOG_PROB else "FP64"),
        Output(f"{name}{_P_VALUE}", datatype="FP64"),
    )
)


def is_by_name(call: Call) -> bool:
    """Whether a call says by which score to decide."""
    return bool(call.settings) and call.settings.get(BY) is not None


def is_by_another(settings: Mapping[str, object]) -> bool:
    """Whether settings say to decide by another score than log_prob."""
    return settings.get(BY) not in (None, LOG_PROB)


def check(served: ServedFlow, call: Call) -> None:
    """Refuse what a call says of decisions, where it is not as expected.

    Raises:
        ServiceError: As :func:`decide`.
    """
    by = _asked(served, call) if is_by_name(call) else LOG_PROB
    calibration = served.model.calibrations[by]
    served.model.decide(np.empty(0), **rates(call), calibration=calibration)


async def decide(
    served: ServedFlow, call: Call, choice: Choice
) -> tuple[Evaluated, Scored, dict[str, Any], Told]:
    """What one run tells of rows; their score as asked for, its columns, what is told of it.

    Raises:
        ServiceError: ``invalid_input`` if the model has no such score, or cannot decide so.
    """
    check(served, call)  # refused before any run
    by, model = _asked(served, call), served.model
    accepted, calibration = rates(call), model.calibrations[by]
    judged = await served.scores(call.given(), choice, "score")
    values, evaluated = judged.by(by), judged.evaluated
    decision = model.decide(values, **accepted, calibration=calibration)
    scored = Scored(values, evaluated.status, decision)
    columns, told = decided(scored)
    if by != LOG_PROB:
        columns = {SCORE.name: values, **columns}
    return evaluated, scored, columns, {BY: by, **told}


async def scores(served: ServedFlow, call: Call) -> Answer:
    """Rows to every score that the bundle has, and its p-value."""
    choice = Choice(call.context, call.whole("steps"))
    judged = await served.scores(call.given(), choice)
    columns = await asyncio.to_thread(_columns, served, judged)
    calibration = served.model.manifest.calibration.artifact.sha256
    return Answer(columns, judged.evaluated.status, {"calibration": calibration})


def offered(operation: Operation, manifest: Manifest) -> Operation:
    """The operation with the columns that it has for a model; only those of ``scores`` differ."""
    if operation.outputs is not OUTPUTS:
        return operation
    known = (LOG_PROB, *manifest.calibration.scores)
    names = {column for name in known for column in (name, name + _P_VALUE)}
    return replace(operation, outputs=tuple(o for o in OUTPUTS if o.name in names))


def _asked(served: ServedFlow, call: Call) -> str:
    by, known = call.settings[BY], served.model.calibrations
    if not isinstance(by, str) or by not in known:
        listed = ", ".join(known)
        raise invalid(
            f"expected {BY!r} to be one of the scores of {served.name} ({listed}), got {shown(by)}"
        )
    return by


def _columns(served: ServedFlow, judged: Judged) -> dict[str, Floats]:
    """Of every score, itself and its p-value."""
    columns: dict[str, Floats] = {}
    for name, calibration in served.model.calibrations.items():
        values = judged.by(name)
        columns |= {name: values, f"{name}{_P_VALUE}": calibration.p_value(values)}
    return columns
