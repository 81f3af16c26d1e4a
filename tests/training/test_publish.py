"""From a tiny fit to a verified bundle: every kind of column, and the graphs against float64."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from exported.base import base_log_prob, base_noise
from exported.bundle import Bundle, read_bundle
from exported.golden import replay
from tests.training.fits import flow_of
from training.checkpoint import FitState
from training.evaluate import full_flow, log_prob
from training.graphs import DecodeGraph
from training.recipes import Recipe
from training.run import Published, Run
from training.runner import Runner
from training.table import Examples, Table

ROWS = 600
BATCHES = [1, 5, 17, 1024]


def _mixed() -> Table:
    """Two numbers, a count, a constant, and a timestamp that needs float64."""
    rng = np.random.default_rng(0)
    pressure = rng.normal(50.0, 4.0, ROWS)
    columns = {
        "pressure": pressure,
        "site": np.full(ROWS, 7.0),
        "flow": 0.1 * pressure + rng.standard_t(3, ROWS),
        "count": rng.poisson(4.0, ROWS).astype(float),
        "time": 1.7e9 + 0.5 + rng.uniform(0.0, 3600.0, ROWS),
    }
    return Table("mixed", tuple(columns), np.stack(list(columns.values()), axis=1))


def _single() -> Table:
    values = np.random.default_rng(1).gamma(2.0, 3.0, (ROWS, 1))
    return Table("single", ("wait",), values)


@dataclass(frozen=True)
class Made:
    """A run, what it published, and its graphs in onnxruntime."""

    run: Run
    state: FitState
    published: Published
    bundle: Bundle
    graphs: Runner


@pytest.fixture(scope="module", params=[_mixed, _single], ids=["mixed", "single"])
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("made")
    table: Table = request.param()
    recipe = Recipe.model_validate(
        {
            "name": table.name,
            "model": {"layers": 1, "bins": 4, "hidden": [16], "marginal_bins": 8},
            "fit": {"epochs": 3, "batch_rows": 64, "learning_rate": 3e-3, "threads": 1},
        }
    )
    run = Run(recipe, table, table.name, "logdet train", folder / "runs")
    state = run.fit(FitState(), lambda report: None)
    published = run.publish(state, folder / "bundles")
    bundle = read_bundle(published.folder)
    graphs = Runner({name: bundle.graph(name) for name in bundle.manifest.graphs})
    return Made(run, state, published, bundle, graphs)


def x_dtype(made: Made) -> str:
    return {"FP32": "float32", "FP64": "float64"}[
        made.bundle.manifest.graphs["log_prob"].inputs[0].datatype
    ]


def test_golden_rows_replay_from_the_written_bundle(made: Made) -> None:
    worst = replay(made.bundle.manifest, made.bundle.golden(), made.graphs)
    assert {r.graph for r in worst} == {"log_prob", "log_prob_float64", "decode"}


@pytest.mark.parametrize("batch", BATCHES)
def test_served_log_prob_is_the_trained_one_at_any_batch(made: Made, batch: int) -> None:
    density = full_flow(flow_of(made.run), made.run.prepared)
    test = made.run.prepared.split.test
    rows = np.resize(test.rows, (batch, len(made.run.given.columns))).astype(x_dtype(made))
    got = made.graphs("log_prob", {"x": rows})["log_prob"]
    examples = Examples(rows.astype(float), np.empty((batch, 0)))
    expected = log_prob(density, made.run.prepared, examples)
    assert got.shape == (batch,)
    assert np.abs(got - expected).max() < 1e-3


def test_encode_and_decode_undo_each_other(made: Made) -> None:
    x = made.run.prepared.split.test.rows.astype(x_dtype(made))
    encoded = made.graphs("log_prob", {"x": x})
    back = made.graphs("decode", {"z": encoded["z"]})
    deviation = np.array([column.deviation for column in made.run.prepared.columns.all])
    assert (np.abs(back["x"].astype(float) - x) / deviation).max() < 1e-2
    assert np.abs(back["log_det"].astype(float) + encoded["log_det"].astype(float)).max() < 1e-2


def test_decoded_rows_keep_constants_and_density(made: Made) -> None:
    base = made.bundle.manifest.base
    z = base_noise(base, 0, 0, 200).astype(np.float32)
    decoded = made.graphs("decode", {"z": z})
    for i, feature in enumerate(made.bundle.manifest.features):
        if feature.role == "constant":
            assert (decoded["x"][:, i] == feature.support[0]).all()
    implied = base_log_prob(base, z.astype(float)) - decoded["log_det"].astype(float)
    scored = made.graphs("log_prob", {"x": decoded["x"]})["log_prob"].astype(float)
    assert np.abs(scored - implied).max() < 1e-2


def test_the_calibration_tells_what_its_latents_are_like(made: Made) -> None:
    manifest, calibration = made.bundle.manifest, made.run.prepared.split.calibration
    x = calibration.rows.astype(x_dtype(made))
    z = np.clip(made.graphs("log_prob", {"x": x})["z"].astype(np.float64), -3.0, 3.0)
    latents = made.bundle.latents()
    assert latents is not None
    inside = made.run.prepared.in_support(calibration)
    assert latents.rows == manifest.calibration.latent_rows == inside.sum() > 0
    assert manifest.base.distribution == "student_t"
    expected = [(z[inside] ** k).mean(axis=0) for k in (1, 2, 4)]
    np.testing.assert_allclose(latents.sums / latents.rows, expected, rtol=1e-6, atol=1e-6)


def test_manifest_says_what_was_decided(made: Made) -> None:
    manifest = made.bundle.manifest
    kinds: Mapping[str, str] = {f.name: f.kind for f in manifest.features}
    train = made.run.prepared.split.train.rows
    for feature, values in zip(manifest.features, train.T, strict=True):
        cell = 1 / 12 if feature.kind == "integer" else 0.0
        expected = None if feature.role == "constant" else np.sqrt(values.var() + cell)
        assert feature.deviation == pytest.approx(expected)
    if manifest.name == "mixed":
        assert kinds["count"] == kinds["site"] == "integer"
        assert manifest.features[1].role == "constant"
        assert manifest.latent_features == 4
        assert manifest.graphs["log_prob"].inputs[0].datatype == "FP64"
        assert manifest.graphs["decode"].outputs[0].datatype == "FP64"
        assert manifest.accuracy.mass is None
    else:
        assert manifest.accuracy.mass == pytest.approx(1.0, abs=2e-3)
        assert manifest.graphs["log_prob"].inputs[0].datatype == "FP32"
    assert manifest.provenance.rows["calibration"] == manifest.calibration.rows == ROWS // 10
    assert manifest.accuracy.non_finite == 0


def test_graphs_hold_operators_and_weights_only(made: Made) -> None:
    for name in made.bundle.manifest.graphs:
        content = made.bundle.graph(name)
        model = onnx.load_from_string(content)
        assert b".py" not in content
        assert not [
            t for t in model.graph.initializer if t.data_location == onnx.TensorProto.EXTERNAL
        ]
        first = model.graph.input[0].type.tensor_type.shape.dim[0]
        assert first.dim_param == "batch"


def test_publishing_again_makes_the_next_version_with_the_same_numbers(made: Made) -> None:
    again = Run(
        made.run.recipe,
        made.run.given,
        made.run.given.name,
        "logdet train",
        made.run.checkpoint.parent,
    )
    root = made.published.folder.parent.parent
    published = again.publish(again.saved_state(), root)
    assert published.folder.name == "2"
    assert published.manifest.held_out == made.published.manifest.held_out
    assert published.manifest.calibration.quantiles == made.bundle.manifest.calibration.quantiles


@pytest.mark.parametrize("made", [_single], indirect=True, ids=["single"])
def test_an_inexact_graph_is_not_published(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import training.publish

    honest = training.publish.table_graphs

    def biased(*args: object, gradient: bool) -> object:
        specs = honest(*args, gradient=gradient)  # type: ignore[arg-type]
        specs["log_prob"].module.rows.units.scale *= 1.01  # type: ignore[operator, union-attr]
        return specs

    monkeypatch.setattr(training.publish, "table_graphs", biased)
    with pytest.raises(ValueError, match="not published"):
        made.run.publish(made.state, tmp_path)
    assert not list(tmp_path.rglob("manifest.json"))


def test_a_decode_graph_of_another_density_is_not_published(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = DecodeGraph.forward

    def biased(self: DecodeGraph, z: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x, log_det = honest(self, z)
        return x, log_det + 0.5

    monkeypatch.setattr(DecodeGraph, "forward", biased)
    with pytest.raises(ValueError, match=r"not published: .* give log_probs 0\.5"):
        made.run.publish(made.state, tmp_path)
    assert not list(tmp_path.rglob("manifest.json"))


def test_every_score_is_calibrated_with_validation_rows_as_its_reference(made: Made) -> None:
    """By float64 torch; what the graphs give is within their own error of it."""
    prepared, bundle = made.run.prepared, made.bundle
    base, scorer = bundle.manifest.base, bundle.scorer()
    assert scorer.reference is not None
    density = full_flow(flow_of(made.run), prepared)
    parts = {}
    for part in ("validation", "calibration"):
        rows = prepared.modelled(getattr(prepared.split, part).rows)
        with torch.no_grad():
            z, log_det = density.bijection.encode(rows)
        parts[part] = (density.base.log_prob(z) + log_det).detach().numpy(), z.numpy()
    nats, z = parts["validation"]
    assert scorer.reference.mean_log_prob == pytest.approx(nats.mean(), abs=1e-4)
    np.testing.assert_allclose(scorer.reference.scores["log_prob"], np.sort(nats), atol=1e-3)
    assert bundle.manifest.calibration.reference.rows == len(nats)  # type: ignore[union-attr]
    nats, z = parts["calibration"]
    norm = 2.0 * base_log_prob(base, z) + z.shape[1] * np.log(2.0 * np.pi)
    expected = {
        "log_prob": nats,
        "typicality": -np.abs(nats - parts["validation"][0].mean()),
        "latent_norm": norm,
    }
    found = bundle.calibrations()
    assert list(found) == ["log_prob", "typicality", "latent_norm", "combined"]
    for name, scores in expected.items():
        np.testing.assert_allclose(found[name].scores, np.sort(scores), rtol=1e-3, atol=1e-3)
    assert "scores" in bundle.manifest.operations


def test_rows_out_of_support_are_counted_and_calibrate_as_impossible(tmp_path: Path) -> None:
    """A column constant in training that varies in a few held-out rows."""
    whole = _single()
    rows = np.column_stack([whole.rows, np.full(ROWS, 3.0)])
    test = rows[:50].copy()
    test[:5, 1] = 4.0
    table = Table("censored", ("wait", "site"), rows, test=test)
    recipe = Recipe.model_validate(
        {
            "name": "censored",
            "model": {"layers": 1, "bins": 4, "hidden": [8]},
            "fit": {"epochs": 1, "batch_rows": 64},
        }
    )
    run = Run(recipe, table, "censored", "logdet train", tmp_path / "runs")
    run.prepared.split.calibration.rows[0, 1] = 4.0
    published = run.publish(run.fit(FitState(), lambda report: None), tmp_path / "bundles")
    held_out = published.manifest.held_out
    assert (held_out.rows, held_out.out_of_support) == (45, 5)
    scores = read_bundle(published.folder).calibration().scores
    assert scores[0] == -np.inf
    assert np.isfinite(scores[1:]).all()
    for calibration in read_bundle(published.folder).calibrations().values():
        assert calibration.scores[0] == -np.inf
        assert np.isfinite(calibration.scores[1:]).all()
