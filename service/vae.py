"""One loaded VAE, answering in the calling thread; see :mod:`service.model`.

Its density is known by bounds, which depend on samples: their noise is that of a seed and of the
row's place, never of the batch.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from exported import draws
from exported.base import base_noise
from exported.kinds import VAEManifest
from service.bound import Plan, Tally
from service.choice import choose_depth
from service.latent import LatentModel
from service.results import (
    NON_FINITE_INPUT,
    NOT_CONVERGED,
    OK,
    Bounded,
    Codes,
    Drawn,
    Floats,
    Posterior,
    Reconstructed,
)
from service.status import mask, settle

Places = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Weighing:
    """How the weights of a bound are drawn.

    Attributes:
        plan: How many, and in which pieces.
        seed: Of the noise.
        depth: Of the posterior; None where it has one only.
    """

    plan: Plan
    seed: int
    depth: int | None


@dataclass(frozen=True, slots=True)
class VAE(LatentModel[VAEManifest]):
    """A VAE whose graphs run here."""

    def weighing(
        self, samples: int | None = None, seed: int = 0, depth: int | None = None
    ) -> Weighing:
        """How to draw; without a number, as many samples as scores have, at the default depth.

        Raises:
            ServiceError: If the model does not offer that.
        """
        manifest = self.manifest
        width = max(len(manifest.features), manifest.latent_features)
        plan = Plan.of(manifest.scoring.samples if samples is None else samples, width)
        return Weighing(plan, seed, choose_depth(manifest, depth))

    def scoring(self) -> Weighing:
        """How the weights of a score are drawn, as at the calibration."""
        return self.weighing(seed=self.manifest.scoring.seed)

    def bound(self, x: Floats, weighing: Weighing, first_row: int = 0) -> Bounded:
        """Lower bounds on the log-density of rows.

        Args:
            x: Shape ``(rows, features)``, in the user's units; any float.
            weighing: See :meth:`weighing`.
            first_row: Place of the first of them among all that are asked about.
        """
        return self._bound(x, first_row + np.arange(len(x)), weighing)

    def score(self, x: Floats) -> tuple[Floats, Codes]:
        """Scores and status of rows ``(rows, features)``: importance bounds of the same noise."""
        bounded = self._bound(x, np.zeros(len(x), dtype=np.int64), self.scoring())
        return bounded.importance_bound, bounded.status

    def tally(
        self, x: Floats, places: Places, piece: int, weighing: Weighing
    ) -> tuple[Tally, Codes]:
        """One piece of the weights of rows, in one run, and the rows' status before it.

        Args:
            x: Shape ``(rows, features)``, of no more rows than the plan puts into a run.
            places: Of the rows, for their noise; shape ``(rows,)``.
            piece: Which.
            weighing: See :meth:`weighing`.
        """
        before = self.rules.judge(x)
        noise = self._noise(places, weighing.plan.span(piece), weighing.seed)
        inputs = {"x": self.rules.runnable(x, before), "noise": noise}
        out = self.run("log_weight", inputs, {"depth": weighing.depth})["log_weight"]
        return Tally.of(out.astype(np.float64)), before

    def encode(
        self, x: Floats, seed: int | None = None, depth: int | None = None, first_row: int = 0
    ) -> Posterior:
        """The posterior of rows, its centre or a draw.

        Args:
            x: Shape ``(rows, features)``, in the user's units; any float.
            seed: Draws; the centre if None.
            depth: Of the posterior; the manifest's default if None.
            first_row: Of the seed.

        Raises:
            ServiceError: If the model does not offer the depth.
        """
        return self.encode_at(x, self.posterior_noise(seed, first_row, first_row + len(x)), depth)

    def encode_at(self, x: Floats, noise: Floats, depth: int | None = None) -> Posterior:
        """The posterior of rows, with ``z`` at noise of shape ``(rows, latent_features)``."""
        before = self.rules.judge(x)
        inputs = {"x": self.rules.runnable(x, before), "noise": noise}
        out = self.run("posterior", inputs, {"depth": choose_depth(self.manifest, depth)})
        mean, scale, z = out["mean"], out["scale"], out["z"]
        status = settle(before, mean, scale, z)
        return Posterior(mask(mean, status), mask(scale, status), mask(z, status), status)

    def posterior_noise(self, seed: int | None, start: int, stop: int) -> Floats:
        """Noise of rows ``start`` to ``stop`` of a seed; zero, the centre, for None."""
        if seed is None:
            return np.zeros((stop - start, self.manifest.latent_features))
        return base_noise(self.manifest.base, seed, start, stop - start)

    def reconstruct(self, x: Floats, depth: int | None = None) -> Reconstructed:
        """Rows ``(rows, features)`` as they come back from the posterior's centre.

        Raises:
            ServiceError: If the model does not offer the depth.
        """
        return self.come_back(x, {"depth": choose_depth(self.manifest, depth)})

    def sample_noise(self, seed: int, temperature: float, start: int, stop: int) -> Floats:
        """Noise of rows ``start`` to ``stop`` of a seed: the latents', then the observation's."""
        manifest = self.manifest
        rows = (start, stop)
        drawn = draws.sample_noise(manifest.base, manifest.observation, seed, rows, temperature)
        return np.hstack(drawn)

    def sample(self, n: int, seed: int, temperature: float = 1.0, first_row: int = 0) -> Drawn:
        """Draw rows ``first_row`` to ``first_row + n`` of a seed."""
        return self.emit(self.sample_noise(seed, temperature, first_row, first_row + n))

    def emit(self, noise: Floats) -> Drawn:
        """Rows that noise of :meth:`sample_noise` makes, as a table would hold them."""
        latent = self.manifest.latent_features
        finite = np.where(np.isfinite(noise), noise, 0.0)
        inputs = {"noise": finite[:, :latent], "observation_noise": finite[:, latent:]}
        out = self.run("draw", inputs, {})
        asked = np.where(np.isfinite(noise).all(axis=1), OK, NOT_CONVERGED).astype(np.uint8)
        made = settle(asked, out["x"], out["z"])
        x = self.rules.exact(self.rules.whole(out["x"]))
        status = np.where(made == OK, self.rules.judge(x), made)
        # Nobody sent these rows, so none can be a wrong input.
        status = np.where(status == NON_FINITE_INPUT, NOT_CONVERGED, status).astype(np.uint8)
        lost = status == NOT_CONVERGED
        kept = np.where(lost[:, None], np.asarray(np.nan, x.dtype), x)
        return Drawn(kept, np.where(lost[:, None], np.nan, out["z"]), status)

    def _bound(self, x: Floats, places: Places, weighing: Weighing) -> Bounded:
        step = weighing.plan.pieces_per_run
        parts = [
            self.tally(x[i : i + step], places[i : i + step], piece, weighing)
            for i in range(0, len(x), step)
            for piece in range(weighing.plan.pieces)
        ]
        columns = map(np.concatenate, zip(*(part.columns() for part, _ in parts), strict=True))
        status = np.concatenate([before for _, before in parts])
        pieces = weighing.plan.pieces
        return Tally.of_columns(tuple(columns), pieces).bounded(status[::pieces])

    def _noise(self, places: Places, span: tuple[int, int], seed: int) -> Floats:
        """Noise of a span of samples of rows, shape ``(rows, samples, latent_features)``."""
        same = bool((places == places[0]).all())
        rows = places[:1] if same else places
        noise = draws.noise_of_rows(self.manifest.base, seed, rows.tolist(), *span)
        return np.broadcast_to(noise, (len(places), *noise.shape[1:]))
