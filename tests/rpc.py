"""A gRPC server on a free port of loopback, in a thread of its own, and plain clients for it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import grpc
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

from service.core import Core
from service.grpc.pool import DESCRIPTORS
from service.grpc.server import GrpcServer

INFERENCE = "inference.GRPCInferenceService"
DENSITY = "logdet.v1.Density"
HEALTH = "grpc.health.v1.Health"
STOP_S = 5.0


@cache
def plain_pool() -> DescriptorPool:
    """The messages as a user's generator makes them."""
    pool = DescriptorPool()
    for file in FileDescriptorSet.FromString(DESCRIPTORS.read_bytes()).file:
        pool.Add(file)
    return pool


def plain(name: str) -> Any:
    """The class of a message as a user's generator makes it."""
    return GetMessageClass(plain_pool().FindMessageTypeByName(name))


@dataclass(frozen=True, slots=True)
class Rpc:
    """A running server and a channel to it."""

    address: str
    channel: grpc.Channel
    server: GrpcServer
    loop: asyncio.AbstractEventLoop

    def raw(self, service: str, method: str, data: bytes, timeout: float | None = 10.0) -> bytes:
        return self.channel.unary_unary(f"/{service}/{method}")(data, timeout=timeout)  # type: ignore[no-any-return]

    def call(self, service: str, method: str, /, **fields: Any) -> Any:
        """Send a request with these fields; the answer."""
        found = plain_pool().FindServiceByName(service).methods_by_name[method]
        request = plain(found.input_type.full_name)(**fields)
        answer = self.raw(service, method, request.SerializeToString())
        return plain(found.output_type.full_name).FromString(answer)

    def refused(self, service: str, method: str, /, **fields: Any) -> grpc.RpcError:
        """The error of a call that is refused."""
        try:
            self.call(service, method, **fields)
        except grpc.RpcError as error:
            return error
        raise AssertionError(f"{method} was answered")

    def stop(self, grace_s: float = STOP_S) -> None:
        asyncio.run_coroutine_threadsafe(self.server.stop(grace_s), self.loop).result(2 * STOP_S)


@contextmanager
def serving(core: Core) -> Iterator[Rpc]:
    """Serve a loaded core."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    async def start() -> tuple[GrpcServer, int]:
        server = GrpcServer(core)
        return server, await server.start(0)

    server, port = asyncio.run_coroutine_threadsafe(start(), loop).result(10)
    address = f"127.0.0.1:{port}"
    try:
        with grpc.insecure_channel(address) as channel:
            rpc = Rpc(address, channel, server, loop)
            yield rpc
            rpc.stop()
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def kind_of(error: Any) -> str:
    """The neutral kind of a refused call."""
    return str(dict(error.trailing_metadata()).get("logdet-error-kind", ""))
