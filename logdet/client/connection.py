"""What a connection does not carry, as refusals that name the address."""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from logdet.client.errors import DeadlineExceeded, InvalidInput, ServiceFailed, Unavailable

# OpenSSL's words without its code before and the line of its source behind.
_TOLD_BY_TLS = re.compile(r"^\[.*?\] (.*?)( \(_ssl\.c:\d+\))?$")
# Of these, TLS itself is well: the connection ended in the middle of it.
_ENDED = (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError)


@contextmanager
def refusals(url: httpx.URL, within_s: float | None) -> Iterator[None]:
    """Errors of httpx as refusals; what would fail again is not temporary.

    Args:
        url: Of the service.
        within_s: Seconds that the attempt may take; None sets no limit.

    Raises:
        ServiceRefused: In place of httpx's own.
    """
    address = f"{url.scheme}://{url.netloc.decode()}"  # without a user and password
    try:
        yield
    except (httpx.TimeoutException, TimeoutError) as error:
        # The system gives up in its own time where nobody set another.
        waited = "" if within_s is None else f" within {within_s:.3g} s"
        raise DeadlineExceeded(f"no answer from {address}{waited}") from error
    except (httpx.UnsupportedProtocol, httpx.LocalProtocolError) as error:
        raise InvalidInput(f"expected what HTTP can carry, but {error}") from error
    except httpx.HTTPError as error:
        if _is_other(error):
            raise ServiceFailed(
                f"expected a service that speaks HTTP at {address}, got another protocol"
            ) from error
        if isinstance(fault := _innermost(error), ssl.SSLError) and not isinstance(fault, _ENDED):
            raise ServiceFailed(f"expected TLS at {address}, but {_reason(fault)}") from error
        lost = "no" if isinstance(error, httpx.ConnectError) else "lost the"
        raise Unavailable(f"{lost} connection to {address}: {_reason(fault)}") from error


def _is_other(error: httpx.HTTPError) -> bool:
    """Whether the peer speaks another protocol, or what it says is no HTTP."""
    # A connection that ends too early is the same class; h11 tells them apart by words alone.
    garbled = isinstance(error, httpx.RemoteProtocolError) and str(error).startswith("illegal")
    return garbled or isinstance(error, httpx.DecodingError)


def _innermost(error: BaseException) -> BaseException:
    """The system's error where there is one: httpx, httpcore and anyio each wrap it."""
    found, inner = error, error.__cause__ or error.__context__
    while inner is not None:
        if isinstance(inner, OSError):
            found = inner
        inner = inner.__cause__ or inner.__context__
    return found


def _reason(error: BaseException) -> str:
    if isinstance(error, ssl.SSLError):
        told = _TOLD_BY_TLS.match(str(error))
        return told[1] if told else str(error)
    if isinstance(error, OSError) and error.errno is not None and error.errno > 0:
        return os.strerror(error.errno)  # asyncio has words of its own in their place
    strerror = error.strerror if isinstance(error, OSError) else None
    return strerror or str(error) or type(error).__name__
