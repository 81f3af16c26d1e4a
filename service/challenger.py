"""A second version that scores the rows of the first in the same run, unseen by callers."""

from __future__ import annotations

import logging
import time

import numpy as np

from service.comparisons import Compared, Tally, Values
from service.jobs import Array, Arrays
from service.lanes import Lane
from service.model import Model
from service.results import Evaluated

log = logging.getLogger(__name__)


class Challenger:
    """Of a champion; both are flows of the same features and context.

    Args:
        champion: Answers.
        model: Is compared with it.
        lanes: In which each evaluates rows, at the steps that its p-values are calibrated at.
        tally: Told of the rows.

    Attributes:
        lane: Of both: the arrays of the champion, those of :class:`Compared`, the status.
    """

    def __init__(
        self, champion: Model, model: Model, lanes: tuple[Lane, Lane], tally: Tally
    ) -> None:
        self._champion, self._model = champion, model
        self._mine, self._theirs = lanes
        self._tally = tally
        self._has_failed = False
        passes = self._mine.passes + self._theirs.passes
        self.lane = Lane(self._run, self._mine.watch, passes=passes)

    def settle(self, out: Arrays, alpha: float | None) -> Evaluated:
        """Count what the lane gave, and give the champion's part of it.

        Args:
            out: Of the lane.
            alpha: Rate of false alarms; of each its own default if None.
        """
        log_prob, z, log_det, champion, challenger, gain, status = out
        alphas = alpha or self._champion.default_alpha, alpha or self._model.default_alpha
        if alphas[1] < self._model.calibration.smallest_alpha:
            challenger = np.full_like(challenger, np.nan)  # it can tell no row at this rate
        self._tally.count(Compared(champion, challenger, gain), alphas)
        return Evaluated(log_prob, z, log_det, status)

    def _run(self, rows: Array) -> Arrays:
        *mine, status = self._mine.run(rows)
        theirs = self._scored(rows)
        log_prob = mine[0].astype(np.float64)
        with np.errstate(invalid="ignore"):  # both may be infinite
            gain = theirs - log_prob
        one = self._champion.calibration.p_value(log_prob)
        other = self._model.calibration.p_value(theirs)
        return *mine, one, other, gain, status

    def _scored(self, rows: Array) -> Values:
        """The challenger's log-densities; NaN where it fails, which is nobody else's concern."""
        started = time.perf_counter()
        try:
            return self._theirs.run(rows)[0].astype(np.float64)
        except Exception:  # whatever it is, the champion answers
            if not self._has_failed:
                self._has_failed = True
                manifest = self._model.manifest
                log.exception("challenger %s/%d fails", manifest.name, manifest.version)
            return np.full(len(rows), np.nan)
        finally:
            self._tally.took(time.perf_counter() - started)
