"""A span around each message that asks a model something."""

from __future__ import annotations

import re
from dataclasses import dataclass

from grpc import StatusCode

from service.errors import ErrorKind, ServiceError
from service.grpc.calls import Calls, Context, Count, Rpc, nobodys
from service.grpc.metadata import text
from service.grpc.pool import Message
from service.tracing.spans import HEADERS, Trace, Tracing

REQUEST_ID = "x-request-id"
_SANE = re.compile(r"[A-Za-z0-9._-]{1,128}")
# Refusals that the service is to blame for, as with HTTP's 5xx.
_OURS = frozenset(
    {ErrorKind.OVERLOADED, ErrorKind.NOT_READY, ErrorKind.DEADLINE, ErrorKind.INTERNAL}
)


@dataclass(frozen=True, slots=True)
class TracedCalls(Calls):
    """Calls with spans.

    Attributes:
        tracing: Makes them.
    """

    tracing: Tracing

    async def _counted(
        self, rpc: Rpc, kind: type[Message], data: bytes, context: Context, count: Count
    ) -> bytes | ServiceError:
        # Without arguments, super() does not know a class that has slots.
        answer = super(TracedCalls, self)._counted
        if rpc.counted is nobodys:
            return await answer(rpc, kind, data, context, count)
        metadata = context.invocation_metadata()
        found = {name: text(metadata, name) for name in HEADERS}
        carrier = {name: value for name, value in found.items() if value is not None}
        with self.tracing.request(carrier) as trace:
            out: bytes | ServiceError | None = None
            try:
                return (out := await answer(rpc, kind, data, context, count))
            finally:
                if trace is not None:
                    _tell(trace, count, _id(text(metadata, REQUEST_ID), count.request))
                    if isinstance(out, ServiceError):
                        trace.fail(out.kind.value, ours=out.kind in _OURS)


def _tell(trace: Trace, count: Count, sent_id: str) -> None:
    model, version, method = count.what
    told: dict[str, str | int] = {
        "rpc.system": "grpc",
        "rpc.grpc.status_code": _number(count.code),
    }
    named = {"logdet.model": model, "logdet.version": version, "logdet.request_id": sent_id}
    named["logdet.protocol"] = "grpc"
    trace.tell(method, told | {name: value for name, value in named.items() if value})


def _id(sent: str | None, request: Message | None) -> str:
    """What the metadata say, or the id that the Open Inference Protocol has in the message."""
    found = str(sent or getattr(request, "id", ""))
    return found if _SANE.fullmatch(found) else ""


def _number(code: StatusCode) -> int:
    number: int = code.value[0]
    return number
