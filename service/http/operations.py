"""``POST /v1/models/{model}/{operation}``: bodies into arrays, results into answers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

import numpy as np
import orjson
from numpy.typing import NDArray
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from service.core import Core
from service.errors import ErrorKind, ServiceError
from service.expectation import DEFAULT_SAMPLES
from service.http.parsing import number, only, optional, read_json, required, whole
from service.http.schemas import REQUESTS
from service.questions import questions as read_questions
from service.results import STATUSES, Codes
from service.rows import check_count, table
from service.served import Served
from service.steps import choose

Body = dict[str, Any]
Handler = Callable[["Operations", Served, Body], Coroutine[Any, Any, Body]]
T = TypeVar("T")

SERVED = "logdet.served"  # where a request's scope remembers its model, for the metrics
WATCHED_BYTES = 64 * 1024  # bodies from this size on are dropped when their client goes away
_DRAWING = ("sample", "expectation")  # a small body may ask for much
_STATUS_NAMES = np.array(STATUSES, dtype=object)
_KNOWN = {name: frozenset(body.model_fields) for name, body in REQUESTS.items()}


class Operations:
    """Handlers of every operation.

    Args:
        core: Does the work.
    """

    def __init__(self, core: Core) -> None:
        self._core = core

    async def __call__(self, request: Request) -> Response:
        """Answer one request.

        Raises:
            ServiceError: If it is refused.
        """
        path = request.path_params
        served = self._core.find(path["model"], version_of(path), path["operation"])
        request.scope[SERVED] = served
        body = await read_json(request, self._core.config.limit_body_bytes)
        operation = path["operation"]
        only(body, _KNOWN[operation])
        work = HANDLERS[operation](self, served, body)
        answer = await (_unless_gone(request, work) if _is_long(request) else work)
        manifest = served.model.manifest
        head = {"model": manifest.name, "version": manifest.version, "density": manifest.density}
        if manifest.steps is not None:
            head["steps"] = choose(manifest, body.get("steps"))
        return json_response(head | answer)

    async def log_prob(self, served: Served, body: Body) -> Body:
        """Rows to log-densities."""
        x = self._rows(served, body, "log_prob")
        out = await self._core.log_prob(served, x, *self._given(served, body, "log_prob", len(x)))
        return {"log_prob": out.log_prob, "status": _names(out.status)}

    async def feature_log_prob(self, served: Served, body: Body) -> Body:
        """Rows to log-densities and each feature's term."""
        operation = "feature_log_prob"
        x = self._rows(served, body, operation)
        given = self._given(served, body, operation, len(x))
        out = await self._core.feature_log_prob(served, x, *given)
        return {
            "log_prob": out.log_prob,
            "feature_log_prob": out.terms,
            "status": _names(out.status),
        }

    async def score(self, served: Served, body: Body) -> Body:
        """Rows to decisions."""
        alpha = optional(body, "alpha", number)
        x = self._rows(served, body, "score")
        given = self._given(served, body, "score", len(x))
        scored = await self._core.score(served, x, alpha, *given)
        decision = scored.decision
        undecided = np.isnan(decision.p_value)
        return {
            "log_prob": scored.evaluated.log_prob,
            "p_value": decision.p_value,
            "is_anomaly": np.where(undecided, None, decision.is_anomaly).tolist(),  # type: ignore[call-overload]
            "threshold": decision.threshold,
            "alpha": decision.alpha,
            "status": _names(scored.evaluated.status),
        }

    async def encode(self, served: Served, body: Body) -> Body:
        """Rows to latents."""
        x = self._rows(served, body, "encode")
        out = await self._core.encode(served, x, *self._given(served, body, "encode", len(x)))
        return {"z": out.z, "log_det": out.log_det, "status": _names(out.status)}

    async def decode(self, served: Served, body: Body) -> Body:
        """Latents to rows."""
        z = required(body, "z")
        self._check_count(served, z, "decode")
        z = table(z, served.latents, "z")
        out = await self._core.decode(served, z, *self._given(served, body, "decode", len(z)))
        return {"rows": out.x, "log_prob": out.log_prob, "status": _names(out.status)}

    async def sample(self, served: Served, body: Body) -> Body:
        """A seed to rows."""
        n = whole(required(body, "n"), "n")
        seed = optional(body, "seed", whole)
        temperature = optional(body, "temperature", number)
        temperature = 1.0 if temperature is None else temperature
        given = self._given(served, body, "sample", n)
        out = await self._core.sample(served, n, seed, temperature, *given)
        rows = out.rows
        return {
            "rows": rows.x,
            "log_prob": rows.log_prob,
            "seed": out.seed,
            "status": _names(rows.status),
        }

    async def expectation(self, served: Served, body: Body) -> Body:
        """A seed to means, variances, quantiles and probabilities."""
        asked = required(body, "of")
        questions = read_questions(asked, served.columns)
        samples = optional(body, "samples", whole)
        samples = DEFAULT_SAMPLES if samples is None else samples
        seed = optional(body, "seed", whole)
        given = self._given(served, body, "expectation", 1)
        out = await self._core.expectation(served, questions, samples, seed, *given)
        return {
            "of": [
                entry | {"value": estimate.value, "standard_error": estimate.standard_error}
                for entry, estimate in zip(asked, out.estimates, strict=True)  # type: ignore[call-overload]
            ],
            "samples": out.samples,
            "excluded": out.excluded,
            "seed": out.seed,
        }

    def _rows(self, served: Served, body: Body, operation: str) -> NDArray[np.float64]:
        rows = required(body, "rows")
        self._check_count(served, rows, operation)
        return table(rows, served.columns)

    def _given(
        self, served: Served, body: Body, operation: str, rows: int
    ) -> tuple[NDArray[np.float64] | None, int | None]:
        """The context and the number of steps that a body asks for."""
        steps = optional(body, "steps", whole)
        value, conditioning = body.get("context"), served.model.conditioning
        self._check_count(served, value, operation)
        count = len(value) if isinstance(value, list) else 1
        conditioning.check(None if value is None else count, rows)
        return None if value is None else table(value, conditioning.names, "context"), steps

    def _check_count(self, served: Served, value: object, operation: str) -> None:
        if isinstance(value, list):  # before the work of turning too many rows into numbers
            limit = self._core.config.limit_rows
            check_count(len(value), limit, served.model.manifest.name, operation)


HANDLERS: dict[str, Handler] = {
    "log_prob": Operations.log_prob,
    "feature_log_prob": Operations.feature_log_prob,
    "score": Operations.score,
    "encode": Operations.encode,
    "decode": Operations.decode,
    "sample": Operations.sample,
    "expectation": Operations.expectation,
}


def version_of(path: dict[str, Any]) -> int | None:
    """The version in a path, if there is one.

    Raises:
        ServiceError: If it is no whole number.
    """
    text = path.get("version")
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) <= 10):
        raise ServiceError(
            ErrorKind.NOT_FOUND, f"expected a version number in the path, got {text[:64]!r}"
        )
    return int(text)


def json_response(content: object) -> Response:
    """An answer; non-finite numbers become null."""
    body = orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY)
    return Response(body, media_type="application/json")


def _names(status: Codes) -> list[str]:
    names: list[str] = _STATUS_NAMES[status].tolist()
    return names


def _is_long(request: Request) -> bool:
    # Watching for the client costs more than a small request's own work.
    declared = request.headers.get("content-length", "")
    small = declared.isdecimal() and int(declared) < WATCHED_BYTES
    return request.path_params["operation"] in _DRAWING or not small


async def _unless_gone(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """The result of the work, which is cancelled if the client goes away first."""
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_disconnected(request))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientDisconnect
        return task.result()
    finally:
        task.cancel()
        gone.cancel()


async def _disconnected(request: Request) -> None:
    receive: Callable[[], Awaitable[Any]] = request.receive
    while (await receive())["type"] != "http.disconnect":
        pass
