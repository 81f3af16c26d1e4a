"""The typed gRPC service ``logdet.v1.Density``: matrices by place, five operations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import grpc
import numpy as np
from numpy.typing import NDArray

from logdet.client.errors import InvalidInput, Unsupported, refused, seconds
from logdet.client.wire import Asked, Document, Question, Reply, Setting, Table, Target
from service.grpc.pool import message

SERVICE = "logdet.v1.Density"
KIND, RETRY_AFTER = "logdet-error-kind", "retry-after"
_METHODS = {
    "log_prob": "LogProb",
    "score": "Score",
    "encode": "Encode",
    "decode": "Decode",
    "sample": "Sample",
}
_STATUSES = ("ok", "non_finite_input", "out_of_support", "not_converged")
_DENSITIES = ("", "exact", "estimate", "lower_bound", "none")
_MATRICES = ("rows", "z", "mean", "scale", "contribution", "nearest", "change")
_VECTORS = ("log_prob", "score", "p_value", "log_det", "log_prob_nearest")
_OF_FLOWS = ("log_prob", "log_det")
_FACTS = (
    "calibration", "threshold", "alpha", "fdr", "by", "steps", "samples", "seed", "depth",
    "method", "baseline",
)  # fmt: skip
# What a status means without our word for it: of grpc itself, or of a proxy.
_KINDS = {
    grpc.StatusCode.INVALID_ARGUMENT: "invalid_input",
    grpc.StatusCode.NOT_FOUND: "not_found",
    grpc.StatusCode.UNIMPLEMENTED: "unsupported",
    grpc.StatusCode.RESOURCE_EXHAUSTED: "too_large",
    grpc.StatusCode.UNAUTHENTICATED: "unauthorized",
    grpc.StatusCode.PERMISSION_DENIED: "unauthorized",
    grpc.StatusCode.UNAVAILABLE: "unavailable",
    grpc.StatusCode.DEADLINE_EXCEEDED: "deadline",
}
_OPTIONS = (
    # The service's own limit decides, and says so.
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    # Retries are the client's; a channel that waits a second before it connects again, as by
    # default, would answer each of them without having tried.
    ("grpc.enable_retries", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
)


class GrpcSender:
    """Sends and waits.

    Args:
        target: Where the service is.
        headers: Sent as metadata with every call.
    """

    def __init__(self, target: Target, headers: Mapping[str, str]) -> None:
        if target.is_tls:
            certified = grpc.ssl_channel_credentials()
            self._channel = grpc.secure_channel(target.address, certified, options=_OPTIONS)
        else:
            self._channel = grpc.insecure_channel(target.address, options=_OPTIONS)
        self._metadata = _metadata(headers)

    def send(self, asked: Asked, within_s: float | None) -> Reply:
        """See :meth:`logdet.client.wire.Sender.send`."""
        name, data = _request(asked)
        call = self._channel.unary_unary(f"/{SERVICE}/{name}", None, None)
        with _refusals():
            answer = call(data, timeout=within_s, metadata=self._metadata)
        return _reply(name, answer)

    def close(self) -> None:
        """See :meth:`logdet.client.wire.Sender.close`."""
        self._channel.close()


class AsyncGrpcSender:
    """Sends, and lets others work while it waits; see :class:`GrpcSender`."""

    def __init__(self, target: Target, headers: Mapping[str, str]) -> None:
        self._target = target
        self._channel: grpc.aio.Channel | None = None
        self._metadata = _metadata(headers)

    async def send(self, asked: Asked, within_s: float | None) -> Reply:
        """See :meth:`logdet.client.wire.Sender.send`."""
        name, data = _request(asked)
        if self._channel is None:  # belongs to the loop that runs now
            self._channel = _channel_here(self._target)
        call = self._channel.unary_unary(f"/{SERVICE}/{name}", None, None)
        with _refusals():
            answer = await call(data, timeout=within_s, metadata=self._metadata)
        return _reply(name, answer)

    async def close(self) -> None:
        """See :meth:`logdet.client.wire.Sender.close`."""
        if self._channel is not None:
            await self._channel.close(None)


def _channel_here(target: Target) -> grpc.aio.Channel:
    if not target.is_tls:
        return grpc.aio.insecure_channel(target.address, options=_OPTIONS)
    certified = grpc.ssl_channel_credentials()
    return grpc.aio.secure_channel(target.address, certified, options=_OPTIONS)


def _request(asked: Asked) -> tuple[str, bytes]:
    if isinstance(asked, Document) or asked.operation not in _METHODS:
        wanted = asked.operation or ("the catalogue" if asked.model is None else "the manifest")
        raise Unsupported(
            f"expected one of {', '.join(_METHODS)}, which the gRPC service has, got {wanted}; "
            "ask by http://"
        )
    name = _METHODS[asked.operation]
    request = message(f"logdet.v1.{name}Request")(model=asked.model, version=asked.version or 0)
    known = request.DESCRIPTOR.fields_by_name
    for setting, value in asked.settings.items():
        if setting not in known:
            raise Unsupported(f"expected no {setting!r}, which {name} of the gRPC service lacks")
        _set(request, setting, value)
    _put(request, asked)
    data: bytes = request.SerializeToString()
    return name, data


def _set(request: Any, setting: str, value: Setting) -> None:  # noqa: ANN401 - a message
    try:
        if setting == "explain" and isinstance(value, bool):
            value = str(value).lower()  # text, where it is no method's name
        setattr(request, setting, value)
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"{setting!r} is not as expected: {error}") from error


def _put(request: Any, question: Question) -> None:  # noqa: ANN401 - a message
    takes = "z" if question.operation == "decode" else "rows"
    for field, table in ((takes, question.rows), ("context", question.context)):
        if table is not None:
            x = _doubles(table)
            matrix = getattr(request, field)
            matrix.rows, matrix.columns = x.shape
            # Our descriptors call packed numbers bytes, so that they go in whole.
            matrix.values.append(x.tobytes())


def _doubles(table: Table) -> NDArray[np.float64]:
    """NaN where nothing is known, as by HTTP; what is refused is, in the same words."""
    import pyarrow as pa
    from pyarrow import types

    x = np.empty((table.num_rows, table.num_columns), "<f8")
    for place, name in enumerate(table.column_names):
        column, kind = table.column(place), table.schema.field(place).type
        if not (types.is_integer(kind) or types.is_floating(kind) or types.is_null(kind)):
            raise InvalidInput(
                f"expected columns of whole or floating-point numbers, got {kind} in {name!r}"
            )
        try:
            x[:, place] = column.cast(pa.float64()).to_numpy()
        except pa.ArrowInvalid as error:
            raise _too_far(column.to_pylist(), name) from error
    return x


def _too_far(cells: list[int | None], name: str) -> InvalidInput:
    row, cell = next((i, c) for i, c in enumerate(cells) if c is not None and abs(c) > 2**53)
    return InvalidInput(
        f"expected whole numbers from -2**53 to 2**53, which a double tells apart, got {cell} "
        f"at row {row}, column {name!r}"
    )


def _reply(name: str, data: bytes) -> Reply:
    import pyarrow as pa

    answer = message(f"logdet.v1.{name}Response").FromString(data)
    known = answer.DESCRIPTOR.fields_by_name
    density = _DENSITIES[answer.model.density]
    columns, matrices = _matrices(answer)
    is_flow = density in ("exact", "estimate")
    for field in _VECTORS:
        # No rows leave a vector as empty as a model does that has none.
        is_there = field != "log_prob_nearest" or "nearest" in matrices
        if field in known and is_there and (is_flow or field not in _OF_FLOWS):
            columns[field] = np.frombuffer(b"".join(getattr(answer, field)), "<f8")
    if is_flow and "score" in columns and answer.by in ("", "log_prob"):
        columns["log_prob"] = columns.pop("score")
    if "is_anomaly" in known:
        unknown = np.isnan(columns["p_value"])
        columns["is_anomaly"] = pa.array(np.array(answer.is_anomaly, dtype=bool), mask=unknown)
    columns["status"] = pa.array([_STATUSES[status] for status in answer.status], pa.string())
    facts = {"model": answer.model.name, "version": answer.model.version, "density": density}
    told = {fact: getattr(answer, fact) for fact in _FACTS if _is_told(answer, fact)}
    if "fdr" in told:  # which may make no row an anomaly
        told = {"threshold": None, "alpha": None} | told
    return Reply(pa.table(columns), facts | told, matrices)


def _matrices(answer: Any) -> tuple[dict[str, Any], dict[str, tuple[str, ...]]]:  # noqa: ANN401
    """Columns of the matrices that an answer has, and their names by what they are."""
    columns: dict[str, Any] = {}
    matrices = {}
    for field in _MATRICES:
        if field in answer.DESCRIPTOR.fields_by_name and answer.HasField(field):
            x = _matrix(getattr(answer, field))
            matrices[field] = names = tuple(f"{field}{j}" for j in range(x.shape[1]))
            columns |= dict(zip(names, x.T, strict=True))
    return columns, matrices


def _matrix(matrix: Any) -> NDArray[np.float64]:  # noqa: ANN401 - a message
    return np.frombuffer(b"".join(matrix.values), "<f8").reshape(matrix.rows, matrix.columns)


def _is_told(answer: Any, fact: str) -> bool:  # noqa: ANN401 - a message
    field = answer.DESCRIPTOR.fields_by_name.get(fact)
    return field is not None and (not field.has_presence or answer.HasField(fact))


def _metadata(headers: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple((name.lower(), value) for name, value in headers.items())


@contextmanager
def _refusals() -> Iterator[None]:
    """Statuses as refusals."""
    try:
        yield
    except grpc.RpcError as error:
        pairs: Any = error.trailing_metadata() or ()  # of grpc's own type, which is a tuple
        trailers = {key: str(value) for key, value in pairs}
        kind = trailers.get(KIND) or _KINDS.get(error.code(), "internal")
        details = error.details() or f"got status {error.code().name}"
        raise refused(kind, details, seconds(trailers.get(RETRY_AFTER))) from error
