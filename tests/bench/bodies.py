"""What is sent and how its answer is read, one entry a kind of body."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import orjson
from numpy.typing import NDArray

from tests.rpc import plain

MODEL = "nsf"
INFER = f"/v2/models/{MODEL}/infer"
FEATURES = 16
Rows = NDArray[np.float32]
Told = NDArray[np.float64]
Headers = Mapping[str, str]
_SPLIT = "inference-header-content-length"
_JSON = {"content-type": "application/json"}


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of body.

    Attributes:
        protocol: What carries it.
        build: Content and headers of a request for the log-density of rows (rows, FEATURES).
        read: Log-densities (rows,) in the content and the headers of an answer.
        digits: Bytes by which the text of a row may differ between right answers; none in binary.
    """

    protocol: Literal["http", "grpc"]
    build: Callable[[Rows], tuple[bytes, Headers]]
    read: Callable[[bytes, Headers], Told]
    digits: int = 0


def some_rows(count: int) -> Rows:
    """Rows of a seed, the same at every call."""
    return np.random.default_rng(count).standard_normal((count, FEATURES), dtype=np.float32)


def _tensor(x: Rows) -> dict[str, Any]:
    return {"name": "x", "shape": list(x.shape), "datatype": "FP32"}


def _json(x: Rows) -> tuple[bytes, Headers]:
    body = {"inputs": [_tensor(x) | {"data": x.reshape(-1)}], "outputs": [{"name": "log_prob"}]}
    return orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY), _JSON


def _read_json(content: bytes, _: Headers) -> Told:
    return np.array(json.loads(content)["outputs"][0]["data"], np.float64).reshape(-1)


def _binary(x: Rows) -> tuple[bytes, Headers]:
    sizes = {"parameters": {"binary_data_size": x.nbytes}}
    wanted = {"name": "log_prob", "parameters": {"binary_data": True}}
    # Servers differ in which of the two ways to ask for binary outputs they know.
    how = {"outputs": [wanted], "parameters": {"binary_data_output": True}}
    head = orjson.dumps({"inputs": [_tensor(x) | sizes], **how})
    return head + x.tobytes(), {
        "content-type": "application/octet-stream",
        _SPLIT: str(len(head)),
    }


def _read_binary(content: bytes, headers: Headers) -> Told:
    split = int(headers[_SPLIT])
    size = json.loads(content[:split])["outputs"][0]["parameters"]["binary_data_size"]
    return np.frombuffer(content[split : split + size], "<f4").astype(np.float64)


def _grpc(x: Rows) -> tuple[bytes, Headers]:
    request = plain("inference.ModelInferRequest")(
        model_name=MODEL,
        inputs=[_tensor(x)],
        outputs=[{"name": "log_prob"}],
        raw_input_contents=[x.tobytes()],
    )
    return request.SerializeToString(), {}


def _read_grpc(content: bytes, _: Headers) -> Told:
    answer = plain("inference.ModelInferResponse").FromString(content)
    return np.frombuffer(answer.raw_output_contents[0], "<f4").astype(np.float64)


def _listed(field: str) -> Callable[[Rows], tuple[bytes, Headers]]:
    def build(x: Rows) -> tuple[bytes, Headers]:
        return orjson.dumps({field: x}, option=orjson.OPT_SERIALIZE_NUMPY), _JSON

    return build


def _read_listed(content: bytes, _: Headers) -> Told:
    found = json.loads(content)
    return np.array(found["log_prob"] if isinstance(found, dict) else found, np.float64)


# The first three are the Open Inference Protocol's; the others are lists of rows.
KINDS: Mapping[str, Kind] = {
    "JSON": Kind("http", _json, _read_json, digits=4),
    "binary": Kind("http", _binary, _read_binary),
    "gRPC": Kind("grpc", _grpc, _read_grpc),
    "rows": Kind("http", _listed("rows"), _read_listed, digits=4),
    "x": Kind("http", _listed("x"), _read_listed, digits=4),
}
