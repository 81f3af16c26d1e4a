"""An answer that is whole: most of them are."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.responses import Response

JSON = b"application/json"


class Plain(Response):
    """A body and a few headers as bytes, which is all that a small answer should pay for.

    Args:
        content: The body.
        kind: Its media type.
        headers: Further ones, names in lower case.
    """

    def __init__(
        self, content: bytes, kind: bytes, headers: Sequence[tuple[bytes, bytes]] = ()
    ) -> None:
        # Not what the base class does: it encodes and looks for each of these.
        self.status_code = 200
        self.background = None
        self.body = content
        self.raw_headers = [
            (b"content-length", b"%d" % len(content)),
            (b"content-type", kind),
            *headers,
        ]
