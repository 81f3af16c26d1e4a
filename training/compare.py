"""A published bundle beside mixture densities fitted to the same rows.

``python -m training.compare FOLDER`` prints a table (``make compare`` for the shipped bundle).
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from exported.bundle import Bundle, read_bundle
from exported.kinds import expect_flow
from training.datasets import load
from training.prepared import Prepared, prepare
from training.recipes import Recipe
from training.runner import Runner
from training.streams import Stream
from training.table import Rows

COMPONENTS = (1, 20)
ALPHAS = (0.1, 0.05, 0.01, 0.001)
# Log-density of rows, nats, in columns of unit variance.
Score = Callable[[Rows], NDArray[np.float64]]


@dataclass(frozen=True, slots=True)
class Compared:
    """One density on the test rows.

    Attributes:
        name: What it is.
        nats: Mean log-likelihood of the test rows, standardised columns.
        standard_error: Of that mean.
        lowest: Log-likelihood of the worst test row, standardised columns.
        auroc: Separation of the labelled anomalies, as served; NaN where there are none.
    """

    name: str
    nats: float
    standard_error: float
    lowest: float
    auroc: float


@dataclass(frozen=True, slots=True)
class Subject:
    """A published bundle, its data, and its graph as a function of raw rows.

    Attributes:
        bundle: As read.
        prepared: Its data, divided as in training.
        log_prob: Of raw rows, in the user's units.
    """

    bundle: Bundle
    prepared: Prepared
    log_prob: Score

    @classmethod
    def read(cls, folder: Path) -> Subject:
        """Read a bundle whose data an installed package holds.

        Raises:
            ValueError: If it was trained on a file.
        BundleInvalidError: If it is no flow.
        """
        bundle = read_bundle(folder)
        manifest = expect_flow(bundle.manifest)
        recipe = Recipe.model_validate(manifest.provenance.recipe)
        if recipe.data is None:
            raise ValueError(f"{manifest.name} was trained on a file, not on a data set by name")
        if recipe.context:
            raise ValueError(f"{manifest.name} is conditional: mixtures know no context")
        steps = None if manifest.steps is None else manifest.steps.default
        run = Runner({"log_prob": bundle.graph("log_prob")}, steps)
        wide = manifest.graphs["log_prob"].inputs[0].datatype == "FP64"

        def log_prob(rows: Rows) -> NDArray[np.float64]:
            x = rows.astype(np.float64 if wide else np.float32)
            return run("log_prob", {"x": x})["log_prob"].astype(np.float64)

        return cls(bundle, prepare(recipe, load(recipe.data).without(recipe.drop)), log_prob)


def compare(subject: Subject) -> list[Compared]:
    """The bundle's own graph, a Gaussian, and a mixture of 20, all full covariance.

    Train and test rows, dequantisation noise and scaling are the same for all.
    """
    prepared = subject.prepared

    def flow(rows: Rows) -> NDArray[np.float64]:
        return subject.log_prob(rows) + prepared.columns.log_deviation()

    family = subject.bundle.manifest.family
    results = [_row(f"logdet {family}, served graph", flow, prepared)]
    for components in COMPONENTS:
        name = "Gaussian" if components == 1 else f"Gaussian mixture, {components} components"
        results.append(_row(name, _mixture(components, prepared), prepared))
    return results


def alarms(subject: Subject) -> list[tuple[float, float, float]]:
    """Shares of the test rows and of the anomalies that are flagged at each of :data:`ALPHAS`."""
    calibration, split = subject.bundle.calibration(), subject.prepared.split
    normal = calibration.p_value(subject.log_prob(split.test.rows))
    found = calibration.p_value(subject.log_prob(split.anomalies.rows))
    return [(a, float(np.mean(normal <= a)), float(np.mean(found <= a))) for a in ALPHAS]


def _mixture(components: int, prepared: Prepared) -> Score:
    """The log-density of a mixture fitted to the training rows, in columns of unit variance."""
    from sklearn.mixture import GaussianMixture

    deviation = np.array([column.deviation for column in prepared.columns.modelled])
    train = prepared.dequantised(prepared.split.train.rows, prepared.noise(Stream.BATCHES)).numpy()
    fitted = GaussianMixture(components, covariance_type="full", random_state=prepared.seed)
    fitted.fit(train / deviation)

    def score(rows: Rows) -> NDArray[np.float64]:
        scores = fitted.score_samples(prepared.modelled(rows).numpy() / deviation)
        return np.asarray(scores, dtype=np.float64)

    return score


def _row(name: str, score: Score, prepared: Prepared) -> Compared:
    from sklearn.metrics import roc_auc_score

    split = prepared.split
    nats = score(prepared.columns.dequantise(split.test.rows, prepared.noise(Stream.TEST)))
    auroc = float("nan")
    if len(split.anomalies):
        scores = np.concatenate([score(split.test.rows), score(split.anomalies.rows)])
        auroc = float(roc_auc_score(np.arange(len(scores)) >= len(split.test), -scores))
    error = float(nats.std(ddof=1) / np.sqrt(len(nats)))
    return Compared(name, float(nats.mean()), error, float(nats.min()), auroc)


def main(folder: Path) -> None:
    """Print the comparison and the alarms as tables in Markdown."""
    subject = Subject.read(folder)
    lines = [
        "| density | test nats, standardised | worst test row | AUROC of the anomalies |",
        "|---|--:|--:|--:|",
    ]
    lines += [
        f"| {row.name} | {row.nats:.3f} ± {row.standard_error:.3f} "
        f"| {row.lowest:.1f} | {row.auroc:.5f} |"
        for row in compare(subject)
    ]
    lines += ["", "| alpha | test rows flagged | anomalies flagged |", "|--:|--:|--:|"]
    lines += [f"| {a:g} | {normal:.4f} | {found:.4f} |" for a, normal, found in alarms(subject)]
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
