"""A VAE with its place in the batcher: a lane for each way in which it runs."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from exported.kinds import VAEManifest
from service.bound import Tally
from service.choice import DEFAULT, Choice, calibrated_depth, choose_depth, refuse_uncalibrated
from service.jobs import Array, Arrays, Take
from service.lanes import Lane
from service.model_metrics import ModelMetrics
from service.results import (
    Bounded,
    Drawn,
    Floats,
    Made,
    Posterior,
    Reconstructed,
    Scored,
)
from service.served import Served, beside, check_drawing, row_bytes, settle_seed
from service.tracing.current import answered
from service.vae import VAE, Weighing
from service.work import Work

INLINE_PIECES = 4096  # fewer are put together on the event loop, in some tenths of a millisecond
_NUMBER_BYTES = np.dtype(np.float64).itemsize


@dataclass(frozen=True, slots=True)
class Asked:
    """A bound that was asked for, with the seed that draws it again.

    Attributes:
        bounded: Of each row.
        weighing: How its weights were drawn.
    """

    bounded: Bounded
    weighing: Weighing


class ServedVAE(Served[VAE]):
    """The operations of a VAE; a choice left out is the model's default."""

    def __init__(self, model: VAE, metrics: ModelMetrics, work: Work) -> None:
        super().__init__(model, metrics, work)
        self.scoring = model.scoring()
        depths = _offered(model.manifest)
        self._encode: Mapping[int | None, Lane] = {d: self._encoding(d) for d in depths}
        self._reconstruct = {d: self._reconstructing(d) for d in depths}
        self._decode = Lane(self._decoding, metrics.lane("decode"))
        self._emit = Lane(self._drawing, metrics.lane("sample"))
        self._score = self._weighing("score", self.scoring)

    def depth(self, choice: Choice) -> int | None:
        """The depth that a choice means; None for a posterior of one depth.

        Raises:
            ServiceError: ``invalid_input`` if the model does not offer it.
        """
        return choose_depth(self.model.manifest, choice.depth)

    async def log_prob_bound(
        self,
        x: Floats,
        samples: int | None = None,
        seed: int | None = None,
        choice: Choice = DEFAULT,
    ) -> Asked:
        """Lower bounds on the log-density of rows of shape ``(rows, features)``.

        Args:
            x: In the user's units.
            samples: Of each row; as many as scores have if None.
            seed: Of their noise; one is drawn if None.
            choice: Of the depth.
        """
        weighing = self.model.weighing(samples, settle_seed(seed), choice.depth)
        lane = self._weighing("log_prob_bound", weighing)
        bounded = await self._bound("log_prob_bound", lane, x, np.arange(len(x)), weighing)
        return Asked(bounded, weighing)

    async def score(
        self,
        x: Floats,
        alpha: float | None = None,
        draws: tuple[int | None, int | None] = (None, None),
        choice: Choice = DEFAULT,
        fdr: float | None = None,
    ) -> Scored:
        """Importance bound of rows and whether each is an anomaly; see :meth:`Loaded.decide`.

        The samples and the seed of ``draws``, and the depth, can only be those that the p-values
        were calibrated at.
        """
        self.model.decide(np.empty(0), alpha, fdr)  # an impossible rate is refused before any run
        manifest, scoring = self.model.manifest, self.model.manifest.scoring
        calibrated_depth(manifest, choice.depth)
        expected = {"samples": scoring.samples, "seed": scoring.seed}
        for (field, at), asked in zip(expected.items(), draws, strict=True):
            refuse_uncalibrated(field, asked, at, self.name, "log_prob_bound")
        places = np.zeros(len(x), dtype=np.int64)  # the same noise for every row
        bounded = await self._bound("score", self._score, x, places, self.scoring)
        if self.drift is not None:
            self.drift.saw(bounded.importance_bound, None, bounded.status)
        return self._scored(bounded.importance_bound, bounded.status, alpha, fdr)

    async def encode(
        self, x: Floats, seed: int | None = None, choice: Choice = DEFAULT
    ) -> Posterior:
        """The posterior of rows: a draw of a seed, or its centre without one."""
        lane = self._encode[self.depth(choice)]
        drawn = None if seed is None else settle_seed(seed)
        self.check_count(len(x), "encode")

        def noise(start: int, stop: int) -> Floats:
            return self.model.posterior_noise(drawn, start, stop)

        memory = row_bytes(x) + len(self.latents) * _NUMBER_BYTES
        out = await self._run("encode", lane, len(x), memory, beside(x, noise))
        return Posterior(*out)

    async def decode(self, z: Floats) -> Made:
        """The likelihood's mean at given latents of shape ``(rows, latent_features)``."""
        return Made(*await self._rows("decode", self._decode, z))

    async def sample(
        self, n: int, seed: int | None = None, temperature: float = 1.0
    ) -> tuple[Drawn, int]:
        """Draw rows, and the seed that draws them again; without one, one is drawn."""
        check_drawing(n, temperature)
        self.check_count(n, "sample")
        drawn = settle_seed(seed)

        def take(start: int, stop: int) -> Floats:
            return self.model.sample_noise(drawn, temperature, start, stop)

        memory = (len(self.latents) + len(self.columns)) * _NUMBER_BYTES
        return Drawn(*await self._run("sample", self._emit, n, memory, take)), drawn

    async def reconstruct(self, x: Floats, choice: Choice = DEFAULT) -> Reconstructed:
        """Rows as they come back from the posterior's centre, and how far off."""
        lane = self._reconstruct[self.depth(choice)]
        return Reconstructed(*await self._rows("reconstruct", lane, x))

    async def _bound(
        self, operation: str, lane: Lane, x: Floats, places: Array, weighing: Weighing
    ) -> Bounded:
        """Bounds from pieces: a row waits once for each, with place and piece behind it."""
        self.check_count(len(x), operation)
        plan = weighing.plan
        plan.check_rows(len(x))
        with self.work.in_flight():
            count = len(x) * plan.pieces
            memory = row_bytes(x) + 2 * _NUMBER_BYTES
            out = await self.work.run(lane, count, memory, _pieces(x, places, plan.pieces))
            if count < INLINE_PIECES:
                bounded = _joined(out, plan.pieces)
            else:
                bounded = await asyncio.to_thread(_joined, out, plan.pieces)
        self.metrics.answered(operation, bounded.status)
        answered(len(x))
        self.metrics.drew(len(x) * plan.samples)
        return bounded

    def _weighing(self, method: str, weighing: Weighing) -> Lane:
        def run(rows: Array) -> Arrays:
            places = rows[:, -2].astype(np.int64)
            # Of one piece where a row has several: the lane's limit is then a single one.
            tally, before = self.model.tally(rows[:, :-2], places, int(rows[0, -1]), weighing)
            return *tally.columns(), before

        return Lane(run, self.metrics.lane(method), weighing.plan.pieces_per_run)

    def _encoding(self, depth: int | None) -> Lane:
        features = len(self.columns)

        def run(rows: Array) -> Arrays:
            out = self.model.encode_at(rows[:, :features], rows[:, features:], depth)
            return out.mean, out.scale, out.z, out.status

        return Lane(run, self.metrics.lane("encode"))

    def _reconstructing(self, depth: int | None) -> Lane:
        def run(rows: Array) -> Arrays:
            out = self.model.reconstruct(rows, depth)
            return out.x, out.error, out.status

        return Lane(run, self.metrics.lane("reconstruct"))

    def _decoding(self, rows: Array) -> Arrays:
        out = self.model.decode(rows)
        return out.x, out.status

    def _drawing(self, noise: Array) -> Arrays:
        out = self.model.emit(noise)
        return out.x, out.z, out.status


def _joined(out: Arrays, pieces: int) -> Bounded:
    *columns, status = out
    return Tally.of_columns(columns, pieces).bounded(status[::pieces])


def _pieces(x: Floats, places: Array, pieces: int) -> Take:
    def take(start: int, stop: int) -> Floats:
        row, piece = np.divmod(np.arange(start, stop), pieces)
        return np.column_stack([x[row], places[row], piece])

    return take


def _offered(manifest: VAEManifest) -> tuple[int | None, ...]:
    return (None,) if manifest.depth is None else manifest.depth.numbers
