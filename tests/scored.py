"""The Gaussian of :mod:`tests.bundles` with every score, against a wider one as background."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exported.background import with_background
from exported.bundle import Bundle, describe_file, read_bundle, write_bundle
from exported.calibration_file import write
from exported.calibration_summary import CalibrationSource, ReferenceSummary
from exported.recalibration import recalibrated
from exported.scores import Reference
from tests.bundles import CALIBRATION_ROWS, COVARIANCE, MEAN, exact, ordinary_rows, write_gaussian

Rows = NDArray[np.float64]
BESIDE = ("typicality", "latent_norm", "likelihood_ratio", "combined")
NAMED = ("log_prob", *BESIDE)
REFERENCE_ROWS = 500
# Where the background has its mean.
ELSEWHERE = MEAN + np.array([6.0, -3.0, 10.0])
SOURCE = {
    "created": "2026-01-01T00:00:00+00:00",
    "command": "tests/scored.py",
    "version": 1,
    "data_name": "gaussian",
    "data_sha256": "1" * 64,
    "rows": {"ok": CALIBRATION_ROWS},
}


def reference_log_prob() -> Rows:
    """Of the reference rows, by the formula."""
    return exact(ordinary_rows(REFERENCE_ROWS, seed=3)).log_prob


def truth(x: Rows) -> dict[str, Rows]:
    """Every score by its formula and plain loops, but for the one that combines them."""
    log_prob = exact(x).log_prob
    return {
        "log_prob": log_prob,
        "typicality": -np.abs(log_prob - reference_log_prob().mean()),
        "latent_norm": -np.array([mahalanobis(row) for row in x[:, :3] + [0, 0, 0.5] - MEAN]),
        "likelihood_ratio": log_prob - exact(x, ELSEWHERE).log_prob,
    }


def mahalanobis(row: Rows) -> float:
    """Squared distance of a row from the mean, in the metric of the covariance."""
    return float(row @ np.linalg.solve(COVARIANCE, row))


def combined(parts: Mapping[str, Rows], known: Mapping[str, Rows]) -> Rows:
    """Fisher's statistic by a plain loop, of rows that no reference row is under."""
    names = ("log_prob", "typicality", "latent_norm")
    rows = len(parts["log_prob"])
    return np.array(
        [
            sum(np.log((1 + (known[n] <= parts[n][i]).sum()) / (len(known[n]) + 1)) for n in names)
            for i in range(rows)
        ]
    )


def with_reference(bundle: Bundle) -> Bundle:
    """The bundle as training would have published it with its reference rows."""
    answer = exact(ordinary_rows(REFERENCE_ROWS, seed=3))
    reference = Reference.of(bundle.manifest.base, answer.log_prob, answer.z)
    summary = bundle.manifest.calibration
    file, content = summary.artifact.file, write({"log_prob": bundle.calibration()}, reference)
    told = ReferenceSummary(rows=REFERENCE_ROWS, mean_log_prob=reference.mean_log_prob)
    update = {"artifact": describe_file(file, content), "reference": told}
    changed = summary.model_copy(update=update)
    manifest = bundle.manifest.model_copy(update={"calibration": changed})
    return replace(bundle, manifest=manifest, contents={**bundle.contents, file: content})


def write_scored(root: Path, name: str = "scored", version: int = 1) -> Path:
    """Publish it; what calibrates it is as :mod:`tests.bundles` has it."""
    with tempfile.TemporaryDirectory() as folder:
        mine = read_bundle(write_gaussian(Path(folder), name, version))
        other = read_bundle(write_gaussian(Path(folder), "background", mean=ELSEWHERE))
    bundle = with_background(with_reference(mine), other)
    x = ordinary_rows(CALIBRATION_ROWS, seed=2)
    scorer = bundle.scorer()
    answer, background = exact(x), exact(x, ELSEWHERE).log_prob
    made: Any = replace(scorer, names=BESIDE)
    scores = {"log_prob": answer.log_prob, **made(answer.log_prob, answer.z, background)}
    source = CalibrationSource.model_validate(SOURCE)
    manifest, contents = recalibrated(bundle, version, scores, source)
    return write_bundle(root, manifest, contents)
