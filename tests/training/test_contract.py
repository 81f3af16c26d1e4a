"""The contract of every family, plain and conditional (``make test-contract``).

A tiny fit becomes a bundle; onnxruntime answers as the float64 flow does, within what the manifest
says, at every size of batch; and a sample has the log-density that sampling said it has.
"""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from exported.golden import replay
from exported.kinds import REFERENCE_GRAPH
from exported.manifest import Tolerance
from service.model import Model
from service.results import OK
from service.runtime import Runtime
from tests.training.fits import CONTEXT, IMAGES, Fitted, publish, table_of, tiny_recipe
from training.recipes import FAMILIES
from training.runner import ask

pytestmark = pytest.mark.contract

BATCHES = (1, 5, 17, 1024)
FEATURES, WIDTH = 5, 16
SAMPLES = 200
# Of a sample's log-density, told by decoding it, against scoring it: two float32 passes.
MAX_DIFFERENCE = 2e-3


# With a point behind, so that `-k nsf.` is not nsf_ar as well.
@pytest.fixture(scope="module", params=FAMILIES, ids=lambda name: f"{name}.")
def family(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="module", params=[(), CONTEXT], ids=["plain", "conditional"])
def fitted(
    family: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Fitted:
    context: tuple[str, ...] = request.param
    recipe = tiny_recipe(family, context, WIDTH)
    table = table_of(family, context, FEATURES)
    return publish(table, recipe, tmp_path_factory.mktemp(family))


def _within(got: NDArray[np.generic], expected: NDArray[np.float64], allowed: Tolerance) -> bool:
    bound = np.asarray(allowed.absolute) + allowed.relative * np.abs(expected)
    return bool((np.abs(got.astype(np.float64) - expected) <= bound).all())


def test_the_bundle_replays(fitted: Fitted) -> None:
    replay(fitted.bundle.manifest, fitted.bundle.golden(), fitted.graphs)


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("graph", ["log_prob", "decode"])
def test_graphs_answer_as_the_float64_flow(fitted: Fitted, graph: str, batch: int) -> None:
    manifest, golden = fitted.bundle.manifest, fitted.bundle.golden()
    inputs = {
        tensor.name: np.resize(
            golden[f"{graph}.in.{tensor.name}"],
            (batch, *golden[f"{graph}.in.{tensor.name}"].shape[1:]),
        )
        for tensor in manifest.graphs[graph].inputs
    }
    answers = ask(fitted.graphs, fitted.density, fitted.run.prepared, graph, inputs)
    for output in manifest.graphs[graph].outputs:
        got, expected = answers.got[output.name], answers.truth[output.name]
        assert got.shape == (batch, *output.shape[1:])
        assert _within(got, expected, output.tolerance), output.name


def test_the_float64_graph_is_far_nearer_to_float64(fitted: Fitted, family: str) -> None:
    """There is one but for convolutions, of which onnxruntime has none in float64 on a CPU."""
    assert (REFERENCE_GRAPH in fitted.bundle.manifest.graphs) == (family not in IMAGES)
    if family in IMAGES:
        return
    inputs = fitted.run.prepared.inputs(fitted.run.prepared.split.test)
    answers = ask(fitted.graphs, fitted.density, fitted.run.prepared, "log_prob", inputs)
    wide = fitted.graphs(REFERENCE_GRAPH, inputs)
    for output, truth in answers.truth.items():
        assert wide[output].dtype == np.float64
        assert np.abs(wide[output] - truth).max() < 1e-9
    assert np.abs(wide["log_prob"] - answers.truth["log_prob"]).max() < (
        1e-3 * answers.error("log_prob").max()
    )


def test_a_sample_has_the_log_density_that_sampling_said(fitted: Fitted) -> None:
    model = Model.load(fitted.folder, Runtime.choose("cpu", 1))
    context = model.conditioning.rules.median[None] if model.conditioning.names else None
    drawn = model.sample(SAMPLES, seed=0, context=context).rows
    scored = model.evaluate(drawn.x, context)
    ok = drawn.status == OK
    assert ok.mean() > 0.95
    assert (scored.status[ok] == OK).all()
    assert np.abs(scored.log_prob - drawn.log_prob)[ok].max() < MAX_DIFFERENCE


def test_the_context_matters(fitted: Fitted) -> None:
    prepared = fitted.run.prepared
    if not prepared.context.all:
        assert not fitted.bundle.manifest.context_features
        return
    test = prepared.split.test
    here = fitted.graphs("log_prob", prepared.inputs(test))["log_prob"]
    other = {**prepared.inputs(test), **prepared.contexts(test.context[::-1])}
    assert (fitted.graphs("log_prob", other)["log_prob"] != here).any()
    assert [f.name for f in fitted.bundle.manifest.context_features] == [*CONTEXT]
