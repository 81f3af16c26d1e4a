"""The token that a client shows, kept out of whatever is printed."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Final

from logdet.client.errors import InvalidInput

VARIABLE: Final = "LOGDET_TOKEN"
AUTHORIZATION: Final = "authorization"
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")  # RFC 6750, section 2.1


class Token:
    """A bearer token that does not show itself: not in a repr, a message or a traceback.

    Args:
        text: The token; looked at when it is shown.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def header(self) -> str:
        """As the header ``authorization`` has it.

        Raises:
            InvalidInput: If it is no token.
        """
        if not isinstance(self._text, str) or not _TOKEN.fullmatch(self._text):
            raise InvalidInput(
                "expected a token of letters, digits and -._~+/, got something else"
            )
        return f"Bearer {self._text}"

    def __repr__(self) -> str:
        return "Token('***')"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Token) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)


def with_token(headers: Mapping[str, str], token: str | Token | None) -> Mapping[str, str]:
    """Headers with a token: the one that was given, or the environment's.

    Raises:
        InvalidInput: If it is none, or there is another in the headers already.
    """
    is_shown = any(name.lower() == AUTHORIZATION for name in headers)
    if is_shown and token is not None:
        raise InvalidInput("expected a token or a header 'authorization', got both")
    if token is None and not is_shown:
        token = os.environ.get(VARIABLE) or None
    if token is None:
        return headers
    shown = token if isinstance(token, Token) else Token(token)
    return {**headers, AUTHORIZATION: shown.header()}
