"""A picture of a density of two features."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure

from exported.base import base_log_prob
from logdet.plots import ranges, style
from logdet.plots.scene import Points, Scene
from service.results import Floats

_SIZE = (12.0, 4.2)  # inches
_POINTS = 160  # of the density's grid, an axis
_ENCLOSED = (0.99, 0.9, 0.5)  # shares of the base density within its contours
_NEARLY_ALL = 0.9995  # of the latents are shown, so that one far row does not squash the rest
_GAMMA = 0.5  # of the colours: a density's tails are seen beside its peak
_INK = 1800.0  # dots over opacity: more dots are fainter


def plane(scene: Scene) -> Figure:
    """The density, samples, and latents over contours of the base density."""
    figure = Figure(figsize=_SIZE, layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    spans = [ranges.span(scene, column) for column in scene.axes]
    _density(figure, left, scene, spans)
    for points in (scene.data, scene.samples):
        if points is not None:
            x, y = (scene.spread(points, column) for column in scene.axes)
            dots(middle, points, x, y)
    if scene.data is not None:
        legend(middle)
    middle.set_title("samples" if scene.data is None else "samples and data")
    for axes in (left, middle):
        _frame(axes, scene, spans)
    _latents(right, scene)
    return figure


def dots(axes: Axes, points: Points, x: Floats, y: Floats, size: float = 6.0) -> None:
    """Points as dots, in the colour of what they are; the fainter, the more they are."""
    is_drawn = points.called == "samples"
    axes.scatter(
        x,
        y,
        s=size,
        c=style.SAMPLES if is_drawn else style.DATA,
        alpha=float(np.clip(_INK / len(x), 0.08, 0.8)),
        linewidths=0,
        label=style.shortened(points.called),
        rasterized=True,
    )


def legend(axes: Axes) -> None:
    """A legend whose dots can be seen, over whatever lies under it."""
    box = axes.legend(markerscale=2.0, loc="upper right", frameon=True, edgecolor="none")
    for handle in box.legend_handles:
        if handle is not None:
            handle.set_alpha(1.0)


def _density(figure: Figure, axes: Axes, scene: Scene, spans: list[tuple[float, float]]) -> None:
    features = [scene.feature(column) for column in scene.axes]
    x, y = (ranges.grid(f, s, _POINTS) for f, s in zip(features, spans, strict=True))
    across, up = np.meshgrid(x, y)
    density = scene.density(np.column_stack([across.ravel(), up.ravel()])).reshape(across.shape)
    image = axes.pcolormesh(
        x, y, density, shading="nearest", cmap=style.DENSITIES, norm=PowerNorm(_GAMMA, vmin=0.0)
    )
    image.set_rasterized(True)
    bar = figure.colorbar(image, ax=axes, pad=0.02)
    bar.outline.set_visible(False)
    axes.set_title("density")


def _frame(axes: Axes, scene: Scene, spans: list[tuple[float, float]]) -> None:
    across, up = (scene.feature(column) for column in scene.axes)
    axes.set(xlim=spans[0], ylim=spans[1], xlabel=style.label(across), ylabel=style.label(up))
    style.few_ticks(axes, 6, whole=(across.kind == "integer", up.kind == "integer"))


def _latents(axes: Axes, scene: Scene) -> None:
    points = scene.encoded
    dots(axes, points, points.z[:, 0], points.z[:, 1])
    noise = scene.noise
    reach = 1.1 * max(float(np.quantile(np.abs(z), _NEARLY_ALL)) for z in (noise, points.z))
    at = np.linspace(-reach, reach, _POINTS)
    z = np.stack(np.meshgrid(at, at), axis=-1).reshape(-1, 2)
    base = scene.model.manifest.base
    height = np.exp(base_log_prob(base, z)).reshape(_POINTS, _POINTS)
    levels = np.unique(np.quantile(np.exp(base_log_prob(base, noise)), 1.0 - np.array(_ENCLOSED)))
    axes.contour(at, at, height, levels, colors=style.BASE, linewidths=1.2)
    axes.plot([], [], color=style.BASE, label="base: 50, 90, 99 % within")
    # The room at the top is the legend's.
    axes.set(aspect="equal", xlabel="z1", ylabel="z2")
    axes.set(xlim=(-reach, reach), ylim=(-reach, 1.4 * reach))
    axes.set_title(f"latents of {style.shortened(points.called)}")
    legend(axes)
