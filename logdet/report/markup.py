"""HTML and SVG in which whatever comes from a file is text and nothing else."""

from __future__ import annotations

import html


class Markup(str):
    """Text that is markup already."""

    __slots__ = ()


def el(head: str, *children: str) -> Markup:
    """An element.

    Args:
        head: Its name and attributes, never of a file's content.
        children: Text, which is escaped, or :class:`Markup`.
    """
    return Markup(f"<{head}>{joined(*children)}</{head.split(' ', 1)[0]}>")


def joined(*children: str) -> Markup:
    """Children one after the other, those that are text escaped."""
    return Markup(
        "".join(
            child if isinstance(child, Markup) else html.escape(child, quote=True)
            for child in children
        )
    )


def number(value: float, digits: int = 4) -> str:
    """A number for a person: whole ones in full, others to so many digits."""
    if value != value:
        return "–"
    if value in (float("inf"), float("-inf")):
        return "∞" if value > 0 else "−∞"
    if value == int(value) and abs(value) < 1e9:
        return f"{value:,.0f}".replace("-", "−")
    return f"{value:.{digits}g}".replace("-", "−")


def share(value: float) -> str:
    """A share in percent."""
    return f"{100 * value:.2f} %" if value >= 0.0001 or value == 0.0 else f"{100 * value:.1e} %"
