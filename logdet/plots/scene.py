"""What a picture shows, as arrays: rows that the model makes, and rows of a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from exported.manifest import Feature
from logdet.cells import to_float64
from logdet.errors import UserError
from logdet.files import read_frame
from logdet.frame import require
from logdet.text import some
from service.kinds import AnyModel
from service.results import Floats

MAX_PAIRED = 6  # features of a picture of pairs, where nobody chooses
MAX_CHOSEN = 12  # more would be too small to see
_CELL = 0.4  # how far a whole number is moved at most: cells can still be told apart
_FILE_SEED = 0  # chooses the rows shown of a file that has more
# What rows that the model makes are called; others are those of a file.
SAMPLES, RECONSTRUCTIONS = "samples", "reconstructions"

Wide = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Draw:
    """What is to be drawn from a model.

    Attributes:
        rows: How many, and at most as many of a file.
        seed: Of the base noise.
        context: Shape ``(1, context_features)``; None for an unconditional density.
        steps: Of a solver; None is the model's default.
    """

    rows: int
    seed: int
    context: Wide | None = None
    steps: int | None = None


@dataclass(frozen=True, slots=True)
class Points:
    """Rows that are shown.

    Attributes:
        called: What they are, for a legend.
        x: Shape ``(rows, features)``, in the user's units.
        lost: Rows left out as their status is not ok.
    """

    called: str
    x: Floats
    lost: int

    @property
    def is_made(self) -> bool:
        """Whether the model made them."""
        return self.called in (SAMPLES, RECONSTRUCTIONS)

    def first(self, rows: int) -> Points:
        """So many of them at most."""
        return Points(self.called, self.x[:rows], self.lost)


@dataclass(frozen=True, slots=True)
class Scene:
    """Everything that a picture is drawn of.

    Attributes:
        model: The model.
        draw: What was drawn.
        axes: Columns that are shown.
        samples: Rows that the model made.
        data: Rows of a file, or None.
    """

    model: AnyModel
    draw: Draw
    axes: tuple[int, ...]
    samples: Points
    data: Points | None

    @property
    def layers(self) -> tuple[Points, ...]:
        """Rows to draw as dots, the file's last; as many of each, or one would hide the other."""
        if self.data is None:
            return (self.samples,)
        shown = min(len(self.samples.x), len(self.data.x))
        return self.samples.first(shown), self.data.first(shown)

    @property
    def whole(self) -> bool:
        """Whether every modelled feature is shown, so that the density is that of the axes."""
        return self.axes == modelled(self.model)

    @property
    def said(self) -> str:
        """What the rows shown are, for a title."""
        made = self.samples.called
        return made if self.data is None else f"{made} and data"

    def feature(self, axis: int) -> Feature:
        """The feature in a column."""
        return self.model.manifest.features[axis]

    def spread(self, points: Points, axis: int) -> Floats:
        """A column of points; whole numbers moved within their cells, or dots would hide dots."""
        values = points.x[:, axis]
        if self.feature(axis).kind != "integer":
            return values
        rng = np.random.default_rng([self.draw.seed, axis])
        return values + rng.uniform(-_CELL, _CELL, len(values))


def modelled(model: AnyModel) -> tuple[int, ...]:
    """The columns that are no constants."""
    return tuple(i for i, f in enumerate(model.manifest.features) if f.role == "modelled")


def choose_axes(model: AnyModel, names: Sequence[str] | None) -> tuple[int, ...]:
    """The columns to show: those named, else the first that are modelled.

    Raises:
        UserError: If a name is no modelled feature or is there twice, or they are too many.
    """
    candidates = modelled(model)
    if names is None:
        return candidates[:MAX_PAIRED]
    places = {model.manifest.features[i].name: i for i in candidates}
    if len(names) > MAX_CHOSEN:
        raise UserError(f"expected at most {MAX_CHOSEN} --features, got {len(names)}")
    unknown = [name for name in names if name not in places]
    if unknown or len(set(names)) < len(names):
        wrong = f"{unknown[0]!r}" if unknown else "one of them twice"
        raise UserError(f"expected --features among {some(list(places))}, got {wrong}")
    return tuple(places[name] for name in names)


def some_rows(model: AnyModel, path: Path, draw: Draw) -> tuple[Wide, Wide | None]:
    """Rows of a file, at most as many as are drawn, and the context they have there.

    Raises:
        UserError: If the file lacks a column.
    """
    manifest = model.manifest
    names = [feature.name for feature in manifest.features]
    given = [feature.name for feature in manifest.context_features]
    frame = read_frame(path)
    require(frame, [*names, *given], manifest.name)
    x = to_float64(frame, names, "nan")
    rng = np.random.default_rng(_FILE_SEED)
    kept = np.sort(rng.permutation(len(x))[: draw.rows])
    return x[kept], to_float64(frame, given, "nan")[kept] if given else None
