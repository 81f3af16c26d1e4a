"""Fresh rows become the calibration of the next version of a bundle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from exported.background import with_background
from exported.bundle import Bundle, locate, read_bundle, versions, write_bundle
from exported.calibration_summary import CalibrationSource
from exported.kinds import AnyManifest, FlowManifest
from exported.origin import now, rows_sha256
from exported.recalibration import recalibrated
from exported.trimming import trim
from logdet.beside import Given
from logdet.errors import UserError
from logdet.every_score import EveryScore, every_score
from logdet.scoring import status_counts
from logdet.text import command_line
from logdet.two_samples import Difference, kolmogorov_smirnov
from service.kinds import AnyModel
from service.model import Model
from service.results import OK, OUT_OF_SUPPORT, STATUSES, Decision


@dataclass(frozen=True, slots=True)
class Recalibrated:
    """What was published, beside what it was made from.

    Attributes:
        folder: Of the new version.
        before: The bundle that the graphs are from.
        after: The new version.
        decision: Of the version before about the rows that have a score, trimmed ones too.
        differences: Of each of its scores by name, of theirs from its calibration scores.
    """

    folder: Path
    before: Bundle
    after: Bundle
    decision: Decision
    differences: Mapping[str, Difference]


def calibrate(
    root: Path, model: AnyModel, given: Given, share: float, background: Model | None = None
) -> Recalibrated:
    """Score rows as the service does and publish them as the calibration of the next version.

    Args:
        root: Folder that holds the bundle, for the new version too.
        model: The bundle, running.
        given: Rows that took no part in training or in the choice of the model.
        share: Of the rows that have a score, to be left out because theirs are the lowest.
        background: Another flow of the same rows, of a bundle beside it: for a likelihood ratio.

    Raises:
        UserError: If they are the rows of the training, or none is in support.
        BundleError: If the new version cannot be published, or the background is of other rows.
    """
    manifest = model.manifest
    bundle = read_bundle(locate(root, manifest.name, manifest.version))
    graphs = bundle if background is None else _beside(root, bundle, background.manifest)
    digest = _digest_of_others(given, manifest)
    scores = every_score(model, given.x, given.context, background)
    by_name = _that_count(scores, manifest)
    values = by_name[manifest.SCORES]
    decision = model.decide(values)
    kept, trimmed = trim(values, share)
    counts = np.bincount(scores.status, minlength=len(STATUSES)).tolist()
    source = CalibrationSource(
        created=now(),
        command=command_line(),
        version=manifest.version,
        data_name=given.frame.source,
        data_sha256=digest,
        rows=dict(zip(STATUSES, counts, strict=True)),
    )
    version = versions(root, manifest.name)[-1] + 1
    left = {name: scores[kept] for name, scores in by_name.items()}
    after, contents = recalibrated(graphs, version, left, source, trimmed, scores.latents)
    folder = write_bundle(root, after, contents)
    made = read_bundle(folder)
    return Recalibrated(folder, bundle, made, decision, _differences(by_name, bundle))


def _digest_of_others(given: Given, manifest: AnyManifest) -> str:
    """Digest of the rows as training takes it: of the model's columns in the file's order."""
    order = [name for name in given.frame.names if name in given.names]
    columns = [given.names.index(name) for name in order]
    digest = rows_sha256(order, given.table[:, columns])
    if digest == manifest.provenance.data_sha256:
        raise UserError(
            f"expected rows that took no part in the training of {manifest.name}, got "
            f"{given.frame.source}, the rows that it was trained on (equal digests): p-values "
            "of other rows would be too small"
        )
    return digest


def _beside(root: Path, bundle: Bundle, background: FlowManifest) -> Bundle:
    return with_background(bundle, read_bundle(locate(root, background.name, background.version)))


def _that_count(scores: EveryScore, manifest: AnyManifest) -> dict[str, NDArray[np.float64]]:
    """By name, the scores of the rows that have them, -inf among them."""
    if not (scores.status == OK).any():
        raise UserError(
            f"expected rows in the support of {manifest.name} to calibrate it with, got "
            f"{len(scores.status):,}: {status_counts(scores.status)}"
        )
    counts = (scores.status == OK) | (scores.status == OUT_OF_SUPPORT)
    found = {name: values[counts].astype(np.float64) for name, values in scores.scores.items()}
    for name, values in found.items():
        if not np.isfinite(values).any():
            raise UserError(
                f"expected rows that have a {name} to calibrate {manifest.name} with, got none"
            )
    return found


def _differences(
    by_name: Mapping[str, NDArray[np.float64]], bundle: Bundle
) -> dict[str, Difference]:
    """Of scores from the bundle's own; where these were trimmed, as many of the others are."""
    before = bundle.manifest.calibration.trimmed
    kept, _ = trim(by_name[bundle.manifest.SCORES], before.share if before else 0.0)
    return {
        name: kolmogorov_smirnov(by_name[name][kept], known.scores)
        for name, known in bundle.calibrations().items()
    }
