"""The same maps in zuko and Pyro, on shared networks or parameters, in float64.

The two libraries bound what a network gives them by other formulas than ours, so each test solves
for the numbers at which both make the same map.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import pyro.distributions.transforms as pyro_transforms
import pytest
import torch
import zuko
from pyro.nn import DenseNN
from torch import Tensor, nn

from training.bijections import (
    Affine,
    Autoregressive,
    Bijection,
    Chain,
    Coupling,
    Linear,
    Planar,
    Radial,
    RationalQuadratic,
    Sylvester,
)
from training.bijections.bend import MIN_PRODUCT
from training.bijections.maps import LOG_SCALE_BOUND
from training.bijections.spline import LOG_BOUND
from training.flow import Flow

EXACT = 1e-9
BOUND = 4.0
FEATURES, CONTEXT = 5, 2
ROWS = 200


pytestmark = pytest.mark.usefixtures("in_float64")


class Borrowed(nn.Module):
    """A conditioner whose tables another library's network decides."""

    def __init__(self, tables: Callable[[Tensor], tuple[Tensor, ...]]) -> None:
        super().__init__()
        self.tables = tables

    def forward(self, rows: Tensor) -> tuple[Tensor, ...]:
        return self.tables(rows)


def unbounded(value: Tensor, bound: float) -> Tensor:
    """What ``bound * tanh(. / bound)`` makes the value of."""
    return bound * torch.atanh(value / bound)


def inverse_softplus(value: Tensor) -> Tensor:
    return torch.log(torch.expm1(value))


def agree(ours: Bijection, theirs: torch.distributions.Transform, x: Tensor) -> None:
    z, log_det = ours.encode(x)
    expected = theirs(x)
    assert (z - expected).abs().max() <= EXACT
    assert (log_det - theirs.log_abs_det_jacobian(x, expected)).abs().max() <= EXACT


def affine_tables(hyper: nn.Module) -> Callable[[Tensor], tuple[Tensor, ...]]:
    """Our log scales and shifts where zuko's network gives shift and scale beside each other."""

    def tables(rows: Tensor) -> tuple[Tensor, ...]:
        shift, raw = hyper(rows).unflatten(-1, (-1, 2)).unbind(-1)
        theirs = zuko.transforms.MonotonicAffineTransform(shift, raw)
        return unbounded(theirs.log_scale, LOG_SCALE_BOUND), shift

    return tables


def test_realnvp_agrees_with_zuko() -> None:
    kept = torch.arange(FEATURES) < FEATURES // 2
    halves = [
        zuko.flows.coupling.GeneralCouplingTransform(FEATURES, mask=mask)
        for mask in (kept, kept.flip(0))
    ]
    theirs = zuko.flows.Flow(
        halves, zuko.lazy.UnconditionalDistribution(zuko.distributions.DiagNormal, *_unit())
    )
    flip = Linear(torch.eye(FEATURES).flip(0), torch.zeros(FEATURES))
    first, second = (Borrowed(affine_tables(half.hyper)) for half in halves)
    changed = FEATURES - FEATURES // 2

    def reversed_tables(rows: Tensor) -> tuple[Tensor, ...]:
        return tuple(table.flip(1) for table in second(rows.flip(1)))

    ours = Flow(
        Chain(
            [
                Coupling(FEATURES // 2, changed, first, Affine()),
                flip,
                Coupling(FEATURES // 2, changed, Borrowed(reversed_tables), Affine()),
            ]
        )
    )
    x = 2.0 * torch.randn(ROWS, FEATURES)
    assert (ours(x) - theirs().log_prob(x)).abs().max() <= EXACT


def _unit() -> tuple[Tensor, Tensor]:
    return torch.zeros(FEATURES), torch.ones(FEATURES)


@pytest.mark.parametrize("context_features", [0, CONTEXT])
def test_maf_agrees_with_zuko(context_features: int) -> None:
    theirs = zuko.flows.MAF(FEATURES, context_features, transforms=1)
    hyper = theirs.transform.transforms[0].hyper
    ours = Flow(Chain([Autoregressive(FEATURES, Borrowed(affine_tables(hyper)), Affine())]))
    x = 2.0 * torch.randn(ROWS, FEATURES)
    context = torch.randn(ROWS, context_features) if context_features else None
    assert (ours(x, context) - theirs(context).log_prob(x)).abs().max() <= EXACT


def spline_tables(xs: Tensor, ys: Tensor, slopes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Our logits for knots at given places with given slopes at the inner ones."""

    def sizes(knots: Tensor) -> Tensor:
        logs = knots.diff(dim=-1).log()
        return unbounded(logs - logs.mean(dim=-1, keepdim=True), LOG_BOUND)

    return sizes(xs), sizes(ys), unbounded(slopes.log(), LOG_BOUND)


@pytest.mark.parametrize("bins", [2, 8, 16])
def test_the_spline_agrees_with_zuko_on_given_knots_and_slopes(bins: int) -> None:
    raw = [0.5 * torch.randn(ROWS, size) for size in (bins, bins, bins - 1)]
    theirs = zuko.transforms.MonotonicRQSTransform(*raw, bound=BOUND)
    ours = RationalQuadratic(bins, BOUND)
    logits = spline_tables(theirs.horizontal, theirs.vertical, theirs.derivatives[:, 1:-1])
    tables = tuple(table.T for table in logits)
    points = torch.linspace(-1.5 * BOUND, 1.5 * BOUND, ROWS)
    x = points[:, None]
    expected, log_slope = (of_row[:, None] for of_row in theirs.call_and_ladj(points))
    value, ours_log_slope = ours.encode(x, *tables)
    assert (value - expected).abs().max() <= EXACT
    assert (ours_log_slope - log_slope).abs().max() <= EXACT
    assert (ours.decode(x, *tables)[0][:, 0] - theirs.inv(points)).abs().max() <= EXACT


def test_the_spline_coupling_agrees_with_pyro() -> None:
    """``spline_coupling(2, count_bins=16)`` of Pyro's examples, with quadratic splines.

    Between the first and the last inner knot. Beyond them Pyro's slope at the edge of the box is
    0.999 and ours 1, as is that of the identity outside.
    """
    bins, min_size, min_slope = 16, 1e-3, 1e-3
    network = DenseNN(1, [20, 20], param_dims=[bins, bins, bins - 1])
    theirs = pyro_transforms.SplineCoupling(
        2, 1, network, count_bins=bins, bound=BOUND, order="quadratic", identity=True
    )

    def knots(raw: Tensor) -> Tensor:
        sizes = min_size + (1.0 - min_size * bins) * torch.softmax(raw, dim=-1)
        return BOUND * (2.0 * nn.functional.pad(sizes.cumsum(dim=-1), (1, 0)) - 1.0)

    def tables(rows: Tensor) -> tuple[Tensor, ...]:
        widths, heights, slopes = network(rows)
        return spline_tables(
            knots(widths), knots(heights), min_slope + nn.functional.softplus(slopes)
        )

    ours = Coupling(1, 1, Borrowed(tables), RationalQuadratic(bins, BOUND))
    x = 1.5 * torch.randn(ROWS, 2)
    xs = knots(network(x[:, :1])[0])
    inner = (x[:, 1] > xs[:, 1]) & (x[:, 1] < xs[:, -2])
    assert 100 < int(inner.sum()) < ROWS
    agree(ours, theirs, x[inner])
    edges = x[~inner]
    beside = theirs.log_abs_det_jacobian(edges, theirs(edges))
    assert (ours.encode(edges)[1] - beside).abs().max() <= 2.0 * min_slope


@pytest.mark.parametrize("product", [MIN_PRODUCT + 0.01, -0.3, 0.5, 4.0])
def test_planar_agrees_with_pyro(product: float) -> None:
    ours, theirs = Planar(FEATURES), pyro_transforms.Planar(FEATURES)
    w, u, _ = ours.values()
    with torch.no_grad():
        u.normal_()
        u += (_free(product) - w @ u) * w / (w @ w)
        w, direction, got, b = ours._shape(None)
        assert abs(got - product) <= EXACT
        theirs.w.copy_(w)
        theirs.bias.copy_(b)
        theirs_free = inverse_softplus(got + 1.0)
        theirs.u.copy_(direction + (theirs_free - got) * w / (w @ w))
        agree(ours, theirs, 2.0 * torch.randn(ROWS, FEATURES))


def _free(product: float) -> float:
    """What :func:`training.bijections.bend.constrained` makes the product of."""
    return math.log(math.expm1(product - MIN_PRODUCT)) - math.log(math.expm1(-MIN_PRODUCT))


@pytest.mark.parametrize("stretch", [-2.0, 0.3, 2.0])
def test_radial_agrees_with_pyro(stretch: float) -> None:
    ours, theirs = Radial(FEATURES), pyro_transforms.Radial(FEATURES)
    with torch.no_grad():
        ours.values.own["stretch"].fill_(stretch)
        centre, alpha, beta = ours._shape(None)
        theirs.x0.copy_(centre[:, 0])
        theirs.alpha_prime.copy_(inverse_softplus(alpha))
        theirs.beta_prime.copy_(inverse_softplus(beta + alpha))
        agree(ours, theirs, 2.0 * torch.randn(ROWS, FEATURES))


def test_sylvester_agrees_with_pyro_where_its_orthogonal_matrix_is_the_identity() -> None:
    """Pyro's triangles are then lower ones: ours with the features in the opposite order."""
    ours, theirs = Sylvester(FEATURES, FEATURES), pyro_transforms.Sylvester(FEATURES, 2)
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.normal_()
        theirs.S_diag.abs_()
        theirs.u_unnormed[1] = theirs.u_unnormed[0]  # Two equal reflections.
        assert torch.allclose(theirs.Q(torch.zeros(1)), torch.eye(FEATURES))
        outer, inner = theirs.R().T.flip(0, 1), theirs.S().T.flip(0, 1)
        scales = torch.diagonal(inner)
        products = torch.diagonal(outer) * scales
        free = torch.tensor([_free(product) for product in products.tolist()])
        ours.basis.free.copy_(torch.eye(FEATURES).flip(0))
        own = ours.values.own
        own["triangles"].copy_(outer.triu(1) + inner.triu(1).T + torch.diag(free))
        own["log_scales"].copy_(unbounded(scales.log(), LOG_BOUND))
        own["b"].copy_(theirs.b.flip(0))
        # Pyro adds 1e-8 inside of its logarithm.
        x = 2.0 * torch.randn(ROWS, FEATURES)
        z, log_det = ours.encode(x)
        expected = theirs(x)
        assert (z - expected).abs().max() <= EXACT
        assert (log_det - theirs.log_abs_det_jacobian(x, expected)).abs().max() <= 1e-6
