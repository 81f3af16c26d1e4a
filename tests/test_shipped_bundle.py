"""The bundle in git: it answers as it promises, and its promises hold on the data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import exported
from exported.bundle import read_bundle
from service.model import Model
from service.runtime import Runtime
from training.compare import Subject, compare
from training.datasets import load
from training.prepared import prepare
from training.recipes import Recipe, read_recipe
from training.streams import Stream

FOLDER = Path(exported.__file__).parent / "bundles" / "shuttle" / "1"


@pytest.fixture(scope="module")
def model() -> Model:
    return Model.load(FOLDER, Runtime.choose("cpu", sessions=1))


def test_served_log_prob_is_the_golden_one(model: Model) -> None:
    golden = read_bundle(FOLDER).golden()
    tolerance = model.manifest.graphs["log_prob"].outputs[0].tolerance
    expected = golden["log_prob.out.log_prob"]
    got = model.evaluate(golden["log_prob.in.x"].astype(np.float64)).log_prob
    allowed = np.asarray(tolerance.absolute) + tolerance.relative * np.abs(expected)
    assert (np.abs(got - expected) <= allowed).all()


def test_a_row_alone_and_among_a_thousand_is_the_same(model: Model) -> None:
    test = load("shuttle").test
    assert test is not None
    together = model.evaluate(test[:1000]).log_prob
    alone = np.concatenate([model.evaluate(row[None]).log_prob for row in test[:1000]])
    assert np.abs(together - alone).max() <= 1e-5


def test_held_out_rows_have_the_likelihood_that_the_manifest_says(model: Model) -> None:
    recipe = Recipe.model_validate(model.manifest.provenance.recipe)
    prepared = prepare(recipe, load("shuttle"))
    noisy = prepared.columns.dequantise(prepared.split.test.rows, prepared.noise(Stream.TEST))
    # The graph itself, because the service refuses fractions in whole-number columns.
    nats = model.graphs["log_prob"].run({"x": noisy})["log_prob"].astype(np.float64)
    held_out = model.manifest.held_out
    assert nats.mean() == pytest.approx(held_out.log_likelihood, abs=held_out.standard_error / 10)


def test_the_recipe_in_the_bundle_is_the_one_in_the_repository(model: Model) -> None:
    assert Recipe.model_validate(model.manifest.provenance.recipe) == read_recipe("shuttle")


def test_no_more_normal_rows_are_flagged_than_alpha_says(model: Model) -> None:
    """Rows of the second half of the file are later ones, so alpha is a guide, not a law, here."""
    shuttle = load("shuttle")
    assert shuttle.test is not None
    assert shuttle.anomalies is not None
    for alpha in (0.1, 0.01):
        normal = model.decide(model.evaluate(shuttle.test).log_prob, alpha).is_anomaly
        anomalies = model.decide(model.evaluate(shuttle.anomalies).log_prob, alpha).is_anomaly
        spread = 3 * (alpha * (1 - alpha) / model.manifest.calibration.rows) ** 0.5
        assert normal.mean() <= alpha + spread
        assert anomalies.mean() >= 0.95


def test_beats_a_mixture_of_twenty_gaussians_and_separates_the_anomalies() -> None:
    flow, _, mixture = compare(Subject.read(FOLDER))
    assert flow.nats - mixture.nats > 3 * (flow.standard_error + mixture.standard_error)
    assert flow.auroc >= 0.995
