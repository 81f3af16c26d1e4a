"""The next version of a bundle: what changes and what must not."""

import hashlib
from pathlib import Path

import numpy as np
import pytest

from exported.bundle import read_bundle, write_bundle
from exported.calibration_summary import CalibrationSource
from exported.origin import now, rows_sha256
from exported.recalibration import recalibrated
from exported.trimming import trim

SOURCE = CalibrationSource(
    created="2026-01-01T00:00:00+00:00",
    command="logdet calibrate example --data june.csv",
    version=3,
    data_name="june.csv",
    data_sha256="1" * 64,
    rows={"ok": 4, "out_of_support": 1},
)


def test_only_the_version_and_the_calibration_change(folder: Path) -> None:
    before = read_bundle(folder)
    scores = np.array([2.0, -np.inf, 1.0, 4.0])
    _, trimmed = trim(np.append(scores, -np.inf), 0.2)
    manifest, contents = recalibrated(before, 4, {"log_prob": scores}, SOURCE, trimmed)
    after = read_bundle(write_bundle(folder.parent.parent, manifest, contents))
    np.testing.assert_array_equal(after.calibration().scores, [-np.inf, 1.0, 2.0, 4.0])
    summary = after.manifest.calibration
    assert (summary.source, summary.trimmed, summary.rows) == (SOURCE, trimmed, 4)
    assert summary.quantiles["0.5"] == 2.0
    same = before.manifest.model_dump(exclude={"version", "calibration"})
    assert after.manifest.model_dump(exclude={"version", "calibration"}) == same
    file = summary.artifact.file
    assert {k: v for k, v in after.contents.items() if k != file} == {
        k: v for k, v in before.contents.items() if k != file
    }


def test_scores_of_which_none_is_in_support_are_refused(folder: Path) -> None:
    with pytest.raises(ValueError, match="expected calibration rows in support, got none"):
        recalibrated(read_bundle(folder), 4, {"log_prob": np.array([-np.inf])}, SOURCE)


def test_a_manifest_that_says_nothing_of_a_source_is_of_training(folder: Path) -> None:
    calibration = read_bundle(folder).manifest.calibration
    assert (calibration.source, calibration.trimmed) == (None, None)


def test_a_digest_is_of_names_and_numbers() -> None:
    rows = np.array([[1.0, 2.0], [3.0, 4.0]])
    expected = hashlib.sha256(b"a\x1fb" + rows.tobytes()).hexdigest()
    assert rows_sha256(["a", "b"], rows) == expected
    assert rows_sha256(["a", "b"], rows[:1], rows[1:]) == expected
    assert rows_sha256(["a", "c"], rows) != expected
    assert now().endswith("+00:00")
