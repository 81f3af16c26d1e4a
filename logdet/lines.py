"""Lines of JSON on their way through: what was read, and behind it a model's answers.

As many rows go through the model together as have arrived, and their answers are written before
more is read: a slow source is answered line by line, a fast one in blocks, and no more than a
block is in memory.
"""

from __future__ import annotations

import codecs
import sys
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, cast

import click
import numpy as np
import orjson
from numpy.typing import NDArray

from logdet.errors import UserError
from logdet.frame import needed
from logdet.placed import Asking
from logdet.text import some
from service.errors import ErrorKind
from service.json_lines import objects

BLOCK_BYTES = 2**20
LIMIT_LINE_BYTES = 4 * 2**20
_SHOWN = 60
_KINDS = {
    str: "text",
    bool: "a truth value",
    dict: "an object",
    list: "a list",
    type(None): "null",
}


class Source(Protocol):
    """Bytes that arrive: of ``sys.stdin.buffer``."""

    def read1(self, size: int, /) -> bytes:
        """What is there, at most so many bytes; waits for the first; empty at the end."""
        ...


class Sink(Protocol):
    """Where bytes go: ``sys.stdout.buffer``."""

    def write(self, content: bytes, /) -> object:
        """All of them."""
        ...

    def flush(self) -> object:
        """Let the reader have them."""
        ...


@dataclass(slots=True)
class Lines:
    """How many lines there were.

    Attributes:
        total: That were not blank.
        failed: That were answered with an error.
    """

    total: int = 0
    failed: int = 0


@dataclass(slots=True)
class _Line:
    """A line that was read; with an error, or with values in the order of the model's names."""

    text: bytes
    fields: dict[str, Any] = field(default_factory=dict)
    values: list[float | None] = field(default_factory=list)
    error: str | None = None


def standard_input() -> Source:
    """What is piped into this process."""
    return cast("Source", sys.stdin.buffer)


def begun(source: Source) -> bytes:
    """What comes first, up to something that is not blank; of many blank lines only some."""
    start = bytearray()
    while more := source.read1(BLOCK_BYTES):
        is_blank = not (more if start else more.removeprefix(codecs.BOM_UTF8)).strip()
        if not is_blank or len(start) < BLOCK_BYTES:  # few are kept: lines of CSV are counted
            start += more
        if not is_blank:
            break
    return bytes(start)


def are_lines(start: bytes) -> bool:
    """Whether what begins like this is lines of JSON: no header of CSV begins with a brace."""
    return start.removeprefix(codecs.BOM_UTF8).lstrip()[:1] == b"{"


def score_lines(asking: Asking, source: Source, start: bytes, sink: Sink) -> Lines:
    """Answer every line of the source with one line, in order, until it ends.

    An answer is the object that was read, its fields as they were written, and behind them the
    columns of :class:`logdet.scoring.Scores`. A line that is no such object is answered with
    ``error`` and ``kind``.

    Args:
        asking: What is asked.
        source: Where lines come from.
        start: What was already read of it.
        sink: Where answers go.
    """
    names, counts = needed(asking.model.manifest), Lines()
    for block in _blocks(source, start.removeprefix(codecs.BOM_UTF8)):
        first = counts.total + 1
        lines = [_parsed(text, number, names) for number, text in enumerate(block, first)]
        answers = _answers(asking, counts.total - counts.failed, lines)
        sink.write(b"".join(line + b"\n" for line in answers))
        sink.flush()
        counts.total += len(lines)
        counts.failed += sum(line.error is not None for line in lines)
    return counts


def _blocks(source: Source, start: bytes) -> Iterator[list[bytes | None]]:
    """Lines that have arrived together, without blank ones; None for one that is too long."""
    pending, is_lost = start, False
    while True:
        *whole, pending = pending.split(b"\n")
        lines: list[bytes | None] = [line.strip() for line in whole if line.strip()]
        if whole and is_lost:  # what was left of the line that was too long
            lines, is_lost = lines[bool(whole[0].strip()) :], False
        if len(pending) > LIMIT_LINE_BYTES or is_lost:
            lines += [] if is_lost else [None]
            pending, is_lost = b"", True
        if lines:
            yield lines
        more = source.read1(BLOCK_BYTES)
        if not more:
            break
        pending += more
    if pending.strip():
        yield [pending.strip()]


def _parsed(text: bytes | None, number: int, names: Sequence[str]) -> _Line:
    if text is None:
        return _Line(b"", error=f"line {number}: expected at most {LIMIT_LINE_BYTES:,} bytes")
    try:
        fields = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        is_too_large = error.msg.startswith("number is infinity")
        expected = "numbers that float64 can hold" if is_too_large else "a JSON object"
        return _Line(b"", error=f"line {number}: expected {expected}, got {_shown(text)}")
    if not isinstance(fields, dict):
        return _Line(b"", error=f"line {number}: expected a JSON object, got {_kind(fields)}")
    lacking = [name for name in names if name not in fields]
    if lacking:
        wrong = f"expected a number or null as {some(names)}; lacking: {some(lacking)}"
        return _Line(text, fields, error=f"line {number}: {wrong}")
    values = [fields[name] for name in names]
    for name, value in zip(names, values, strict=True):
        if type(value) not in (float, int, type(None)):
            wrong = f"expected a number or null as {name!r}, got {_kind(value)}"
            return _Line(text, fields, error=f"line {number}: {wrong}")
    return _Line(text, fields, values)


def _answers(asking: Asking, place: int, lines: Sequence[_Line]) -> Iterator[bytes]:
    """A line for each, where so many were answered with a score before."""
    fit = [line.values for line in lines if line.error is None]
    columns = _told(asking.columns(place, np.array(fit, np.float64))) if fit else {}
    known = iter(objects(columns))
    for line in lines:
        if line.error is None:
            yield _behind(line, next(known), columns.keys())
        else:
            told = {"error": line.error, "kind": ErrorKind.INVALID_INPUT.value}
            yield _behind(line, orjson.dumps(told), told.keys())


def _behind(line: _Line, answer: bytes, own: Set[str]) -> bytes:
    """The line's own fields as they were written, those of the answer's names left out."""
    taken = line.fields.keys() & own
    text = line.text
    if taken:
        kept = {name: value for name, value in line.fields.items() if name not in taken}
        text = orjson.dumps(kept)
    is_empty = not line.fields.keys() - taken
    return answer if is_empty else text[:-1].rstrip() + b"," + answer[1:]


def _told(columns: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Words and truth values as objects, masked ones as None."""
    return {
        name: np.array(column.tolist(), dtype=object) if column.dtype.kind in "bU" else column
        for name, column in columns.items()
    }


def _shown(text: bytes) -> str:
    shown = text[:_SHOWN].decode(errors="replace")
    return repr(shown if len(text) <= _SHOWN else f"{shown}...")


def _kind(value: object) -> str:
    return _KINDS.get(type(value), "a number")


def answer_lines(asking: Asking, start: bytes, output: Path | None, fdr: float | None) -> int:
    """Standard input, which begins with lines of JSON, to standard output; the exit code.

    Raises:
        UserError: If something is asked for that lines do not have.
    """
    if output is not None:
        raise UserError(f"expected CSV for -o {output}: lines of JSON go to standard output")
    if fdr is not None:
        raise UserError(
            "expected --alpha for lines of JSON: --fdr judges all rows together, and these are "
            "answered as they come"
        )
    counts = score_lines(asking, standard_input(), start, sys.stdout.buffer)
    if counts.failed:
        click.echo(f"logdet: {counts.failed:,} of {counts.total:,} lines had an error", err=True)
    return 1 if counts.failed else 0
