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

from exported.bundle import read_bundle
from training.datasets import load
from training.prepared import STREAM_BATCHES, STREAM_TEST, Prepared, prepare
from training.recipes import Recipe
from training.runner import Runner
from training.table import Rows

COMPONENTS = (1, 20)


@dataclass(frozen=True, slots=True)
class Compared:
    """One density on the test rows.

    Attributes:
        name: What it is.
        nats: Mean log-likelihood of the test rows, standardised columns.
        standard_error: Of that mean.
        auroc: Separation of the labelled anomalies, as served; NaN where there are none.
    """

    name: str
    nats: float
    standard_error: float
    auroc: float


def compare(folder: Path) -> list[Compared]:
    """The bundle's own graph, a Gaussian, and a mixture of 20, all full covariance.

    Train and test rows, dequantisation noise and scaling are the same for all.

    Raises:
        ValueError: If the bundle was trained on data that no installed package holds.
    """
    from sklearn.mixture import GaussianMixture

    bundle = read_bundle(folder)
    recipe = Recipe.model_validate(bundle.manifest.provenance.recipe)
    if recipe.data is None:
        raise ValueError(
            f"{bundle.manifest.name} was trained on a file, not on a data set by name"
        )
    prepared = prepare(recipe, load(recipe.data).without(recipe.drop))
    run = Runner({"log_prob": bundle.graph("log_prob")})
    deviation = np.array([column.deviation for column in prepared.columns.modelled])

    def flow(rows: Rows) -> NDArray[np.float64]:
        wide = bundle.manifest.graphs["log_prob"].inputs[0].datatype == "FP64"
        x = rows.astype(np.float64 if wide else np.float32)
        nats = run("log_prob", {"x": x})["log_prob"].astype(np.float64)
        return np.asarray(nats + np.log(deviation).sum(), dtype=np.float64)

    results = [_row(f"logdet {recipe.model.family}, served graph", flow, prepared)]
    noise = prepared.noise(STREAM_BATCHES, 0)
    train = prepared.dequantised(prepared.split.train, noise).numpy() / deviation
    for components in COMPONENTS:
        mixture = GaussianMixture(components, covariance_type="full", random_state=recipe.seed)
        mixture.fit(train)

        def score(rows: Rows, fitted: GaussianMixture = mixture) -> NDArray[np.float64]:
            scores: NDArray[np.float64] = fitted.score_samples(
                prepared.modelled(rows).numpy() / deviation
            )
            return scores

        name = "Gaussian" if components == 1 else f"Gaussian mixture, {components} components"
        results.append(_row(name, score, prepared))
    return results


def _row(name: str, score: Callable[[Rows], NDArray[np.float64]], prepared: Prepared) -> Compared:
    from sklearn.metrics import roc_auc_score

    split = prepared.split
    nats = score(prepared.columns.dequantise(split.test, prepared.noise(STREAM_TEST)))
    auroc = float("nan")
    if len(split.anomalies):
        scores = np.concatenate([score(split.test), score(split.anomalies)])
        auroc = float(roc_auc_score(np.arange(len(scores)) >= len(split.test), -scores))
    error = float(nats.std(ddof=1) / np.sqrt(len(nats)))
    return Compared(name, float(nats.mean()), error, auroc)


def main(folder: Path) -> None:
    """Print the comparison as a table in Markdown."""
    lines = ["| density | test nats, standardised | AUROC of the anomalies |", "|---|--:|--:|"]
    lines += [
        f"| {row.name} | {row.nats:.3f} ± {row.standard_error:.3f} | {row.auroc:.5f} |"
        for row in compare(folder)
    ]
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
