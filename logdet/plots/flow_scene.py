"""What a picture of a flow shows beside the rows: their latents, and the density."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from logdet.errors import UserError
from logdet.plots.scene import SAMPLES, Draw, Points, Scene, some_rows
from logdet.plots.style import shortened
from logdet.scoring import in_chunks, joined
from service.model import Model
from service.results import OK, Evaluated, Floats


@dataclass(frozen=True, slots=True)
class Encoded(Points):
    """Rows with a density.

    Attributes:
        z: Shape ``(rows, latent_features)``.
    """

    z: Floats


@dataclass(frozen=True, slots=True)
class FlowScene(Scene):
    """Everything that a picture of a flow is drawn of; see :class:`Scene`."""

    model: Model
    samples: Encoded
    data: Encoded | None

    @property
    def encoded(self) -> Encoded:
        """The rows whose latents are shown: those of the file, where there is one."""
        return self.samples if self.data is None else self.data

    @property
    def noise(self) -> NDArray[np.float64]:
        """As much base noise as there are encoded rows, for what latents should look like."""
        model = self.model
        noise = model.base_noise(self.draw.seed, 1.0, 0, len(self.encoded.z))
        return np.asarray(noise, dtype=np.float64)

    def density(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """The density at points of shape ``(points, axes)``; NaN where it has no answer."""
        rows = np.tile(self.model.rules.median, (len(points), 1))
        constant = self.model.rules.constant
        rows[:, constant] = self.model.rules.low[constant]
        rows[:, list(self.axes)] = points
        with np.errstate(over="ignore"):
            return np.exp(evaluate(self.model, rows, self.draw.context, self.draw.steps).log_prob)


def drawn(model: Model, draw: Draw) -> Encoded:
    """Rows of a seed, with the latents that encode them.

    Raises:
        UserError: If none of them is ok.
    """

    def run(start: int, stop: int) -> Floats:
        return model.sample(stop - start, draw.seed, 1.0, start, draw.context, draw.steps).rows.x

    x = np.concatenate(in_chunks(model, draw.rows, run))
    return _encoded(SAMPLES, x, evaluate(model, x, draw.context, draw.steps))


def of_file(model: Model, path: Path, draw: Draw) -> Encoded:
    """Rows of a file, at most as many as are drawn, with the context they have there.

    Raises:
        UserError: If the file lacks a column, or none of its rows is ok.
    """
    x, context = some_rows(model, path, draw)
    called = path.name if context is None else shortened(path.name, ", all contexts")
    return _encoded(called, x, evaluate(model, x, context, draw.steps))


def evaluate(
    model: Model, x: Floats, context: NDArray[np.float64] | None, steps: int | None
) -> Evaluated:
    """:meth:`Model.evaluate` in chunks; one row of context is for all."""
    given = model.conditioning.spread(context, len(x))

    def run(start: int, stop: int) -> Evaluated:
        return model.evaluate(x[start:stop], None if given is None else given[start:stop], steps)

    return joined(in_chunks(model, len(x), run))


def _encoded(called: str, x: Floats, evaluated: Evaluated) -> Encoded:
    ok = evaluated.status == OK
    if not ok.any():
        raise UserError(f"none of the {len(x):,} rows of {called} has a density under this model")
    return Encoded(called, x[ok], int((~ok).sum()), evaluated.z[ok])
