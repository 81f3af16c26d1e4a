"""Request bodies: read within a limit, decompress within the same limit, parse, pick fields."""

from __future__ import annotations

import gc
import zlib
from collections.abc import Set as AbstractSet
from typing import Any

import orjson
from starlette.requests import Request

from service.errors import ErrorKind, ServiceError, invalid
from service.http.errors import HttpError

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
        ServiceError: If it is too large, or not compressed as it says.
    """
    declared = request.headers.get("content-length", "0")
    if declared.isdecimal() and int(declared) > limit_bytes:
        raise _too_large(limit_bytes)
    inflate = _inflater(request.headers.get("content-encoding", "identity"))
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        if inflate and chunk and inflate.eof:
            raise invalid(_BADLY_ENDED)
        try:
            plain = inflate.decompress(chunk, limit_bytes + 1 - size) if inflate else chunk
        except zlib.error as error:
            raise invalid("the body is not compressed as content-encoding says") from error
        if inflate and inflate.unused_data:
            raise invalid(_BADLY_ENDED)
        size += len(plain)
        if size > limit_bytes:
            raise _too_large(limit_bytes)
        chunks.append(plain)
    if inflate and size and not inflate.eof:
        raise invalid(_BADLY_ENDED)
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def _inflater(encoding: str) -> Any | None:  # noqa: ANN401 - zlib does not export its type
    name = encoding.strip().lower()
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
