"""Lower bounds on the log-density of rows, by a VAE in this process."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from logdet.frame import Frame
from logdet.scoring import in_chunks, joined, lowest, status_counts, status_names
from logdet.text import aligned
from service.results import OK, Bounded, Floats
from service.vae import VAE, Weighing

LARGEST_SEED = 2**53 - 1  # survives JSON readers that know only doubles
_SHOWN = 5  # rows of a summary


@dataclass(frozen=True, slots=True)
class Bounds:
    """Bounds of rows, and how they were drawn.

    Attributes:
        bounded: Of each row.
        weighing: The samples, the seed and the depth.
    """

    bounded: Bounded
    weighing: Weighing

    def columns(self) -> dict[str, NDArray[np.generic]]:
        """As columns of a table."""
        return {**self.bounded.by_name(), "status": status_names(self.bounded.status)}

    def drawn(self) -> str:
        """How they were drawn, in words."""
        how = self.weighing
        depth = "" if how.depth is None else f", depth {how.depth}"
        return f"{how.plan.samples:,} samples a row, seed {how.seed}{depth}"


def bound(
    model: VAE, x: NDArray[np.float64], samples: int | None, seed: int | None, depth: int | None
) -> Bounds:
    """Bounds of rows ``(rows, features)``, the same as the service gives of all in one request.

    Args:
        model: The VAE.
        x: In the user's units.
        samples: Of each row; as many as scores have if None.
        seed: Of their noise; one is drawn if None.
        depth: Of the posterior; the manifest's default if None.

    Raises:
        ServiceError: If the model does not offer that.
    """
    drawn = secrets.randbelow(LARGEST_SEED) if seed is None else seed
    weighing = model.weighing(samples, drawn, depth)

    def run(start: int, stop: int) -> Bounded:
        return model.bound(x[start:stop], weighing, start)

    return Bounds(joined(in_chunks(model, len(x), run, weighing.plan.samples)), weighing)


def summary(bounds: Bounds, frame: Frame) -> str:
    """Means over the rows that are ok, and the rows of the lowest bounds."""
    out = bounds.bounded
    ok = out.status == OK
    facts = [
        ("rows", f"{len(ok):,}"),
        ("status", status_counts(out.status)),
        ("mean elbo", _mean(out.elbo[ok])),
        ("mean importance bound", _mean(out.importance_bound[ok])),
        ("drawn", bounds.drawn()),
    ]
    if ok.any():
        smallest = f"{out.effective_sample_size[ok].min():,.1f}"
        facts.append(("smallest effective sample size", smallest))
    rows = _lowest(out, frame)
    return f"{aligned(facts)}\n\n{aligned(rows)}" if rows else aligned(facts)


def _lowest(out: Bounded, frame: Frame) -> list[tuple[str, ...]]:
    """A header and the rows of the lowest bounds; nothing where no row has any."""
    worst = lowest(out.importance_bound, _SHOWN)
    if not worst:
        return []
    words = status_names(out.status)
    header = ("lowest bound", "importance_bound", "standard_error", "effective_sample_size")
    rows = [
        (
            place,
            f"{out.importance_bound[r]:.4f}",
            f"{out.standard_error[r]:.2g}",
            f"{out.effective_sample_size[r]:,.1f}",
            str(words[r]),
        )
        for place, r in zip(frame.places(worst), worst, strict=True)
    ]
    return [(*header, "status"), *rows]


def _mean(values: Floats) -> str:
    """With its standard error over rows, where there is one."""
    if not len(values):
        return "none, as no row is ok"
    mean = f"{values.mean(dtype=np.float64):.4f}"
    if len(values) == 1:
        return f"{mean} nats"
    error = values.std(ddof=1, dtype=np.float64) / np.sqrt(len(values))
    return f"{mean} ± {error:.4f} nats, over rows"
