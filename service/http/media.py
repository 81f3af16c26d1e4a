"""Media types: what a body is, and which of the answers that there are the client takes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from starlette.datastructures import Headers

from service.http.errors import HttpError

JSON = "application/json"
CSV = "text/csv"
ARROW = "application/vnd.apache.arrow.stream"
NDJSON = "application/x-ndjson"
BODIES = (JSON, CSV, ARROW)
ANSWERS = (JSON, CSV, ARROW, NDJSON)

_QUALITY = re.compile(r"(?:0(?:\.\d{0,3})?|1(?:\.0{0,3})?)")
_CHARSETS = ("utf-8", "utf8", "us-ascii")
_SHOWN = 64
_REMEMBERED = 64
# A type, a subtype and how much the client likes them: RFC 9110, section 12.5.1.
Range = tuple[str, str, float]


def given(headers: Headers, taken: tuple[str, ...]) -> str:
    """The media type of a body; JSON where the request does not say.

    Raises:
        HttpError: 415 if it is none of those taken, or in another encoding of text than UTF-8.
    """
    return _given(headers.get("content-type", JSON), taken)


# Both cost as much as a tenth of a small request, and clients say the same every time.
@lru_cache(_REMEMBERED)
def _given(content_type: str, taken: tuple[str, ...]) -> str:
    kind, parameters = _split(content_type)
    if kind not in taken:
        raise HttpError(415, f"expected content-type {_either(taken)}, got {kind[:_SHOWN]!r}")
    charset = parameters.get("charset", "utf-8").strip('"').lower()
    if charset not in _CHARSETS:
        raise HttpError(415, f"expected {kind} in UTF-8, got the charset {charset[:_SHOWN]!r}")
    return kind


def wanted(headers: Headers, offered: tuple[str, ...], body: str) -> str:
    """The media type to answer in: what the client likes most, else names most precisely.

    Among equals it is the body's own, which is also what a client gets that does not say.

    Raises:
        HttpError: 406 if the client takes none of those offered.
    """
    return _wanted(",".join(headers.getlist("accept")), offered, body)


@lru_cache(_REMEMBERED)
def _wanted(accept: str, offered: tuple[str, ...], body: str) -> str:
    ranges = [_range(text) for text in accept.split(",") if text.strip()] or [("*", "*", 1.0)]
    ranks = {kind: (*_liking(kind, ranges), kind == body) for kind in offered}
    best = max(offered, key=ranks.__getitem__)
    if not ranks[best][0]:
        raise HttpError(406, f"expected accept to allow {_either(offered)}, got {accept[:200]!r}")
    return best


def _liking(kind: str, ranges: Sequence[Range]) -> tuple[float, int]:
    """How much a type is liked, and how precise the range is that says so."""
    main, _, sub = kind.partition("/")
    precision = {(main, sub): 2, (main, "*"): 1, ("*", "*"): 0}
    matching = [(precision[m, s], q) for m, s, q in ranges if (m, s) in precision]
    precise, quality = max(matching, default=(0, 0.0))
    return quality, precise


def _range(text: str) -> Range:
    kind, parameters = _split(text)
    main, _, sub = kind.partition("/")
    quality = parameters.get("q", "1")
    return main, sub, float(quality) if _QUALITY.fullmatch(quality) else 0.0


def _split(text: str) -> tuple[str, dict[str, str]]:
    """A media type or range, and its parameters."""
    kind, *rest = text.split(";")
    pairs = (part.partition("=") for part in rest)
    parameters = {name.strip().lower(): value.strip() for name, _, value in pairs}
    return kind.strip().lower(), parameters


def _either(kinds: Sequence[str]) -> str:
    *most, last = kinds
    return f"{', '.join(most)} or {last}" if most else last
