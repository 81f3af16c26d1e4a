"""What can go wrong, in words that no protocol owns.

::

    ServiceError    one request is refused; ``kind`` says why, the message what was expected
    StartError      the service cannot start; one line for the person who started it

Each transport maps :class:`ErrorKind` to its own codes in one total table.
"""

from __future__ import annotations

from enum import StrEnum


class ErrorKind(StrEnum):
    """Why a request was refused: ``kind`` of an error answer, ``reason`` of its metric."""

    INVALID_INPUT = "invalid_input"
    NOT_FOUND = "not_found"
    UNSUPPORTED = "unsupported"
    TOO_LARGE = "too_large"
    UNAUTHORIZED = "unauthorized"
    RATE_LIMITED = "rate_limited"
    OVERLOADED = "overloaded"
    NOT_READY = "not_ready"
    DEADLINE = "deadline"
    INTERNAL = "internal"


class ServiceError(Exception):
    """A refused request.

    Attributes:
        kind: The neutral reason.
        message: One sentence: what was expected, what was got. Safe to show to a client.
        retry_after_s: Seconds after which it may be tried again, of a kind that passes.
    """

    def __init__(self, kind: ErrorKind, message: str, retry_after_s: int = 1) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.retry_after_s = retry_after_s


class StartError(Exception):
    """The service cannot start; the message is one line for the person at the terminal."""


def invalid(message: str) -> ServiceError:
    """The commonest refusal: the client's values are wrong."""
    return ServiceError(ErrorKind.INVALID_INPUT, message)
