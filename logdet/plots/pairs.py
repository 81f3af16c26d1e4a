"""A picture of many features: each alone, and every two of them."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure, FigureBase

from logdet.plots import ranges, style
from logdet.plots.line import histogram
from logdet.plots.plane import dots
from logdet.plots.scene import Scene

_CELL = 1.75  # inches
_LEAST = 4.5
_BINS = 36
_TICKS = 4


def pairs(scene: Scene) -> Figure:
    """Histograms on the diagonal, scatter plots below it; a file's rows lie over the samples."""
    figure = Figure(figsize=(side(scene), side(scene)), layout="constrained")
    draw_pairs(figure, scene)
    return figure


def side(scene: Scene) -> float:
    """How wide and high that is, inches."""
    return max(_LEAST, _CELL * len(scene.axes))


def draw_pairs(figure: FigureBase, scene: Scene) -> None:
    """The same within a figure, or a part of one."""
    count = len(scene.axes)
    cells = figure.subplots(count, count, squeeze=False)
    spans = {column: ranges.span(scene, column) for column in scene.axes}
    for i, up in enumerate(scene.axes):
        for j, across in enumerate(scene.axes):
            axes = cells[i][j]
            if j > i:
                axes.set_axis_off()
                continue
            _alone(axes, scene, up, spans[up]) if i == j else _two(axes, scene, across, up)
            axes.set_xlim(spans[across])
            if i != j:
                axes.set_ylim(spans[up])
            _label(axes, scene, (across, up), (i == count - 1, j == 0 and i > 0))
    cells[0][-1].legend(*cells[0][0].get_legend_handles_labels(), loc="upper right")


def _alone(axes: Axes, scene: Scene, column: int, ends: tuple[float, float]) -> None:
    edges = ranges.edges(scene.feature(column), ends, _BINS)
    for points in (scene.samples, scene.data):
        if points is not None:
            histogram(axes, points.x[:, column], edges, points)
    axes.set_ylim(bottom=0.0)


def _two(axes: Axes, scene: Scene, across: int, up: int) -> None:
    for points in scene.layers:
        x, y = (scene.spread(points, column) for column in (across, up))
        dots(axes, points, x, y, size=3.0, over=len(scene.layers) > 1)


def _label(axes: Axes, scene: Scene, columns: tuple[int, int], outer: tuple[bool, bool]) -> None:
    """Ticks and names at the lower and the left edge of the picture only."""
    across, up = (scene.feature(column) for column in columns)
    bottom, left = outer
    style.few_ticks(axes, _TICKS, whole=(across.kind == "integer", up.kind == "integer"))
    if bottom:
        axes.set_xlabel(style.label(across))
    if left:
        axes.set_ylabel(style.label(up))
    axes.tick_params(labelbottom=bottom, labelleft=left)
    if columns[0] == columns[1]:
        axes.set_yticks([])
