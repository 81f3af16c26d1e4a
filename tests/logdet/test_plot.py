"""``logdet plot``: pictures are there, of a sensible size, and not empty."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from logdet.files import write_table
from logdet.frame import Image
from logdet.plots import ranges, style
from logdet.plots.flow_scene import Encoded, FlowScene, drawn
from logdet.plots.picture import paint, title
from logdet.plots.scene import Draw, choose_axes
from service.model import Model
from service.runtime import Runtime
from tests.bundles import NAMES, ordinary_rows
from tests.independent import CENTRE, SCALE, write_independent
from tests.terminal import Run
from tests.variants import write_conditional, write_stepped


def picture(path: Path) -> np.ndarray:
    """The pixels of a PNG that is neither blank nor tiny."""
    assert path.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    pixels = imread(path)
    assert min(pixels.shape[:2]) > 400
    assert max(pixels.shape[:2]) < 3000
    shades = pixels[..., :3].mean(axis=2)
    assert 0.01 < (shades < 0.9).mean() < 0.9
    return pixels


def load(root: Path, features: int) -> Model:
    write_independent(root, f"n{features}", features)
    return Model.load(root / f"n{features}" / "1", Runtime.choose("cpu", sessions=1))


@pytest.mark.parametrize("features", [1, 2, 3, 8])
def test_every_number_of_features_has_a_picture(run: Run, bundles: Path, features: int) -> None:
    write_independent(bundles, "many", features)
    output = bundles / "p.png"
    result = run("plot", "many", "-o", output, "--samples", 300)
    assert result.exit_code == 0, result.output
    assert result.stdout == f"drew many/1 into {output}\n"
    picture(output)


def test_a_density_of_one_feature_is_drawn_as_it_is(bundles: Path) -> None:
    model = load(bundles, 1)
    draw = Draw(500, 0, None, None)
    figure = paint(FlowScene(model, draw, (0,), drawn(model, draw), None))
    left, right = figure.axes
    (curve,), (base,) = left.lines, right.lines
    x, y = curve.get_data()
    normal = np.exp(-0.5 * ((x - CENTRE) / SCALE) ** 2) / (SCALE * np.sqrt(2.0 * np.pi))
    np.testing.assert_allclose(y, normal, rtol=1e-4)
    z, height = base.get_data()
    np.testing.assert_allclose(height, np.exp(-0.5 * z**2) / np.sqrt(2.0 * np.pi), rtol=1e-6)
    assert left.get_xlabel() == "a (bar)"
    assert left.get_ylabel() == "density (per bar)"


def test_a_density_of_two_features_has_its_mass_in_the_picture(bundles: Path) -> None:
    model = load(bundles, 2)
    draw = Draw(4000, 0, None, None)
    scene = FlowScene(model, draw, (0, 1), drawn(model, draw), None)
    image = paint(scene).axes[0].collections[0]
    area = np.prod([np.diff(ranges.span(scene, axis))[0] for axis in (0, 1)])
    assert image.get_array().mean() * area == pytest.approx(1.0, abs=0.02)


def test_rows_of_a_file_are_shown_beside_the_samples(
    run: Run, rows_file: Path, tmp_path: Path
) -> None:
    alone, beside = tmp_path / "a.png", tmp_path / "b.png"
    run("plot", "gauss", "-o", alone, "--samples", 300)
    result = run("plot", "gauss", "-o", beside, "--samples", 300, "--data", rows_file)
    assert result.exit_code == 0, result.output
    assert not np.array_equal(picture(alone), picture(beside))


@pytest.mark.parametrize("features", [2, 3])
def test_rows_of_a_file_lie_over_as_many_samples(bundles: Path, features: int) -> None:
    model = load(bundles, features)
    draw = Draw(500, 0, None, None)
    points = drawn(model, draw)
    data = Encoded("rows.csv", points.x[:200], 0, points.z[:200])
    scene = FlowScene(model, draw, choose_axes(model, None), points, data)
    below, above = paint(scene).axes[1 if features == 2 else 3].collections
    assert (below.get_label(), above.get_label()) == ("samples", "rows.csv")
    assert len(below.get_offsets()) == len(above.get_offsets()) == 200
    assert not np.array_equal(below.get_facecolor(), above.get_facecolor())


def test_latents_of_a_uniform_base_lie_in_its_square(bundles: Path) -> None:
    write_independent(bundles, "n2", 2)
    path = bundles / "n2" / "1" / "manifest.json"
    base = {"distribution": "uniform", "draws_per_row": 2}
    path.write_text(json.dumps(json.loads(path.read_text()) | {"base": base}))
    model = Model.load(path.parent, Runtime.choose("cpu", sessions=1))
    z = np.random.default_rng(0).uniform(size=(300, 2))
    scene = FlowScene(
        model, Draw(300, 0, None, None), (0, 1), Encoded("samples", CENTRE + SCALE * z, 0, z), None
    )
    latents = paint(scene).axes[2]
    (square,) = latents.lines
    assert set(square.get_xdata()) == set(square.get_ydata()) == {0, 1}
    assert square.get_label() == "base: uniform in the unit square"
    assert -0.1 < latents.get_xlim()[0] < 0.0
    assert 1.0 < latents.get_xlim()[1] < 1.1


def test_rows_without_a_density_are_left_out_and_told(run: Run, tmp_path: Path) -> None:
    x = ordinary_rows(20)
    x[3, 0] = np.nan
    write_table(tmp_path / "rows.npz", {name: x[:, j] for j, name in enumerate(NAMES)})
    output = tmp_path / "p.png"
    result = run("plot", "gauss", "-o", output, "--samples", 50, "--data", tmp_path / "rows.npz")
    assert result.stderr == "logdet: left out 1 rows of rows.npz that are not ok\n"
    picture(output)


def test_constants_are_not_shown_and_features_may_be_chosen(run: Run, bundles: Path) -> None:
    model = Model.load(bundles / "gauss" / "2", Runtime.choose("cpu", sessions=1))
    assert choose_axes(model, None) == (0, 1, 2)
    assert choose_axes(model, ["count", "flow"]) == (2, 1)
    output = bundles / "p.png"
    assert run("plot", "gauss", "-o", output, "--features", "count").exit_code == 0
    picture(output)


@pytest.mark.parametrize("ending", ["svg", "PDF", "jpg"])
def test_the_ending_says_the_format(run: Run, tmp_path: Path, ending: str) -> None:
    output = tmp_path / f"p.{ending}"
    assert run("plot", "gauss", "-o", output, "--samples", 50).exit_code == 0
    starts = {"svg": b"<?xml", "pdf": b"%PDF", "jpg": b"\xff\xd8"}
    assert output.read_bytes().startswith(starts[ending.lower()])


def test_a_conditional_density_is_drawn_for_a_context(run: Run, bundles: Path) -> None:
    write_conditional(bundles)
    output = bundles / "p.png"
    assert run("plot", "given", "-o", output, "--samples", 100).exit_code == 0
    typical = picture(output)
    context = "second=1700000010,load=80,plant=0.3"
    result = run("plot", "given", "-o", output, "--samples", 100, "--context", context)
    assert result.exit_code == 0, result.output
    assert not np.array_equal(picture(output), typical)


def test_steps_of_a_solver_may_be_chosen(run: Run, bundles: Path) -> None:
    write_stepped(bundles)
    output = bundles / "p.png"
    assert run("plot", "stepped", "-o", output, "--samples", 60, "--steps", 32).exit_code == 0
    assert "8, 32" in run("plot", "stepped", "-o", output, "--steps", 5).stderr


@pytest.mark.parametrize("image", [(4, 4, 1), (2, 2, 3), (2, 4, 2)])
def test_images_are_sheets_of_samples(bundles: Path, image: Image) -> None:
    model = load(bundles, 16)
    draw = Draw(50, 0, None, None)
    points = drawn(model, draw)
    figure = paint(FlowScene(model, draw, choose_axes(model, None), points, points), image)
    height, width, channels = image
    for axes in figure.axes:
        (sheet,) = axes.images
        pixels = np.asarray(sheet.get_array())
        assert pixels.shape == (7 * (height + 1) - 1, 8 * (width + 1) - 1, 3)
        first = np.clip((points.x[0, : math.prod(image)] - 4.0) / 12.0, 0.0, 1.0)
        expected = first.reshape(image)
        if channels != 3:
            expected = np.repeat(expected.mean(axis=2, keepdims=True), 3, axis=2)
        np.testing.assert_allclose(pixels[:height, :width], expected, atol=1e-6)
        assert (pixels[height] == 1.0).all()
        assert (pixels[-height:, -width:] == 1.0).all()


def test_a_picture_of_images_says_how_many_it_shows(run: Run, bundles: Path) -> None:
    model = load(bundles, 16)
    draw = Draw(100, 0, None, None)
    scene = FlowScene(model, draw, (0, 1), drawn(model, draw), None)
    said = "n16/1 (gaussian): 64 images shown of 100 samples, seed 0"
    assert title(scene, typical=True, images=True) == said
    path = bundles / "n16" / "1" / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"image": [4, 4, 1]}))
    result = run("plot", "n16", "-o", bundles / "p.png", "--features", "a")
    assert result.exit_code == 1
    assert result.stderr == "logdet: expected no --features, as n16 is drawn as images\n"


# name: (arguments, words)
WRONG = {
    "no ending": (["-o", "picture"], "'picture' without one"),
    "another ending": (["-o", "p.docx"], "expected a picture ending in .avif, "),
    "no such feature": (["-o", "p.png", "--features", "flow,flaw"], "'flaw'"),
    "a constant": (["-o", "p.png", "--features", "site"], "'site'"),
    "the same twice": (["-o", "p.png", "--features", "flow,flow"], "twice"),
    "too many": (["-o", "p.png", "--features", ",".join(["flow"] * 13)], "at most 12"),
    "context not wanted": (["-o", "p.png", "--context", "a=1"], "no context"),
    "no such file": (["-o", "p.png", "--data", "none.csv"], "no file none.csv"),
    "no such folder": (["-o", "none/p.png", "--samples", 10], "none/p.png"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_drawn_is_refused_in_one_line(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    args, words = WRONG[name]
    result = run("plot", "gauss", *args)
    assert result.exit_code == 1
    assert words in result.stderr
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "p.png").exists()


def test_without_matplotlib_it_says_what_to_install(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [n for n in sys.modules if n.split(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    for name in [n for n in sys.modules if n.startswith("logdet.plots")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    result = run("plot", "gauss", "-o", tmp_path / "p.png")
    assert result.exit_code == 1
    assert result.stderr == "logdet: this needs matplotlib: pip install 'logdet[plot]'\n"


def test_a_long_name_leaves_room_for_what_must_be_said() -> None:
    assert style.shortened("x" * 60 + ".csv", ", all contexts").endswith("x…, all contexts")
    assert len(style.shortened("x" * 60, ", all contexts")) == len(style.shortened("x" * 60))


def test_a_title_is_broken_at_commas_into_lines_of_about_one_length() -> None:
    assert style.balanced("n/1 (nsf): 64 images shown of 100 samples, seed 0", 60).count("\n") == 0
    broken = style.balanced("n/1 (nsf): 64 images shown of 100 samples, seed 0", 45)
    assert broken == "n/1 (nsf):\n64 images shown of 100 samples, seed 0"
    assert style.balanced("x" * 50, 20) == "\n".join(["x" * 20, "x" * 20, "x" * 10])


def test_a_dollar_in_a_name_is_a_dollar_and_a_long_name_is_cut() -> None:
    assert style.shortened("price in $ at $1") == "price in $ at $1"
    assert len(style.shortened("x" * 200)) < 40
