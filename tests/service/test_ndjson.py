"""Answers of one line a row, in this process."""

from __future__ import annotations

import asyncio
import gc
import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from service import batcher
from service.core import Core
from service.errors import ErrorKind, ServiceError
from service.http.app import App, build_app
from service.http.tables import ndjson
from service.http.tables.ndjson import PIECE_ROWS
from service.operations.call import Answer
from tests.bundles import NAMES, ordinary_rows
from tests.service.test_http import ask
from tests.tables import ARROW, CSV, arrow_bytes, csv_bytes

LINES = {"accept": "application/x-ndjson"}


def lines(app: App, path: str, body: Any) -> list[Any]:
    response = ask(app, "POST", f"/v1/models/{path}", json=body, headers=LINES)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/x-ndjson"
    return [json.loads(line) for line in response.text.splitlines()]


@pytest.mark.parametrize("operation", ["log_prob", "score", "encode"])
def test_lines_hold_what_a_whole_answer_holds(core: Core, operation: str) -> None:
    app = build_app(core)
    x = ordinary_rows(PIECE_ROWS * 2 + 5)
    rows = x.tolist()
    rows[PIECE_ROWS][1] = None
    path, body = f"gauss/{operation}", {"rows": rows}
    whole = ask(app, "POST", f"/v1/models/{path}", json=body).json()
    told, *by_row, end = lines(app, path, body)
    assert end == {"rows": len(x)}
    z = whole.pop("z", None)
    whole |= {} if z is None else {f"z{i}": [row[i] for row in z] for i in range(3)}
    assert told == {name: v for name, v in whole.items() if not isinstance(v, list)}
    for name in by_row[0]:
        assert [row[name] for row in by_row] == whole[name]


@pytest.mark.parametrize("model", ["gauss", "vae"])
def test_an_fdr_is_that_of_the_whole_request(core: Core, model: str) -> None:
    app = build_app(core)
    x = ordinary_rows(PIECE_ROWS + 400)
    x[-400:, :2] += 40.0  # a level of the first piece alone would be another
    path, body = f"{model}/score", {"rows": x.tolist(), "fdr": 0.1}
    whole = ask(app, "POST", f"/v1/models/{path}", json=body).json()
    told, *by_row, end = lines(app, path, body)
    assert end == {"rows": len(x)}
    assert told == {name: v for name, v in whole.items() if not isinstance(v, list)}
    assert told["alpha"] == sum(whole["is_anomaly"]) * 0.1 / len(x)
    assert [row["is_anomaly"] for row in by_row] == whole["is_anomaly"]


def test_each_row_has_its_own_context(core: Core, tmp_path: Any) -> None:
    from service.config import ServiceConfig
    from tests.variants import contexts, rows_given, write_conditional

    write_conditional(tmp_path)
    core = Core(ServiceConfig(bundles=tmp_path, provider="cpu", sessions=1))
    core.load()
    app = build_app(core)
    context = contexts(PIECE_ROWS + 9)
    rows = rows_given(context).tolist()
    for given in (context.tolist(), context[:1].tolist()):
        body = {"rows": rows, "context": given}
        whole = ask(app, "POST", "/v1/models/given/log_prob", json=body).json()
        got = [row["log_prob"] for row in lines(app, "given/log_prob", body)[1:-1]]
        assert got == whole["log_prob"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("vae/log_prob_bound", {"samples": 2, "seed": 5}),
        ("vae/encode", {"seed": 5}),
        ("vae/encode", {}),
        ("vae/score", {}),
        ("gauss/sample", {"n": 5000, "seed": 5}),
    ],
)
def test_noise_is_that_of_a_row_s_place_in_the_whole_request(
    core: Core, path: str, body: dict[str, Any]
) -> None:
    app = build_app(core)
    if "n" not in body:
        body = body | {"rows": ordinary_rows(PIECE_ROWS + 3).tolist()}
    whole = ask(app, "POST", f"/v1/models/{path}", json=body).json()
    told, *by_row, end = lines(app, path, body)
    assert end == {"rows": len(whole["status"])}
    name = next(n for n in ("importance_bound", "score", "log_prob", "z0") if n in by_row[0])
    expected = [row[0] for row in whole["z"]] if name == "z0" else whole[name]
    np.testing.assert_allclose([row[name] for row in by_row], expected, rtol=1e-4)
    assert told.get("seed") == whole.get("seed")


def test_no_rows_are_two_lines(core: Core) -> None:
    body = arrow_bytes({name: np.empty(0) for name in NAMES})
    path = "/v1/models/gauss/log_prob"
    response = ask(build_app(core), "POST", path, content=body, headers=ARROW | LINES)
    told, end = map(json.loads, response.text.splitlines())
    assert told == {"model": "gauss", "version": 1, "density": "exact"}
    assert end == {"rows": 0}


def test_what_is_wrong_at_first_has_a_status(core: Core) -> None:
    app = build_app(core)
    body = {"rows": ordinary_rows(3).tolist(), "alpha": 2}
    response = ask(app, "POST", "/v1/models/gauss/score", json=body, headers=LINES)
    assert response.status_code == 400
    assert response.json()["kind"] == "invalid_input"


def test_a_feature_named_like_a_template_is_written(core: Core) -> None:
    answer = Answer({"z": np.array([[1.5, np.nan]])}, np.zeros(1, np.uint8))
    text = ndjson._rows({"z": ('100% "x"', "%s")}, answer)
    assert json.loads(text) == {'100% "x"': 1.5, "%s": None, "status": "ok"}


@pytest.fixture
def apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """However short a run, it leaves the event loop."""
    monkeypatch.setattr(batcher, "INLINE_SECONDS", 0.0)
    monkeypatch.setattr(batcher, "INLINE_ALONE_SECONDS", 0.0)


class Gate:
    """A lane that holds runs back, and counts those rows that came."""

    def __init__(self, core: Core, free: int) -> None:
        self.lane = core.find("gauss").lanes().evaluate  # type: ignore[union-attr]
        self.run, self.free = self.lane.run, free
        self.opened, self.rows = threading.Event(), 0
        self.failing: Exception | None = None
        self.lane.run = self

    def __call__(self, rows: Any) -> Any:
        if self.rows >= self.free:
            assert self.opened.wait(20)
            if self.failing:
                raise self.failing
        self.rows += len(rows)
        return self.run(rows)


@dataclass(frozen=True)
class Asking:
    """A request for lines: its body arrives so many seconds after its head."""

    body: bytes
    path: str = "gauss/log_prob"
    headers: tuple[tuple[bytes, bytes], ...] = ()
    late_s: float = 0.0


async def converse(
    app: App, asking: Asking, heard: Callable[[bytes], None], gone: asyncio.Event | None = None
) -> bytes:
    """Ask for lines; ``heard`` is told of every part of the answer as it comes."""
    messages = [{"type": "http.request", "body": asking.body, "more_body": False}]
    parts: list[bytes] = []
    path, _, query = asking.path.partition("?")

    async def receive() -> Any:
        if messages:
            await asyncio.sleep(asking.late_s)
            return messages.pop()
        await (gone or asyncio.Event()).wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        if part := message.get("body"):
            parts.append(part)
            heard(part)

    scope = {
        "type": "http",
        "method": "POST",
        "path": f"/v1/models/{path}",
        "query_string": query.encode(),
        "headers": [
            (b"content-type", CSV["content-type"].encode()),
            (b"accept", b"application/x-ndjson"),
            *asking.headers,
        ],
    }
    await app(scope, receive, send)
    return b"".join(parts)


def many(pieces: int) -> Asking:
    x = ordinary_rows(PIECE_ROWS * pieces)
    return Asking(csv_bytes(dict(zip(NAMES, x.T, strict=True))))


def test_the_first_line_comes_before_the_last_piece_is_computed(core: Core, apart: None) -> None:
    gate = Gate(core, free=2 * PIECE_ROWS)
    first: list[bytes] = []

    def heard(part: bytes) -> None:
        if not first:
            first.append(part)
            assert gate.rows < 3 * PIECE_ROWS
            gate.opened.set()

    text = asyncio.run(converse(build_app(core), many(3), heard))
    assert first[0].startswith(b'{"model":"gauss"')
    assert first[0].count(b"\n") == PIECE_ROWS + 1
    assert text.count(b"\n") == 3 * PIECE_ROWS + 2


def test_few_rows_are_at_work_at_once(core: Core) -> None:
    waiting: list[float] = []
    lane = core.find("gauss").lanes().evaluate  # type: ignore[union-attr]
    run = lane.run

    def watched(rows: Any) -> Any:
        labels = {"replica": "0"}
        waiting.append(core.metrics.registry.get_sample_value("logdet_queue_rows", labels) or 0)
        return run(rows)

    lane.run = watched
    asyncio.run(converse(build_app(core), many(6), lambda _: None))
    assert PIECE_ROWS <= max(waiting) <= 2 * PIECE_ROWS


@pytest.mark.parametrize(
    "path",
    ["gauss/sample?n=9999", "vae/log_prob_bound?samples=1&seed=0", "gauss/score?fdr=0.1"],
)
def test_the_text_of_all_rows_is_never_whole(
    core: Core, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    written: list[int] = []
    rows = ndjson._rows

    def counted(layout: Any, answer: Any) -> bytes:
        written.append(len(answer.status))
        return rows(layout, answer)

    monkeypatch.setattr(ndjson, "_rows", counted)
    asking = replace(many(3), path=path)
    asking = replace(asking, body=b"") if "sample?" in path else asking
    total = 9999 if "sample?" in path else 3 * PIECE_ROWS
    heard: list[int] = []

    def hear(part: bytes) -> None:
        heard.append(part.count(b"\n"))
        assert len(written) <= len(heard)  # what comes next is not text yet

    asyncio.run(converse(build_app(core), asking, hear))
    assert written == [PIECE_ROWS, PIECE_ROWS, total - 2 * PIECE_ROWS]
    assert heard == [PIECE_ROWS + 1, PIECE_ROWS, total - 2 * PIECE_ROWS, 1]


def test_fewer_rows_are_written_at_once_where_they_are_wide() -> None:
    z = np.arange(5 * 2**17, dtype=np.float32).reshape(5, -1)
    answer = Answer({"z": z, "log_det": np.zeros(5, np.float32)}, np.zeros(5, np.uint8))
    parts = list(ndjson._parts(answer))
    assert len(parts) == 5
    np.testing.assert_array_equal(np.concatenate([part.columns["z"] for part in parts]), z)


@pytest.mark.parametrize("late_s", [0.0, 0.3])
def test_the_end_of_the_client_s_time_is_the_last_line(
    core: Core, apart: None, late_s: float
) -> None:
    gate = Gate(core, free=2 * PIECE_ROWS)
    allowed = ((b"x-request-timeout-seconds", b"1.25"),)
    asking = replace(many(4), headers=allowed, late_s=late_s)
    started = time.monotonic()

    async def work() -> bytes:
        try:
            return await converse(build_app(core), asking, lambda _: None)
        finally:
            gate.opened.set()

    told, *_, last = asyncio.run(work()).splitlines()
    assert json.loads(told)["model"] == "gauss"
    assert json.loads(last) == {
        "error": "no answer within the 1.25 s that the request allows",
        "kind": "deadline",
    }
    assert 1.0 < time.monotonic() - started < 5.0
    rejected = {"replica": "0", "reason": "deadline"}
    assert core.metrics.registry.get_sample_value("logdet_rejected_total", rejected) == 1


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ServiceError(ErrorKind.OVERLOADED, "no room"), "overloaded"),
        (RuntimeError("secret"), "internal"),
    ],
)
def test_a_failure_on_the_way_is_the_last_line(core: Core, error: Exception, kind: str) -> None:
    gate = Gate(core, free=2 * PIECE_ROWS)
    gate.failing = error
    gate.opened.set()
    text = asyncio.run(converse(build_app(core), many(3), lambda _: None)).splitlines()
    last = json.loads(text[-1])
    assert last["kind"] == kind
    assert "secret" not in last["error"]
    assert len(text) in (PIECE_ROWS + 2, 2 * PIECE_ROWS + 2)
    rejected = {"replica": "0", "reason": kind}
    assert core.metrics.registry.get_sample_value("logdet_rejected_total", rejected) == 1
    gc.collect()  # an error that nobody fetched would be told here, and fail the test


def test_a_client_that_goes_away_ends_the_work(core: Core, apart: None) -> None:
    gate = Gate(core, free=2 * PIECE_ROWS)
    value = core.metrics.registry.get_sample_value

    async def work() -> None:
        gone = asyncio.Event()
        await converse(build_app(core), many(8), lambda _: gone.set(), gone)
        gate.opened.set()
        await asyncio.sleep(0.2)

    asyncio.run(work())
    assert gate.rows < 4 * PIECE_ROWS
    assert value("logdet_queue_rows", {"replica": "0"}) == 0
    assert value("logdet_inflight_requests", {"replica": "0"}) in (0, None)
