"""What a picture shows, as arrays: rows that the model draws, rows of a file, the density."""

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
from logdet.plots.style import shortened
from logdet.scoring import in_chunks
from logdet.text import some
from service.model import Model
from service.results import OK, Evaluated, Floats

MAX_PAIRED = 6  # features of a picture of pairs, where nobody chooses
MAX_CHOSEN = 12  # more would be too small to see
_CELL = 0.4  # how far a whole number is moved at most: cells can still be told apart
_FILE_SEED = 0  # chooses the rows shown of a file that has more


@dataclass(frozen=True, slots=True)
class Draw:
    """What is to be drawn from a model.

    Attributes:
        rows: How many.
        seed: Of the base noise.
        context: Shape ``(1, context_features)``; None for an unconditional density.
        steps: Of a solver; None is the model's default.
    """

    rows: int
    seed: int
    context: NDArray[np.float64] | None
    steps: int | None


@dataclass(frozen=True, slots=True)
class Points:
    """Rows with a density.

    Attributes:
        called: What they are, for a legend.
        x: Shape ``(rows, features)``, in the user's units.
        z: Shape ``(rows, latent_features)``.
        lost: Rows left out as their status is not ok.
    """

    called: str
    x: Floats
    z: Floats
    lost: int

    def first(self, rows: int) -> Points:
        """So many of them at most."""
        return Points(self.called, self.x[:rows], self.z[:rows], self.lost)


@dataclass(frozen=True, slots=True)
class Scene:
    """Everything that a picture is drawn of.

    Attributes:
        model: The model.
        draw: What was drawn.
        axes: Columns that are shown.
        samples: Rows drawn.
        data: Rows of a file, or None.
    """

    model: Model
    draw: Draw
    axes: tuple[int, ...]
    samples: Points
    data: Points | None

    @property
    def encoded(self) -> Points:
        """The rows whose latents are shown: those of the file, where there is one."""
        return self.samples if self.data is None else self.data

    @property
    def layers(self) -> tuple[Points, ...]:
        """Rows to draw as dots, the file's last; as many of each, or one would hide the other."""
        if self.data is None:
            return (self.samples,)
        shown = min(len(self.samples.x), len(self.data.x))
        return self.samples.first(shown), self.data.first(shown)

    @property
    def noise(self) -> NDArray[np.float64]:
        """As much base noise as there are encoded rows, for what latents should look like."""
        model = self.model
        noise = model.base_noise(self.draw.seed, 1.0, 0, len(self.encoded.z))
        return np.asarray(noise, dtype=np.float64)

    @property
    def whole(self) -> bool:
        """Whether every modelled feature is shown, so that the density is that of the axes."""
        return self.axes == modelled(self.model)

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

    def density(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """The density at points of shape ``(points, axes)``; NaN where it has no answer."""
        rows = np.tile(self.model.rules.median, (len(points), 1))
        constant = self.model.rules.constant
        rows[:, constant] = self.model.rules.low[constant]
        rows[:, list(self.axes)] = points
        with np.errstate(over="ignore"):
            return np.exp(evaluate(self.model, rows, self.draw.context, self.draw.steps).log_prob)


def modelled(model: Model) -> tuple[int, ...]:
    """The columns that are no constants."""
    return tuple(i for i, f in enumerate(model.manifest.features) if f.role == "modelled")


def choose_axes(model: Model, names: Sequence[str] | None) -> tuple[int, ...]:
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


def drawn(model: Model, draw: Draw) -> Points:
    """Rows of a seed, with the latents that encode them.

    Raises:
        UserError: If none of them is ok.
    """

    def run(start: int, stop: int) -> Floats:
        return model.sample(stop - start, draw.seed, 1.0, start, draw.context, draw.steps).rows.x

    x = np.concatenate(in_chunks(draw.rows, run))
    return _points("samples", x, evaluate(model, x, draw.context, draw.steps))


def of_file(model: Model, path: Path, draw: Draw) -> Points:
    """Rows of a file, at most as many as are drawn, with the context they have there.

    Raises:
        UserError: If the file lacks a column, or none of its rows is ok.
    """
    manifest = model.manifest
    names = [feature.name for feature in manifest.features]
    given = [feature.name for feature in manifest.context_features]
    frame = read_frame(path)
    require(frame, [*names, *given], manifest.name)
    x = to_float64(frame, names, "nan")
    rng = np.random.default_rng(_FILE_SEED)
    kept = np.sort(rng.permutation(len(x))[: draw.rows])
    context = to_float64(frame, given, "nan")[kept] if given else None
    called = shortened(path.name, ", all contexts") if given else path.name
    return _points(called, x[kept], evaluate(model, x[kept], context, draw.steps))


def evaluate(
    model: Model, x: Floats, context: NDArray[np.float64] | None, steps: int | None
) -> Evaluated:
    """:meth:`Model.evaluate` in chunks; one row of context is for all."""
    given = model.conditioning.spread(context, len(x))

    def run(start: int, stop: int) -> Evaluated:
        return model.evaluate(x[start:stop], None if given is None else given[start:stop], steps)

    parts = in_chunks(len(x), run)
    columns = ([getattr(p, name) for p in parts] for name in Evaluated.__dataclass_fields__)
    return Evaluated(*map(np.concatenate, columns))


def _points(called: str, x: Floats, evaluated: Evaluated) -> Points:
    ok = evaluated.status == OK
    if not ok.any():
        raise UserError(f"none of the {len(x):,} rows of {called} has a density under this model")
    return Points(called, x[ok], evaluated.z[ok], int((~ok).sum()))
