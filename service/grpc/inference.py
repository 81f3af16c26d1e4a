"""``inference.GRPCInferenceService``: the Open Inference Protocol over gRPC."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from google.protobuf.json_format import ParseDict

from service.errors import ServiceError
from service.grpc.calls import Counted, Rpc
from service.grpc.pool import Message, message
from service.grpc.tensors import (
    is_typed,
    read_inputs,
    read_parameters,
    write_outputs,
    write_parameters,
)
from service.oip.config import config_of, metadata_of
from service.oip.inference import Inference
from service.oip.messages import InferRequest
from service.oip.models import Target
from service.oip.repository import Repository
from service.oip.statistics import statistics

SERVICE = "inference.GRPCInferenceService"

MetricsPage = Callable[[], Awaitable[str]]


def _class(name: str) -> type[Message]:
    return message(f"inference.{name}")


@dataclass(frozen=True, slots=True)
class InferenceService:
    """The methods of the service.

    Attributes:
        inference: Answers about models.
        repository: Lists, loads and unloads them.
        page: Gives the metrics that statistics are made of.
        limit_rows: Most rows of one request.
    """

    inference: Inference
    repository: Repository
    page: MetricsPage
    limit_rows: int

    def rpcs(self) -> Mapping[str, Rpc]:
        """Every method by its name."""
        return {
            "ServerLive": Rpc(self.server_live),
            "ServerReady": Rpc(self.server_ready),
            "ModelReady": Rpc(self.model_ready),
            "ServerMetadata": Rpc(self.server_metadata),
            "ModelMetadata": Rpc(self.model_metadata),
            "ModelInfer": Rpc(self.model_infer, self._counted),
            "ModelStreamInfer": Rpc(self.model_infer, self._counted, _streamed),
            "ModelConfig": Rpc(self.model_config),
            "ModelStatistics": Rpc(self.model_statistics),
            "RepositoryIndex": Rpc(self.repository_index),
            "RepositoryModelLoad": Rpc(self.repository_load),
            "RepositoryModelUnload": Rpc(self.repository_unload),
        }

    async def server_live(self, request: Message) -> Message:
        """Whether the process answers."""
        return _class("ServerLiveResponse")(live=self.inference.live())

    async def server_ready(self, request: Message) -> Message:
        """Whether every model answers."""
        return _class("ServerReadyResponse")(ready=self.inference.ready())

    async def model_ready(self, request: Message) -> Message:
        """Whether a model answers."""
        ready = self.inference.is_ready(request.name, request.version)
        return _class("ModelReadyResponse")(ready=ready)

    async def server_metadata(self, request: Message) -> Message:
        """Name, version and extensions of the service."""
        return _class("ServerMetadataResponse")(**self.inference.server())

    async def model_metadata(self, request: Message) -> Message:
        """Inputs and outputs of a model."""
        spec = self.inference.spec(request.name, request.version)
        return ParseDict(metadata_of(spec), _class("ModelMetadataResponse")())

    async def model_infer(self, request: Message) -> Message:
        """Outputs for inputs, as raw or typed as these are."""
        target = self.inference.models.find(request.model_name, request.model_version)
        for tensor in request.inputs:
            self.inference.check_rows(tensor.shape)
        typed = is_typed(request)
        # Values in the message itself are many objects: not on the event loop.
        inputs = await asyncio.to_thread(read_inputs, request) if typed else read_inputs(request)
        answer = await self.inference.infer(
            target,
            InferRequest(
                model=request.model_name,
                version=request.model_version,
                inputs=inputs,
                outputs=tuple([output.name for output in request.outputs]),
                parameters=read_parameters(request.parameters),
                id=request.id,
            ),
        )
        response = _class("ModelInferResponse")(
            model_name=answer.model, model_version=answer.version, id=answer.id
        )
        write_parameters(response.parameters, answer.parameters)
        write_outputs(response, answer.outputs, typed)
        return response

    async def model_config(self, request: Message) -> Message:
        """A model as Triton would configure it."""
        config = config_of(self.inference.spec(request.name, request.version), self.limit_rows)
        return _class("ModelConfigResponse")(config=ParseDict(config, _class("ModelConfig")()))

    async def model_statistics(self, request: Message) -> Message:
        """Requests, rows and times of a model, or of all of them."""
        kind = _class("ModelStatistics")
        found = await statistics(self.page, self._targets(request.name, request.version))
        return _class("ModelStatisticsResponse")(model_stats=[ParseDict(m, kind()) for m in found])

    async def repository_index(self, request: Message) -> Message:
        """Every model and version, or only those that answer."""
        kind = _class("RepositoryIndexResponse.ModelIndex")
        entries = [
            kind(name=entry.name, version=entry.version, state=entry.state, reason=entry.reason)
            for entry in self.repository.index(ready_only=request.ready)
        ]
        return _class("RepositoryIndexResponse")(models=entries)

    async def repository_load(self, request: Message) -> Message:
        """Load a model, or load it again."""
        await self.repository.load(request.model_name, request.parameters)
        return _class("RepositoryModelLoadResponse")()

    async def repository_unload(self, request: Message) -> Message:
        """Stop to serve a model."""
        await self.repository.unload(request.model_name)
        return _class("RepositoryModelUnloadResponse")()

    def _counted(self, request: Message) -> Counted:
        outputs = tuple([output.name for output in request.outputs])
        parameters = read_parameters(request.parameters)
        name, version = request.model_name, request.model_version
        return self.inference.counted(name, version, outputs, parameters)

    def _targets(self, name: str, version: str) -> list[Target]:
        models = self.inference.models
        return [models.find(name, version)] if name else models.all()


def _streamed(out: Message | ServiceError, request: Message | None) -> Message:
    kind = _class("ModelStreamInferResponse")
    if not isinstance(out, ServiceError):
        return kind(infer_response=out)
    answered = _class("ModelInferResponse")(id=request.id if request is not None else "")
    return kind(error_message=out.message, infer_response=answered)
