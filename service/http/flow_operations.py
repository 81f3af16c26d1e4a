"""Operations of flows: bodies into arrays, results into answers."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from service.choice import Choice, choose_steps
from service.expectation import DEFAULT_SAMPLES
from service.http.parsing import number, optional, required, whole
from service.http.reading import Body, check_count, decided, drawing, latents_of, names, rows_of
from service.questions import questions as read_questions
from service.rows import table
from service.served_flow import ServedFlow

Handler = Callable[[ServedFlow, Body], Coroutine[Any, Any, Body]]


async def log_prob(served: ServedFlow, body: Body) -> Body:
    """Rows to log-densities."""
    x = rows_of(served, body, "log_prob")
    out = await served.log_prob(x, _choice(served, body, "log_prob", len(x)))
    return {"log_prob": out.log_prob, "status": names(out.status)}


async def feature_log_prob(served: ServedFlow, body: Body) -> Body:
    """Rows to log-densities and each feature's term."""
    operation = "feature_log_prob"
    x = rows_of(served, body, operation)
    out = await served.feature_log_prob(x, _choice(served, body, operation, len(x)))
    return {"log_prob": out.log_prob, operation: out.terms, "status": names(out.status)}


async def score(served: ServedFlow, body: Body) -> Body:
    """Rows to decisions."""
    alpha = optional(body, "alpha", number)
    x = rows_of(served, body, "score")
    scored = await served.score(x, alpha, _choice(served, body, "score", len(x)))
    return {"log_prob": scored.score} | decided(scored)


async def encode(served: ServedFlow, body: Body) -> Body:
    """Rows to latents."""
    x = rows_of(served, body, "encode")
    out = await served.encode(x, _choice(served, body, "encode", len(x)))
    return {"z": out.z, "log_det": out.log_det, "status": names(out.status)}


async def decode(served: ServedFlow, body: Body) -> Body:
    """Latents to rows."""
    z = latents_of(served, body)
    out = await served.decode(z, _choice(served, body, "decode", len(z)))
    return {"rows": out.x, "log_prob": out.log_prob, "status": names(out.status)}


async def sample(served: ServedFlow, body: Body) -> Body:
    """A seed to rows."""
    n, seed, temperature = drawing(body)
    out = await served.sample(n, seed, temperature, _choice(served, body, "sample", n))
    rows = out.rows
    return {
        "rows": rows.x,
        "log_prob": rows.log_prob,
        "seed": out.seed,
        "status": names(rows.status),
    }


async def expectation(served: ServedFlow, body: Body) -> Body:
    """A seed to means, variances, quantiles and probabilities."""
    asked = required(body, "of")
    questions = read_questions(asked, served.columns)
    samples = optional(body, "samples", whole)
    samples = DEFAULT_SAMPLES if samples is None else samples
    seed = optional(body, "seed", whole)
    choice = _choice(served, body, "expectation", 1)
    out = await served.expectation(questions, samples, seed, choice)
    return {
        "of": [
            entry | {"value": estimate.value, "standard_error": estimate.standard_error}
            for entry, estimate in zip(asked, out.estimates, strict=True)  # type: ignore[call-overload]
        ],
        "samples": out.samples,
        "excluded": out.excluded,
        "seed": out.seed,
    }


def _telling_steps(handler: Handler) -> Handler:
    """The handler, whose answer says how many steps a solver took where there is one."""

    async def told(served: ServedFlow, body: Body) -> Body:
        answer = await handler(served, body)
        steps = choose_steps(served.model.manifest, body.get("steps"))
        return answer if steps is None else {"steps": steps, **answer}

    return told


HANDLERS: Mapping[str, Handler] = {
    "log_prob": _telling_steps(log_prob),
    "feature_log_prob": _telling_steps(feature_log_prob),
    "score": _telling_steps(score),
    "encode": _telling_steps(encode),
    "decode": _telling_steps(decode),
    "sample": _telling_steps(sample),
    "expectation": _telling_steps(expectation),
}


def _choice(served: ServedFlow, body: Body, operation: str, rows: int) -> Choice:
    """The context and the number of steps that a body asks for."""
    steps = optional(body, "steps", whole)
    value, conditioning = body.get("context"), served.model.conditioning
    check_count(served, value, operation)
    count = len(value) if isinstance(value, list) else 1
    conditioning.check(None if value is None else count, rows)
    context = None if value is None else table(value, conditioning.names, "context")
    return Choice(context, steps)
