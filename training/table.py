"""Rows with named columns, and how they are divided."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from exported.origin import rows_sha256
from exported.trimming import Trimmed, trim
from training.streams import Stream, generator

Rows = NDArray[np.float64]
Image = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Table:
    """A data set as training sees it.

    Attributes:
        name: What to call the data in provenance.
        columns: Column names.
        rows: Shape ``(rows, columns)``; training, validation and calibration come from these, and
            the test too when ``test`` is None.
        test: Held-out rows fixed by the data set itself.
        anomalies: Rows labelled anomalous; never trained on.
        image: Height, width and channels where the first columns are the pixels of an image, row
            after row with the channels of a pixel together.
    """

    name: str
    columns: tuple[str, ...]
    rows: Rows
    test: Rows | None = None
    anomalies: Rows | None = field(default=None)
    image: Image | None = None

    def without(self, drop: frozenset[str]) -> Table:
        """The same rows with some columns left out.

        Raises:
            ValueError: If one of them is not there.
        """
        refuse_unknown(drop, self.columns, "to drop that are")
        keep = [i for i, name in enumerate(self.columns) if name not in drop]
        pixels = math.prod(self.image or ())
        return Table(
            name=self.name,
            columns=tuple(self.columns[i] for i in keep),
            rows=self.rows[:, keep],
            test=None if self.test is None else self.test[:, keep],
            anomalies=None if self.anomalies is None else self.anomalies[:, keep],
            image=None if drop & set(self.columns[:pixels]) else self.image,
        )

    def sha256(self) -> str:
        """Digest of the column names and of every number."""
        parts = (self.rows, self.test, self.anomalies)
        return rows_sha256(self.columns, *(part for part in parts if part is not None))


@dataclass(frozen=True, slots=True)
class Examples:
    """Rows, and the context of each.

    Attributes:
        rows: Shape ``(rows, columns)``.
        context: Shape ``(rows, context columns)``; no columns where the density has no context.
    """

    rows: Rows
    context: Rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: slice | NDArray[np.generic]) -> Examples:
        return Examples(self.rows[index], self.context[index])


@dataclass(frozen=True, slots=True)
class Split:
    """Disjoint parts of a table.

    Attributes:
        train: Rows that move the parameters.
        validation: Rows that choose the epoch.
        calibration: Rows that neither trained nor chose, for p-values.
        test: Rows for every published number.
        anomalies: Labelled anomalies, possibly none.
        description: For provenance.
        trimmed: Of each part that has lost its least likely rows, what is told of them.
    """

    train: Examples
    validation: Examples
    calibration: Examples
    test: Examples
    anomalies: Examples
    description: str
    trimmed: Mapping[str, Trimmed] = field(default_factory=dict)

    def counts(self) -> dict[str, int]:
        """Rows of each part, with those that it has lost."""
        parts = ("train", "validation", "calibration", "test", "anomalies")
        lost = {part: trimmed.rows for part, trimmed in self.trimmed.items()}
        return {part: len(getattr(self, part)) + lost.get(part, 0) for part in parts}

    def without_lowest(self, scores: Mapping[str, Rows], share: float) -> Split:
        """The same without a share of the rows that train or validate: those of lowest scores.

        Args:
            scores: Of each part that is trimmed by its name, shape ``(rows,)``.
            share: Over zero; see :func:`exported.trimming.trim`.
        """
        rest: dict[str, Examples] = {}
        told: dict[str, Trimmed] = {}
        for part, of_rows in scores.items():
            kept, trimmed = trim(of_rows, share)
            rest[part] = getattr(self, part)[kept]
            if trimmed is not None:
                told[part] = trimmed
        train, validation = (rest.get(p, getattr(self, p)) for p in ("train", "validation"))
        return replace(self, train=train, validation=validation, trimmed=told)


MIN_ROWS = 50
# Columns named in a message, of tables that may have thousands.
MAX_NAMED = 10


def split(table: Table, seed: int, context: tuple[str, ...] = (), fewest: int = MIN_ROWS) -> Split:
    """A tenth validates and a tenth calibrates; a tenth tests unless the table brings its test.

    Rows are drawn by a seeded permutation.

    Args:
        table: The data.
        seed: Of the permutation.
        context: Columns that condition the density, in the order wanted.
        fewest: Rows of the smallest table that is divided; ten is a row in every tenth.

    Raises:
        ValueError: If there are too few rows to divide, or a column of the context is not there.
    """
    if len(table.rows) < fewest:
        raise ValueError(f"expected at least {fewest} rows to split, got {len(table.rows)}")
    shuffled = table.rows[generator(seed, Stream.SPLIT).permutation(len(table.rows))]
    tenth = len(shuffled) // 10
    validation, calibration, rest = np.split(shuffled, [tenth, 2 * tenth])
    test, train = (rest[:tenth], rest[tenth:]) if table.test is None else (table.test, rest)
    source = "a tenth" if table.test is None else "the data set's own rows"
    none = np.empty((0, table.rows.shape[1]))
    anomalies = none if table.anomalies is None else table.anomalies
    description = (
        f"permutation of seed {seed}: a tenth validates, a tenth calibrates; {source} tests"
    )
    features, conditions = separated(table.columns, context)

    def examples(part: Rows) -> Examples:
        return Examples(part[:, features], part[:, conditions])

    return Split(
        examples(train),
        examples(validation),
        examples(calibration),
        examples(test),
        examples(anomalies),
        description,
    )


def separated(columns: tuple[str, ...], context: tuple[str, ...]) -> tuple[list[int], list[int]]:
    """Positions of the density's own columns, and of the context's in the order given.

    Raises:
        ValueError: If a column of the context is not there, or nothing is left beside them.
    """
    refuse_unknown(context, columns, "of the context that are")
    features = [i for i, name in enumerate(columns) if name not in context]
    if not features:
        raise ValueError("expected columns beside the context, got none")
    return features, [columns.index(name) for name in context]


def refuse_unknown(named: Collection[str], columns: tuple[str, ...], what: str) -> None:
    """Check that columns which a recipe names are there.

    Args:
        named: By the recipe.
        columns: Those that there are.
        what: Goes between "columns" and "not in the data".

    Raises:
        ValueError: Naming those that are not there, and those that are.
    """
    unknown = sorted(set(named) - set(columns))
    if unknown:
        there = ", ".join(columns[:MAX_NAMED])
        if len(columns) > MAX_NAMED:
            there += f" and {len(columns) - MAX_NAMED} more"
        raise ValueError(
            f"columns {what} not in the data: {', '.join(unknown)}; there are: {there}"
        )
