"""``logdet plot`` of VAEs and autoencoders."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

from exported.bounds import DepthChoices
from logdet.files import write_table
from logdet.plots.latent_scene import LatentScene, latent_scene
from logdet.plots.picture import paint, title
from logdet.plots.scene import Draw, choose_axes
from service.kinds import load
from service.runtime import Runtime
from tests.bundles import NAMES
from tests.latents import write_each_kind
from tests.linear_gaussian import OFFERED, exact_gap, exact_mean, exact_rows, rows
from tests.terminal import Run

DRAW = Draw(50, 0)
TRADE_OFF = "held-out bounds by the posterior's depth"


@pytest.fixture
def bundles(tmp_path: Path) -> Path:
    """See :func:`write_each_kind`."""
    return write_each_kind(tmp_path / "bundles")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Rows of which one is incomplete."""
    x = rows(40)
    x[3, 0] = np.nan
    path = tmp_path / "rows.npz"
    write_table(path, dict(zip(NAMES, x.T, strict=True)))
    return path


def shown(bundles: Path, name: str, file: Path | None, features: int = 3) -> LatentScene:
    """A scene of the model, of so many features as if it had no others that vary."""
    model: Any = load(bundles / name / "1", Runtime.choose("cpu", sessions=1))
    columns = [f.model_copy(update={"role": "constant"}) for f in model.manifest.features]
    columns[:features] = model.manifest.features[:features]
    manifest = model.manifest.model_copy(update={"features": tuple(columns)})
    model = dataclasses.replace(model, manifest=manifest)
    return latent_scene(model, DRAW, choose_axes(model, None), file)


def titles(figure: Figure) -> list[str]:
    return [axes.get_title() for axes in figure.axes if axes.get_title()]


@pytest.mark.parametrize("name", ["vae", "plain", "auto"])
def test_every_kind_has_a_picture_with_data(
    run: Run, file: Path, tmp_path: Path, name: str
) -> None:
    output = tmp_path / "p.png"
    result = run("plot", name, "-o", output, "--samples", 60, "--data", file)
    assert result.exit_code == 0, result.output
    assert result.stdout == f"drew {name}/1 into {output}\n"
    assert result.stderr == "logdet: left out 1 rows of rows.npz that are not ok\n"
    pixels = imread(output)
    assert min(pixels.shape[:2]) > 400
    assert 0.01 < (pixels[..., :3].mean(axis=2) < 0.9).mean() < 0.9


def test_bounds_are_shown_against_the_time_of_each_depth(bundles: Path) -> None:
    *_, upper, lower = paint(shown(bundles, "vae", None)).axes
    (bound,), (elbo,) = upper.lines, lower.lines
    milliseconds = [1.0 + depth for depth in OFFERED]
    assert list(bound.get_xdata()) == list(elbo.get_xdata()) == milliseconds
    assert list(bound.get_ydata()) == [-6.0] * 3
    assert list(elbo.get_ydata()) == pytest.approx([-6.0 - exact_gap(d) for d in OFFERED])
    for axes in (upper, lower):
        assert [text.get_text() for text in axes.texts] == ["0", "1", "2"]
    assert upper.get_title().startswith(TRADE_OFF)
    assert lower.get_xlabel() == "milliseconds a row of 100 samples"


def test_there_is_no_trade_off_without_a_choice(bundles: Path) -> None:
    scene = shown(bundles, "vae", None)
    one = DepthChoices(default=0, offered=scene.model.manifest.depth.offered[:1])
    manifest = scene.model.manifest.model_copy(update={"depth": one})
    alone = dataclasses.replace(scene, model=dataclasses.replace(scene.model, manifest=manifest))
    for figure in (paint(shown(bundles, "plain", None)), paint(alone)):
        assert not any(said.startswith(TRADE_OFF) for said in titles(figure))


@pytest.mark.parametrize(("name", "made"), [("plain", "samples"), ("auto", "reconstructions")])
def test_one_or_two_features_lie_over_what_the_model_makes(
    bundles: Path, file: Path, name: str, made: str
) -> None:
    (line,) = paint(shown(bundles, name, file, 1)).axes
    assert line.get_title() == f"{made} and data"
    assert line.get_ylabel() == "density (per bar)"
    assert [text.get_text() for text in line.get_legend().get_texts()] == [made, "rows.npz"]
    (plane,) = paint(shown(bundles, name, file, 2)).axes
    below, above = plane.collections
    assert (below.get_label(), above.get_label()) == (made, "rows.npz")
    assert len(below.get_offsets()) == len(above.get_offsets()) == 39


def test_images_are_samples_and_originals_over_reconstructions(bundles: Path, file: Path) -> None:
    scene = shown(bundles, "vae", file)
    figure = paint(scene, (2, 2, 1))
    assert titles(figure) == [
        "samples",
        "rows.npz over reconstructions",
        f"{TRADE_OFF}\n± 0.1 nats over rows",
    ]
    sheet, pairs = (np.asarray(axes.images[0].get_array()) for axes in figure.axes[:2])
    assert sheet.shape == (7 * 3 - 1, 8 * 3 - 1, 3)
    assert pairs.shape == (4 * 6 + 3 * 1 - 1, 8 * 3 - 1, 3)
    x = np.delete(rows(40), 3, axis=0)
    ends = [f.training_range for f in scene.model.manifest.features]
    low, high = min(low for low, _ in ends), max(high for _, high in ends)
    for place, originals in ((0, x), (3, exact_rows(exact_mean(x)))):
        for down, first in ((place, 0), (place + 7, 8)):
            brightness = np.clip((originals[first] - low) / (high - low), 0.0, 1.0)
            tile = pairs[down : down + 2, :2, 0]
            np.testing.assert_allclose(tile, brightness.reshape(2, 2), atol=1e-5)
    assert (pairs[6] == 1.0).all()


def test_images_of_an_autoencoder_are_pairs_alone(bundles: Path, tmp_path: Path) -> None:
    path = tmp_path / "few.npz"
    write_table(path, dict(zip(NAMES, rows(3).T, strict=True)))
    scene = shown(bundles, "auto", path)
    figure = paint(scene, (2, 2, 1))
    assert titles(figure) == ["few.npz over reconstructions"]
    assert np.asarray(figure.axes[0].images[0].get_array()).shape == (5, 3 * 3 - 1, 3)
    assert title(scene, typical=True, images=True) == (
        "auto/1 (autoencoder): 3 rows and what comes back of them"
    )


def test_a_vae_of_images_is_drawn_as_such_by_the_command(
    run: Run, bundles: Path, tmp_path: Path
) -> None:
    path = bundles / "vae" / "1" / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"image": [2, 2, 1]}))
    result = run("plot", "vae", "-o", tmp_path / "p.png", "--samples", 70)
    assert result.exit_code == 0, result.output
    result = run("plot", "vae", "-o", tmp_path / "p.png", "--features", "flow")
    assert "expected no --features, as vae is drawn as images" in result.stderr


# name: (arguments, words)
WRONG = {
    "an autoencoder without rows": (("auto",), "expected --data FILE, as auto is an autoencoder"),
    "steps": (("vae", "--steps", 4), "expected no --steps, as vae has no solver, got 4"),
    "a context": (("vae", "--context", "a=1"), "as vae has no context features"),
    "a constant": (("vae", "--features", "site"), "'site'"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_drawn_is_refused_in_one_line(run: Run, tmp_path: Path, name: str) -> None:
    args, words = WRONG[name]
    result = run("plot", *args, "-o", tmp_path / "p.png")
    assert result.exit_code == 1
    assert words in result.stderr
    assert result.stderr.count("\n") == 1


def test_rows_none_of_which_is_ok_are_refused(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "rows.npz"
    write_table(path, {name: np.array([np.nan]) for name in NAMES})
    for name in ("vae", "auto"):
        result = run("plot", name, "-o", tmp_path / "p.png", "--data", path)
        assert "none of the 1 rows of rows.npz is ok under this model" in result.stderr
