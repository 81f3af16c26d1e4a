"""A picture of a density of two features."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure

from exported.base import base_log_prob
from exported.distributions import Uniform
from logdet.plots import ranges, style
from logdet.plots.flow_scene import FlowScene
from logdet.plots.scene import Points, Scene
from service.results import Floats

_SIZE = (12.0, 4.2)  # inches
_POINTS = 160  # of the density's grid, an axis
_ENCLOSED = (0.99, 0.9, 0.5)  # shares of the base density within its contours
_NEARLY_ALL = 0.9995  # of the latents are shown, so that one far row does not squash the rest
_EDGE = 0.05  # of an axis beyond the unit square, at each end
_ROOM = 0.2  # above the latents, of their height
_GAMMA = 0.5  # of the colours: a density's tails are seen beside its peak
_INK = 1800.0  # dots over opacity: more dots are fainter
_INK_OF_TWO = 900.0  # where dots of another colour are to be seen below them


def plane(scene: FlowScene) -> Figure:
    """The density, samples, and latents over contours of the base density."""
    figure = Figure(figsize=_SIZE, layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    spans = [ranges.span(scene, column) for column in scene.axes]
    _density(figure, left, scene, spans)
    _frame(left, scene, spans)
    scatter(middle, scene)
    _latents(right, scene)
    return figure


def scatter(axes: Axes, scene: Scene) -> None:
    """The two features of a scene as dots, those of a file over those that the model made."""
    for points in scene.layers:
        x, y = (scene.spread(points, column) for column in scene.axes)
        dots(axes, points, x, y, over=len(scene.layers) > 1)
    if scene.data is not None:
        legend(axes)
    axes.set_title(scene.said)
    _frame(axes, scene, [ranges.span(scene, column) for column in scene.axes])


def dots(
    axes: Axes,
    points: Points,
    x: Floats,
    y: Floats,
    size: float = 6.0,
    *,
    over: bool = False,
) -> None:
    """Points as dots, in the colour of what they are; the fainter, the more they are.

    Args:
        axes: To draw in.
        points: What they are.
        x: Of each, across.
        y: Of each, up.
        size: Square points.
        over: Whether other dots lie there too, and are to be seen.
    """
    ink = _INK_OF_TWO if over else _INK
    axes.scatter(
        x,
        y,
        s=size,
        c=style.SAMPLES if points.is_made else style.DATA,
        alpha=float(np.clip(ink / len(x), 0.08, 0.8)),
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


def _density(
    figure: Figure, axes: Axes, scene: FlowScene, spans: list[tuple[float, float]]
) -> None:
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


def _latents(axes: Axes, scene: FlowScene) -> None:
    points = scene.encoded
    dots(axes, points, points.z[:, 0], points.z[:, 1])
    base = scene.model.manifest.base
    low, high = _square(axes) if isinstance(base, Uniform) else _contours(axes, scene)
    # The room at the top is the legend's.
    axes.set(aspect="equal", xlabel="z1", ylabel="z2")
    axes.set(xlim=(low, high), ylim=(low, high + _ROOM * (high - low)))
    axes.set_title(f"latents of {style.shortened(points.called)}")
    legend(axes)


def _square(axes: Axes) -> tuple[float, float]:
    """The edge of a uniform base density; the ends of the axes."""
    label = "base: uniform in the unit square"
    axes.plot([0, 1, 1, 0, 0], [0, 0, 1, 1, 0], color=style.BASE, linewidth=1.2, label=label)
    return -_EDGE, 1.0 + _EDGE


def _contours(axes: Axes, scene: FlowScene) -> tuple[float, float]:
    """Contours of the base density; the ends of the axes."""
    noise, points = scene.noise, scene.encoded
    reach = 1.1 * max(float(np.quantile(np.abs(z), _NEARLY_ALL)) for z in (noise, points.z))
    at = np.linspace(-reach, reach, _POINTS)
    z = np.stack(np.meshgrid(at, at), axis=-1).reshape(-1, 2)
    base = scene.model.manifest.base
    height = np.exp(base_log_prob(base, z)).reshape(_POINTS, _POINTS)
    levels = np.unique(np.quantile(np.exp(base_log_prob(base, noise)), 1.0 - np.array(_ENCLOSED)))
    axes.contour(at, at, height, levels, colors=style.BASE, linewidths=1.2)
    axes.plot([], [], color=style.BASE, label="base: 50, 90, 99 % within")
    return -reach, reach
