"""Paths and handlers of the Open Inference Protocol over HTTP."""

from __future__ import annotations

import asyncio
import re
import zlib

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from service.core import Core
from service.errors import ErrorKind, ServiceError, invalid
from service.http.gone import WATCHED_BYTES, unless_gone
from service.http.headers import header
from service.http.oip.body import (
    HEADER_LENGTH,
    Asked,
    read_body,
    read_raw,
    write_body,
)
from service.http.oip.header import json_object
from service.http.operations import COUNTED, json_response
from service.http.parsing import loads
from service.http.parsing import read_body as read_bytes
from service.http.plain import JSON, Plain
from service.oip.config import config_of, metadata_of
from service.oip.inference import LARGE_BYTES, Inference
from service.oip.messages import InferAnswer
from service.oip.repository import Repository
from service.oip.statistics import Page, statistics

PREFIX = "/v2"
PROTOCOL = "oip_http"
_MODEL = "/v2/models/{model}"
_HEADER_LENGTH = HEADER_LENGTH.encode()
# zlib's window argument for each content encoding.
_WINDOWS = {"gzip": 31, "deflate": 15}
_NEVER = re.compile(r"q=0(\.0*)?")
_FAST = 1
# Smaller answers are sent as they are; longer ones are compressed in a thread.
_COMPRESSED_BYTES, _THREAD_BYTES = 1024, 64 * 1024


class OpenInference:
    """Handlers of the protocol.

    Args:
        core: Does the work.
        repository: Loads and unloads models.
        page: Gives the metrics of all replicas.
    """

    def __init__(self, core: Core, repository: Repository, page: Page) -> None:
        self._core = core
        self._repository = repository
        self._page = page
        self._inference = Inference(core)

    def routes(self) -> list[Route]:
        """Its paths; those of a model also with ``/versions/{version}``."""
        of_a_model = [
            ("/infer", self.infer, "POST"),
            ("/ready", self.model_ready, "GET"),
            ("/config", self.config, "GET"),
            ("/stats", self.stats, "GET"),
            ("", self.metadata, "GET"),
        ]
        paths = [
            ("/v2", self.server, "GET"),
            ("/v2/health/live", self.live, "GET"),
            ("/v2/health/ready", self.ready, "GET"),
            ("/v2/models", self.list, "GET"),
            ("/v2/models/stats", self.stats, "GET"),
            ("/v2/repository/index", self.index, "POST"),
            ("/v2/repository/models/{model}/load", self.load, "POST"),
            ("/v2/repository/models/{model}/unload", self.unload, "POST"),
        ]
        for base in (_MODEL, _MODEL + "/versions/{version}"):
            paths.extend((base + end, handler, method) for end, handler, method in of_a_model)
        return [Route(path, handler, methods=[method]) for path, handler, method in paths]

    async def infer(self, request: Request) -> Response:
        """Tensors to tensors."""
        model, version = _of(request)
        target = self._inference.models.find(model, version)
        request.scope[COUNTED] = (*target.counted, PROTOCOL)
        told = header(request.scope, _HEADER_LENGTH)
        header_length = None if told is None else told.decode("latin-1")
        body = await read_bytes(request, self._core.config.limit_body_bytes)
        if header_length == "0":
            asked = read_raw(model, version, body, target.inputs)
        elif len(body) < LARGE_BYTES:
            asked = self._read(model, version, body, header_length)
        else:
            asked = await asyncio.to_thread(self._read, model, version, body, header_length)
        wishes = target.wishes(asked.request.outputs, asked.request.parameters)
        request.scope[COUNTED] = (*wishes.counted, PROTOCOL)
        work = self._inference.infer(target, asked.request)
        is_long = target.operation.takes_long(asked.request.parameters)
        is_long = is_long or len(body) >= WATCHED_BYTES
        answer = await (unless_gone(request, work) if is_long else work)
        return await _answered(request, answer, asked)

    def _read(self, model: str, version: str, body: bytes, header_length: str | None) -> Asked:
        return read_body(model, version, body, header_length, self._inference.check_rows)

    async def metadata(self, request: Request) -> Response:
        """What a model takes and gives."""
        return json_response(metadata_of(self._inference.spec(*_of(request))))

    async def config(self, request: Request) -> Response:
        """A model's configuration."""
        spec = self._inference.spec(*_of(request))
        return json_response(config_of(spec, self._core.config.limit_rows))

    async def stats(self, request: Request) -> Response:
        """What a model has done; all of them without one."""
        model, version = _of(request)
        models = self._inference.models
        targets = [models.find(model, version)] if model else models.all()
        return json_response({"model_stats": await statistics(self._page, targets)})

    async def model_ready(self, request: Request) -> Response:
        """Whether a model can be asked."""
        model, version = _of(request)
        return json_response({"name": model, "ready": self._inference.is_ready(model, version)})

    async def server(self, request: Request) -> Response:
        """What the server is and can."""
        return json_response(self._inference.server())

    async def live(self, request: Request) -> Response:
        """Whether it answers at all."""
        return json_response({"live": self._inference.live()})

    async def ready(self, request: Request) -> Response:
        """Whether every model can be asked."""
        if not self._inference.ready():
            raise ServiceError(ErrorKind.NOT_READY, "the service is starting or stopping")
        return json_response({"ready": True})

    async def list(self, request: Request) -> Response:
        """Names of all models."""
        names = dict.fromkeys(target.name for target in self._inference.models.all())
        return json_response({"models": list(names)})

    async def index(self, request: Request) -> Response:
        """Every version of every model, and whether it serves."""
        asked = await _optional_json(request, self._core.config.limit_body_bytes)
        ready = asked.get("ready")
        if not isinstance(ready, bool | None):
            raise invalid("expected 'ready' to be true or false")
        entries = self._repository.index(ready_only=ready is True)
        return json_response(
            [
                {"name": e.name, "version": e.version, "state": e.state, "reason": e.reason}
                for e in entries
            ]
        )

    async def load(self, request: Request) -> Response:
        """Load a model as it is on disk now."""
        model, _ = _of(request)
        asked = await _optional_json(request, self._core.config.limit_body_bytes)
        parameters = asked.get("parameters") or {}
        await self._repository.load(model, json_object(parameters, "'parameters'"))
        return json_response({"name": model, "load": True})

    async def unload(self, request: Request) -> Response:
        """Serve a model no longer."""
        model, _ = _of(request)
        await self._repository.unload(model)
        return json_response({"name": model, "unload": True})


def _of(request: Request) -> tuple[str, str]:
    """Model and version of a path; empty where it names none."""
    path = request.path_params
    return path.get("model", ""), path.get("version", "")


async def _optional_json(request: Request, limit_bytes: int) -> dict[str, object]:
    body = await read_bytes(request, limit_bytes)
    return json_object(loads(body), "the request") if body else {}


async def _answered(request: Request, answer: InferAnswer, asked: Asked) -> Response:
    body, header_length = write_body(answer, asked)
    kind = JSON if header_length is None else b"application/octet-stream"
    headers = []
    if header_length is not None:
        headers.append((_HEADER_LENGTH, b"%d" % header_length))
    accepted = header(request.scope, b"accept-encoding")
    if accepted is not None and len(body) >= _COMPRESSED_BYTES:
        encoding = _encoding(accepted.decode("latin-1"))
        if encoding:
            body = await _compressed(body, encoding)
            headers.append((b"content-encoding", encoding.encode()))
    return Plain(body, kind, headers)


def _encoding(accepted: str) -> str | None:
    """The first encoding that is accepted and known here."""
    for part in accepted.split(","):
        name, _, weight = part.partition(";")
        if name.strip().lower() in _WINDOWS and not _NEVER.fullmatch(weight.replace(" ", "")):
            return name.strip().lower()
    return None


async def _compressed(body: bytes, encoding: str) -> bytes:
    if len(body) < _THREAD_BYTES:
        return _compress(body, encoding)
    return await asyncio.to_thread(_compress, body, encoding)


def _compress(body: bytes, encoding: str) -> bytes:
    deflate = zlib.compressobj(_FAST, wbits=_WINDOWS[encoding])
    return deflate.compress(body) + deflate.flush()
