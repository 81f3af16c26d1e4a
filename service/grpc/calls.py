"""Calls of any RPC: read, bounded in time, answered or refused, counted; the one broad except."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import grpc
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import DecodeError
from grpc import StatusCode, aio

from service.arrival import COMES_ALONE
from service.core import Core
from service.deadline import within
from service.errors import ErrorKind, ServiceError, invalid
from service.grpc.errors import STATUS, refusal, refuse
from service.grpc.metadata import authorization
from service.grpc.pool import Message, message, methods
from service.intake import Admission

Counted = tuple[str, str, str]
NOBODYS: Counted = ("", "", "other")  # a request for no model
Context = Any  # what grpc gives a handler: a ServicerContext of bytes
POLL_S = 1.0  # between two looks at what a client watches


def nobodys(_: Message) -> Counted:
    """Of a method that asks no model."""
    return NOBODYS


@dataclass(frozen=True, slots=True)
class Rpc:
    """How a method is answered.

    Attributes:
        answer: Makes the answer of a request; may raise anything.
        counted: Model, version and method of a request, as metrics name them.
        streamed: Of a method that takes many requests: an answer, or the refusal of a request
            (None where it could not be read), as a message of the stream.
    """

    answer: Callable[[Message], Awaitable[Message]]
    counted: Callable[[Message], Counted] = nobodys
    streamed: Callable[[Message | ServiceError, Message | None], Message] = lambda out, _: out


@dataclass(slots=True)
class Count:
    """What is known of a request while it is answered.

    Attributes:
        code: Of its answer.
        what: Model, version and method.
        request: Once it is read.
        is_new: Whether it is refused after a stop; a watch that goes on is not.
        admit: Lets a message of a stream in, of which the gate sees only that it is opened.
    """

    code: StatusCode = StatusCode.CANCELLED
    what: Counted = NOBODYS
    request: Message | None = None
    is_new: bool = True
    admit: Callable[[], None] = lambda: None


@dataclass(frozen=True, slots=True)
class Calls:
    """Turns :class:`Rpc` into handlers for grpc, which see bytes alone.

    Attributes:
        core: Knows the models, the metrics and the limits.
        stopping: Set when the service stops; streams that wait for their client then end.
        closed: Set a little later; requests are then refused.
    """

    core: Core
    stopping: asyncio.Event
    closed: asyncio.Event

    def handlers(
        self, service: str, rpcs: Mapping[str, Rpc]
    ) -> grpc.GenericRpcHandler[bytes, bytes]:
        """Handlers of a service, by its full name.

        Raises:
            ValueError: If the methods are not those of its proto.
        """
        offered = {method.name: method for method in methods(service)}
        if offered.keys() != rpcs.keys():
            raise ValueError(f"expected {service} with {sorted(offered)}, got {sorted(rpcs)}")
        made = {name: self._handler(offered[name], rpc) for name, rpc in rpcs.items()}
        return grpc.method_handlers_generic_handler(service, made)

    def _handler(self, method: MethodDescriptor, rpc: Rpc) -> Any:  # noqa: ANN401 - grpc's own
        kind = message(method.input_type.full_name)
        if method.client_streaming:
            return grpc.stream_stream_rpc_method_handler(partial(self._stream, rpc, kind))
        if method.server_streaming:
            return grpc.unary_stream_rpc_method_handler(partial(self._watch, rpc, kind))
        return grpc.unary_unary_rpc_method_handler(partial(self._unary, rpc, kind))

    async def _unary(self, rpc: Rpc, kind: type[Message], data: bytes, context: Context) -> bytes:
        out = await self._counted(rpc, kind, data, context, Count())
        if isinstance(out, ServiceError):
            refuse(context, out)
            return b""
        return out

    async def _stream(
        self, rpc: Rpc, kind: type[Message], _requests: object, context: Context
    ) -> None:
        """Answer requests in order; the client, its deadline or a stop ends the stream."""
        stop = asyncio.ensure_future(self.stopping.wait())
        admit = partial(self.core.door.admit, authorization(context.invocation_metadata()))
        try:
            while (data := await _next(context, stop)) is not None:
                if data is aio.EOF:  # type: ignore[attr-defined]
                    return
                count = Count(admit=admit)
                out = await self._counted(rpc, kind, data, context, count)
                if isinstance(out, ServiceError):
                    out = rpc.streamed(out, count.request).SerializeToString()
                await context.write(out)
        finally:
            stop.cancel()
        refuse(context, _stopping())

    async def _watch(self, rpc: Rpc, kind: type[Message], data: bytes, context: Context) -> None:
        """Answer now and whenever the answer changes, until the client leaves or a stop."""
        is_last = self.stopping.is_set()
        out = await self._counted(rpc, kind, data, context, Count())
        told = None
        while not isinstance(out, ServiceError):
            if out != told:
                await context.write(out)
                told = out
            if is_last:  # the stop has been told
                out = _stopping()
                break
            await _happens(self.stopping, POLL_S)
            is_last = self.stopping.is_set()
            # Begun before the stop, and told of it however late that is noticed here.
            out = await self._attempt(rpc, kind, data, context, Count(is_new=False))
        refuse(context, out)

    async def _counted(
        self, rpc: Rpc, kind: type[Message], data: bytes, context: Context, count: Count
    ) -> bytes | ServiceError:
        started = time.perf_counter()
        try:
            return await self._attempt(rpc, kind, data, context, count)
        finally:
            seconds = time.perf_counter() - started
            self.core.metrics.request((*count.what, "grpc"), count.code.name, seconds)

    async def _attempt(
        self, rpc: Rpc, kind: type[Message], data: bytes, context: Context, count: Count
    ) -> bytes | ServiceError:
        COMES_ALONE.set(True)
        left = context.time_remaining()
        admission = Admission(self.core.work.intake)
        try:
            admission.add(len(data))
            async with within(left):
                count.admit()
                count.request = request = self._read(kind, data, is_new=count.is_new)
                count.what = rpc.counted(request)
                answer = await rpc.answer(request)
            out: bytes = rpc.streamed(answer, request).SerializeToString()
        except Exception as error:  # the transport's one broad except
            refused = refusal(error)
            self.core.metrics.rejected(refused.kind)
            count.code = STATUS[refused.kind]
            return refused
        except asyncio.CancelledError:
            # grpc cancels at the deadline too, and may be the first.
            if left is not None and context.time_remaining() <= 0:
                count.code = StatusCode.DEADLINE_EXCEEDED
            raise
        finally:
            admission.close()
        count.code = StatusCode.OK
        return out

    def _read(self, kind: type[Message], data: bytes, *, is_new: bool) -> Message:
        if is_new and self.closed.is_set():
            raise _stopping()
        limit = self.core.config.limit_body_bytes
        if len(data) > limit:
            raise ServiceError(
                ErrorKind.TOO_LARGE,
                f"expected a message of at most {limit} bytes, got {len(data)}; "
                "send fewer rows at once",
            )
        try:
            return kind.FromString(data)
        except DecodeError:
            name = kind.DESCRIPTOR.full_name
            raise invalid(f"expected a message {name}, got {len(data)} bytes of another") from None


async def _next(context: Context, stop: asyncio.Future[Any]) -> Any:  # noqa: ANN401 - or grpc's EOF
    """The next message of a stream; None once the service stops."""
    read = asyncio.ensure_future(context.read())
    try:
        await asyncio.wait({read, stop}, return_when=asyncio.FIRST_COMPLETED)
        return None if stop.done() and not read.done() else read.result()
    finally:
        read.cancel()


async def _happens(event: asyncio.Event, seconds: float) -> None:
    """Wait for an event, but not longer."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()


def _stopping() -> ServiceError:
    return ServiceError(
        ErrorKind.NOT_READY, "the service is stopping; send the request to another one, or again"
    )
