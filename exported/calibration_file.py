"""``calibration.npz``: scores of calibration rows by name, of reference rows, and latents."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exported.arrays import write_arrays
from exported.calibration import Calibration
from exported.calibration_summary import CalibrationSummary
from exported.errors import BundleInvalidError
from exported.kinds import FlowManifest
from exported.latents import LatentMoments
from exported.scores import MAX_REFERENCE, PARTS, Floats, Reference, Scorer
from exported.trimming import Trimmed

Arrays = Mapping[str, NDArray[np.generic]]
# Before the name of a score, the array of the reference rows.
REFERENCE = "reference."


def write(
    calibrations: Mapping[str, Calibration],
    reference: Reference | None,
    latents: LatentMoments | None = None,
) -> bytes:
    """The file; equal scores give equal bytes."""
    arrays = {name: calibration.scores for name, calibration in calibrations.items()}
    if reference is not None:
        arrays |= {f"{REFERENCE}{name}": known for name, known in reference.scores.items()}
    if latents is not None:
        arrays |= latents.arrays()
    return write_arrays(arrays)


def described(
    first: Calibration,
    beside: Mapping[str, Calibration],
    trimmed: Trimmed | None,
    latents: LatentMoments | None,
) -> dict[str, Any]:
    """What a summary tells of the file's scores and latents.

    Args:
        first: The scores that decide where none is asked for.
        beside: Others of the same rows, by name.
        trimmed: What is told of rows that were left out.
        latents: Of every row in support, of a flow.

    Raises:
        ValueError: If no row is in support.
    """
    return {
        "rows": len(first.scores),
        "quantiles": first.quantiles(),
        "trimmed": trimmed,
        "scores": {name: known.quantiles() for name, known in beside.items()},
        "latent_rows": None if latents is None else latents.rows,
    }


def calibration_of(summary: CalibrationSummary, arrays: Arrays, name: str) -> Calibration:
    """The calibration of one score.

    Raises:
        BundleInvalidError: If it is not there, or not as the manifest says.
    """
    file, scores = summary.artifact.file, arrays.get(name)
    if scores is None:
        raise BundleInvalidError(f"{file} has no array {name!r}")
    if scores.shape != (summary.rows,):
        raise BundleInvalidError(
            f"{file} has scores of shape {scores.shape}, expected ({summary.rows},)"
        )
    try:
        return Calibration.of(scores.astype(np.float64))
    except ValueError as error:
        raise BundleInvalidError(f"{file}: {error}") from error


def scorer_of(manifest: FlowManifest, arrays: Arrays) -> Scorer:
    """What gives the scores beside log_prob.

    Raises:
        BundleInvalidError: If the reference scores that they need are not there, or cannot be.
    """
    summary = manifest.calibration
    names = tuple(summary.scores)
    if summary.reference is None:
        return Scorer(manifest.base, names)
    file = summary.artifact.file
    scores = {name: _reference(file, arrays, f"{REFERENCE}{name}") for name in PARTS}
    return Scorer(manifest.base, names, Reference(summary.reference.mean_log_prob, scores))


def _reference(file: str, arrays: Arrays, name: str) -> Floats:
    found = arrays.get(name)
    if found is None:
        raise BundleInvalidError(f"{file} has no array {name!r}")
    if found.ndim != 1 or not 1 <= len(found) <= MAX_REFERENCE:
        raise BundleInvalidError(
            f"{file} has {name!r} of shape {found.shape}, expected 1 to {MAX_REFERENCE} scores"
        )
    scores = found.astype(np.float64)
    if not np.isfinite(scores[-1]) or not (scores[1:] >= scores[:-1]).all():
        raise BundleInvalidError(
            f"expected {name!r} of {file} to ascend to a finite score without NaN"
        )
    return scores
