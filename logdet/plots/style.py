"""How pictures look, and how they get into files."""

from __future__ import annotations

import io
import textwrap
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from matplotlib.typing import RcKeyType

from exported.manifest import Feature
from logdet.errors import UserError

DATA, SAMPLES, CURVE, BASE = "#dd6b20", "#2b6cb0", "#1a202c", "#1a202c"
DENSITIES = "viridis"
DPI = 150
_TIE = "\u00a0"  # a space at which no line is broken
_LONGEST_NAME = 28  # characters of a feature's name on an axis
_TITLE_WIDTH = 11  # characters of a title to an inch
_STYLE: dict[RcKeyType, Any] = {
    "font.size": 9.0,
    "axes.titlesize": 9.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#4a5568",
    "axes.labelcolor": "#1a202c",
    "xtick.color": "#4a5568",
    "ytick.color": "#4a5568",
    "legend.frameon": False,
    "legend.fontsize": 8.0,
    "text.parse_math": False,  # a dollar in a column's name is a dollar
    "svg.hashsalt": "logdet",
}
# matplotlib writes these as well, but nobody could look at them, or not without other programs.
_NOT_PICTURES = frozenset({"raw", "rgba", "pgf"})


def check_format(path: Path) -> str:
    """The format that a file's name asks for.

    Raises:
        UserError: With those that there are.
    """
    known = set(FigureCanvasAgg(Figure()).get_supported_filetypes()) - _NOT_PICTURES
    ending = path.suffix.lower().removeprefix(".")
    if ending not in known:
        got = f".{ending}" if ending else f"{path.name!r} without one"
        raise UserError(
            f"expected a picture ending in {', '.join(f'.{e}' for e in sorted(known))}, got {got}"
        )
    return ending


def write(path: Path, title: str, paint: Callable[[], Figure]) -> None:
    """Draw a figure in this style, with a title, and write it.

    Raises:
        UserError: If the file's name asks for no picture.
        OSError: If it cannot be written.
    """
    ending = check_format(path)
    content = io.BytesIO()
    with matplotlib.rc_context(_STYLE), warnings.catch_warnings():
        # A name in a script that the font lacks is drawn as boxes; the rest is right all the same.
        warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)
        figure = paint()
        width = int(figure.get_figwidth() * _TITLE_WIDTH)
        figure.suptitle(balanced(title, width), fontsize=11)
        figure.savefig(content, format=ending, dpi=DPI)
    path.write_bytes(content.getvalue())


def balanced(title: str, width: int) -> str:
    """A title in as few lines as fit a width, none much longer than the others.

    A line is broken within what stands between commas only where that is too long for a line.
    """
    parts = title.split(", ")
    if max(map(len, parts)) < width:
        title = ", ".join(part.replace(" ", _TIE) for part in parts).replace(f":{_TIE}", ": ")
    lines = textwrap.wrap(title, width)
    for narrower in range(width - 1, 0, -1):
        shorter = textwrap.wrap(title, narrower, break_long_words=False)
        if len(shorter) > len(lines) or max(map(len, shorter)) > narrower:
            break
        lines = shorter
    return "\n".join(lines).replace(_TIE, " ")


def label(feature: Feature) -> str:
    """A feature's name with its unit."""
    name = shortened(feature.name)
    return f"{name} ({feature.unit})" if feature.unit else name


def shortened(name: str, beside: str = "") -> str:
    """A name that fits on an axis, with words that are kept whole beside it."""
    room = _LONGEST_NAME - len(beside)
    return (name if len(name) <= room else f"{name[: room - 1]}…") + beside


def few_ticks(axes: Axes, count: int, *, whole: tuple[bool, bool] = (False, False)) -> None:
    """At most so many ticks an axis; on whole numbers only, where asked."""
    for axis, integer in zip((axes.xaxis, axes.yaxis), whole, strict=True):
        axis.set_major_locator(MaxNLocator(count, integer=integer))
