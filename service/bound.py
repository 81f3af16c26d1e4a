r"""Lower bounds on a log-density from the weights of samples, a piece of the samples at a time.

Of log weights :math:`w_k = \log p(x, z_k) - \log q(z_k \mid x)`, the evidence lower bound is their
mean and the importance bound :math:`\log \frac1K \sum_k e^{w_k}`. What is kept of a piece is six
numbers a row, so that neither many samples nor many rows need more memory than one piece; all of
it is float64 and relative to the largest weight.

References:
    Burda, Grosse, Salakhutdinov, Importance weighted autoencoders (2016).
    https://arxiv.org/abs/1509.00519
    Chan, Golub, LeVeque, Algorithms for computing the sample variance (1983): how means and
    squares of pieces are joined. https://doi.org/10.1080/00031305.1983.10483115
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from exported.bounds import MAX_SAMPLES
from service.errors import ErrorKind, ServiceError, invalid
from service.results import Bounded, Codes
from service.status import mask, mask_score, settle

Wide = NDArray[np.float64]

# Of one run: samples over all rows, and numbers in the widest of their tensors that is known. A
# run of either size takes some tens of milliseconds and megabytes.
RUN_SAMPLES = 2**14
RUN_NUMBERS = 2**20
# Samples over all rows of one request; a thousand rows with as many samples as are ever drawn
# would take minutes.
MAX_REQUEST_SAMPLES = 2**26


@dataclass(frozen=True, slots=True)
class Plan:
    """How the samples of rows are cut into pieces, and pieces put into runs.

    Attributes:
        samples: Of each row.
        piece: Samples of a piece, but the last of a row may have fewer.
        pieces: Of each row.
        pieces_per_run: Most pieces of one run. They are of one length: where a row has several,
            a run has one of them.
    """

    samples: int
    piece: int
    pieces: int
    pieces_per_run: int

    @classmethod
    def of(cls, samples: int, width: int) -> Plan:
        """Cut so that no run holds more than is allowed.

        Args:
            samples: Of each row.
            width: Numbers of a sample in the widest tensor that is known.

        Raises:
            ServiceError: ``invalid_input`` if no row may have so many samples.
        """
        if not 1 <= samples <= MAX_SAMPLES:
            raise invalid(f"expected 'samples' between 1 and {MAX_SAMPLES}, got {samples}")
        most = max(1, min(RUN_SAMPLES, RUN_NUMBERS // width))
        pieces = -(-samples // most)
        piece = -(-samples // pieces)
        return cls(samples, piece, pieces, most // piece if pieces == 1 else 1)

    def span(self, piece: int) -> tuple[int, int]:
        """First sample of a piece and how many it has."""
        first = piece * self.piece
        return first, min(self.piece, self.samples - first)

    def check_rows(self, rows: int) -> None:
        """Refuse more rows than one request may have with so many samples.

        Raises:
            ServiceError: ``too_large``.
        """
        if rows * self.samples > MAX_REQUEST_SAMPLES:
            raise ServiceError(
                ErrorKind.TOO_LARGE,
                f"expected at most {MAX_REQUEST_SAMPLES} samples over all rows of a request, got "
                f"{rows} rows of {self.samples}; send fewer rows at once",
            )


@dataclass(frozen=True, slots=True)
class Tally:
    """What is kept of log weights; arrays of one shape.

    Attributes:
        count: Weights so far.
        mean: Of the log weights.
        squares: Sum of the squared differences of the log weights from that mean.
        highest: The largest log weight.
        total: Sum of the weights, relative to the largest.
        total_squares: Sum of their squares, relative to the largest one's.
    """

    count: Wide
    mean: Wide
    squares: Wide
    highest: Wide
    total: Wide
    total_squares: Wide

    @classmethod
    def of(cls, log_weights: Wide) -> Tally:
        """That of log weights of shape ``(rows, samples)``."""
        with np.errstate(invalid="ignore", over="ignore"):
            highest = log_weights.max(axis=1)
            weights = np.exp(log_weights - highest[:, None])
            mean = log_weights.mean(axis=1)
            squares = ((log_weights - mean[:, None]) ** 2).sum(axis=1)
        count = np.full(len(log_weights), float(log_weights.shape[1]))
        total, total_squares = weights.sum(axis=1), (weights * weights).sum(axis=1)
        return cls(count, mean, squares, highest, total, total_squares)

    @classmethod
    def of_columns(cls, columns: Sequence[Wide], pieces: int) -> Tally:
        """From :meth:`columns` of whole rows of so many pieces, in order; shape ``(rows,)``."""
        return cls(*(column.reshape(-1, pieces) for column in columns)).joined()

    def columns(self) -> tuple[Wide, ...]:
        """The arrays, in the order of the attributes."""
        return (
            self.count, self.mean, self.squares, self.highest, self.total, self.total_squares
        )  # fmt: skip

    def joined(self) -> Tally:
        """Pieces along the last axis put together."""
        with np.errstate(invalid="ignore", over="ignore"):
            count = self.count.sum(axis=-1)
            mean = (self.count * self.mean).sum(axis=-1) / count
            apart = self.count * (self.mean - mean[..., None]) ** 2
            highest = self.highest.max(axis=-1)
            scale = np.exp(self.highest - highest[..., None])
            return Tally(
                count,
                mean,
                (self.squares + apart).sum(axis=-1),
                highest,
                (self.total * scale).sum(axis=-1),
                (self.total_squares * scale * scale).sum(axis=-1),
            )

    def bounded(self, status: Codes) -> Bounded:
        """The bounds of rows of shape ``(rows,)`` whose status before the run is given.

        The error of the importance bound is that of the mean weight by the delta method.
        """
        with np.errstate(invalid="ignore", divide="ignore"):
            freedom = np.where(self.count > 1.0, self.count - 1.0, np.nan)
            share = self.total / self.count
            spread = np.maximum(self.total_squares - self.count * share * share, 0.0) / freedom
            error = np.sqrt(spread / self.count) / share
            elbo_error = np.sqrt(self.squares / freedom / self.count)
            bound = self.highest + np.log(share)
            size = self.total * self.total / self.total_squares
        status = settle(status, self.mean, bound)
        return Bounded(
            elbo=mask_score(self.mean, status),
            elbo_standard_error=mask(elbo_error, status),
            importance_bound=mask_score(bound, status),
            standard_error=mask(error, status),
            effective_sample_size=mask(size, status),
            status=status,
        )
