"""Operations of flows."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from functools import lru_cache
from typing import Any

from numpy.typing import NDArray

from service.choice import DEFAULT, Choice, choose_steps
from service.errors import invalid
from service.explainer import NOTHING, Wanted
from service.operations.call import RATES, Answer, Call, Told, decided, rates
from service.operations.reasons import SETTINGS as REASONS
from service.operations.reasons import reasons, wanted
from service.operations.scores import (
    BY,
    OUTPUTS,
    SCORE,
    check,
    decide,
    is_by_another,
    is_by_name,
    scores,
)
from service.operations.spec import ROWS, Operation, Output
from service.results import Evaluated
from service.served_flow import ServedFlow

Handler = Callable[[ServedFlow, Call], Coroutine[Any, Any, Answer]]

LOG_PROB = Output("log_prob")
DECISION = (Output("p_value", datatype="FP64"), Output("is_anomaly", datatype="BOOL"))
# Where a call asks for them.
REASONED = (
    Output("contribution", "features", asked_by="explain"),
    Output("nearest", "features", None, asked_by="nearest"),
    Output("log_prob_nearest", asked_by="nearest"),
    Output("change", "features", asked_by="nearest"),
)
OF_SCORES = tuple(output.name for output in (SCORE, *DECISION, *REASONED))
Z = Output("z", "latents")
LOG_DET = Output("log_det")
MADE = (Output(ROWS, "features", None), Output("log_prob", datatype="FP64"))


async def log_prob(served: ServedFlow, call: Call) -> Answer:
    """Rows to log-densities."""
    out = await served.log_prob(call.given(), _choice(call))
    return Answer({"log_prob": out.log_prob}, out.status)


async def feature_log_prob(served: ServedFlow, call: Call) -> Answer:
    """Rows to log-densities and each feature's term."""
    out = await served.feature_log_prob(call.given(), _choice(call))
    return Answer({"log_prob": out.log_prob, "feature_log_prob": out.terms}, out.status)


async def score(served: ServedFlow, call: Call) -> Answer:
    """Rows to decisions."""
    out, columns, told = await _judged(served, call)
    return Answer({"log_prob": out.log_prob, **columns}, out.status, told)


async def encode(served: ServedFlow, call: Call) -> Answer:
    """Rows to latents."""
    out = await served.encode(call.given(), _choice(call))
    return Answer({"z": out.z, "log_det": out.log_det}, out.status)


async def decode(served: ServedFlow, call: Call) -> Answer:
    """Latents to rows."""
    out = await served.decode(call.given(), _choice(call))
    return Answer({ROWS: out.x, "log_prob": out.log_prob}, out.status)


async def sample(served: ServedFlow, call: Call) -> Answer:
    """A seed to rows."""
    n, seed, temperature = drawing(call)
    out = await served.sample(n, seed, temperature, _choice(call))
    rows = out.rows
    return Answer({ROWS: rows.x, "log_prob": rows.log_prob}, rows.status, {"seed": out.seed})


async def evaluate(served: ServedFlow, call: Call) -> Answer:
    """Rows to all that one run tells of them, or to the columns wanted."""
    wanted = _EVERYTHING if call.outputs is None else call.outputs
    x, choice, method = call.given(), _choice(call), method_of(wanted)
    if method == "score":
        out, columns, told = await _judged(served, call)
    else:
        if call.settings:  # refused where no output that is wanted needs them, too
            _asked(served, call)
            check(served, call)
        run = served.encode if method == "encode" else served.log_prob
        out, columns, told = await run(x, choice), {}, {}
    found = {"log_prob": out.log_prob, "z": out.z, "log_det": out.log_det, **columns}
    return Answer({k: v for k, v in found.items() if k in wanted}, out.status, told)


async def _judged(
    served: ServedFlow, call: Call
) -> tuple[Evaluated, Mapping[str, NDArray[Any]], Told]:
    """What one run tells of rows, and the columns that are about their score."""
    asked = _asked(served, call)
    if is_by_name(call):
        out, scored, columns, told = await decide(served, call, _choice(call))
    else:
        out, scored = await served.judge(call.given(), choice=_choice(call), **rates(call))
        columns, told = decided(scored)
    if asked == NOTHING:
        return out, columns, told
    more, also = await reasons(served, call, asked, out, scored)
    return out, {**columns, **more}, {**told, **also}


def _asked(served: ServedFlow, call: Call) -> Wanted:
    """What of explanations a call asks for; refused where it is not as expected."""
    asked = wanted(served, call)
    if asked.nearest and is_by_another(call.settings):
        raise invalid("expected 'nearest' where log_prob decides, got another score in 'by'")
    return asked


@lru_cache(1024)
def method_of(wanted: frozenset[str]) -> str:
    """The operation that gives the columns wanted, beside what one run tells anyway."""
    if any(name in wanted for name in OF_SCORES):
        return "score"
    latents = any(output.name in wanted for output in (Z, LOG_DET))
    return "encode" if latents and "log_prob" not in wanted else "log_prob"


def drawing(call: Call) -> tuple[int, int | None, float]:
    """How many rows are asked for, of which seed and at which temperature.

    Raises:
        ServiceError: ``invalid_input`` if one of them is not as expected.
    """
    n, temperature = call.whole("n"), call.number("temperature")
    if n is None:
        raise invalid("expected 'n', the number of rows to draw, got none")
    return n, call.whole("seed"), 1.0 if temperature is None else temperature


def _choice(call: Call) -> Choice:
    if call.context is None and not call.settings:
        return DEFAULT
    return Choice(call.context, call.whole("steps"))


def _telling_steps(handler: Handler) -> Handler:
    """The handler, whose answer says how many steps a solver took where there is one."""

    async def told(served: ServedFlow, call: Call) -> Answer:
        answer = await handler(served, call)
        if served.model.manifest.steps is None:
            return answer
        steps = choose_steps(served.model.manifest, call.whole("steps"))
        return Answer(answer.columns, answer.status, {"steps": steps, **answer.told})

    return told


def _operation(
    handler: Handler,
    outputs: tuple[Output, ...],
    settings: tuple[str, ...] = (),
    takes: Any = "rows",  # noqa: ANN401 - see Takes
) -> Operation:
    return Operation(
        name=handler.__name__,
        takes=takes,
        settings=(*settings, "steps"),
        outputs=outputs,
        run=_telling_steps(handler),
        conditional=True,
        is_long=takes == "count",
    )


_EVERYTHING = frozenset({output.name for output in (LOG_PROB, Z, LOG_DET, *DECISION)})
EVALUATE = _operation(
    evaluate, (LOG_PROB, Z, LOG_DET, SCORE, *DECISION, *REASONED), (*RATES, BY, *REASONS)
)
OPERATIONS = {
    operation.name: operation
    for operation in (
        _operation(log_prob, (LOG_PROB,)),
        _operation(feature_log_prob, (LOG_PROB, Output("feature_log_prob", "features"))),
        _operation(score, (LOG_PROB, SCORE, *DECISION, *REASONED), (*RATES, BY, *REASONS)),
        _operation(scores, OUTPUTS),
        _operation(encode, (Z, LOG_DET)),
        _operation(decode, MADE, takes="latents"),
        _operation(sample, MADE, ("n", "seed", "temperature"), "count"),
    )
}
