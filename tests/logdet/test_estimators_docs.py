"""The code of docs/scikit-learn.md, run as a reader would run it."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from exported.bundle import read_bundle
from tests.engines import embedded

PAGE = Path(__file__).parents[2] / "docs" / "scikit-learn.md"


@pytest.mark.slow  # the bundle is exported and measured in full
def test_the_page_runs_from_the_fit_to_the_service(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    *local, remote = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert "RemoteDensity" in remote
    names: dict[str, object] = {}
    exec("\n".join(local), names)  # noqa: S102  the page is ours
    with embedded(tmp_path / "bundles") as running:
        exec(remote.replace("http://127.0.0.1:8000", running.url), names)  # noqa: S102
        density, served, rows = (names[name] for name in ("density", "served", "malignant"))
        there = served.score_samples(rows)
    here = density.score_samples(rows)
    manifest = read_bundle(tmp_path / "bundles" / "tumours" / "1").manifest
    np.testing.assert_allclose(there, here, rtol=1e-4, atol=4 * manifest.density_tolerance)
    assert served.offset_ == pytest.approx(density.offset_, abs=4 * manifest.density_tolerance)
    assert (density.predict(rows) == -1).mean() > 4 * density.alpha_
    assert [feature.name for feature in manifest.features] == list(rows.columns)
