"""What a job is and how far it has come, kept beside its results."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from exported.manifest import Manifest
from logdet.batch.pieces import Piece, plan
from logdet.batch.places import Folder, Input
from logdet.batch.work import BUNDLE, OWN, Settings, Tally, draft_name, tally_name
from logdet.errors import UserError

DOCUMENT = f"{OWN}/job.json"


class Source(BaseModel):
    """An input as it was, and what it is cut into."""

    model_config = ConfigDict(frozen=True)

    path: str
    name: str
    size: int
    modified_ns: int | None
    pieces: list[Piece]

    def is_of(self, one: Input) -> bool:
        """Whether the file is still the same."""
        told = (self.path, self.name, self.size, self.modified_ns)
        return told == (one.path, one.name, one.size, one.modified_ns)


class Document(BaseModel):
    """A job.

    Attributes:
        logdet_job: Version of this format.
        model: ``NAME/VERSION``.
        bundle: SHA-256 of its manifest, which lists those of its files.
        settings: What is asked.
        sources: The inputs.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    logdet_job: Literal[1] = 1
    model: str
    bundle: str
    settings: Settings
    sources: list[Source]


@dataclass(frozen=True, slots=True)
class Job:
    """A job that may go on.

    Attributes:
        document: What it is.
        output: Folder of the results.
    """

    document: Document
    output: Folder

    @property
    def pieces(self) -> list[Piece]:
        """Of all inputs, in order."""
        return [piece for source in self.document.sources for piece in source.pieces]

    def left(self) -> list[Piece]:
        """Those that are not scored yet."""
        there = self.output.list()
        return [piece for piece in self.pieces if not _is_scored(piece, there)]

    def unjudged(self) -> list[Piece]:
        """At an fdr, those that wait for the decision about all rows, or were left amid it."""
        if self.document.settings.fdr is None:
            return []
        there = self.output.list()
        return [piece for piece in self.pieces if not self._is_judged(piece, there)]

    def tallies(self) -> Iterator[Tally]:
        """What became of each piece that is scored."""
        there = self.output.list()
        for piece in self.pieces:
            if _is_scored(piece, there):
                yield self._tally(piece)

    def _tally(self, piece: Piece) -> Tally:
        return Tally.model_validate_json(self.output.read(tally_name(piece.output)))

    def _is_judged(self, piece: Piece, there: set[str]) -> bool:
        """The draft goes last: without one its rows are decided, and counted in the tally."""
        has_draft = draft_name(piece.output) in there
        if has_draft or not _is_scored(piece, there):
            return False
        return self._tally(piece).anomalies is not None


def begin(
    bundle: Path, manifest: Manifest, settings: Settings, inputs: Sequence[Input], output: Folder
) -> Job:
    """The job of an empty folder, or the one that the folder has begun.

    Inputs of which nothing is scored yet may be others than before.

    Args:
        bundle: Its folder; the job keeps a copy, which is what scores.
        manifest: Of the bundle.
        settings: What is asked.
        inputs: The files.
        output: Folder of the results.

    Raises:
        UserError: If the folder has another job, or an input that is scored has changed.
    """
    there = output.list()
    kept: list[Source] = []
    content = {file.name: file.read_bytes() for file in bundle.iterdir() if file.is_file()}
    document = Document(
        model=f"{manifest.name}/{manifest.version}",
        bundle=hashlib.sha256(content["manifest.json"]).hexdigest(),
        settings=settings,
        sources=[],
    )
    if DOCUMENT in there:
        before = _read(output)
        _refuse_other(before, document)
        kept = [source for source in before.sources if _is_begun(source, there)]
        if settings.fdr is not None and any(
            piece.output in there for source in kept for piece in source.pieces
        ):
            kept = before.sources  # judged together: the same inputs or none
    elif there:
        raise UserError(f"expected an empty folder, or one of a job, as -o, got {output.path}")
    document = document.model_copy(update={"sources": _sources(inputs, kept)})
    for name, data in content.items():
        output.write(f"{BUNDLE}/{name}", data)
    output.write(DOCUMENT, document.model_dump_json(indent=1).encode())
    return Job(document, output)


def _read(output: Folder) -> Document:
    try:
        return Document.model_validate_json(output.read(DOCUMENT))
    except ValidationError as error:
        raise UserError(f"{output.at(DOCUMENT)} is no job of this logdet") from error


def _refuse_other(before: Document, now: Document) -> None:
    asked = [_words(document) for document in (now, before)]
    if asked[0] != asked[1]:
        raise UserError(
            f"expected the job that the folder has begun, {asked[1]}, got {asked[0]}; name "
            "another folder for it"
        )


def _words(document: Document) -> str:
    given = document.settings.model_dump()
    settings = ", ".join(f"{name} {value}" for name, value in given.items() if value is not None)
    return f"{document.model} with manifest {document.bundle[:12]}, {settings}"


def _sources(inputs: Sequence[Input], kept: Sequence[Source]) -> list[Source]:
    by_path = {source.path: source for source in kept}
    gone = by_path.keys() - {one.path for one in inputs}
    if gone:
        raise UserError(f"expected {min(gone)} among the inputs, as it is scored already")
    for one in inputs:
        before = by_path.get(one.path)
        if before is not None and not before.is_of(one):
            raise UserError(
                f"{one.path} has changed since it was scored; name another folder for -o"
            )
    new = [one for one in inputs if one.path not in by_path]
    planned = {
        one.path: Source(
            path=one.path,
            name=one.name,
            size=one.size,
            modified_ns=one.modified_ns,
            pieces=pieces,
        )
        for one, pieces in zip(new, plan(new), strict=True)
    }
    sources = [by_path.get(one.path) or planned[one.path] for one in inputs]
    _refuse_shared([piece for source in sources for piece in source.pieces])
    return sources


def _refuse_shared(pieces: Sequence[Piece]) -> None:
    """Pieces that would be written over each other: of a cut file, and of one named like them."""
    by_output: dict[str, Piece] = {}
    for piece in pieces:
        other = by_output.setdefault(piece.output, piece)
        if other is not piece:
            raise UserError(
                f"expected files whose results have different names, got {piece.output} from "
                f"{other.path} and from {piece.path}; score one of them into another folder"
            )


def _is_begun(source: Source, there: set[str]) -> bool:
    return any(_is_scored(piece, there) for piece in source.pieces)


def _is_scored(piece: Piece, there: set[str]) -> bool:
    has_rows = piece.output in there or draft_name(piece.output) in there
    return has_rows and tally_name(piece.output) in there
