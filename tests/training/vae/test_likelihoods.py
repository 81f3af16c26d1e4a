"""p(x | z) beside its textbook forms, and draws beside what it says of them."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import stats
from torch import Tensor, distributions

from exported.draws import noise_of_rows
from tests.training.vae.builders import counted, observations, strain, vae
from training import bases
from training.vae.likelihoods import (
    LOG_SCALE_BOUND,
    Bernoulli,
    DiscretisedLogistic,
    Likelihood,
    LocationScale,
)

FEATURES, ROWS, SAMPLES = 3, 5, 4
# Whole numbers 0 to 15 in a unit of 4 with its zero at 6, and the half of one.
UNIT, CENTRE, LAST = 4.0, 6.0, 15
HALF = 0.5 / UNIT
DRAWS, LEAST_P_VALUE = 20_000, 1e-3

pytestmark = pytest.mark.usefixtures("in_float64")


def tables(count: int) -> tuple[Tensor, ...]:
    return tuple(torch.randn(ROWS, SAMPLES, FEATURES) for _ in range(count))


def moved(likelihood: LocationScale) -> LocationScale:
    strain(likelihood, 1.0)
    return likelihood


def gaussian(features: int = FEATURES) -> LocationScale:
    return moved(LocationScale(bases.StandardNormal(), features))


def student_t(features: int = FEATURES) -> LocationScale:
    return moved(LocationScale(bases.StudentT(features), features))


def logistic(features: int = 1, *, has_ends: bool = True) -> DiscretisedLogistic:
    every = torch.ones(features)
    low, high = (-CENTRE / UNIT, (LAST - CENTRE) / UNIT) if has_ends else (-math.inf, math.inf)
    return DiscretisedLogistic(HALF * every, low * every, high * every, 0.0 * every)


def cells(first: int, last: int) -> Tensor:
    """Whole numbers as rows of one feature, ``(numbers, 1, 1)``."""
    return ((torch.arange(first, last + 1.0) - CENTRE) / UNIT).reshape(-1, 1, 1)


def squashed(free: Tensor) -> Tensor:
    return torch.exp(LOG_SCALE_BOUND * torch.tanh(free / LOG_SCALE_BOUND))


def test_bernoulli_is_that_of_torch() -> None:
    x, logits = torch.randint(0, 2, (ROWS, 1, FEATURES)).double(), 20.0 * tables(1)[0]
    expected = distributions.Bernoulli(logits=logits).log_prob(x.expand_as(logits)).sum(dim=2)
    assert torch.allclose(Bernoulli().log_prob(x, logits), expected, atol=1e-12)
    assert torch.allclose(Bernoulli().mean(logits), logits.sigmoid())


def test_gaussian_is_that_of_torch() -> None:
    x, (mean,), likelihood = torch.randn(ROWS, 1, FEATURES), tables(1), gaussian()
    density = distributions.Normal(mean, squashed(likelihood.free_log_scale).detach())
    expected = density.log_prob(x).sum(dim=2)
    assert torch.allclose(likelihood.log_prob(x, mean), expected, atol=1e-12)


def test_student_t_is_that_of_torch() -> None:
    x, (mean,), likelihood = 30.0 * torch.randn(ROWS, 1, FEATURES), tables(1), student_t()
    base = likelihood.base
    assert isinstance(base, bases.StudentT)
    density = distributions.StudentT(
        base.degrees().detach(), mean, squashed(likelihood.free_log_scale).detach()
    )
    expected = density.log_prob(x).sum(dim=2)
    assert torch.allclose(likelihood.log_prob(x, mean), expected, atol=1e-11)


@pytest.mark.parametrize("make", [gaussian, student_t])
def test_a_folded_likelihood_is_the_same(make: Callable[..., LocationScale]) -> None:
    likelihood, x, (mean,) = make(), torch.randn(ROWS, 1, FEATURES), tables(1)
    folded = likelihood.folded()
    assert torch.allclose(folded.log_prob(x, mean), likelihood.log_prob(x, mean), atol=1e-12)
    # lgamma has no operator in ONNX; what is left must not need one.
    assert not [name for name, _ in folded.named_parameters() if name.startswith("base.")]


class TestDiscretisedLogistic:
    @pytest.mark.parametrize("log_scale", [-4.0, -1.0, 0.0, 2.0])
    @pytest.mark.parametrize("mean", [-3.0, 0.1, 2.0])
    @pytest.mark.parametrize(("ends", "has_ends"), [((0, LAST), True), ((-3000, 3000), False)])
    def test_masses_sum_to_one(
        self, mean: float, log_scale: float, ends: tuple[int, int], has_ends: bool
    ) -> None:
        told = torch.full((1, 1, 1), mean), torch.full((1, 1, 1), log_scale)
        log_prob = logistic(has_ends=has_ends).log_prob(cells(*ends), *told)
        assert log_prob.exp().sum() == pytest.approx(1.0, abs=1e-12)

    def test_it_is_the_difference_of_two_sigmoids(self) -> None:
        mean, log_scale = (table[:1, :, :1] for table in tables(2))
        x, scale = cells(1, LAST - 1), squashed(log_scale)
        upper, lower = ((x + sign * HALF - mean) / scale for sign in (1.0, -1.0))
        expected = torch.log(torch.sigmoid(upper) - torch.sigmoid(lower)).sum(dim=2)
        got = logistic().log_prob(x, mean, log_scale)
        near = torch.maximum(upper.abs(), lower.abs()).squeeze(2) < 8.0
        assert near.any()
        assert torch.allclose(got[near], expected[near], rtol=1e-10)

    def test_the_ends_take_the_rest_of_the_axis(self) -> None:
        mean, log_scale = (table[:1, :, :1] for table in tables(2))
        scale, edge = (
            squashed(log_scale),
            cells(0, LAST)[[0, -1]] + HALF * torch.tensor([[[1.0]], [[-1.0]]]),
        )
        below, above = torch.sigmoid((edge - mean) / scale).squeeze(2)
        got = logistic().log_prob(cells(0, LAST)[[0, -1]], mean, log_scale).exp()
        assert torch.allclose(got[0], below, rtol=1e-12)
        assert torch.allclose(got[1], 1.0 - above, rtol=1e-10)

    @pytest.mark.parametrize("sign", [1.0, -1.0])
    def test_it_is_right_far_out_in_float32(self, sign: float) -> None:
        """A hundred scales from the mean, where the difference of sigmoids is nought."""
        likelihood = logistic(has_ends=False).float()
        log_scale = torch.zeros(1, 1, 1, dtype=torch.float32, requires_grad=True)
        mean = torch.full((1, 1, 1), -100.0 * sign, dtype=torch.float32, requires_grad=True)
        got = likelihood.log_prob(torch.zeros(1, 1, 1, dtype=torch.float32), mean, log_scale)
        nearer = 100.0 - HALF
        expected = -nearer + math.log1p(-math.exp(-2.0 * HALF))
        assert got.item() == pytest.approx(expected, rel=1e-6)
        got.sum().backward()
        assert mean.grad is not None
        assert log_scale.grad is not None
        assert mean.grad.item() == pytest.approx(sign, rel=1e-5)
        # d / d log_scale of -|x - mean| / scale, and of the cell's width in scales.
        width = 2.0 * HALF
        slope = nearer - width / math.expm1(width)
        assert log_scale.grad.item() == pytest.approx(slope, rel=1e-5)

    @pytest.mark.parametrize("location", [-9.0, -1.4, 0.3, 9.0])
    def test_the_mean_counts_what_is_beyond_an_end_as_the_end(self, location: float) -> None:
        low, high = -CENTRE / UNIT, (LAST - CENTRE) / UNIT
        u = (torch.arange(200_000) + 0.5) / 200_000
        expected = (location + math.exp(0.2) * torch.logit(u)).clamp(low, high).mean()
        log_scale = LOG_SCALE_BOUND * math.atanh(0.2 / LOG_SCALE_BOUND)
        got = logistic().mean(torch.tensor([[location]]), torch.tensor([[log_scale]]))
        assert got.item() == pytest.approx(expected.item(), abs=1e-4)

    def test_without_ends_the_mean_is_the_location(self) -> None:
        tables = torch.tensor([[0.3]]), torch.tensor([[1.0]])
        assert logistic(has_ends=False).mean(*tables).item() == pytest.approx(0.3)


def drawn(likelihood: Likelihood, *told: float) -> NDArray[np.float64]:
    """Draws of one feature, for the noise that the service draws from the manifest's words."""
    noise = torch.from_numpy(noise_of_rows(likelihood.noise(1), 0, [0], 0, DRAWS)[0])
    with torch.no_grad():
        x = likelihood.draw(noise, *(torch.full_like(noise, value) for value in told))
    return np.asarray(x[:, 0].numpy())


def masses(likelihood: Likelihood, x: Tensor, *told: float) -> NDArray[np.float64]:
    with torch.no_grad():
        log_prob = likelihood.log_prob(x, *(torch.full((1, 1, 1), value) for value in told))
    return np.asarray(log_prob.exp().reshape(-1).numpy())


class TestDraws:
    @pytest.mark.parametrize("make", [gaussian, student_t])
    def test_densities(self, make: Callable[..., LocationScale]) -> None:
        likelihood = make(1)
        x = np.sort(drawn(likelihood, 0.7))
        # The distribution function of the likelihood itself, by the trapezoid rule.
        grid = torch.linspace(-200.0, 200.0, 400_001)
        density = masses(likelihood, grid.reshape(-1, 1, 1), 0.7)
        step = float(grid[1] - grid[0])
        below = np.concatenate([[0.0], np.cumsum(0.5 * step * (density[1:] + density[:-1]))])
        test = stats.kstest(x, lambda at: np.interp(at, grid.numpy(), below))
        assert test.pvalue > LEAST_P_VALUE

    def test_bernoulli(self) -> None:
        ones = int(drawn(Bernoulli(), 0.8).sum())
        p = float(torch.sigmoid(torch.tensor(0.8)))
        assert stats.binomtest(ones, DRAWS, p).pvalue > LEAST_P_VALUE

    @pytest.mark.parametrize(
        "told", [(0.4, -0.5), (2.1, 0.3)], ids=["inside", "piled up on an end"]
    )
    def test_discretised_logistic(self, told: tuple[float, float]) -> None:
        numbers = drawn(logistic(), *told) * UNIT + CENTRE
        assert np.allclose(numbers, np.rint(numbers), atol=1e-9)
        counts = np.bincount(np.rint(numbers).astype(int), minlength=LAST + 1)
        expected = DRAWS * masses(logistic(), cells(0, LAST), *told)
        assert expected.min() > 5.0
        assert stats.chisquare(counts, expected).pvalue > LEAST_P_VALUE


def test_a_table_without_ends_gives_whole_numbers() -> None:
    """Cells of the columns themselves: what is drawn lies on the lattice of the data."""
    settings = {"likelihood": "discretised_logistic"}
    data = observations(counted(), **settings)
    model = vae(data, **settings)
    noise = torch.rand(50, 2)
    x = model.draw(torch.randn(50, 3), noise).detach()
    raw, _ = data.preprocessing.decode(x)
    assert torch.allclose(raw, raw.round(), atol=1e-4)
    assert raw.round().unique(dim=0).shape[0] > 10
