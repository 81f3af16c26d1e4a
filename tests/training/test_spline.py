"""The spline where splines break: knots, edges, far away, and extreme parameters in float32."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from training import networks
from training.bijections import RationalQuadratic
from training.bijections.spline import bounded_exp

BOUND = 4.0
BINS = 8


def tables(scalars: int, scale: float, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    spline = RationalQuadratic(BINS, BOUND)
    widths, heights, slopes = (
        scale * torch.randn(1, size, generator=generator, dtype=torch.float64)
        for size in spline.parameters_per_scalar()
    )
    return tuple(t.to(dtype).T.expand(-1, scalars) for t in (widths, heights, slopes))  # type: ignore[return-value]


def knots(logits: Tensor) -> Tensor:
    sizes = bounded_exp(logits[:, 0])
    return 2 * BOUND * sizes.cumsum(0) / sizes.sum() - BOUND


def test_knots_map_to_knots() -> None:
    spline = RationalQuadratic(BINS, BOUND).double()
    widths, heights, slopes = tables(BINS, 1.0, torch.float64)
    y, _ = spline.encode(knots(widths)[:, None], widths, heights, slopes)
    assert torch.allclose(y[:, 0], knots(heights), atol=1e-12)


def test_slope_is_one_at_and_beyond_the_edges() -> None:
    spline = RationalQuadratic(BINS, BOUND).double()
    x = torch.tensor([[-1e6], [-BOUND], [BOUND], [1e6]], dtype=torch.float64)
    y, log_slope = spline.encode(x, *tables(4, 1.0, torch.float64))
    assert torch.allclose(y, x, atol=1e-9)
    assert torch.allclose(log_slope, torch.zeros(4, 1, dtype=torch.float64), atol=1e-9)


def test_monotone_through_every_knot() -> None:
    spline = RationalQuadratic(BINS, BOUND).double()
    x = torch.linspace(-5, 5, 100_001, dtype=torch.float64)
    y, log_slope = (
        values[:, 0] for values in spline.encode(x[:, None], *tables(len(x), 3.0, torch.float64))
    )
    assert (y.diff() > 0).all()
    integral = torch.cumulative_trapezoid(log_slope.exp(), x)
    assert torch.allclose(integral, y[1:] - y[0], atol=1e-3)


@pytest.mark.parametrize("scale", [1.0, 10.0, 1000.0])
def test_float32_never_gives_nan_in_either_direction(scale: float) -> None:
    spline = RationalQuadratic(BINS, BOUND)
    x = torch.cat([torch.linspace(-5, 5, 50_001), torch.linspace(-1e4, 1e4, 1001)])
    logits = tables(len(x), scale, torch.float32)
    for direction in (spline.encode, spline.decode):
        value, log_slope = direction(x[:, None], *logits)
        assert torch.isfinite(value).all()
        assert torch.isfinite(log_slope).all()


def test_exactly_on_knots_in_float32() -> None:
    spline = RationalQuadratic(BINS, BOUND)
    widths, heights, slopes = tables(3 * BINS, 2.0, torch.float32)
    at = knots(widths)
    infinity = torch.full_like(at, torch.inf)
    x = torch.cat([at, at.nextafter(infinity), at.nextafter(-infinity)])
    y, log_slope = spline.encode(x[:, None], widths, heights, slopes)
    assert torch.isfinite(log_slope).all()
    assert (y.reshape(3, BINS) - knots(heights)).abs().max() < 1e-4


@pytest.mark.usefixtures("in_float64")
@pytest.mark.parametrize("bins", [2, 5, 8])
def test_heads_that_absorb_what_the_map_does_first_give_the_same_map(bins: int) -> None:
    spline, features = RationalQuadratic(bins, BOUND), 3
    sizes = [features * size for size in spline.parameters_per_scalar()]
    network = networks.dense(2, (6,), sizes, scale=3.0)
    x, given = 3.0 * torch.randn(50, features), torch.randn(50, 2)
    before = spline.encode(x, *spline.ask(network, given))
    spline.absorb(network)
    spline.absorb(network)  # Once only.
    after = spline.encode(x, *spline.ask(network, given))
    for one, other in zip(before, after, strict=True):
        assert torch.allclose(one, other, atol=1e-12)


def test_a_nan_stays_with_its_scalar() -> None:
    spline = RationalQuadratic(BINS, BOUND)
    x = torch.tensor([[0.5], [torch.nan], [-1.0]])
    for direction in (spline.encode, spline.decode):
        value, _ = direction(x, *tables(3, 1.0, torch.float32))
        assert torch.isnan(value[:, 0]).tolist() == [False, True, False]


def test_one_bin_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 2 bins, got 1"):
        RationalQuadratic(1, BOUND)
