"""Calls as steps that no protocol and no event loop owns: name columns, cut, ask, join.

A caller's arrays get the names of the manifest's columns. That is asked for once and kept; every
answer says its version, so a newer manifest is noticed, and where its columns are others the call
is made again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, get_args

from logdet.client.answer import Answered, presented
from logdet.client.columns import Columns
from logdet.client.errors import InvalidInput, Unsupported
from logdet.client.patience import Deadline, Patience, Steps
from logdet.client.rows import (
    ROWS_ARE,
    Kind,
    RowsLike,
    array_of,
    is_by_name,
    kind_of,
    table_of,
)
from logdet.client.wire import Document, Question, Reply, Setting, Table, model_name

NEAREST_RUNS = 9  # of an anomaly, for the nearest row that is none
PIECE_BYTES = 32 * 2**20  # of rows in one request; services take 64 MiB by default


@dataclass(frozen=True, slots=True, eq=False)
class Call:
    """What a caller asks.

    Attributes:
        model: Its name.
        operation: As manifests call it.
        version: None for the newest.
        rows: Rows or latents; None where none are taken.
        context: Of a conditional density; None where it is a part of ``rows``, or there is none.
        settings: What may be chosen, by name; None is the same as left out.
        frame: How to answer; None is as ``rows`` came.
    """

    model: str
    operation: str
    version: int | None = None
    rows: RowsLike = None
    context: RowsLike = None
    settings: Mapping[str, Setting | None] = field(default_factory=dict)
    frame: Kind | None = None

    def __post_init__(self) -> None:
        model_name(self.model)
        if self.rows is None and self.operation != "sample":
            raise InvalidInput(f"expected {self.what} to be {ROWS_ARE}, got None")
        if self.frame not in (None, *get_args(Kind)):
            kinds = ", ".join(get_args(Kind))
            raise InvalidInput(f"expected frame to be one of {kinds}, got {self.frame!r}")

    @property
    def kind(self) -> Kind:
        """How to answer."""
        return kind_of(self.rows) if self.frame is None else self.frame

    @property
    def what(self) -> str:
        """What ``rows`` are, for messages."""
        return "z" if self.operation == "decode" else "rows"

    @property
    def is_whole(self) -> bool:
        """Whether the answer for a row depends on its request: noise on the place, fdr on all."""
        drawn = self.operation == "encode" and self.settings.get("seed") is not None
        is_judged = self.settings.get("fdr") is not None
        return drawn or is_judged or self.operation in ("log_prob_bound", "sample")


@dataclass(frozen=True, slots=True)
class Calls:
    """Of one client.

    Attributes:
        patience: How long calls try.
        chunk_rows: Most rows of one request, where rows do not depend on each other.
        is_named: Whether the protocol has manifests and names of columns.
        known: Columns of models, by name and version asked for.
    """

    patience: Patience
    chunk_rows: int
    is_named: bool
    known: dict[tuple[str, int | None], Columns] = field(default_factory=dict)

    def document(self, document: Document, timeout_s: float | None) -> Steps[Any]:
        """The parsed JSON of a document."""
        return (yield from self.patience.until(timeout_s).persist(document))

    def answer(self, call: Call, timeout_s: float | None) -> Steps[Answered]:
        """The answer to a call, in the kind of its rows.

        Raises:
            ServiceRefused: If there is none.
        """
        until = self.patience.until(timeout_s)
        if self.is_named:
            reply = yield from self._by_name(call, until)
        else:
            reply = yield from self._by_place(call, until)
        is_pandas = kind_of(call.rows) == call.kind == "pandas"
        return presented(reply, call.kind, call.rows.index if is_pandas else None)

    def _by_place(self, call: Call, until: Deadline) -> Steps[Reply]:
        parts = ((call.rows, call.what), (call.context, "context"))
        for given, what in parts:
            if is_by_name(given):
                raise Unsupported(
                    f"expected {what} as an array, got columns by name, which the gRPC service "
                    "does not know; ask by http://, or give an array in the manifest's order"
                )
        if call.kind != "numpy":
            raise Unsupported(
                f"expected frame to be numpy, got {call.frame!r}: the gRPC service does not know "
                "names of columns; ask by http://"
            )
        rows, context = (
            None if given is None else table_of(given, _places(given, what), what)
            for given, what in parts
        )
        return (yield from self._pieces(call, _question(call, rows, context), until))

    def _by_name(self, call: Call, until: Deadline) -> Steps[Reply]:
        key = (call.model, call.version)
        known = self.known.get(key)
        reply: Reply | InvalidInput | None = None
        if known is not None:
            reply = yield from self._attempt(call, known, until)
            if isinstance(reply, Reply) and reply.facts["version"] == known.version:
                return reply
        columns = Columns.of((yield from until.persist(Document(*key))))
        self.known[key] = columns
        if reply is None or known != columns:
            call = replace(call, version=columns.version)
            reply = yield from self._attempt(call, columns, until)
        if isinstance(reply, InvalidInput):
            raise reply
        return reply

    def _attempt(
        self, call: Call, columns: Columns, until: Deadline
    ) -> Steps[Reply | InvalidInput]:
        """The reply, or why the input is refused: perhaps these are no longer the columns."""
        try:
            question = _question(call, *_named(call, columns))
            reply = yield from self._pieces(call, question, until)
        except InvalidInput as error:
            return error
        return replace(reply, matrices=columns.matrices(call.operation, reply.table.column_names))

    def _pieces(self, call: Call, question: Question, until: Deadline) -> Steps[Reply]:
        """The reply to as many questions, one after another, as the rows need."""
        size = self._piece_rows(question.rows)
        if question.settings.get("explain"):  # which runs a row once for each feature
            size = max(1, size // question.rows.num_columns)
        if question.settings.get("nearest"):
            size = min(size, max(1, self._piece_rows(question.rows) // NEAREST_RUNS))
        count = 0 if question.rows is None else question.rows.num_rows
        if call.is_whole or count <= size:
            return (yield from _ask(question, until))
        replies = []
        for start in range(0, count, size):
            reply = yield from _ask(_piece(question, start, size), until)
            # The others are asked of the version that answered the first.
            question = replace(question, version=reply.facts["version"])
            replies.append(reply)
        return _joined(replies)

    def _piece_rows(self, rows: Table | None) -> int:
        if rows is None or not rows.num_rows:
            return self.chunk_rows
        row_bytes: int = max(1, rows.nbytes // rows.num_rows)
        return max(1, min(self.chunk_rows, PIECE_BYTES // row_bytes))


def _named(call: Call, columns: Columns) -> tuple[Table | None, Table | None]:
    """The tables of rows and of context, by the names of a model's columns."""
    rows = call.rows
    table = None if rows is None else table_of(rows, columns.taken(call.operation), call.what)
    if call.context is not None:
        if not columns.context:
            raise InvalidInput(f"expected no context, as {call.model} has no context features")
        return table, table_of(call.context, columns.context, "context")
    if columns.context and is_by_name(rows):
        return table, table_of(rows, columns.context, call.what)
    return table, None


def _places(rows: RowsLike, what: str) -> list[str]:
    """Names for columns that have none: how numpy would be asked for them."""
    return [f"{what}[:, {place}]" for place in range(array_of(rows, what).shape[1])]


def _question(call: Call, rows: Table | None, context: Table | None) -> Question:
    settings = {name: value for name, value in call.settings.items() if value is not None}
    if rows is not None and context is not None and context.num_rows not in (1, rows.num_rows):
        raise InvalidInput(
            f"expected 1 or {rows.num_rows} rows of context (one for all, or one for each), got "
            f"{context.num_rows}"
        )
    return Question(call.model, call.version, call.operation, settings, rows, context)


def _ask(question: Question, until: Deadline) -> Steps[Reply]:
    reply: Reply = yield from until.persist(question)
    return reply


def _piece(question: Question, start: int, size: int) -> Question:
    rows: Table = question.rows
    context = question.context
    if context is not None and context.num_rows > 1:
        context = context.slice(start, size)
    return replace(question, rows=rows.slice(start, size), context=context)


def _joined(replies: list[Reply]) -> Reply:
    import pyarrow as pa

    return replace(replies[0], table=pa.concat_tables([reply.table for reply in replies]))
