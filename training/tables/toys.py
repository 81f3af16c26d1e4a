"""Two-dimensional densities whose log p is known, and rows drawn from them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.table import Rows

Nats = NDArray[np.float64]

RADII, RING_WIDTH = (1.0, 3.0), 0.1
MOON_WIDTH = 0.1
# The integrand over a moon's angle is smooth: 256 points leave an error far below a test row's.
MOON_POINTS = 256
FUNNEL_DEVIATION = 1.5
TAIL_FREEDOM, TAIL_CORRELATION = 2.0, 0.7


@dataclass(frozen=True, slots=True)
class Toy:
    """A known density.

    Attributes:
        draw: Rows ``(rows, 2)`` from a generator.
        log_prob: Exact log-density of rows, nats.
    """

    draw: Callable[[np.random.Generator, int], Rows]
    log_prob: Callable[[Rows], Nats]


def _draw_rings(rng: np.random.Generator, rows: int) -> Rows:
    radius = np.abs(rng.choice(RADII, rows) + RING_WIDTH * rng.standard_normal(rows))
    angle = rng.uniform(0.0, 2.0 * math.pi, rows)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)


def _rings(x: Rows) -> Nats:
    """Normal radii, the smallest ten deviations from zero, spread evenly over the circle."""
    radius = np.hypot(x[:, 0], x[:, 1])
    of_radius = [_normal(radius, centre, RING_WIDTH) for centre in RADII]
    return np.logaddexp(*of_radius) - math.log(2.0) - np.log(2.0 * math.pi * radius)


def _moon_centres(angle: NDArray[np.float64], lower: NDArray[np.bool_]) -> Rows:
    upper = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return np.where(lower[:, None], np.array([1.0, 0.5]) - upper, upper)


def _draw_moons(rng: np.random.Generator, rows: int) -> Rows:
    centres = _moon_centres(rng.uniform(0.0, math.pi, rows), rng.random(rows) < 0.5)
    return centres + MOON_WIDTH * rng.standard_normal((rows, 2))


def _moons(x: Rows) -> Nats:
    """Half circles under normal noise; the angle is integrated numerically (midpoints)."""
    angle = (np.arange(MOON_POINTS) + 0.5) * math.pi / MOON_POINTS
    centres = np.concatenate(
        [_moon_centres(angle, np.full(MOON_POINTS, w)) for w in (False, True)]
    )
    parts = []
    for rows in np.array_split(x, max(1, len(x) // 1000)):
        squares = ((rows[:, None, :] - centres) ** 2).sum(axis=2)
        parts.append(np.logaddexp.reduce(-0.5 * squares / MOON_WIDTH**2, axis=1))
    normaliser = math.log(2.0 * math.pi * MOON_WIDTH**2) + math.log(len(centres))
    return np.concatenate(parts) - normaliser


def _draw_funnel(rng: np.random.Generator, rows: int) -> Rows:
    width = FUNNEL_DEVIATION * rng.standard_normal(rows)
    return np.stack([width, np.exp(0.5 * width) * rng.standard_normal(rows)], axis=1)


def _funnel(x: Rows) -> Nats:
    """The first number is the log variance of the second (Neal, Slice sampling, 2003)."""
    return _normal(x[:, 0], 0.0, FUNNEL_DEVIATION) + _normal(x[:, 1], 0.0, np.exp(0.5 * x[:, 0]))


_TAIL_SCALE = np.linalg.cholesky(np.array([[1.0, TAIL_CORRELATION], [TAIL_CORRELATION, 1.0]]))


def _draw_tails(rng: np.random.Generator, rows: int) -> Rows:
    chi = np.sqrt(rng.chisquare(TAIL_FREEDOM, (rows, 1)) / TAIL_FREEDOM)
    drawn: Rows = rng.standard_normal((rows, 2)) @ _TAIL_SCALE.T / chi
    return drawn


def _tails(x: Rows) -> Nats:
    """A correlated Student-t with two degrees of freedom: no variance exists."""
    squares = (np.linalg.solve(_TAIL_SCALE, x.T) ** 2).sum(axis=0)
    log_scale = float(np.log(np.diag(_TAIL_SCALE)).sum())
    constant = math.lgamma(0.5 * TAIL_FREEDOM + 1.0) - math.lgamma(0.5 * TAIL_FREEDOM)
    constant -= math.log(TAIL_FREEDOM * math.pi) + log_scale
    return np.asarray(constant - (0.5 * TAIL_FREEDOM + 1.0) * np.log1p(squares / TAIL_FREEDOM))


def _normal(
    x: NDArray[np.float64], mean: float, deviation: float | NDArray[np.float64]
) -> NDArray[np.float64]:
    scaled = (x - mean) / deviation
    return np.asarray(-0.5 * scaled**2 - np.log(deviation) - 0.5 * math.log(2.0 * math.pi))


TOYS: dict[str, Toy] = {
    "rings": Toy(_draw_rings, _rings),
    "moons": Toy(_draw_moons, _moons),
    "funnel": Toy(_draw_funnel, _funnel),
    "tails": Toy(_draw_tails, _tails),
}
