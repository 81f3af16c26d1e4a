"""The next version of a bundle: its graphs and golden rows, and scores of other rows."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from exported.bundle import Bundle, describe_file
from exported.calibration import Calibration
from exported.calibration_file import described, write
from exported.calibration_summary import CalibrationSource, CalibrationSummary
from exported.kinds import AnyManifest, FlowManifest
from exported.latents import LatentMoments
from exported.trimming import Trimmed


def recalibrated(
    bundle: Bundle,
    version: int,
    scores: Mapping[str, NDArray[np.floating]],
    source: CalibrationSource,
    trimmed: Trimmed | None = None,
    latents: LatentMoments | None = None,
) -> tuple[AnyManifest, Mapping[str, bytes]]:
    """The manifest and the contents of that version; every other file is as it was.

    Args:
        bundle: Where the graphs are from.
        version: Of the same name.
        scores: By name, the first and those beside it, of the rows that are left, as the bundle's
            graphs give them; -inf out of support.
        source: Where the rows came from.
        trimmed: What is told of those that were left out for their scores.
        latents: Of every row in support, of a flow.

    Raises:
        ValueError: If no row is in support.
    """
    manifest, known = bundle.manifest, bundle.manifest.calibration
    found = {name: Calibration.of(values) for name, values in scores.items()}
    beside = {name: one for name, one in found.items() if name != manifest.SCORES}
    reference = bundle.scorer().reference if isinstance(manifest, FlowManifest) else None
    content = write(found, reference, latents)
    summary = CalibrationSummary(
        artifact=describe_file(known.artifact.file, content),
        source=source,
        reference=known.reference,
        **described(found[manifest.SCORES], beside, trimmed, latents),
    )
    changed = manifest.model_copy(update={"version": version, "calibration": summary})
    return changed, {**bundle.contents, known.artifact.file: content}
