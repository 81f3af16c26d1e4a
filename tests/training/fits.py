"""Tiny fits of every family, published: what the tests of families ask about."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from exported.bundle import Bundle, read_bundle
from training.checkpoint import FitState
from training.evaluate import full_flow
from training.flow import Flow
from training.recipes import FAMILIES, Recipe
from training.run import FlowWork, Run
from training.runner import Runner
from training.steps import with_steps
from training.table import Table

ROWS = 600
CONTEXT = ("shift", "angle")
CONTINUOUS = ("cnf", "diffusion")
IMAGES = ("glow",)
OF_TABLES = [family for family in FAMILIES if family not in IMAGES]


@dataclass(frozen=True)
class Fitted:
    """A run, the flow it trained in float64, and what it published, running.

    A solver takes the steps that the manifest says by default, here and there.
    """

    run: Run
    density: Flow
    bundle: Bundle
    graphs: Runner
    folder: Path


def tiny_model(family: str, width: int = 8) -> dict[str, Any]:
    """The smallest sensible settings of a family; ``width`` is of every hidden layer."""
    layered: dict[str, Any] = {"family": family, "layers": 2, "marginal_bins": 0}
    one = {"layers": 1, "marginal_bins": 0}
    if family == "mixed":
        parts = [{"family": "realnvp", "hidden": [width]} | one, {"family": "planar"} | one]
        return {"family": family, "layers": parts}
    if family == "glow":
        return {"family": family, "levels": 1, "steps": 2, "hidden_channels": width}
    if family in CONTINUOUS:
        return {"family": family, "marginal_bins": 0, "hidden": [width, width]}
    if family in ("planar", "radial", "sylvester"):
        return layered
    return layered | {"hidden": [width]}


def tiny_recipe(family: str, context: tuple[str, ...] = (), width: int = 8) -> Recipe:
    """Three epochs of a family."""
    fit = {"epochs": 3, "batch_rows": 64}
    model = tiny_model(family, width)
    return Recipe.model_validate({"name": "t", "model": model, "fit": fit, "context": context})


def ring(features: int = 2) -> Table:
    """A ring, then numbers that hang on it; its centre and place on it are told by two columns."""
    rng = np.random.default_rng(0)
    angle, shift = np.linspace(0.0, 2.0 * np.pi, ROWS), rng.integers(0, 4, ROWS)
    xy = np.column_stack([np.cos(angle) + shift, np.sin(angle)]) + rng.normal(0.0, 0.1, (ROWS, 2))
    more = [np.abs(xy[:, i % 2]) + rng.standard_t(4, ROWS) for i in range(features - 2)]
    columns = [*xy.T, *more, angle, shift]
    names = (*(f"x{i}" for i in range(features)), "angle", "shift")
    return Table("ring", names, np.column_stack(columns))


def blots() -> Table:
    """Images of 4 x 4 whole numbers, brighter by the column ``shift`` and noisier by ``angle``."""
    rng = np.random.default_rng(0)
    angle, shift = rng.uniform(0.0, 1.0, ROWS), rng.integers(0, 4, ROWS)
    side = np.hypot(*np.meshgrid(np.arange(4.0) - 1.5, np.arange(4.0) - 1.5)).reshape(-1)
    bright = 40.0 * shift[:, None] + 30.0 * side + (5.0 + 10.0 * angle[:, None])
    pixels = np.clip(np.rint(bright + 8.0 * rng.standard_normal((ROWS, 16))), 0, 255)
    names = (*(f"p_{i // 4}_{i % 4}" for i in range(16)), "angle", "shift")
    return Table("blots", names, np.column_stack([pixels, angle, shift]), image=(4, 4, 1))


def table_of(family: str, context: tuple[str, ...], features: int = 2) -> Table:
    """Rows that suit a family, with the context asked for and no other."""
    whole = blots() if family in IMAGES else ring(features)
    return whole.without(frozenset(CONTEXT) - set(context))


def publish(table: Table, recipe: Recipe, folder: Path) -> Fitted:
    """Train, publish and read back."""
    run = Run(recipe, table, table.name, "logdet train", folder / "runs")
    published = run.publish(run.fit(FitState(), lambda report: None), folder / "bundles")
    bundle = read_bundle(published.folder)
    steps = bundle.manifest.steps
    contents = {name: bundle.graph(name) for name in bundle.manifest.graphs}
    density = full_flow(flow_of(run), run.prepared)
    if steps is not None:
        density = with_steps(density, steps.default)
    graphs = Runner(contents, None if steps is None else steps.default)
    return Fitted(run, density, bundle, graphs, published.folder)


def flow_of(run: Run) -> Flow:
    """The layers that a run of a flow trains."""
    assert isinstance(run.work, FlowWork)
    return run.work.flow
