"""One request by a plain client, and whether its answer is right."""

from __future__ import annotations

import http.client
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import grpc
import numpy as np

from tests.bench.bodies import KINDS, Told, some_rows

METHOD = "/inference.GRPCInferenceService/ModelInfer"
TIMEOUT_S = 60.0
# Of log-densities in nats: onnxruntime's own differences between one row and many.
ABSOLUTE, RELATIVE = 1e-4, 1e-5
MESSAGE_PREFIX = 5  # bytes before a message of gRPC


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a kind of body is answered.

    Attributes:
        kind: Name of the body's kind.
        url: Of HTTP; of gRPC too, whose path is then the method's.
        headers: Sent beside the body's own.
    """

    kind: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)


class WrongAnswerError(Exception):
    """An answer is not what onnxruntime gives in this process, or there is none."""


def checked_size(endpoint: Endpoint, rows: int, expected: Told) -> int:
    """Ask once; bytes of the right answer, as a load generator counts them.

    Raises:
        WrongAnswerError: If it is another.
    """
    kind = KINDS[endpoint.kind]
    content, headers = kind.build(some_rows(rows))
    ask = _over_grpc if kind.protocol == "grpc" else _over_http
    answer, told = ask(endpoint, content, {**headers, **endpoint.headers})
    try:
        got = kind.read(answer, told)
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise WrongAnswerError(f"expected log-densities, got {answer[:200]!r}") from error
    if got.reshape(-1).shape != expected.shape:
        raise WrongAnswerError(f"expected {expected.size} log-densities, got {got.size}")
    if not np.allclose(got.reshape(-1), expected, RELATIVE, ABSOLUTE):
        off = float(np.max(np.abs(got.reshape(-1) - expected)))
        raise WrongAnswerError(f"expected the log-densities of the graph, got some {off:.2g} off")
    return len(answer) + (MESSAGE_PREFIX if kind.protocol == "grpc" else 0)


def _over_http(
    endpoint: Endpoint, content: bytes, headers: Mapping[str, str]
) -> tuple[bytes, Mapping[str, str]]:
    where = urlsplit(endpoint.url)
    connection = http.client.HTTPConnection(where.netloc, timeout=TIMEOUT_S)
    try:
        connection.request("POST", where.path, content, dict(headers))
        response = connection.getresponse()
        answer = response.read()
    except (OSError, http.client.HTTPException) as error:
        raise WrongAnswerError(f"no answer: {error!r}") from error
    finally:
        connection.close()
    if response.status != http.client.OK:
        raise WrongAnswerError(f"expected 200, got {response.status}: {answer[:200]!r}")
    return answer, {name.lower(): value for name, value in response.getheaders()}


def _over_grpc(
    endpoint: Endpoint, content: bytes, headers: Mapping[str, str]
) -> tuple[bytes, Mapping[str, str]]:
    # A pool of its own: a channel that met a closed port would wait before it tries again.
    options = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", -1)]
    with grpc.insecure_channel(urlsplit(endpoint.url).netloc, options) as channel:
        try:
            call = channel.unary_unary(METHOD)
            answer: bytes = call(content, timeout=TIMEOUT_S, metadata=tuple(headers.items()))
        except grpc.RpcError as error:
            raise WrongAnswerError(f"no answer: {error.code()} {error.details()}") from error
    return answer, {}
