"""What a posterior's depth buys and costs: its bounds against the time of a row."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import FigureBase

from exported.bounds import DepthChoices
from logdet.plots import style

_ROOM = 0.18  # beyond the first and last point, of the axis
_BELOW = (0, -13)  # of a depth's number, points
_TICKS = 5


def trade_off(figure: FigureBase, choices: DepthChoices) -> None:
    """Held-out bounds of each depth on offer against the milliseconds of a row.

    One axis each: they are often further apart than the depths are. All depths are measured on the
    same rows, so that what they differ by is far more certain than any of them: no error bars, but
    the standard error in the title.
    """
    offered = choices.offered
    upper, lower = figure.subplots(2, 1, sharex=True)
    _line(upper, choices, [choice.importance_bound for choice in offered], style.SAMPLES)
    _line(lower, choices, [choice.elbo for choice in offered], style.DATA)
    error = max(choice.standard_error for choice in offered)
    upper.set_title(f"held-out bounds by the posterior's depth\n± {error:.2g} nats over rows")
    upper.set_ylabel("importance bound (nats)")
    lower.set_ylabel("elbo (nats)")
    lower.set_xlabel(f"milliseconds a row of {offered[-1].samples:,} samples")


def _line(axes: Axes, choices: DepthChoices, nats: Sequence[float], colour: str) -> None:
    milliseconds = [choice.milliseconds for choice in choices.offered]
    axes.plot(milliseconds, nats, "o-", color=colour, markersize=4.0, linewidth=1.2)
    for choice, bound in zip(choices.offered, nats, strict=True):
        place = choice.milliseconds, bound
        axes.annotate(
            str(choice.depth), place, _BELOW, textcoords="offset points", ha="center", fontsize=8.0
        )
    axes.margins(_ROOM)
    style.few_ticks(axes, _TICKS)
    axes.ticklabel_format(axis="y", useOffset=False)
