"""Requests and answers of the Open Inference Protocol as both of its transports know them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

from numpy.typing import NDArray

Parameter = bool | int | float | str
Parameters = Mapping[str, Parameter]
NOTHING: Parameters = MappingProxyType({})


class InputTensor(NamedTuple):
    """A tensor of a request.

    Attributes:
        name: As the client says.
        datatype: ``FP32`` and the like, as the client says.
        array: Its values in its shape.
    """

    name: str
    datatype: str
    array: NDArray[Any]


class OutputTensor(NamedTuple):
    """A tensor of an answer; its array is contiguous and of the datatype."""

    name: str
    datatype: str
    array: NDArray[Any]


class InferRequest(NamedTuple):
    """A request for inference.

    Attributes:
        model: ``NAME`` or ``NAME.OPERATION``.
        version: Of the model; empty for the newest.
        inputs: In the client's order.
        outputs: Names of those wanted, in the client's order; none means all.
        parameters: Of the request.
        id: Echoed; empty where there is none.
    """

    model: str
    version: str
    inputs: tuple[InputTensor, ...]
    outputs: tuple[str, ...] = ()
    parameters: Parameters = NOTHING
    id: str = ""


class InferAnswer(NamedTuple):
    """An answer to it.

    Attributes:
        model: As the request named it.
        version: That answered.
        outputs: In the order asked for.
        parameters: What holds for all rows: seed, alpha, threshold and the like.
        id: Of the request.
    """

    model: str
    version: str
    outputs: tuple[OutputTensor, ...]
    parameters: Parameters
    id: str = ""


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """What a model says about a tensor; -1 is a free size.

    Attributes:
        name: Of the tensor.
        datatype: ``FP32`` and the like.
        shape: With the axis of rows first.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """What a model says about itself.

    Attributes:
        name: ``NAME`` or ``NAME.OPERATION``.
        versions: That there are, ascending.
        inputs: That it takes; those after the first may be left out only by models without them.
        outputs: That it gives.
        properties: Facts for people: family, density and the like.
        batched: Whether the first axis of every tensor is the batch.
    """

    name: str
    versions: tuple[str, ...]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    properties: Mapping[str, str]
    batched: bool


@dataclass(frozen=True, slots=True)
class IndexEntry:
    """A model in the list of the repository; ``state`` is ``READY`` or ``UNAVAILABLE``."""

    name: str
    version: str
    state: str
    reason: str
