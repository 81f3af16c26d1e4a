"""One loaded flow: verified, warmed, and answering in the calling thread.

The batcher's workers and the command line use the same methods; no server is involved. Every
method treats rows independently, so that any cut of the rows gives the same answers.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from exported.base import base_log_prob, base_noise, in_base_support
from exported.bundle import Bundle, read_bundle
from exported.kinds import BACKGROUND_GRAPH, GRADIENT_GRAPH, FlowManifest, expect_flow
from exported.scores import Scorer
from service.choice import choose_steps
from service.context import Conditioning
from service.loaded import Loaded
from service.results import (
    NON_FINITE_INPUT,
    NOT_CONVERGED,
    OK,
    OUT_OF_SUPPORT,
    Codes,
    Decoded,
    Evaluated,
    Explained,
    Floats,
    Judged,
    Sampled,
)
from service.runtime import Arrays, Runtime
from service.status import all_ok, mask, mask_score, settle


@dataclass(frozen=True, slots=True)
class Model(Loaded[FlowManifest]):
    """A flow whose graphs run here.

    Attributes:
        conditioning: What it is given beside the rows.
        scorer: Gives its scores beside log_prob.
        usual_terms: Shape ``(features,)``, nats: median of each feature's term over the golden
            rows, which are drawn from the model; no features where it has no terms.
    """

    conditioning: Conditioning
    scorer: Scorer
    usual_terms: Floats

    @classmethod
    def load(cls, folder: Path, runtime: Runtime) -> Model:
        """Read, verify and warm the bundle in a folder.

        Raises:
            BundleError: If it is missing, no flow, not as its manifest says, or does not replay.
        """
        bundle = read_bundle(folder)
        return cls.of(expect_flow(bundle.manifest), bundle, runtime)

    @classmethod
    def of(cls, manifest: FlowManifest, bundle: Bundle, runtime: Runtime) -> Self:
        """See :meth:`Loaded.of`."""
        plain = Loaded.of(manifest, bundle, runtime)
        parts = (
            *(plain.calibration, plain.calibrations, plain.rules),
            *(plain.graphs, plain.provider, plain.latents),
        )
        given = Conditioning.of(manifest)
        return cls(manifest, *parts, given, bundle.scorer(), _usual_terms(bundle))

    def evaluate(
        self, x: Floats, context: Floats | None = None, steps: int | None = None
    ) -> Evaluated:
        """Log-density, latent and log-determinant of rows.

        Args:
            x: Shape ``(rows, features)``, in the user's units; any float.
            context: Of a conditional density; shape ``(1, context_features)`` or
                ``(rows, context_features)``.
            steps: Of a solver; the manifest's default if None.

        Raises:
            ServiceError: If the context or the steps are not those of this model.
        """
        before = self.rules.judge(x)
        inputs = {"x": x}
        if context is not None or self.conditioning.names:
            context = self.conditioning.spread(context, len(x))
            before = self.conditioning.judge(before, context)
            inputs.update(self.conditioning.inputs(before, context))
        inputs["x"] = self.rules.runnable(x, before)
        out = self._run("log_prob", inputs, steps)
        status = settle(before, out["log_prob"])
        if all_ok(status):  # nothing to hide, as of nearly all requests
            return Evaluated(out["log_prob"], out["z"], out["log_det"], status)
        return Evaluated(
            log_prob=mask_score(out["log_prob"], status),
            z=mask(out["z"], status),
            log_det=mask(out["log_det"], status),
            status=status,
        )

    def judge(self, x: Floats, context: Floats | None = None, steps: int | None = None) -> Judged:
        """Every score of rows, from the one run of :meth:`evaluate` and one of the background.

        What they come of is what :meth:`evaluate` tells, whatever the background does. Arguments
        and errors are those of :meth:`evaluate`.
        """
        context = self.conditioning.spread(context, len(x))
        whole = self.evaluate(x, context, steps)
        background = None
        if BACKGROUND_GRAPH in self.graphs:
            inputs = {"x": self.rules.runnable(x, whole.status)}
            inputs |= self.conditioning.inputs(whole.status, context)
            background = self.run(BACKGROUND_GRAPH, inputs)["log_prob"]
        return Judged(whole, self.scorer(whole.log_prob, whole.z, background))

    def explain(
        self, x: Floats, context: Floats | None = None, steps: int | None = None
    ) -> Explained:
        """Log-density of rows and each feature's term of it, of a model that has the operation.

        Arguments and errors are those of :meth:`evaluate`.
        """
        context = self.conditioning.spread(context, len(x))
        whole = self.evaluate(x, context, steps)
        inputs = {"x": self.rules.runnable(x, whole.status)}
        inputs |= self.conditioning.inputs(whole.status, context)
        terms = self._run("feature_log_prob", inputs, steps)["feature_log_prob"]
        status = settle(whole.status, terms)
        return Explained(mask_score(whole.log_prob, status), mask(terms, status), status)

    def gradient(
        self, x: Floats, context: Floats | None = None, steps: int | None = None
    ) -> tuple[Floats, Codes]:
        """Gradient of the log-density of rows and their status, of a model with that graph.

        The gradient has shape ``(rows, features)``, nats per deviation of a feature; NaN where the
        status is not ok. Arguments and errors are those of :meth:`evaluate`.
        """
        context = self.conditioning.spread(context, len(x))
        before = self.conditioning.judge(self.rules.judge(x), context)
        inputs = {"x": self.rules.runnable(x, before)}
        inputs |= self.conditioning.inputs(before, context)
        gradient = self._run(GRADIENT_GRAPH, inputs, steps)[GRADIENT_GRAPH]
        status = settle(before, gradient)
        return mask(gradient, status), status

    def decode(
        self, z: Floats, context: Floats | None = None, steps: int | None = None
    ) -> Decoded:
        """Rows at given latents, unrounded but for constants, with their log-density.

        Args:
            z: Shape ``(rows, latent_features)``.
            context: As in :meth:`evaluate`.
            steps: As in :meth:`evaluate`.

        Raises:
            ServiceError: As :meth:`evaluate`.
        """
        context = self.conditioning.spread(context, len(z))
        asked = np.where(_finite(z), OK, NON_FINITE_INPUT).astype(np.uint8)
        asked = self.conditioning.judge(asked, context)
        inside = in_base_support(self.manifest.base, z)
        asked = np.where((asked == OK) & ~inside, OUT_OF_SUPPORT, asked).astype(np.uint8)
        runs = asked == OK
        runnable = z if runs.all() else np.where(runs[:, None], z, 0.0)
        given = self.conditioning.inputs(asked, context)
        out = self._run("decode", {"z": runnable, **given}, steps)
        with np.errstate(over="ignore", invalid="ignore"):
            log_prob = base_log_prob(self.manifest.base, runnable) - out["log_det"]
        x = self.rules.exact(out["x"])
        before = np.where(runs, self._judge_continuous(x), asked)
        status = settle(before.astype(np.uint8), log_prob)
        lost = (status == NOT_CONVERGED) | ~runs
        known = np.where(lost[:, None], np.asarray(np.nan, x.dtype), x)
        return Decoded(known, mask_score(log_prob, status), status)

    def emit(self, z: Floats, context: Floats | None = None, steps: int | None = None) -> Decoded:
        """Rows at given latents as a table would hold them: integer columns are whole.

        The log-density is that of the row as emitted. Arguments and errors are those of
        :meth:`decode`.
        """
        context = self.conditioning.spread(context, len(z))
        decoded = self.decode(z, context, steps)
        x, log_prob, status = decoded.x, decoded.log_prob, decoded.status
        if self.rules.integer.any() or self.rules.bounded.any():
            x = self.rules.round(x)
            again = self.evaluate(x, context, steps)
            log_prob, status = again.log_prob, again.status
        # Nobody sent the latents of a sample, so none but the context can be a wrong input.
        status = np.where(status == NON_FINITE_INPUT, NOT_CONVERGED, status).astype(np.uint8)
        if context is not None:
            status = self.conditioning.prevail(status, context)
            log_prob = mask_score(log_prob, status)
        return Decoded(x, log_prob, status)

    def base_noise(self, seed: int, temperature: float, start: int, stop: int) -> Floats:
        """Rows ``start`` to ``stop`` of the latents that a seed draws."""
        return base_noise(self.manifest.base, seed, start, stop - start, temperature)

    def sample(
        self,
        n: int,
        seed: int,
        temperature: float = 1.0,
        first_row: int = 0,
        context: Floats | None = None,
        steps: int | None = None,
    ) -> Sampled:
        """Draw rows ``first_row`` to ``first_row + n`` of a seed.

        Context, of one row or ``n``, steps and errors are those of :meth:`evaluate`.
        """
        z = self.base_noise(seed, temperature, first_row, first_row + n)
        return Sampled(self.emit(z, context, steps), seed)

    def _run(
        self, graph: str, inputs: Arrays, steps: int | None
    ) -> dict[str, NDArray[np.floating]]:
        if steps is None and self.manifest.steps is None:
            return self.run(graph, inputs)
        return self.run(graph, inputs, {"steps": choose_steps(self.manifest, steps)})

    def _judge_continuous(self, x: Floats) -> NDArray[np.integer]:
        # A decoded integer column lies within half a cell of its whole number.
        margin = np.where(self.rules.integer, 0.5, 0.0)
        low = (self.rules.low - margin).astype(x.dtype)
        high = (self.rules.high + margin).astype(x.dtype)
        outside = np.any((x < low) | (x > high), axis=1)
        status = np.where(outside, OUT_OF_SUPPORT, OK)
        return np.where(_finite(x), status, NOT_CONVERGED)


def _usual_terms(bundle: Bundle) -> Floats:
    if "feature_log_prob" not in bundle.manifest.operations:
        return np.empty(0)
    terms = bundle.golden()["feature_log_prob.out.feature_log_prob"]
    return np.asarray(np.median(terms.astype(np.float64), axis=0))


def _finite(values: Floats) -> NDArray[np.bool_]:
    return np.asarray(np.isfinite(values).all(axis=1))
