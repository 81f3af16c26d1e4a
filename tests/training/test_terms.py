"""Each feature's own term of the log-density, of maps that keep one feature order."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from exported.bundle import read_bundle
from exported.golden import replay
from tests.training import laws
from tests.training.cases import CASES, contexts, make, rows
from training import masked
from training.bijections import (
    Affine,
    Autoregressive,
    Bounded,
    Chain,
    ElementwiseMap,
    RationalQuadratic,
    Squash,
)
from training.bijections.maps import LOG_SCALE_BOUND
from training.checkpoint import FitState
from training.families import build_flow
from training.flow import Flow
from training.layers import Sizes
from training.recipes import Recipe
from training.run import Run
from training.runner import Runner
from training.table import Table

TRIANGULAR = {
    "standardise",
    "arcsinh tails",
    "actnorm",
    "elementwise spline",
    "autoregressive affine",
    "autoregressive spline",
    "conditional autoregressive affine",
    "conditional autoregressive spline",
}
EXACT = 1e-10


@pytest.mark.usefixtures("in_float64")
@pytest.mark.parametrize("name", CASES)
def test_terms_are_the_jacobians_diagonal_and_only_triangular_maps_have_them(name: str) -> None:
    bijection, x, context = make(name, 4, strained=True), rows(4)[2:], contexts(name, 10)
    assert bijection.is_triangular() == (name in TRIANGULAR)
    if name not in TRIANGULAR:
        with pytest.raises(TypeError, match="mixes features"):
            bijection.encode_terms(x, context)
        return
    z, terms = bijection.encode_terms(x, context)
    expected, log_det = bijection.encode(x, context)
    jacobian = laws.jacobians(bijection, x, context)
    assert torch.equal(z, expected)
    assert (terms - jacobian.diagonal(dim1=1, dim2=2).abs().log()).abs().max() < EXACT
    assert (terms.sum(dim=1) - log_det).abs().max() < EXACT
    assert (torch.triu(jacobian, diagonal=1) == 0).all()


@pytest.mark.usefixtures("in_float64")
def test_maps_to_and_from_bounded_features_have_terms() -> None:
    ends = Bounded(torch.tensor([True, True, False]), torch.tensor([True, False, False]))
    x = torch.tensor([[0.3, 0.4, -2.0], [-0.9, 2.0, 0.1]])
    z, terms = Chain([ends, Squash()]).encode_terms(x)
    expected, log_det = Chain([ends, Squash()]).encode(x)
    assert torch.equal(z, expected)
    assert (terms.sum(dim=1) - log_det).abs().max() < EXACT


@pytest.mark.usefixtures("in_float64")
@pytest.mark.parametrize("hidden", [(16,), (9, 5), (4, 7, 3)], ids=str)
@pytest.mark.parametrize("features", [1, 2, 6])
@pytest.mark.parametrize("given", [0, 2])
@pytest.mark.parametrize("elementwise", [Affine(), RationalQuadratic(5, 4.0)], ids=str)
def test_decoding_feature_by_feature_undoes_encoding_at_once(
    hidden: tuple[int, ...], features: int, given: int, elementwise: ElementwiseMap
) -> None:
    sizes = elementwise.parameters_per_scalar()
    network = masked.autoregressive(features, hidden, sizes, given)
    layer = Autoregressive(features, network, elementwise.double())
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.copy_(0.5 * torch.randn_like(parameter))
    z, context = torch.randn(9, features), torch.randn(9, given) if given else None
    x, log_det = layer.decode(z, context)
    again, there = layer.encode(x, context)
    assert (again - z).abs().max() < EXACT
    assert (there + log_det).abs().max() < EXACT


def _model(**fields: object) -> Any:
    recipe = {"name": "terms", "model": {"layers": 2, "hidden": [8], **fields}}
    return Recipe.model_validate(recipe).model


def _flow(features: int = 3, **fields: object) -> Flow:
    flow = build_flow(_model(**fields), Sizes(features), torch.Generator().manual_seed(0))
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return flow


@pytest.mark.usefixtures("in_float64")
@pytest.mark.parametrize("base", ["standard_normal", "student_t", "uniform"])
@pytest.mark.parametrize("family", ["maf", "nsf_ar"])
def test_terms_of_a_flow_without_mixing_sum_to_its_log_density(family: str, base: str) -> None:
    flow, x = _flow(family=family, mixing=False, base=base).double(), rows(3)
    terms = flow.feature_log_prob(x)
    assert terms.shape == x.shape
    assert (terms.sum(dim=1) - flow(x)).abs().max() < EXACT
    moved = x.clone()
    moved[:, 2] += 1.0
    assert torch.equal(flow.feature_log_prob(moved)[:, :2], terms[:, :2])
    folded_base = flow.base.folded()
    assert (folded_base.terms(x.sigmoid()) - flow.base.terms(x.sigmoid())).abs().max() < EXACT


@pytest.mark.parametrize(
    "fields",
    [
        {"family": "maf"},
        {"family": "nsf"},
        {"family": "iaf"},
        {"family": "nsf_ar", "mixing": False, "base": "gaussian_mixture"},
    ],
    ids=str,
)
def test_a_flow_that_mixes_features_or_latents_has_no_terms(fields: dict[str, object]) -> None:
    flow = _flow(**fields)
    assert not flow.has_terms()
    with pytest.raises(TypeError, match=r"mixes features|no term"):
        flow.feature_log_prob(torch.randn(4, 3))


def _random_walk(features: int, share: float, deviation: float) -> Flow:
    """The chain x_i = share * x_{i-1} + deviation * noise, from a standard normal x_1, exactly."""
    width = features - 1
    network = masked.autoregressive(features, (2 * width,), (1, 1))
    hidden, log_scales, shifts = (network.trunk[0], *network.heads)
    eye = torch.eye(width)
    # A unit for each feature's positive part and one for its negative part.
    hidden.weight[:, :width] = torch.cat([eye, -eye])
    hidden.bias.zero_()
    log_scales.weight.zero_()
    raw = LOG_SCALE_BOUND * math.atanh(-math.log(deviation) / LOG_SCALE_BOUND)
    log_scales.bias.copy_(torch.tensor([0.0] + [raw] * width))
    shifts.weight.zero_()
    shifts.weight[1:] = -share / deviation * torch.cat([eye, -eye], dim=1)
    shifts.bias.zero_()
    return Flow(Chain([Autoregressive(features, network, Affine())]))


@pytest.mark.usefixtures("in_float64")
def test_terms_of_a_random_walk_are_its_conditional_densities() -> None:
    share, deviation = 0.8, 0.6
    with torch.no_grad():
        flow, x = _random_walk(5, share, deviation), torch.randn(20, 5)
        got = flow.feature_log_prob(x)
    means = torch.cat([torch.zeros(20, 1), share * x[:, :-1]], dim=1)
    spread = torch.tensor([1.0] + [deviation] * 4)
    expected = torch.distributions.Normal(means, spread.expand(20, 5)).log_prob(x)
    assert (got - expected).abs().max() < EXACT


def test_a_published_bundle_tells_the_terms_in_the_users_units(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    first = rng.normal(50.0, 4.0, 600)
    columns = {
        "pressure": first,
        "site": np.full(600, 7.0),
        "flow": 0.1 * first + 0.3 * rng.normal(size=600),
        "count": rng.poisson(4.0, 600).astype(float),
    }
    table = Table("terms", tuple(columns), np.stack(list(columns.values()), axis=1))
    model = {"family": "maf", "mixing": False, "layers": 1, "hidden": [8], "marginal_bins": 0}
    fit = {"epochs": 3, "batch_rows": 64, "learning_rate": 0.01}
    recipe = Recipe.model_validate({"name": "terms", "model": model, "fit": fit})
    run = Run(recipe, table, "terms", "logdet train", tmp_path / "runs")
    published = run.publish(run.fit(FitState(), lambda report: None), tmp_path / "bundles")
    manifest, bundle = published.manifest, read_bundle(published.folder)
    graphs = Runner({name: bundle.graph(name) for name in manifest.graphs})
    replay(manifest, bundle.golden(), graphs)
    assert manifest.operations["feature_log_prob"] == "feature_log_prob"
    x = {"x": table.rows.astype(np.float32)}
    terms = graphs("feature_log_prob", x)["feature_log_prob"].astype(float)
    log_prob = graphs("log_prob", x)["log_prob"].astype(float)
    assert np.abs(terms.sum(axis=1) - log_prob).max() < 1e-4
    assert (terms[:, 1] == 0.0).all()
    # Nats per the column's own unit: the mean term is about minus a normal's entropy.
    entropy = 0.5 * math.log(2.0 * math.pi * math.e)
    assert terms[:, 0].mean() == pytest.approx(-math.log(4.0) - entropy, abs=0.3)
