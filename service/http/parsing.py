"""Request bodies: read within a limit, decompress within the same limit, parse, pick fields."""

from __future__ import annotations

import gc
import zlib
from collections.abc import Set as AbstractSet
from typing import Any

import orjson
from starlette.requests import ClientDisconnect, Request

from service.errors import ErrorKind, ServiceError, invalid
from service.http.errors import HttpError
from service.http.headers import header
from service.intake import Admission

# Where a request's scope has its :class:`Admission`.
ADMISSION = "logdet.admission"
_BADLY_ENDED = "the compressed body ends too early, or goes on after its end"
# zlib's window argument: 47 takes gzip and zlib headers alike.
_INFLATABLE = {"gzip": 47, "x-gzip": 47, "deflate": 47}


def json_object(body: bytes) -> dict[str, Any]:
    """The body as a JSON object.

    Raises:
        ServiceError: If it is empty, not JSON, or no object.
    """
    if not body:
        raise invalid("expected a JSON object as body, got an empty body")
    parsed = loads(body)
    if not isinstance(parsed, dict):
        raise invalid("expected a JSON object as body, got another JSON value")
    return parsed


def only(body: dict[str, Any], known: AbstractSet[str]) -> None:
    """Refuse fields that mean nothing here.

    Raises:
        ServiceError: Naming the first unknown field and the known ones.
    """
    for key in body:
        if key not in known:
            raise invalid(f"unknown field {key[:64]!r}; known here: {', '.join(sorted(known))}")


def required(body: dict[str, Any], field: str) -> object:
    """A field that must be there.

    Raises:
        ServiceError: If it is not.
    """
    if field not in body:
        raise invalid(f"expected the field {field!r}, got {', '.join(sorted(body)[:8]) or 'none'}")
    return body[field]


def loads(body: bytes) -> object:
    """The value of a JSON body.

    Raises:
        ServiceError: If it is not JSON.
    """
    # Rows are many small lists without cycles: the collector, woken by their number, would walk
    # them again and again, which takes longer than to parse them.
    collecting = gc.isenabled()
    gc.disable()
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise invalid(f"expected JSON (null for a missing value), but {error}") from error
    finally:
        if collecting:
            gc.enable()


async def read_body(request: Request, limit_bytes: int) -> bytes:
    """The whole body, decompressed where its encoding says so.

    Raises:
        ServiceError: If it is too large, or too much beside others, or not compressed as it says.
        ClientDisconnect: If the client goes away before its end.
    """
    admission: Admission = request.scope[ADMISSION]
    declared = header(request.scope, b"content-length")
    if declared is not None and declared.isdigit():
        if int(declared) > limit_bytes:
            raise _too_large(limit_bytes)
        admission.expect(int(declared))
    encoding = header(request.scope, b"content-encoding")
    inflate = None if encoding is None else _inflater(encoding)
    chunks: list[bytes] = []
    size, more = 0, True
    while more:
        chunk, more = await _received(request)
        if inflate and chunk:
            chunk = _inflated(inflate, chunk, limit_bytes + 1 - size)
        size += len(chunk)
        if size > limit_bytes:
            raise _too_large(limit_bytes)
        admission.add(len(chunk))
        chunks.append(chunk)
    if inflate and size and not inflate.eof:
        raise invalid(_BADLY_ENDED)
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


async def _received(request: Request) -> tuple[bytes, bool]:
    """The next piece of a body, and whether there is more of it."""
    message = await request.receive()
    if message["type"] == "http.disconnect":
        raise ClientDisconnect
    return message.get("body", b""), message.get("more_body", False)


def _inflated(inflate: Any, chunk: bytes, most: int) -> bytes:  # noqa: ANN401 - as below
    if inflate.eof:
        raise invalid(_BADLY_ENDED)
    try:
        plain: bytes = inflate.decompress(chunk, most)
    except zlib.error as error:
        raise invalid("the body is not compressed as content-encoding says") from error
    if inflate.unused_data:
        raise invalid(_BADLY_ENDED)
    return plain


def _inflater(encoding: bytes) -> Any | None:  # noqa: ANN401 - zlib does not export its type
    name = encoding.decode("latin-1").strip().lower()
    if name in ("", "identity"):
        return None
    if name not in _INFLATABLE:
        raise HttpError(415, f"expected content-encoding gzip or deflate, got {name[:64]!r}")
    return zlib.decompressobj(_INFLATABLE[name])


def _too_large(limit_bytes: int) -> ServiceError:
    return ServiceError(
        ErrorKind.TOO_LARGE,
        f"expected a body of at most {limit_bytes} bytes, also after decompression; for more, use "
        "the command 'logdet score NAME FILE' or several requests",
    )
