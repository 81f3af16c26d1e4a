"""A picture of a density of one feature."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from exported.base import base_log_prob
from logdet.plots import ranges, style
from logdet.plots.flow_scene import FlowScene
from logdet.plots.scene import Points, Scene

_SIZE = (9.0, 3.8)  # inches
_BINS = 60
_POINTS = 1024
_TAIL = 0.0005  # of latents and base noise left out at each end


def line(scene: FlowScene) -> Figure:
    """The density's curve over a histogram of samples; latents over the base density's."""
    figure = Figure(figsize=_SIZE, layout="constrained")
    left, right = figure.subplots(1, 2)
    _density(left, scene)
    _latents(right, scene)
    return figure


def histogram(
    axes: Axes, values: NDArray[np.floating], edges: NDArray[np.float64], points: Points
) -> None:
    """A histogram that integrates to the share of values within the edges; a file's is an outline.

    The colours are those of what the model made and of data, the label is what they are called.
    """
    counts, _ = np.histogram(values.astype(np.float64), edges)
    heights = counts / (len(values) * np.diff(edges))
    name = style.shortened(points.called)
    if points.is_made:
        axes.stairs(heights, edges, fill=True, color=style.SAMPLES, alpha=0.35, label=name)
    else:
        axes.stairs(heights, edges, color=style.DATA, linewidth=1.4, label=name)


def histograms(axes: Axes, scene: Scene) -> None:
    """The one feature of a scene: rows that the model made, and those of a file."""
    (column,) = scene.axes
    feature = scene.feature(column)
    ends = ranges.span(scene, column)
    edges = ranges.edges(feature, ends, _BINS)
    for points in (scene.samples, scene.data):
        if points is not None:
            histogram(axes, points.x[:, column], edges, points)
    axes.set(xlim=ends, xlabel=style.label(feature), title=scene.said)
    axes.set_ylim(bottom=0.0)
    axes.set_ylabel(f"density (per {feature.unit})" if feature.unit else "density")
    style.few_ticks(axes, 7, whole=(feature.kind == "integer", False))
    axes.legend()


def _density(axes: Axes, scene: FlowScene) -> None:
    (column,) = scene.axes
    feature = scene.feature(column)
    histograms(axes, scene)
    x = ranges.grid(feature, ranges.span(scene, column), _POINTS)
    density = scene.density(x[:, None])
    drawn_as = "." if feature.kind == "integer" and len(x) <= _BINS else "-"
    axes.plot(x, density, drawn_as, color=style.CURVE, linewidth=1.4, label="density")
    axes.set_title("density and samples")
    axes.set_ylim(bottom=0.0)
    axes.legend()


def _latents(axes: Axes, scene: FlowScene) -> None:
    points = scene.encoded
    z = points.z[:, 0].astype(np.float64)
    edges = _latent_edges(z, scene.noise[:, 0])
    histogram(axes, z, edges, points)
    low, high = np.quantile(scene.noise, [_TAIL, 1.0 - _TAIL])
    at = np.linspace(min(low, edges[0]), max(high, edges[-1]), _POINTS)
    base = np.exp(base_log_prob(scene.model.manifest.base, at[:, None]))
    axes.plot(at, base, color=style.BASE, linewidth=1.4, label="base density")
    axes.set(xlabel="z", ylabel="density", title=f"latents of {style.shortened(points.called)}")
    axes.set_ylim(bottom=0.0)
    axes.legend()


def _latent_edges(z: NDArray[np.float64], noise: NDArray[np.float64]) -> NDArray[np.float64]:
    """Bins; where few values occur, as of whole numbers, a bin for each."""
    values = np.unique(z)
    if 2 <= len(values) <= _BINS:
        between = 0.5 * (values[1:] + values[:-1])
        return np.array([2.0 * values[0] - between[0], *between, 2.0 * values[-1] - between[-1]])
    seen = np.concatenate([z, noise])
    low, high = (float(np.quantile(seen, tail)) for tail in (_TAIL, 1.0 - _TAIL))
    return np.linspace(low, high, _BINS + 1)
