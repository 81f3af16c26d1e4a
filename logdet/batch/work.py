"""A piece from its input to its file of results, in a worker."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from exported.errors import BundleError
from logdet.batch.pieces import Piece
from logdet.batch.places import Folder
from logdet.batch.reading import Rows, reading
from logdet.batch.writing import writing
from logdet.cells import to_float64
from logdet.errors import UserError, one_line
from logdet.frame import Frame, needed, require
from logdet.placed import Asking
from service.errors import ServiceError
from service.kinds import load
from service.runtime import Runtime

K = TypeVar("K", str, int)
OWN = "_logdet"  # what a job keeps beside its results
BUNDLE = f"{OWN}/bundle"  # workers of other machines have no other
DECIDED = "is_anomaly"
P_VALUE = "p_value"


class Settings(BaseModel):
    """What is asked of every row.

    Attributes:
        alpha: Accepted rate of false alarms; None is the model's default.
        fdr: Accepted share of false alarms among the anomalies, in place of it.
        terms: Whether each feature's term is asked for.
        by: The score of a flow that decides, where it is asked for.
        provider: Where graphs run.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    alpha: float | None
    fdr: float | None
    terms: bool
    by: str | None = None
    provider: Literal["cpu", "cuda"]


class Tally(BaseModel):
    """What became of a piece.

    Attributes:
        output: Its file.
        rows: How many.
        status: How many of each.
        anomalies: How many; None while an fdr waits for the other pieces.
        p_values: Where an fdr is asked for: how many rows have the k-th smallest p-value there is,
            by k from 1.
        replaced: Columns of the input that are not in the results, as answers have their names.
        error: Why it was not scored.
    """

    output: str
    rows: int = 0
    status: dict[str, int] = {}
    anomalies: int | None = None
    p_values: dict[int, int] = {}
    replaced: list[str] = []
    error: str | None = None


class Worker:
    """Scores pieces in one process.

    Args:
        model: ``NAME/VERSION`` of the bundle that the job keeps.
        settings: What is asked.
        output: Folder of the results.
    """

    def __init__(self, model: str, settings: Settings, output: Folder) -> None:
        pa.set_cpu_count(1)
        self._settings, self._output = settings, output
        with tempfile.TemporaryDirectory() as root:
            folder = Path(root, model)
            folder.mkdir(parents=True)
            for name in output.list(BUNDLE):
                (folder / name).write_bytes(output.read(f"{BUNDLE}/{name}"))
            loaded = load(folder, Runtime.choose(settings.provider, 1))
        self._asking = Asking(loaded, settings.alpha, settings.terms, settings.by)
        self._names = needed(loaded.manifest)
        self._levels = len(loaded.calibration.scores) + 1
        self._told = self._answers()

    def __call__(self, item: dict[str, Any]) -> dict[str, Any]:
        """Score the piece of ``{"piece": JSON}``, as Ray Data calls it; ``{"tally": JSON}``."""
        piece = Piece.model_validate_json(item["piece"])
        return {"tally": self.score(piece).model_dump_json()}

    def score(self, piece: Piece) -> Tally:
        """Score a piece, write it and its tally; a piece that cannot be scored says why."""
        try:
            tally = self._written(piece)
        except (UserError, ServiceError, BundleError, OSError, pa.ArrowException) as error:
            message = one_line(f"{piece.path}: {error}")
            return Tally(output=piece.output, error=message)
        self._output.write(tally_name(piece.output), tally.model_dump_json().encode())
        return tally

    def _written(self, piece: Piece) -> Tally:
        files = Folder(piece.address, piece.path).files
        into = draft_name(piece.output) if self._settings.fdr is not None else piece.output
        path, tally = self._output.at(into), Tally(output=piece.output)
        with reading(files, piece.path, piece.kind, piece.groups) as rows:
            taken = {*self._told.names, DECIDED}
            tally.replaced = [name for name in rows.schema.names if name in taken]
            own = [field for field in rows.schema if field.name not in taken]
            schema = pa.schema([*own, *self._told], rows.schema.metadata)
            with writing(self._output.files, path, piece.kind, schema, rows.is_stream) as write:
                for table in self._answered(rows, piece, tally):
                    write(table.select(schema.names).cast(schema))
        return tally

    def _answered(self, rows: Rows, piece: Piece, tally: Tally) -> Iterator[pa.Table]:
        for batch in rows.batches:
            if batch.num_rows:
                yield self._table(rows, piece, batch, tally)

    def _table(self, rows: Rows, piece: Piece, batch: pa.RecordBatch, tally: Tally) -> pa.Table:
        """A batch with the answers beside its own columns, counted."""
        table, place = pa.Table.from_batches([batch]), piece.first_row + tally.rows
        answers = self._asking.columns(place, self._numbers(rows, table, place))
        self._count(answers, tally)
        return pa.table(dict(zip(table.column_names, table.columns, strict=True)) | answers)

    def _numbers(self, rows: Rows, table: pa.Table, place: int) -> NDArray[np.float64]:
        frame = Frame(
            "the file",
            tuple(table.column_names),
            table,
            lambda found: [f"row {place + row + 1:,}" for row in found],
            rows.is_text,
        )
        require(frame, self._names, self._asking.model.manifest.name)
        return to_float64(frame, self._names, "nan")

    def _count(self, answers: dict[str, Any], tally: Tally) -> None:
        tally.rows += len(answers["status"])
        answers["status"] = pa.array(answers["status"])
        found = answers["status"].value_counts().to_pylist()
        tally.status = _sum(tally.status, {one["values"]: one["counts"] for one in found})
        if self._settings.fdr is None:
            tally.anomalies = (tally.anomalies or 0) + int(answers[DECIDED].sum() or 0)
            return
        del answers[DECIDED]
        p_value = answers[P_VALUE]
        places = np.rint(p_value[~np.isnan(p_value)] * self._levels).astype(np.int64)
        known, counts = np.unique(places, return_counts=True)
        levels = dict(zip(known.tolist(), counts.tolist(), strict=True))
        tally.p_values = _sum(tally.p_values, levels)

    def _answers(self) -> pa.Schema:
        """Of the answers, also where there are no rows: as those of a row without an answer."""
        nothing = np.full((1, len(self._names)), np.nan)
        answers = self._asking.columns(0, nothing)
        if self._settings.fdr is not None:
            del answers[DECIDED]
        return pa.table(answers).schema


def _sum(one: dict[K, int], other: dict[K, int]) -> dict[K, int]:
    return dict(Counter(one) + Counter(other))


def tally_name(output: str) -> str:
    """Where the tally of a file of results is."""
    return f"{OWN}/tallies/{output}.json"


def draft_name(output: str) -> str:
    """Where a file of results waits for the others, to be judged with them."""
    return f"{OWN}/drafts/{output}"
