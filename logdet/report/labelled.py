"""Rows of which somebody knows whether they are anomalies, and how well scores tell it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from logdet.errors import TableError
from logdet.frame import Frame
from logdet.labels import labels
from logdet.separation import ALPHAS, Separation, separations
from logdet.text import some
from service.kinds import AnyModel
from service.results import Floats


@dataclass(frozen=True, slots=True)
class Labelled:
    """Rows with a label.

    Attributes:
        positive: Which rows of the file are labelled anomalies, shape ``(rows,)``.
        negative: Which are labelled ordinary.
        scores: How well each score separates those that have one; as ``logdet evaluate`` tells.
    """

    positive: NDArray[np.bool_]
    negative: NDArray[np.bool_]
    scores: Mapping[str, Separation]


def only(frame: Frame, label: str) -> Frame:
    """The column of labels of some rows.

    Raises:
        TableError: If there is none of that name.
    """
    if label not in frame.names:
        raise TableError(f"{frame.source} has no column {label}; it has {some(frame.names)}")
    table = frame.columns.select([label])
    return Frame(frame.source, (label,), table, frame.places, frame.is_text)


def labelled(
    model: AnyModel, frame: Frame, positive: str | None, scores: Mapping[str, Floats]
) -> Labelled:
    """Hold scores against the labels of the same rows.

    Args:
        model: Whose scores they are.
        frame: The column of labels.
        positive: The value of the anomalies; see :func:`logdet.labels.labels`.
        scores: By name, each of shape ``(rows,)``.

    Raises:
        TableError: If the labels do not tell.
        ValueError: If there are not two rows of each kind.
    """
    chosen, known = labels(frame, frame.names[0], positive)
    counts = known & ~np.isnan(next(iter(scores.values())))
    values = {name: found[counts].astype(np.float64) for name, found in scores.items()}
    calibrations = model.calibrations
    p_values = {name: calibrations[name].p_value(found) for name, found in values.items()}
    alphas = [alpha for alpha in ALPHAS if alpha >= model.calibration.smallest_alpha]
    separated = separations(values, p_values, chosen[counts], alphas)
    return Labelled(chosen & known, ~chosen & known, separated)
