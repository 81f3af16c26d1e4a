"""One loaded bundle: verified, warmed, and answering in the calling thread.

The batcher's workers and the command line use the same methods; no server is involved. Every
method treats rows independently, so that any cut of the rows gives the same answers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from exported import golden, noise
from exported.bundle import read_bundle
from exported.calibration import Calibration
from exported.manifest import Manifest
from service.errors import invalid
from service.results import (
    NON_FINITE_INPUT,
    NOT_CONVERGED,
    OK,
    OUT_OF_SUPPORT,
    Decision,
    Decoded,
    Evaluated,
    Floats,
    Sampled,
)
from service.runtime import Arrays, Runtime, Sessions
from service.status import RowRules, mask, mask_log_prob, settle
from service.support import refuse_unsupported

DEFAULT_ALPHA = 0.01


@dataclass(frozen=True, slots=True)
class Model:
    """A bundle whose graphs run here.

    Attributes:
        manifest: What it is.
        calibration: Scores that turn a log-density into a p-value.
        rules: Which rows may be run.
        graphs: Sessions by graph name.
        provider: Where they run.
    """

    manifest: Manifest
    calibration: Calibration
    rules: RowRules
    graphs: Mapping[str, Sessions]
    provider: str

    @classmethod
    def load(cls, folder: Path, runtime: Runtime) -> Model:
        """Read, verify and warm the bundle in a folder.

        Raises:
            BundleError: If it is missing, not as its manifest says, or does not replay.
        """
        bundle = read_bundle(folder)
        manifest = bundle.manifest
        refuse_unsupported(manifest)
        graphs = {
            name: runtime.load(graph, bundle.graph(name))
            for name, graph in manifest.graphs.items()
        }
        rows = bundle.golden()
        for _ in range(runtime.sessions):  # sessions take turns, so each one replays and is warm
            golden.replay(manifest, rows, lambda name, inputs: graphs[name].replay(inputs))
        rules = RowRules.of(manifest.features)
        return cls(manifest, bundle.calibration(), rules, graphs, runtime.provider)

    def evaluate(self, x: Floats) -> Evaluated:
        """Log-density, latent and log-determinant of rows.

        Args:
            x: Shape ``(rows, features)``, in the user's units; any float.
        """
        before = self.rules.judge(x)
        out = self._run("log_prob", {"x": self.rules.runnable(x, before)})
        status = settle(before, out["log_prob"])
        return Evaluated(
            log_prob=mask_log_prob(out["log_prob"], status),
            z=mask(out["z"], status),
            log_det=mask(out["log_det"], status),
            status=status,
        )

    def decode(self, z: Floats) -> Decoded:
        """Rows at given latents, unrounded but for constants, with their log-density.

        Args:
            z: Shape ``(rows, latent_features)``.
        """
        finite = _finite(z)
        runnable = z if finite.all() else np.where(finite[:, None], z, 0.0)
        out = self._run("decode", {"z": runnable})
        with np.errstate(over="ignore", invalid="ignore"):
            log_prob = noise.standard_normal_log_prob(runnable) - out["log_det"]
        x = self.rules.exact(out["x"])
        before = np.where(finite, self._judge_continuous(x), NON_FINITE_INPUT)
        status = settle(before.astype(np.uint8), log_prob)
        lost = (status == NOT_CONVERGED) | ~finite
        known = np.where(lost[:, None], np.asarray(np.nan, x.dtype), x)
        return Decoded(known, mask_log_prob(log_prob, status), status)

    def emit(self, z: Floats) -> Decoded:
        """Rows at given latents as a table would hold them: integer columns are whole.

        The log-density is that of the row as emitted.
        """
        decoded = self.decode(z)
        x, log_prob, status = decoded.x, decoded.log_prob, decoded.status
        if self.rules.integer.any():
            x = self.rules.round(x)
            again = self.evaluate(x)
            log_prob, status = again.log_prob, again.status
        # Nobody sent the latents of a sample, so none can be a wrong input.
        status = np.where(status == NON_FINITE_INPUT, NOT_CONVERGED, status)
        return Decoded(x, log_prob, status.astype(np.uint8))

    def base_noise(self, seed: int, temperature: float, start: int, stop: int) -> Floats:
        """Rows ``start`` to ``stop`` of the latents that a seed draws."""
        draws = self.manifest.base.draws_per_row
        with np.errstate(over="ignore"):
            return temperature * noise.standard_normal(seed, start, stop - start, draws)

    def sample(self, n: int, seed: int, temperature: float = 1.0, first_row: int = 0) -> Sampled:
        """Draw rows ``first_row`` to ``first_row + n`` of a seed."""
        z = self.base_noise(seed, temperature, first_row, first_row + n)
        return Sampled(self.emit(z), seed)

    def decide(self, log_prob: Floats, alpha: float | None = None) -> Decision:
        """Which log-densities are anomalies at a rate of false alarms.

        Without an alpha it is :data:`DEFAULT_ALPHA`, or the smallest that the calibration rows can
        tell where they are too few for that.

        Raises:
            ServiceError: If alpha cannot be decided with this bundle's calibration rows.
        """
        if alpha is None:
            alpha = max(DEFAULT_ALPHA, self.calibration.smallest_alpha)
        try:
            threshold = self.calibration.threshold(alpha)
        except ValueError as error:
            raise invalid(str(error)) from error
        p_value = self.calibration.p_value(log_prob)
        return Decision(p_value, p_value <= alpha, threshold, alpha)

    def _run(self, graph: str, inputs: Arrays) -> dict[str, NDArray[np.floating]]:
        return self.graphs[graph].run(inputs)  # type: ignore[return-value]

    def _judge_continuous(self, x: Floats) -> NDArray[np.integer]:
        # A decoded integer column lies within half a cell of its whole number.
        margin = np.where(self.rules.integer, 0.5, 0.0)
        low = (self.rules.low - margin).astype(x.dtype)
        high = (self.rules.high + margin).astype(x.dtype)
        outside = np.any((x < low) | (x > high), axis=1)
        status = np.where(outside, OUT_OF_SUPPORT, OK)
        return np.where(_finite(x), status, NOT_CONVERGED)


def _finite(values: Floats) -> NDArray[np.bool_]:
    return np.asarray(np.isfinite(values).all(axis=1))
