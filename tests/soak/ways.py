"""The protocols: each puts a question and reads what came back."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any

import grpc
import httpx
import numpy as np
import pyarrow as pa
import pyarrow.csv
import tritonclient.grpc
import tritonclient.http

from logdet import Client
from service.results import STATUSES
from tests.rpc import DENSITY, plain
from tests.soak.questions import Columns, Question, Rows
from tests.tables import ARROW, arrow_bytes, csv_bytes, read_arrow
from tests.variants import CONTEXT

NAMES = ("pressure", "flow", "count", "site")
TIMEOUT_S = 60.0
WORDS = np.array(STATUSES)


class RefusedError(Exception):
    """An answer other than 200."""


class Doors:
    """One client's connections.

    Args:
        url: Of the service.
        address: Of its gRPC.
    """

    def __init__(self, url: str, address: str) -> None:
        self.http = httpx.Client(base_url=url, timeout=TIMEOUT_S)
        self.channel = grpc.insecure_channel(address)
        self.triton = tritonclient.http.InferenceServerClient(url.removeprefix("http://"))
        self.triton_grpc = tritonclient.grpc.InferenceServerClient(address)
        self.client = Client(url, timeout=TIMEOUT_S, retries=0)
        self.client_grpc = Client(f"grpc://{address}", timeout=TIMEOUT_S, retries=0)

    def __enter__(self) -> Doors:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        for one in (
            self.http, self.channel, self.triton, self.triton_grpc, self.client, self.client_grpc
        ):  # fmt: skip
            one.close()


Way = Callable[[Question, Doors], Columns]


def native_json(asked: Question, doors: Doors) -> Columns:
    return _columns(_posted(asked, doors, _document(asked), {}).json())


def lines(asked: Question, doors: Doors) -> Columns:
    headers = {"accept": "application/x-ndjson"}
    told = _posted(asked, doors, _document(asked), headers).text.splitlines()
    _, *rows, end = map(json.loads, told)
    assert end == {"rows": len(rows)}, end
    return _columns({name: [row[name] for row in rows] for name in rows[0]})


def arrow(asked: Question, doors: Doors) -> Columns:
    body = arrow_bytes(_table(asked)) if asked.rows is not None else b""
    answer = _posted(asked, doors, body, ARROW | {"accept": ARROW["content-type"]})
    return _from_table(read_arrow(answer.content))


def csv(asked: Question, doors: Doors) -> Columns:
    body = csv_bytes(_table(asked)) if asked.rows is not None else b""
    answer = _posted(asked, doors, body, {"content-type": "text/csv", "accept": "text/csv"})
    return _from_table(pyarrow.csv.read_csv(io.BytesIO(answer.content)))


def oip_json(asked: Question, doors: Doors) -> Columns:
    return _inferred(asked, doors.triton, tritonclient.http, {"binary_data": False})


def oip_binary(asked: Question, doors: Doors) -> Columns:
    return _inferred(asked, doors.triton, tritonclient.http, {"binary_data": True})


def oip_grpc(asked: Question, doors: Doors) -> Columns:
    return _inferred(asked, doors.triton_grpc, tritonclient.grpc, {})


def density(asked: Question, doors: Doors) -> Columns:
    """logdet.v1, which has the operations that it has a call for."""
    method = asked.operation.title().replace("_", "")
    given: dict[str, Any] = {"model": asked.model, **asked.settings}
    if asked.rows is not None:
        given["z" if asked.operation == "decode" else "rows"] = _matrix(asked.rows)
    if asked.context is not None:
        given["context"] = _matrix(asked.context)
    request = plain(f"logdet.v1.{method}Request")(**given).SerializeToString()
    data = doors.channel.unary_unary(f"/{DENSITY}/{method}")(request, timeout=TIMEOUT_S)
    answer = plain(f"logdet.v1.{method}Response").FromString(data)
    return dict(_fields(answer))


def client_http(asked: Question, doors: Doors) -> Columns:
    return _asked_by(doors.client, asked)


def client_grpc(asked: Question, doors: Doors) -> Columns:
    return _asked_by(doors.client_grpc, asked)


def ways(asked: Question) -> list[Way]:
    """The protocols that a question can be put by."""
    can: list[Way] = [native_json, lines, arrow, csv, client_http, oip_grpc, oip_binary]
    # The stock client's JSON has neither NaN nor what a row without an answer has.
    if asked.rows is None or np.isfinite(asked.rows).all():
        can.append(oip_json)
    if asked.operation in ("log_prob", "score", "encode", "decode", "sample"):
        can += [density, client_grpc]
    return can


def _document(asked: Question) -> bytes:
    body: dict[str, Any] = dict(asked.settings)
    if asked.rows is not None:
        rows = asked.rows.tolist()
        body["z" if asked.operation == "decode" else "rows"] = [
            [None if value != value else value for value in row] for row in rows
        ]
    if asked.context is not None:
        body["context"] = asked.context.tolist()
    return json.dumps(body).encode()


def _posted(
    asked: Question, doors: Doors, body: bytes, headers: Mapping[str, str]
) -> httpx.Response:
    path = f"/v1/models/{asked.model}/{asked.operation}"
    is_table = "content-type" in headers
    told = {"content-type": "application/json", **headers}
    settings = asked.settings if is_table else {}
    answer = doors.http.post(path, content=body, headers=told, params=settings)
    if answer.status_code != 200:
        raise RefusedError(f"{answer.status_code} {answer.text[:200]}")
    return answer


def _columns(told: Mapping[str, Any]) -> Columns:
    lists = {name: value for name, value in told.items() if isinstance(value, list)}
    return {name: _array(name, values) for name, values in lists.items()}


def _array(name: str, values: list[Any]) -> Any:
    if name == "status":
        return np.array(values)
    if name == "is_anomaly":
        return np.array([bool(value) for value in values])
    return np.array(values, dtype=np.float64)  # None is NaN


def _table(asked: Question) -> dict[str, Any]:
    assert asked.rows is not None
    names = NAMES if asked.operation != "decode" else tuple(f"z{i}" for i in range(9))
    columns = dict(zip(names, asked.rows.T, strict=False))
    if asked.context is not None:
        columns |= zip(CONTEXT, asked.context.T, strict=True)
    return columns


def _from_table(table: pa.Table) -> Columns:
    return {name: _array(name, table[name].to_pylist()) for name in table.column_names}


def _inferred(asked: Question, client: Any, stock: Any, settings: Mapping[str, Any]) -> Columns:
    name = asked.model
    if asked.operation not in ("log_prob", "encode", "score"):
        name += f".{asked.operation}"
    elif asked.model in ("vae", "auto") and asked.operation == "encode":
        name += ".encode"
    wanted = [one for one in _tensors(asked) if one in asked.expected]
    outputs = [stock.InferRequestedOutput(one, **settings) for one in wanted]
    chosen = {key: value for key, value in asked.settings.items() if key != "n"}
    answer = client.infer(
        name, _inputs(asked, stock, settings), outputs=outputs, parameters=chosen
    )
    got = {one: answer.as_numpy(one).copy() for one in wanted}
    return {**got, "status": WORDS[got["status"]]}


def _tensors(asked: Question) -> list[str]:
    """Tensors of the answer."""
    of_rows = ["log_prob", "z", "log_det", "p_value", "is_anomaly"]
    if asked.operation not in ("log_prob", "encode", "score") or asked.model in ("vae", "auto"):
        of_rows = ["x", "log_prob", "feature_log_prob", "z", "mean", "scale", "error"]
        of_rows += ["elbo", "importance_bound", "p_value", "is_anomaly"]
    return [*of_rows, "status"]


def _inputs(asked: Question, stock: Any, settings: Mapping[str, Any]) -> list[Any]:
    given: dict[str, Any] = {}
    if asked.rows is None:
        given["n"] = np.array([asked.settings["n"]], np.int64)
    else:
        given["z" if asked.operation == "decode" else "x"] = asked.rows
    if asked.context is not None:
        given["context"] = asked.context
    made = []
    for name, values in given.items():
        type_ = "INT64" if values.dtype == np.int64 else "FP64"
        made.append(stock.InferInput(name, list(values.shape), type_))
        made[-1].set_data_from_numpy(values, **settings)
    return made


def _matrix(rows: Rows) -> Any:
    values = rows.ravel().tolist()
    return plain("logdet.v1.Matrix")(rows=len(rows), columns=rows.shape[1], values=values)


def _fields(answer: Any) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for field, value in answer.ListFields():
        if field.name == "status":
            found.append(("status", WORDS[np.array(value)]))
        elif field.message_type is not None and field.message_type.name == "Matrix":
            found.append((field.name, np.array(value.values).reshape(value.rows, value.columns)))
        elif hasattr(value, "__len__") and not isinstance(value, str):
            found.append((field.name, np.array(value)))
    return found


def _asked_by(client: Client, asked: Question) -> Columns:
    given: dict[str, Any] = dict(asked.settings)
    if asked.context is not None:
        given["context"] = asked.context
    rows = (given.pop("n"),) if asked.rows is None else (asked.rows,)
    answer = getattr(client, asked.operation)(asked.model, *rows, **given)
    return {name: np.ma.filled(values, False) for name, values in answer.items()}
