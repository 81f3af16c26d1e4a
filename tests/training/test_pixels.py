"""Images as tables: what becomes of their pixels, and a bundle of a tiny one."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from exported.bundle import read_bundle
from exported.golden import replay
from tests.training.fits import flow_of
from training.checkpoint import FitState
from training.evaluate import full_flow, log_prob
from training.pixels import describe_pixels
from training.prepared import prepare
from training.recipes import Recipe
from training.run import Run
from training.runner import Runner
from training.table import Image, Table

ROWS = 400
NAMES = tuple(f"p_{row}_{column}" for row in range(4) for column in range(4))
MODEL = {"family": "glow", "levels": 2, "steps": 1, "hidden_channels": 6, "marginal_bins": 4}


def images(largest: int, image: Image = (4, 4, 1)) -> Table:
    """Bright in the middle to one side or the other, and always blank in the first pixel."""
    rng = np.random.default_rng(0)
    side = rng.integers(0, 2, (ROWS, 1))
    bright = rng.integers(0, largest + 1, (ROWS, math.prod(image)))
    rows = np.where((np.arange(math.prod(image)) % 2) == side, bright, bright // 4).astype(float)
    rows[:, 0] = 0.0
    names = NAMES if image == (4, 4, 1) else tuple(f"f{i}" for i in range(math.prod(image)))
    return Table("images", (*names, "side"), np.hstack([rows, side]), image=image)


def recipe(**changes: object) -> Recipe:
    document = {
        "name": "images",
        "model": MODEL,
        "drop": ["side"],
        "fit": {"epochs": 2, "batch_rows": 64},
    }
    return Recipe.model_validate({**document, **changes})


def plain(table: Table) -> Table:
    return table.without(frozenset({"side"}))


class TestPixels:
    @pytest.mark.parametrize(("largest", "end"), [(255, 255), (130, 255), (127, 127), (16, 16)])
    def test_the_range_is_a_byte_or_that_of_training(self, largest: int, end: int) -> None:
        rows = images(largest).rows[:, :16]
        rows[0, 1] = largest
        columns = describe_pixels(NAMES, rows, recipe())
        assert {column.edges for column in columns.all} == {(-0.5, end + 0.5)}

    def test_a_declared_range_is_taken(self) -> None:
        declared = recipe(model={**MODEL, "pixel_range": [0, 31]})
        columns = describe_pixels(NAMES, images(16).rows[:, :16], declared)
        assert columns.all[3].edges == (-0.5, 31.5)

    def test_a_blank_pixel_is_modelled_like_the_others(self) -> None:
        columns = prepare(recipe(), plain(images(16))).columns
        assert (columns.all[0].low, columns.all[0].high) == (0.0, 0.0)
        assert len(columns.modelled) == 16

    def test_all_pixels_are_opened_and_scaled_alike(self) -> None:
        prepared = prepare(recipe(), plain(images(16)))
        x = prepared.flow_input(prepared.split.train, np.random.default_rng(0)).x
        assert float(x.mean()) == pytest.approx(0.0, abs=0.02)
        assert float(x.std()) == pytest.approx(1.0, abs=0.02)
        ends = np.array([[0.0] * 16, [16.0] * 16])
        z, log_det = prepared.preprocessing.encode(torch.from_numpy(ends))
        back, home = prepared.preprocessing.decode(z)
        assert np.allclose(back, ends, atol=1e-12)
        assert np.allclose(log_det, -home, atol=1e-9)
        assert torch.unique(z[0]).numel() == 1

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"continuous": ["p_1_1"]}, "got 'p_1_1' declared apart"),
            ({"bounds": {"p_1_2": [0, 16]}}, "got 'p_1_2' declared apart"),
            ({"model": {**MODEL, "pixel_range": [0, 9]}}, r"pixel_range \[0, 9\], got 0 to 16"),
        ],
    )
    def test_pixels_declared_otherwise_are_refused(self, changes: dict, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            prepare(recipe(**changes), plain(images(16)))

    def test_what_is_no_whole_number_is_refused(self) -> None:
        with pytest.raises(ValueError, match=r"expected whole numbers as pixels, got 0\.25"):
            describe_pixels(NAMES, np.full((5, 16), 0.25), recipe())

    def test_blank_images_are_refused(self) -> None:
        with pytest.raises(ValueError, match="expected pixels that vary, all are 3"):
            describe_pixels(NAMES, np.full((5, 16), 3.0), recipe())

    def test_tables_are_refused(self) -> None:
        table = Table("table", NAMES, images(16).rows[:, :16])
        with pytest.raises(ValueError, match=r"family glow needs images: an \.npz .* got a table"):
            prepare(recipe(), table)
        with pytest.raises(ValueError, match=r"expected 16 pixels, got 17 columns"):
            prepare(recipe(), images(16))


def test_dropping_a_pixel_leaves_a_table() -> None:
    table = images(16)
    assert table.without(frozenset({"side"})).image == (4, 4, 1)
    assert table.without(frozenset({"p_3_3"})).image is None


@pytest.mark.parametrize(("image", "context"), [((4, 4, 3), ()), ((4, 4, 1), ("side",))])
def test_images_are_published_exact(
    image: Image, context: tuple[str, ...], tmp_path: Path
) -> None:
    table = images(255, image) if context else plain(images(255, image))
    chosen = recipe(context=context, drop=[])
    run = Run(chosen, table, "images", "logdet train", tmp_path / "runs")
    published = run.publish(run.fit(FitState(), lambda report: None), tmp_path / "bundles")
    bundle, pixels = read_bundle(published.folder), math.prod(image)
    manifest = bundle.manifest
    assert (manifest.latent_features, len(manifest.features)) == (pixels, pixels)
    assert {feature.support for feature in manifest.features} == {(0.0, 255.0)}
    assert {feature.role for feature in manifest.features} == {"modelled"}
    assert manifest.held_out.bits_per_dimension == pytest.approx(
        -manifest.held_out.log_likelihood / (pixels * math.log(2.0))
    )
    assert manifest.accuracy.log_prob_error.max < 1e-3
    assert manifest.accuracy.round_trip_error.max < 1e-3
    graphs = Runner({name: bundle.graph(name) for name in manifest.graphs})
    replay(manifest, bundle.golden(), graphs)
    density, test = full_flow(flow_of(run), run.prepared), run.prepared.split.test
    expected = log_prob(density, run.prepared, test)
    for batch in (1, 5, 17):
        got = graphs("log_prob", run.prepared.inputs(test[:batch]))["log_prob"]
        assert np.abs(got - expected[:batch]).max() < 1e-3
