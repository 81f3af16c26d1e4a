"""The next version of a bundle: its graphs and golden rows, and scores of other rows."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from exported.arrays import write_arrays
from exported.bundle import Bundle, describe_file
from exported.calibration import Calibration
from exported.kinds import AnyManifest
from exported.latents import LatentMoments
from exported.manifest import CalibrationSource, CalibrationSummary
from exported.trimming import Trimmed


def recalibrated(
    bundle: Bundle,
    version: int,
    scores: NDArray[np.floating],
    source: CalibrationSource,
    trimmed: Trimmed | None = None,
    latents: LatentMoments | None = None,
) -> tuple[AnyManifest, Mapping[str, bytes]]:
    """The manifest and the contents of that version; every other file is as it was.

    Args:
        bundle: Where the graphs are from.
        version: Of the same name.
        scores: Of the rows that are left, as the bundle's graphs give them; -inf out of support.
        source: Where the rows came from.
        trimmed: What is told of those that were left out for their scores.
        latents: Of every row in support, of a flow.

    Raises:
        ValueError: If no row is in support.
    """
    manifest, calibration = bundle.manifest, Calibration.of(scores)
    file = manifest.calibration.artifact.file
    moments = {} if latents is None else latents.arrays()
    content = write_arrays({manifest.SCORES: calibration.scores, **moments})
    summary = CalibrationSummary(
        artifact=describe_file(file, content),
        rows=len(calibration.scores),
        quantiles=calibration.quantiles(),
        trimmed=trimmed,
        source=source,
        latent_rows=None if latents is None else latents.rows,
    )
    changed = manifest.model_copy(update={"version": version, "calibration": summary})
    return changed, {**bundle.contents, file: content}
