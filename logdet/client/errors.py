"""What can go wrong with a call, each in one sentence.

::

    ServiceRefused         any of these; ``kind`` is the service's word for it
    ├── InvalidInput       rows or settings are not as expected; also a ValueError
    ├── NotFound           no such model, version or path
    ├── Unsupported        the model, or the protocol, has not this operation
    ├── TooLarge           more rows or bytes than the service takes at once
    ├── Unauthorized       the service wants other credentials
    ├── RateLimited        too many requests of this client    ┐
    ├── Overloaded         too many requests of all clients    │ worth another try
    ├── NotReady           the service or the model is loading │
    ├── Unavailable        no connection, or it was lost       ┘
    ├── DeadlineExceeded   no answer within the time of the call; also a TimeoutError
    └── ServiceFailed      anything else, such as an answer that is not the service's
"""

from __future__ import annotations

from typing import ClassVar


class ServiceRefused(Exception):  # noqa: N818  says what happened
    """A call without an answer.

    Attributes:
        kind: Why, in the word that the service's answers and metrics use.
        is_temporary: Whether the same call may succeed a little later.
        retry_after_s: Seconds that the service asks to wait before that.
    """

    kind: ClassVar[str]
    is_temporary: ClassVar[bool] = False

    def __init__(self, message: str, retry_after_s: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class InvalidInput(ServiceRefused, ValueError):  # noqa: N818
    """The rows or a setting are not as expected."""

    kind = "invalid_input"


class NotFound(ServiceRefused):
    """There is no such model, version or path."""

    kind = "not_found"


class Unsupported(ServiceRefused):
    """The model, or the protocol that it is asked by, has not this operation."""

    kind = "unsupported"


class TooLarge(ServiceRefused):
    """More rows or bytes than the service takes at once."""

    kind = "too_large"


class Unauthorized(ServiceRefused):
    """The service wants other credentials."""

    kind = "unauthorized"


class RateLimited(ServiceRefused):
    """This client asks too often."""

    kind = "rate_limited"
    is_temporary = True


class Overloaded(ServiceRefused):
    """All clients together ask too much."""

    kind = "overloaded"
    is_temporary = True


class NotReady(ServiceRefused):
    """The service or the model is not loaded yet, or stops."""

    kind = "not_ready"
    is_temporary = True


class Unavailable(ServiceRefused):
    """There is no connection, or it was lost before the answer."""

    kind = "unavailable"
    is_temporary = True


class DeadlineExceeded(ServiceRefused, TimeoutError):  # noqa: N818
    """No answer within the time that the call, or the service, allows."""

    kind = "deadline"


class ServiceFailed(ServiceRefused):
    """The service failed on the request, or what answers is none: another protocol, no TLS."""

    kind = "internal"


_KINDS = (
    InvalidInput,
    NotFound,
    Unsupported,
    TooLarge,
    Unauthorized,
    RateLimited,
    Overloaded,
    NotReady,
    Unavailable,
    DeadlineExceeded,
)
BY_KIND: dict[str, type[ServiceRefused]] = {error.kind: error for error in _KINDS}


def refused(kind: str, message: str, retry_after_s: float = 0.0) -> ServiceRefused:
    """The error of a kind; :class:`ServiceFailed` for ``internal`` and for unknown ones."""
    return BY_KIND.get(kind, ServiceFailed)(message, retry_after_s)


def seconds(text: str | None) -> float:
    """A ``retry-after`` in seconds; 0 for none, and for a date, which the backoff stands for."""
    return float(text) if text is not None and text.isascii() and text.isdecimal() else 0.0
