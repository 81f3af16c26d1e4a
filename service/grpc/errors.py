"""Errors as gRPC statuses: one total table, one sentence, the kind beside it in the trailers."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from grpc import StatusCode

from service.errors import ErrorKind, ServiceError

log = logging.getLogger(__name__)

STATUS: Mapping[ErrorKind, StatusCode] = {
    ErrorKind.INVALID_INPUT: StatusCode.INVALID_ARGUMENT,
    ErrorKind.NOT_FOUND: StatusCode.NOT_FOUND,
    ErrorKind.UNSUPPORTED: StatusCode.UNIMPLEMENTED,
    ErrorKind.TOO_LARGE: StatusCode.RESOURCE_EXHAUSTED,
    ErrorKind.UNAUTHORIZED: StatusCode.UNAUTHENTICATED,
    ErrorKind.RATE_LIMITED: StatusCode.RESOURCE_EXHAUSTED,
    ErrorKind.OVERLOADED: StatusCode.RESOURCE_EXHAUSTED,
    ErrorKind.NOT_READY: StatusCode.UNAVAILABLE,
    ErrorKind.DEADLINE: StatusCode.DEADLINE_EXCEEDED,
    ErrorKind.INTERNAL: StatusCode.INTERNAL,
}
# Several kinds share a status, and not all of those are worth another try.
KIND = "logdet-error-kind"
RETRY_AFTER = "retry-after"
_RETRYABLE = {ErrorKind.RATE_LIMITED, ErrorKind.OVERLOADED, ErrorKind.NOT_READY}
# A sentence travels in a header, three bytes for each that is not ASCII; peers take 8 KiB of them.
_MAX_DETAILS_BYTES = 2000


def refusal(error: Exception) -> ServiceError:
    """Any exception as a refusal that may be shown; what is not foreseen is logged, not shown."""
    if isinstance(error, ServiceError):
        return error
    log.error("a call failed", exc_info=error)
    return ServiceError(ErrorKind.INTERNAL, "the service failed on this request; its log says why")


def refuse(context: Any, error: ServiceError) -> None:  # noqa: ANN401 - a context of any messages
    """End a call with a refusal."""
    trailers = [(KIND, error.kind.value)]
    if error.kind in _RETRYABLE:
        trailers.append((RETRY_AFTER, str(error.retry_after_s)))
    context.set_trailing_metadata(tuple(trailers))
    context.set_code(STATUS[error.kind])
    kept = error.message.encode(errors="replace")[:_MAX_DETAILS_BYTES]
    context.set_details(kept.decode(errors="ignore"))
