"""``logdet models``."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from logdet import cli
from tests.bundles import write_gaussian
from tests.latents import write_autoencoder, write_vae
from tests.terminal import Run, lines


def test_models_shows_the_newest_version_of_each_name(run: Run, bundles: Path) -> None:
    write_gaussian(bundles, name="other")
    header, gauss, other = lines(run("models").stdout)
    assert header[:3] == ["name", "versions", "family"]
    assert gauss[:8] == ["gauss", "1,2", "gaussian", "4", "exact", "-6.000", "±", "0.100"]
    assert gauss[8] == "999"
    assert other[:2] == ["other", "1"]


def test_models_says_what_a_bound_is_and_what_has_none(run: Run, bundles: Path) -> None:
    write_vae(bundles)
    write_autoencoder(bundles)
    _, auto, _, vae = lines(run("models").stdout)
    assert auto[4:6] == ["none", "none"]
    assert vae[4:9] == ["lower_bound", "≥", "-6.000", "±", "0.100"]


def test_models_tells_of_a_bundle_it_cannot_read(run: Run, bundles: Path) -> None:
    write_gaussian(bundles, name="broken")
    (bundles / "broken" / "1" / "manifest.json").write_text("{")
    result = run("models")
    assert result.exit_code == 0
    assert "gauss" in result.stdout
    assert "broken/1 is refused: manifest.json is not JSON" in result.stderr


def test_models_lists_a_damaged_bundle_without_reading_its_graphs(run: Run, bundles: Path) -> None:
    (bundles / "gauss" / "2" / "log_prob.onnx").write_bytes(b"")
    result = run("models")
    assert result.exit_code == 0
    assert lines(result.stdout)[1][:2] == ["gauss", "1,2"]


def test_models_without_bundles_says_how_to_get_one(run: Run, tmp_path: Path) -> None:
    result = run("models", "--bundles", tmp_path)
    assert result.exit_code == 1
    assert "logdet train makes one" in result.stderr


def test_bundles_are_those_of_the_working_folder(
    bundles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "exported").mkdir()
    bundles.rename(tmp_path / "exported" / "bundles")
    monkeypatch.delenv("LOGDET_BUNDLES", raising=False)
    monkeypatch.chdir(tmp_path)
    assert "gauss" in CliRunner().invoke(cli.main, ["models"]).stdout
