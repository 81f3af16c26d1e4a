"""What a family's graph must answer: the float64 flow's answers, to a bundle's tolerance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from exported.base import base_noise
from exported.golden import Arrays
from exported.manifest import Tolerance
from tests.bench.graphs.ours import flow_of
from training.bijections.continuous import is_continuous
from training.measure import tolerance
from training.runner import Runner, ask
from training.steps import with_steps

NOISE_ROWS, NOISE_SEED = 64, 0
STEPS = 8


@dataclass(frozen=True, slots=True)
class Expected:
    """Some rows and the answers about them; larger batches have these rows over and over.

    Attributes:
        input: Name of the input.
        rows: What it is given, ``(some, features)``.
        options: Scalar inputs beside it.
        truth: Outputs in order.
        tolerances: As a bundle's manifest has them for its golden rows.
    """

    input: str
    rows: NDArray[np.generic]
    options: Arrays
    truth: Mapping[str, NDArray[np.float64]]
    tolerances: Mapping[str, Tolerance]

    def feed(self, rows: int) -> dict[str, NDArray[np.generic]]:
        """Inputs of a batch."""
        return {self.input: _repeated(self.rows, rows), **self.options}

    def shapes(self, rows: int) -> dict[str, tuple[int, ...]]:
        """Of a batch's outputs."""
        return {name: (rows, *value.shape[1:]) for name, value in self.truth.items()}

    def complaint(self, answer: Sequence[NDArray[np.generic]]) -> str:
        """What is wrong with the outputs of a batch; nothing if they are right."""
        for got, (name, truth) in zip(answer, self.truth.items(), strict=True):
            true = _repeated(truth, len(got)).astype(np.float64)
            error = np.abs(got.astype(np.float64) - true)
            allowed = self.tolerances[name]
            bound = np.asarray(allowed.absolute) + allowed.relative * np.abs(true)
            excess = float(np.max(error / bound))
            if not excess <= 1.0:  # also of what is not a number
                return f"wrong answer: {name} is off by {excess:.3g} times the tolerance"
        return ""


def _repeated(values: NDArray[np.generic], rows: int) -> NDArray[np.generic]:
    return np.resize(values, (rows, *values.shape[1:]))


def expected(family: str, direction: str, content: bytes) -> Expected:
    """Of a graph of :func:`tests.bench.graphs.ours.family_graph`.

    Tolerances come from the errors of the same graph on the CPU, as at export.
    """
    density, prepared = flow_of(family)
    options: Arrays = {}
    if is_continuous(density.bijection):
        density, options = with_steps(density, STEPS), {"steps": np.array(STEPS)}
    if direction == "log_prob":
        inputs = prepared.inputs(prepared.split.test)
    else:
        base = density.base.describe(len(prepared.columns.modelled))
        inputs = {"z": base_noise(base, NOISE_SEED, 0, NOISE_ROWS).astype(np.float32)}
    runner = Runner({direction: content}, STEPS if options else None)
    asked = ask(runner, density, prepared, direction, inputs).within_float32()
    deviation = np.array([column.deviation for column in prepared.columns.all])
    tolerances = {
        name: tolerance(asked.error(name), deviation if name == "x" else 1.0) for name in asked.got
    }
    (name, rows) = next(iter(asked.inputs.items()))
    truth = {output: asked.truth[output] for output in asked.got}
    return Expected(name, rows, options, truth, tolerances)
