"""A block of rows by the scores that are wanted, with the latents that drift is looked for in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from exported.calibration import Calibration
from logdet.report.blocks import Block
from logdet.scoring import in_chunks
from service.kinds import AnyModel
from service.model import Model
from service.results import Codes, Floats
from service.vae import VAE

_Part = tuple[Mapping[str, Floats], Codes, Floats | None]


@dataclass(frozen=True, slots=True)
class Scored:
    """What is known of the rows of a block.

    Attributes:
        scores: By name, the model's first one before others, each of shape ``(rows,)``.
        status: Shape ``(rows,)``.
        z: Shape ``(rows, latents)``; None of a model whose latents nobody looks at.
    """

    scores: Mapping[str, Floats]
    status: Codes
    z: Floats | None


@dataclass(frozen=True, slots=True)
class Scoring:
    """How rows are scored.

    Attributes:
        model: By which.
        every: Whether every score is wanted, not the first one alone.
    """

    model: AnyModel
    every: bool

    @property
    def calibrations(self) -> Mapping[str, Calibration]:
        """Of the scores that are wanted, by name."""
        known = self.model.calibrations
        first = self.model.manifest.SCORES
        return known if self.every else {first: known[first]}

    def __call__(self, block: Block) -> Scored:
        """The scores of a block."""
        model = self.model

        def run(start: int, stop: int) -> _Part:
            x = block.x[start:stop]
            context = None if block.context is None else block.context[start:stop]
            return self._run(model, x, context)

        samples = model.scoring().plan.samples if isinstance(model, VAE) else 1
        scores, status, z = zip(*in_chunks(model, len(block.x), run, samples), strict=True)
        joined = {name: np.concatenate([part[name] for part in scores]) for name in scores[0]}
        latents = [part for part in z if part is not None]
        return Scored(joined, np.concatenate(status), np.concatenate(latents) if latents else None)

    def _run(self, model: AnyModel, x: Floats, context: Floats | None) -> _Part:
        if not isinstance(model, Model):
            score, status = model.score(x)
            return {model.manifest.SCORES: score}, status, None
        if not self.every:
            found = model.evaluate(x, context)
            return {model.manifest.SCORES: found.log_prob}, found.status, found.z
        judged = model.judge(x, context)
        whole = judged.evaluated
        return (
            {model.manifest.SCORES: whole.log_prob, **judged.scores},
            whole.status,
            whole.z,
        )
