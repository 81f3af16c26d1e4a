"""The known densities are what they say: they have mass one and their rows are drawn from them."""

from __future__ import annotations

import numpy as np
import pytest

from training.tables.toys import TOYS

HALF_WIDTH, POINTS = 8.0, 400  # even: the rings have no density at the origin itself


@pytest.mark.parametrize("name", ["rings", "moons", "funnel"])
def test_the_density_has_mass_one(name: str) -> None:
    axis = np.linspace(-HALF_WIDTH, HALF_WIDTH, POINTS)
    other = axis if name != "funnel" else np.sinh(axis)  # its second number is wide at one end
    width = np.gradient(axis)[:, None] * np.gradient(other)[None, :]
    grid = np.stack(np.meshgrid(axis, other, indexing="ij"), axis=2).reshape(-1, 2)
    mass = float((np.exp(TOYS[name].log_prob(grid)) * width.reshape(-1)).sum())
    assert mass == pytest.approx(1.0, abs=2e-3)


@pytest.mark.parametrize("name", TOYS)
def test_the_rows_are_drawn_from_the_density(name: str) -> None:
    """Shares of drawn rows in cells about the middle equal the density's integral over them."""
    rows = TOYS[name].draw(np.random.default_rng(1), 50_000)
    edges = np.linspace(-4.0, 4.0, 9)
    counted, _, _ = np.histogram2d(rows[:, 0], rows[:, 1], bins=(edges, edges))
    axis = np.linspace(-4.0, 4.0, 161)[:-1] + 0.025
    grid = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=2).reshape(-1, 2)
    density = np.exp(TOYS[name].log_prob(grid)).reshape(8, 20, 8, 20)
    expected = density.sum(axis=(1, 3)) * 0.05**2
    error = np.sqrt(expected * (1 - expected) / len(rows))
    assert (np.abs(counted / len(rows) - expected) < 5 * error + 1e-4).all()
