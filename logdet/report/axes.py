"""Scales and frames of small pictures in SVG, which take their colours from the page."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from logdet.report.markup import Markup, el, joined

WIDTH, HEIGHT = 460, 290
LEFT, RIGHT, TOP, BOTTOM = 58, 14, 14, 44
_LETTER = 7.6  # width of one, about
Tick = tuple[float, str]


@dataclass(frozen=True, slots=True)
class Axis:
    """From values to places in the picture.

    Attributes:
        low: Value at the start.
        high: Value at the end.
        start: Its place.
        end: Its place.
        kind: How values are spread.
        ticks: Values with their labels.
        label: What they are.
    """

    low: float
    high: float
    start: float
    end: float
    kind: Literal["linear", "log", "sqrt"]
    ticks: Sequence[Tick]
    label: str

    def at(self, value: float) -> float:
        """The place of a value; of one beyond an end that end."""
        value = min(max(value, self.low), self.high)
        low, high, found = (self._spread(v) for v in (self.low, self.high, value))
        part = (found - low) / (high - low) if high > low else 0.5
        return self.start + part * (self.end - self.start)

    def _spread(self, value: float) -> float:
        if self.kind == "log":
            return math.log10(value)
        return math.sqrt(max(value, 0.0)) if self.kind == "sqrt" else value


def across(low: float, high: float, label: str, ticks: Sequence[Tick] | None = None) -> Axis:
    """A linear axis from left to right."""
    found = even_ticks(low, high) if ticks is None else ticks
    return Axis(low, high, LEFT, WIDTH - RIGHT, "linear", found, label)


def upward(low: float, high: float, label: str) -> Axis:
    """A linear axis from the bottom to the top."""
    ticks = even_ticks(low, high)
    return Axis(low, high, HEIGHT - BOTTOM, TOP, "linear", ticks, label)


def even_ticks(low: float, high: float, most: int = 6) -> list[Tick]:
    """Round numbers between two values, at most so many."""
    span = high - low
    if not span > 0.0:
        return [(low, f"{low:g}")]
    step = 10.0 ** math.floor(math.log10(span / most))
    step *= next(m for m in (1, 2, 5, 10, 20) if span / (step * m) <= most)
    first = math.ceil(low / step - 1e-9)
    places = [step * k for k in range(first, math.floor(high / step + 1e-9) + 1)]
    return [(value, f"{value:,.6g}".replace("-", "−")) for value in places]


def decades(low: float, high: float) -> list[Tick]:
    """Powers of ten between two values."""
    first, last = math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9)
    return [(10.0**k, f"{10.0**k:g}") for k in range(first, last + 1)]


def picture(title: str, x: Axis, y: Axis, *marks: str) -> Markup:
    """Marks in a frame of two axes."""
    head = f'svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img"'
    return el(head, el("title", title), _grid(x, y), *marks, _labels(x, y))


def line(points: Iterable[tuple[float, float]], kind: str) -> Markup:
    """A line through places."""
    return el(f'path class="{kind}" d="{_path(points)}"')


def area(
    upper: Sequence[tuple[float, float]], lower: Sequence[tuple[float, float]], kind: str
) -> Markup:
    """What is between two lines."""
    around = _path([*upper, *reversed(lower), *upper[:1]])
    return el(f'path class="{kind}" d="{around}"')


def rectangle(x: tuple[float, float], y: tuple[float, float], kind: str) -> Markup:
    """A filled rectangle between places."""
    left, top = min(x), min(y)
    size = f'width="{abs(x[1] - x[0]):.1f}" height="{abs(y[1] - y[0]):.1f}"'
    return el(f'rect class="{kind}" x="{left:.1f}" y="{top:.1f}" {size}')


def text(x: float, y: float, words: str, kind: str = "") -> Markup:
    """Words at a place; of the classes ``start``, ``middle`` and ``end``, which is there."""
    return el(f'text class="{kind}" x="{x:.1f}" y="{y:.1f}"', words)


def _path(points: Iterable[tuple[float, float]]) -> str:
    places = "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    return f"M{places}" if places else ""


def _grid(x: Axis, y: Axis) -> Markup:
    lines = [line([(x.start, y.at(v)), (x.end, y.at(v))], "grid") for v, _ in y.ticks]
    return joined(*lines, line([(x.start, y.start), (x.end, y.start)], "axis"))


def _labels(x: Axis, y: Axis) -> Markup:
    shown, last = [], -math.inf
    for value, words in x.ticks:
        place, half = x.at(value), 0.5 * _LETTER * len(words)
        place = min(place, WIDTH - half)
        if place - half > last:
            shown.append(text(place, y.start + 16, words, "tick middle"))
            last = place + half + _LETTER
    at_left = [text(x.start - 6, y.at(v) + 4, words, "tick end") for v, words in y.ticks]
    middle = 0.5 * (y.start + y.end)
    turned = f'text class="tick middle" transform="translate(13 {middle:.0f}) rotate(-90)"'
    below = text(0.5 * (x.start + x.end), HEIGHT - 8, x.label, "tick middle")
    return joined(*shown, *at_left, el(turned, y.label), below)
