"""What a report tells: one pass over a file, of which scores, sums and a few rows stay."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from exported.calibration import Calibration
from logdet.errors import UserError
from logdet.every_score import calibration_by
from logdet.frame import Frame
from logdet.report.blocks import Block, blocks
from logdet.report.drifting import Drift, Trail
from logdet.report.labelled import Labelled, labelled, only
from logdet.report.scored import Scoring
from logdet.report.strangest import Rows, Why, why
from service.kinds import AnyModel
from service.results import Codes, Decision, Floats

STRETCH_ROWS = 256  # of which the features' means are kept


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked of a report; see the options of ``logdet report``."""

    alpha: float | None
    fdr: float | None
    by: str | None
    label: str | None
    positive: str | None
    rows: int

    def check(self, model: AnyModel) -> Calibration:
        """Refuse what cannot be decided, before any row is read; the calibration that decides.

        Raises:
            ServiceError: If alpha or fdr cannot be decided, or both are given.
            UserError: If the model has no such score, or options do not go together.
        """
        if self.positive is not None and self.label is None:
            raise UserError("expected --label beside --positive, got --positive alone")
        calibration = calibration_by(model, self.by) if self.by else model.calibration
        model.decide(np.empty(0), self.alpha, self.fdr, calibration)
        return calibration


@dataclass(frozen=True, slots=True)
class Found:
    """What is known of a file.

    Attributes:
        by: The score that decides.
        calibration: Of that score.
        score: Of each row, shape ``(rows,)``.
        status: Shape ``(rows,)``.
        decision: About each row.
        strangest: The rows that score lowest.
        why: What makes these unlikely; None where the model cannot tell.
        drift: Whether rows are like the calibration rows.
        means: Shape ``(stretches, features)``: mean of each feature in each stretch of
            :data:`STRETCH_ROWS` rows; NaN where no row has a value.
        mean: Shape ``(features,)``, over all rows.
        labelled: None without labels.
    """

    by: str
    calibration: Calibration
    score: Floats
    status: Codes
    decision: Decision
    strangest: Rows
    why: Why | None
    drift: Drift
    means: NDArray[np.float64]
    mean: NDArray[np.float64]
    labelled: Labelled | None


class Pass:
    """One pass over a file, of blocks in order.

    Args:
        model: Scores them.
        wanted: What is asked.
    """

    def __init__(self, model: AnyModel, wanted: Wanted) -> None:
        first = model.manifest.SCORES
        self._by, self._most, self._label = wanted.by or first, wanted.rows, wanted.label
        self.scoring = Scoring(model, wanted.by not in (None, first) or wanted.label is not None)
        # Of scores that nobody asks for nothing is kept.
        kept = tuple(self.scoring.calibrations) if wanted.label else (first, self._by)
        self.scores: dict[str, list[Floats]] = {name: [] for name in kept}
        self.status: list[Codes] = []
        self.labels: list[Frame] = []
        self.sums: list[NDArray[np.float64]] = []
        self.counts: list[NDArray[np.float64]] = []
        self.strangest: Rows | None = None
        self.trail = Trail(model)

    def add(self, block: Block) -> None:
        """Score the next rows and keep what is told of them."""
        if self._label is not None:
            self.labels.append(only(block.frame, self._label))
        scored = self.scoring(block)
        for name, parts in self.scores.items():
            parts.append(scored.scores[name])
        self.status.append(scored.status)
        self._add_means(block.x)
        rows = Rows.of(block, scored, self._by, self._most)
        kept = self.strangest
        self.strangest = rows if kept is None else kept.merged(rows, self._most)
        first = next(iter(scored.scores.values()))
        self.trail.add(first, scored.z, scored.status)

    def lowest(self) -> Rows:
        """The rows that score lowest."""
        if self.strangest is None:
            raise UserError("expected rows, got none")
        return self.strangest

    def means(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Of the features, in each stretch of rows and of all."""
        sums, counts = np.concatenate(self.sums), np.concatenate(self.counts)
        with np.errstate(invalid="ignore", divide="ignore"):
            return sums / counts, sums.sum(axis=0) / counts.sum(axis=0)

    def column(self, label: str) -> Frame:
        """The labels of all rows."""
        last = self.labels[-1]
        table = pa.concat_tables([frame.columns for frame in self.labels])
        return Frame(last.source, (label,), table, last.places, last.is_text)

    def _add_means(self, x: NDArray[np.float64]) -> None:
        starts = np.arange(0, len(x), STRETCH_ROWS)
        known = np.isfinite(x)
        self.sums.append(np.add.reduceat(np.where(known, x, 0.0), starts, axis=0))
        self.counts.append(np.add.reduceat(known.astype(np.float64), starts, axis=0))


def find(model: AnyModel, path: Path, wanted: Wanted) -> Found:
    """Score the rows of a file and tell what a report needs.

    Raises:
        ServiceError: As :meth:`Wanted.check`.
        UserError: If the file, its labels or the options are not as expected.
    """
    calibration, label = wanted.check(model), wanted.label
    seen = Pass(model, wanted)
    for block in blocks(path, model.manifest):
        seen.add(block)
    scores = {name: np.concatenate(parts) for name, parts in seen.scores.items()}
    first = model.manifest.SCORES
    by = wanted.by or first
    decision = model.decide(scores[by], wanted.alpha, wanted.fdr, calibration)
    strangest = seen.lowest()
    held, (means, mean) = None, seen.means()
    if label is not None:
        held = labelled(model, seen.column(label), wanted.positive, scores)
    return Found(
        by=by,
        calibration=calibration,
        score=scores[by],
        status=np.concatenate(seen.status),
        decision=decision,
        strangest=strangest,
        why=why(model, strangest, decision, by == first),
        drift=seen.trail.end(),
        means=means,
        mean=mean,
        labelled=held,
    )
