"""A flow whose bundle tells of its latents, and sketches of streams of known rows."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from exported.bundle import read_bundle, write_bundle
from exported.calibration import Calibration
from exported.calibration_summary import CalibrationSource
from exported.latents import LatentMoments
from exported.recalibration import recalibrated
from service.drift.sketch import Sketch
from service.drift.sums import Ordinary
from service.drift.windows import BLOCK_ROWS
from service.model import Model
from service.results import OK, Evaluated
from tests.bundles import CALIBRATION_ROWS, exact, ordinary_rows, write_gaussian

RATE = 0.01


def write_watched(root: Path, name: str = "watched", version: int = 1) -> Path:
    """Publish the Gaussian with the moments of the latents of its calibration rows."""
    with tempfile.TemporaryDirectory() as plain:
        bundle = read_bundle(write_gaussian(Path(plain), name, version))
    truth = exact(ordinary_rows(CALIBRATION_ROWS, seed=2))
    source = CalibrationSource(
        created="2026-01-01T00:00:00Z",
        command="tests/watched.py",
        version=version,
        data_name="gaussian",
        data_sha256="0" * 64,
        rows={"ok": CALIBRATION_ROWS},
    )
    latents = LatentMoments.of(bundle.manifest.base, truth.z)  # type: ignore[union-attr]
    manifest, contents = recalibrated(
        bundle, version, {"log_prob": truth.log_prob}, source, None, latents
    )
    return write_bundle(root, manifest, contents)


def calibrated(model: Model, seen: Evaluated, rate: float = RATE) -> Sketch:
    """Of a model, as if these rows had been its calibration rows."""
    moments = LatentMoments.of(model.manifest.base, seen.z[seen.status == OK])
    calibration = Calibration.of(seen.log_prob)
    return Sketch(
        Ordinary(replace(model, calibration=calibration, latents=moments)), rate, "watched/1"
    )


def drawn(population: Evaluated, rows: int, rng: np.random.Generator) -> Evaluated:
    """Rows of a population, independent of each other."""
    return taken(population, rng.integers(0, len(population.status), rows))


def taken(rows: Evaluated, which: NDArray[np.integer] | slice) -> Evaluated:
    """Some of the rows."""
    return Evaluated(*(column[which] for column in rows))


def show(sketch: Sketch, rows: Evaluated, at_once: int = BLOCK_ROWS) -> None:
    """Let the sketch see answers, so many of them in each request."""
    for start in range(0, len(rows.status), at_once):
        part = taken(rows, slice(start, start + at_once))
        sketch.saw(part.log_prob, part.z, part.status)
