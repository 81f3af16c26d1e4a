"""Answers of one line a row, sent while the work goes on.

The first line is what holds for all rows, the last one the number of rows, or why there are no
more. Rows go to work in pieces, of which there are few at a time: a long answer is never whole in
memory, and others get their turn. Where the noise of a row is that of its place, or rows are
judged together, the numbers of all rows are; their text never is.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from itertools import islice

import numpy as np
import orjson
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from service.deadline import just_within
from service.errors import ServiceError
from service.http import media
from service.http.errors import refusal
from service.http.gone import unless_gone
from service.http.reading import names
from service.http.tables.columns import STATUS, Layout, flat
from service.json_lines import objects
from service.nearest import RUNS
from service.operations.call import Answer, Call
from service.operations.reasons import asked_for
from service.operations.spec import Operation
from service.served_kinds import AnyServed

PIECE_ROWS = 4096
PIECE_CELLS = 2**18  # numbers written at once: each takes some 100 bytes meanwhile
AT_WORK = 2  # pieces: one that runs, and the next so that no worker waits for it

Lines = AsyncGenerator[bytes]


@dataclass(frozen=True, slots=True)
class Asked:
    """A call on its way.

    Attributes:
        served: The model.
        operation: What is asked of it.
        layout: Names of the columns.
        failed: Told of a refusal that comes after the first line.
    """

    served: AnyServed
    operation: Operation
    layout: Layout
    failed: Callable[[ServiceError], None]


async def respond(request: Request, asked: Asked, call: Call) -> StreamingResponse:
    """The answer, once its first piece is known.

    Raises:
        ServiceError: If that piece is refused.
    """
    lines = _lines(asked, call)
    first = await unless_gone(request, anext(lines))
    return _Streamed(request, _ended(first, lines, asked.failed))


class _Streamed(StreamingResponse):
    """Ends its work when the client goes away."""

    def __init__(self, request: Request, lines: Lines) -> None:
        super().__init__(lines, media_type=media.NDJSON)
        self._request = request
        self._lines = lines

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See the ASGI specification."""
        await unless_gone(self._request, self._all(send))

    async def _all(self, send: Send) -> None:
        async with aclosing(self._lines):
            await self.stream_response(send)


async def _lines(asked: Asked, call: Call) -> Lines:
    """All that is answered, piece by piece; the first one with what is told before it."""
    told, rows = asked.served.told(), 0
    async with aclosing(_answers(asked, call)) as answers:
        async for answer in answers:
            before = b"" if rows else _line({**told, **answer.told})
            for part in _parts(answer):
                yield before + await asyncio.to_thread(_rows, asked.layout, part)
                before = b""
            rows += len(answer.status)
    yield _line({"rows": rows})


async def _answers(asked: Asked, call: Call) -> AsyncGenerator[Answer]:
    """The answers to the pieces of a call, in order, while the next ones are at work."""
    operation, served = asked.operation, asked.served
    work = (operation.ask(served, part) for part in _pieces(operation, call))
    tasks: deque[asyncio.Task[Answer]] = deque()
    with served.work.in_flight():
        try:
            tasks.extend(map(asyncio.create_task, islice(work, AT_WORK)))
            while tasks:
                answer = await tasks[0]
                tasks.popleft()
                tasks.extend(map(asyncio.create_task, islice(work, 1)))
                yield answer
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def _ended(first: bytes, lines: Lines, failed: Callable[[ServiceError], None]) -> Lines:
    """The lines, with a refusal as the last one where the work fails on the way."""
    async with aclosing(lines):
        yield first
        try:
            while more := await _next(lines):
                yield more
        except Exception as error:  # the status is sent: only a line can still tell
            refused = refusal(error)
            failed(refused)
            yield _line({"error": refused.message, "kind": refused.kind.value})


async def _next(lines: Lines) -> bytes:
    """What comes next in the time that the request allows; nothing after the end."""
    async with just_within():
        return await anext(lines, b"")


def _pieces(operation: Operation, call: Call) -> Iterator[Call]:
    """The call in parts that give its answer row by row, if there are any."""
    if call.rows is None or operation.is_whole(call):
        yield call
        return
    rows, context = call.rows, call.context
    is_shared = context is None or len(context) != len(rows)
    size = max(1, PIECE_ROWS // _runs(call, rows.shape[1]))
    for start in range(0, max(len(rows), 1), size):
        part = slice(start, start + size)
        given = context if context is None or is_shared else context[part]
        yield call._replace(rows=rows[part], context=given)


def _runs(call: Call, features: int) -> int:
    """How often a row may be run: an explanation runs it once for each of its features."""
    asked = asked_for(call.settings)
    return max(features if "explain" in asked else 1, RUNS if "nearest" in asked else 1)


def _parts(answer: Answer) -> Iterator[Answer]:
    """An answer in parts whose text may be in memory at once."""
    rows = len(answer.status)
    width = sum(math.prod(column.shape[1:]) for column in answer.columns.values())
    size = max(1, min(PIECE_ROWS, PIECE_CELLS // width))
    for start in range(0, max(rows, 1), size):
        part = slice(start, start + size)
        columns = {name: column[part] for name, column in answer.columns.items()}
        yield Answer(columns, answer.status[part], answer.told)


def _rows(layout: Layout, answer: Answer) -> bytes:
    """A line for each row, with the columns of a table; not finite is null."""
    columns = flat(layout, answer) | {STATUS: np.array(names(answer.status), dtype=object)}
    return b"".join(line + b"\n" for line in objects(columns))


def _line(content: object) -> bytes:
    return orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY) + b"\n"
