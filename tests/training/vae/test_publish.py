"""From a run to a bundle that the service loads and answers from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from exported.arrays import read_arrays
from exported.calibration import Calibration
from exported.kinds import AutoencoderManifest, VAEManifest
from service import autoencoder, vae
from service.kinds import load
from service.runtime import Runtime
from tests.training.vae.builders import counted, images, measured, recipe
from training.checkpoint import FitState
from training.recipes import FitConfig
from training.run import Published, Run
from training.table import Table

FIT = FitConfig(epochs=2, batch_rows=64)
CASES: dict[str, tuple[Table, dict[str, object]]] = {
    "planar": (measured(), {"posterior": "planar", "prior": "realnvp", "score_samples": 5}),
    "counted": (counted(), {"likelihood": "discretised_logistic", "latents": [3, 2]}),
    "binary": (images(), {"likelihood": "bernoulli", "posterior": "iaf", "truncation": False}),
    "autoencoder": (measured(), {"family": "autoencoder"}),
}


@dataclass(frozen=True)
class Made:
    """A published run of a case, and what the service made of it."""

    case: str
    run: Run
    published: Published
    model: vae.VAE | autoencoder.Autoencoder


@pytest.fixture(scope="module", params=CASES)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Made:
    table, settings = CASES[request.param]
    asked = recipe(**settings).model_copy(update={"fit": FIT})
    folder = tmp_path_factory.mktemp(request.param)
    run = Run(asked, table, table.name, "logdet train", folder / "runs")
    published = run.publish(run.fit(FitState(), lambda _: None), folder)
    model = load(published.folder, Runtime.choose("cpu", sessions=1))
    assert isinstance(model, vae.VAE | autoencoder.Autoencoder)
    return Made(request.param, run, published, model)


def test_the_manifest_says_what_was_measured(made: Made) -> None:
    manifest = made.published.manifest
    assert manifest.accuracy.non_finite == 0
    assert manifest.held_out.rows + manifest.held_out.out_of_support == len(
        made.run.prepared.split.test
    )
    if isinstance(manifest, VAEManifest):
        assert manifest.held_out.elbo <= manifest.held_out.importance_bound
        assert manifest.accuracy.log_weight_error.max < 1e-3
    else:
        assert isinstance(manifest, AutoencoderManifest)
        assert manifest.held_out.error > 0.0


def test_a_choice_of_depths_tells_the_bound_and_the_cost_of_each(made: Made) -> None:
    depth = getattr(made.published.manifest, "depth", None)
    if made.case != "planar":
        assert depth is None
        return
    assert depth.numbers == (0, 1, 2, 4)
    assert depth.default == 4
    assert all(choice.elbo <= choice.importance_bound for choice in depth.offered)


def test_scores_of_the_service_are_those_that_were_calibrated(made: Made) -> None:
    split = made.run.prepared.split
    scores, _ = made.model.score(split.calibration.rows)
    with np.errstate(invalid="ignore"):
        again = Calibration.of(np.where(np.isnan(scores), -np.inf, scores))
    stored = read_arrays((made.published.folder / "calibration.npz").read_bytes())["score"]
    np.testing.assert_allclose(np.sort(stored), np.sort(again.scores), rtol=1e-5, atol=1e-4)


def test_no_row_of_the_user_leaves_in_the_golden_rows(made: Made) -> None:
    golden = read_arrays((made.published.folder / "golden.npz").read_bytes())
    if made.run.given.name != "measured":
        return  # A made-up row of few whole numbers may well be a real one.
    rows = made.run.given.rows[:, :3].astype(np.float32)
    for name, value in golden.items():
        if name.endswith(".in.x"):
            same = (value[:, None, :3] == rows[None]).all(axis=2)
            assert not same.any()


def test_the_same_run_publishes_the_same_numbers(made: Made) -> None:
    again = Run(made.run.recipe, made.run.given, "t", "logdet train", made.run.checkpoint.parent)
    root = made.published.folder.parent.parent
    published = again.publish(again.saved_state(), root)
    assert published.folder.name == "2"
    assert published.manifest.held_out == made.published.manifest.held_out


def test_an_inexact_graph_is_not_published(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from training.vae import publish

    def biased(truth: object, graph: str, inputs: object) -> dict[str, np.ndarray]:
        answers = honest(truth, graph, inputs)
        return {name: value * 1.01 + 0.1 for name, value in answers.items()}

    honest = publish.Truth.__call__
    monkeypatch.setattr(publish.Truth, "__call__", biased)
    with pytest.raises(ValueError, match="not published"):
        made.run.publish(made.run.saved_state(), tmp_path)
    assert not list(tmp_path.rglob("manifest.json"))
