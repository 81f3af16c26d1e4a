"""What Ray Serve puts around its own HTTP servers, by the name of this function."""

from __future__ import annotations

from starlette.middleware import Middleware

from service.http.request_id import HideRequestId
from service.http.unanswered import AnswerForLost


def middlewares() -> list[Middleware]:
    """Serve answers with every request id, and with a 500 for a replica that has died."""
    return [Middleware(HideRequestId, sane=False), Middleware(AnswerForLost)]
