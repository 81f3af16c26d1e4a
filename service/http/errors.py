"""Errors as HTTP answers: one total table, one shape of body."""

from __future__ import annotations

import logging
from collections.abc import Mapping

import orjson
from starlette.exceptions import HTTPException
from starlette.responses import Response

from service.errors import ErrorKind, ServiceError

log = logging.getLogger(__name__)

STATUS = {
    ErrorKind.INVALID_INPUT: 400,
    ErrorKind.NOT_FOUND: 404,
    ErrorKind.UNSUPPORTED: 400,
    ErrorKind.TOO_LARGE: 413,
    ErrorKind.UNAUTHORIZED: 401,
    ErrorKind.RATE_LIMITED: 429,
    ErrorKind.OVERLOADED: 503,
    ErrorKind.NOT_READY: 503,
    ErrorKind.DEADLINE: 504,
    ErrorKind.INTERNAL: 500,
}
_RETRYABLE = {ErrorKind.RATE_LIMITED, ErrorKind.OVERLOADED, ErrorKind.NOT_READY}


class HttpError(ServiceError):
    """A refusal that only HTTP has, with a status of its own (405, 415, 501)."""

    def __init__(
        self, status: int, message: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(ErrorKind.UNSUPPORTED, message)
        self.status, self.headers = status, headers or {}


def refusal(error: Exception) -> ServiceError:
    """Any exception as a refusal that may be shown; what is not foreseen is logged, not shown."""
    if isinstance(error, ServiceError):
        return error
    if isinstance(error, HTTPException) and error.status_code == 405:
        allowed = (error.headers or {}).get("Allow", "another method")
        told = f"this path does not take that method; it takes {allowed}"
        return HttpError(405, told, {"allow": allowed})
    if isinstance(error, HTTPException) and error.status_code == 404:
        return ServiceError(
            ErrorKind.NOT_FOUND, "nothing is at this path; GET /openapi.json lists every path"
        )
    log.error("a request failed", exc_info=error)
    return ServiceError(ErrorKind.INTERNAL, "the service failed on this request; its log says why")


def unimplemented(error: ServiceError) -> ServiceError:
    """A refusal as the Open Inference Protocol wants it where a server has not an extension."""
    return error if isinstance(error, HttpError) else HttpError(501, error.message)


def error_response(error: ServiceError) -> Response:
    """The JSON answer to a refusal."""
    status, headers = STATUS[error.kind], dict[str, str]()
    if isinstance(error, HttpError):
        status, headers = error.status, dict(error.headers)
    if error.kind is ErrorKind.UNAUTHORIZED:
        headers["www-authenticate"] = "Bearer"
    if error.kind in _RETRYABLE:
        headers["retry-after"] = str(error.retry_after_s)
    body = orjson.dumps({"error": error.message, "kind": error.kind.value})
    return Response(body, status, headers, "application/json")
