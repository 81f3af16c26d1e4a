"""Bodies of the protocol, for people and OpenAPI; the hot path does not run them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from service.oip.tensors import DTYPES

Datatype = Literal[
    "BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64",
    "FP16", "FP32", "FP64",
]  # fmt: skip
assert set(Datatype.__args__) == set(DTYPES)  # type: ignore[attr-defined]  # noqa: S101 # nosec B101
Size = Annotated[int, Field(ge=0)]
Scalar = bool | int | float | str
Parameters = dict[str, Scalar]


class _Open(BaseModel):
    """Of the protocol, which lets clients send more than it names."""

    model_config = ConfigDict(extra="allow")


class InferInput(_Open):
    """A tensor: its data, or ``binary_data_size`` among its parameters and its bytes behind."""

    name: str
    shape: list[Size] = Field(max_length=8)
    datatype: Datatype
    parameters: Parameters | None = None
    data: list[Any] | None = Field(
        None, description="Row by row, nested as the shape or flat; null is a missing value."
    )


class InferOutput(_Open):
    """A tensor that is wanted; ``binary_data`` among its parameters wants it as bytes."""

    name: str
    parameters: Parameters | None = None


class InferBody(_Open):
    """Tensors to infer from."""

    id: str | None = Field(None, description="Comes back with the answer.")
    parameters: Parameters | None = Field(
        None,
        description="Settings of the operation (alpha, fdr, seed, steps, ...); `timeout` in "
        "microseconds; `binary_data_output`.",
    )
    inputs: list[InferInput] = Field(min_length=1)
    outputs: list[InferOutput] | None = Field(None, description="None or none: all of them.")


class TensorMetadata(BaseModel):
    """A tensor of a model; -1 is any size."""

    name: str
    datatype: Datatype
    shape: list[int]


class ServerMetadata(BaseModel):
    """What the server is and can."""

    name: str
    version: str
    extensions: list[str]


class ModelMetadata(BaseModel):
    """What a model takes and gives."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]
    properties: dict[str, str]


class OutputTensor(BaseModel):
    """A tensor; its values are in ``data``, or behind the JSON as its parameters say."""

    name: str
    shape: list[int]
    datatype: Datatype
    parameters: Parameters | None = None
    data: list[float | bool | None] | None = None


class InferAnswer(BaseModel):
    """The tensors that were wanted, in that order."""

    model_name: str
    model_version: str
    id: str | None = None
    parameters: Parameters = Field(description="What holds for all rows.")
    outputs: list[OutputTensor]


class Live(BaseModel):
    """Whether the service answers."""

    live: bool


class Ready(BaseModel):
    """Whether all models can be asked."""

    ready: bool


class ModelReady(BaseModel):
    """Whether a model can be asked."""

    name: str
    ready: bool


class Names(BaseModel):
    """Of all models, further operations among them."""

    models: list[str]


class ConfiguredTensor(BaseModel):
    """A tensor without the axis of rows."""

    name: str
    data_type: str
    dims: list[int]


class ModelConfig(BaseModel):
    """A model's configuration, as Triton's clients know it."""

    name: str
    platform: str
    backend: str
    version_policy: dict[str, Any]
    max_batch_size: int
    input: list[ConfiguredTensor]
    output: list[ConfiguredTensor]
    dynamic_batching: dict[str, Any]


class Duration(BaseModel):
    """How often, and how long in all."""

    count: int
    ns: int


class InferStatistics(BaseModel):
    """Requests (success, fail) and runs of graphs (the others)."""

    success: Duration
    fail: Duration
    queue: Duration
    compute_input: Duration
    compute_infer: Duration
    compute_output: Duration


class ModelStatistics(BaseModel):
    """What a model has done since the service began."""

    name: str
    version: str
    last_inference: int = Field(description="Milliseconds since 1970; 0 is never.")
    inference_count: int = Field(description="Rows.")
    execution_count: int = Field(description="Runs of its graph.")
    inference_stats: InferStatistics


class Statistics(BaseModel):
    """Of models."""

    model_stats: list[ModelStatistics]


class IndexBody(_Open):
    """Which models to list."""

    ready: bool | None = Field(None, description="True leaves out those that do not serve.")


class IndexEntry(BaseModel):
    """A version of a model."""

    name: str
    version: str
    state: Literal["READY", "UNAVAILABLE"]
    reason: str


class LoadBody(_Open):
    """Nothing that matters: models are as the service's own folder has them."""

    parameters: dict[str, Any] | None = None


class Loaded(BaseModel):
    """A model that was loaded."""

    name: str
    load: Literal[True]


class Unloaded(BaseModel):
    """A model that was unloaded."""

    name: str
    unload: Literal[True]
