"""Expectations: against the Gaussian whose moments are known, and over many seeds."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from pathlib import Path
from statistics import NormalDist

import numpy as np
import pytest

from service.choice import Choice
from service.config import ServiceConfig
from service.core import Core
from service.errors import ErrorKind, ServiceError
from service.expectation import (
    Estimate,
    Expected,
    Mean,
    Probability,
    Quantile,
    Question,
    Questions,
    Variance,
)
from service.questions import MAX_QUESTIONS, questions
from tests.bundles import COVARIANCE, MEAN, NAMES, SITE
from tests.variants import CENTRE, shift, write_conditional

STANDARD = NormalDist()
PRESSURE, FLOW, COUNT, SITE_COLUMN = range(4)
Draw = Callable[[np.random.Generator, int], np.ndarray]


def normal(rng: np.random.Generator, rows: int) -> np.ndarray:
    return rng.standard_normal((rows, 1))


def skewed(rng: np.random.Generator, rows: int) -> np.ndarray:
    return rng.exponential(size=(rows, 1))


def estimates(core: Core, *asked: Question, samples: int = 20_000, seed: int = 0) -> Expected:
    served = core.find("gauss")
    return asyncio.run(served.expectation(Questions(asked), samples, seed))


# question: (question, truth under the bundle's Gaussian)
TRUTHS: dict[str, tuple[Question, float]] = {
    "mean": (Mean(PRESSURE), MEAN[0]),
    "variance": (Variance(FLOW), COVARIANCE[1, 1]),
    "median": (Quantile(PRESSURE, 0.5), MEAN[0]),
    "tail": (Quantile(FLOW, 0.99), MEAN[1] + STANDARD.inv_cdf(0.99) * COVARIANCE[1, 1] ** 0.5),
    "below": (Probability((PRESSURE,), (-math.inf,), (8.0,)), STANDARD.cdf(-1.0)),
    "between": (Probability((PRESSURE,), (8.0,), (12.0,)), 1.0 - 2.0 * STANDARD.cdf(-1.0)),
    # The cell of 40 is where the dequantised count lies between 39.5 and 40.5; its mean is 40,
    # so the mean of whole numbers is 39.5 with Sheppard's correction to the variance.
    "whole mean": (Mean(COUNT), MEAN[2] - 0.5),
    "whole variance": (Variance(COUNT), COVARIANCE[2, 2] + 1.0 / 12.0),
    "whole value": (
        Probability((COUNT,), (40.0,), (40.0,)),
        STANDARD.cdf(1.0 / 6.0) - STANDARD.cdf(0.0),
    ),
    "whole quantile": (Quantile(COUNT, 0.9), 47.0),
    # Both over their means: a quarter, and the angle whose sine is the correlation (Sheppard).
    "orthant": (
        Probability((PRESSURE, FLOW), (MEAN[0], MEAN[1]), (math.inf, math.inf)),
        0.25 + math.asin(1.0 / 8.0**0.5) / (2.0 * math.pi),
    ),
}


@pytest.mark.parametrize("name", TRUTHS)
@pytest.mark.parametrize("seed", [0, 1])
def test_an_estimate_is_within_four_standard_errors(core: Core, name: str, seed: int) -> None:
    question, truth = TRUTHS[name]
    (got,) = estimates(core, question, seed=seed).estimates
    assert got.standard_error > 0.0 or got.value == truth
    assert abs(got.value - truth) <= 4.0 * got.standard_error


def test_a_constant_is_known_to_the_last_digit(core: Core) -> None:
    asked = (Mean(SITE_COLUMN), Variance(SITE_COLUMN), Quantile(SITE_COLUMN, 0.5))
    mean, variance, median = estimates(core, *asked).estimates
    assert mean == median == Estimate(SITE, 0.0)
    assert variance == Estimate(0.0, 0.0)


def test_answers_do_not_depend_on_what_else_is_asked(core: Core) -> None:
    asked = [question for question, _ in TRUTHS.values()]
    together = estimates(core, *asked, samples=3000)
    assert together.samples == 3000
    assert together.excluded == 0
    for question, got in zip(asked, together.estimates, strict=True):
        assert estimates(core, question, samples=3000).estimates == (got,)


# of a feature: (question, truth, draws)
COVERED: dict[str, tuple[Question, float, Draw]] = {
    "mean": (Mean(0), 0.0, normal),
    "mean, skewed": (Mean(0), 1.0, skewed),
    "variance": (Variance(0), 1.0, normal),
    "variance, skewed": (Variance(0), 1.0, skewed),
    "median": (Quantile(0, 0.5), 0.0, normal),
    "tail": (Quantile(0, 0.99), STANDARD.inv_cdf(0.99), normal),
    "tail, skewed": (Quantile(0, 0.99), -math.log(0.01), skewed),
    "half": (Probability((0,), (0.0,), (math.inf,)), 0.5, normal),
    "rare": (Probability((0,), (5.0,), (math.inf,)), math.exp(-5.0), skewed),
}


@pytest.mark.parametrize("name", COVERED)
def test_about_two_thirds_are_within_one_error_and_a_twentieth_beyond_two(name: str) -> None:
    question, truth, draw = COVERED[name]
    rng = np.random.default_rng(5)
    asked = Questions((question,))
    got = [asked.answer(asked.keep(draw(rng, 2000)))[0] for _ in range(400)]
    errors = np.array([abs(e.value - truth) / e.standard_error for e in got])
    assert 0.60 < (errors <= 1.0).mean() < 0.80
    assert 0.91 < (errors <= 2.0).mean() < 0.99


@pytest.mark.parametrize("low", [-math.inf, math.inf])
def test_never_and_always_have_an_error_that_allows_the_bound_of_95_percent(low: float) -> None:
    asked = Questions((Probability((0,), (low,), (math.inf,)),))
    (got,) = asked.answer(asked.keep(np.zeros((1000, 1))))
    assert got.value == float(low < 0.0)
    assert 2.0 * got.standard_error == pytest.approx(3.0 / 1000.0, rel=0.1)


def test_what_too_few_rows_cannot_tell_has_no_error() -> None:
    asked = Questions((Quantile(0, 0.99), Mean(0), Variance(0), Probability((0,), (0.0,), (1.0,))))
    tail, *_ = asked.answer(asked.keep(np.arange(100.0)[:, None]))
    assert tail.value == 98.0
    assert math.isnan(tail.standard_error)
    for got in asked.answer(asked.keep(np.empty((0, 1)))):
        assert math.isnan(got.value)
        assert math.isnan(got.standard_error)


def test_rows_that_are_not_ok_take_no_part_and_are_counted(core: Core) -> None:
    served = core.find("gauss")
    emit = served.lanes().emit
    run = emit.run

    def spoilt(rows: np.ndarray) -> tuple[np.ndarray, ...]:
        x, log_prob, status = run(rows)
        x, status = x.copy(), status.copy()
        x[::2, 0], status[::2] = np.nan, 3
        return x, log_prob, status

    emit.run = spoilt
    out = estimates(core, Mean(PRESSURE), Probability((PRESSURE,), (-math.inf,), (10.0,)))
    assert out.samples == 20_000
    assert out.excluded == 10_000
    mean, half = out.estimates
    assert abs(mean.value - 10.0) < 4.0 * mean.standard_error
    assert half.value == pytest.approx(0.5, abs=0.02)


def test_the_ends_of_a_box_keep_their_digits_beside_narrow_columns() -> None:
    above = math.nextafter(16_777_216.0, math.inf)
    asked = Questions((Probability((0,), (above,), (1e300,)), Probability((0,), (0.0,), (above,))))
    kept = asked.keep(np.full((3, 1), 16_777_216.0, dtype=np.float32))
    assert kept.inside.tolist() == [[False, True]] * 3


def test_only_what_is_asked_is_kept() -> None:
    asked = Questions(
        (Mean(7), Variance(7), Quantile(2, 0.5), Probability((0, 9), (0, 0), (1, 1)))
    )
    kept = asked.keep(np.zeros((5, 4096), dtype=np.float32))
    assert kept.values.shape == (5, 2)
    assert kept.values.base is None or kept.values.base.size == 10
    assert kept.inside.shape == (5, 1)


def test_a_context_moves_the_expectation(tmp_path: Path) -> None:
    write_conditional(tmp_path)
    core = Core(ServiceConfig(bundles=tmp_path, provider="cpu", sessions=1))
    core.load()
    served, asked = core.find("given"), Questions((Mean(PRESSURE),))
    context = (CENTRE + np.array([20.0, 10.0, 0.0]))[None]
    (got,) = asyncio.run(served.expectation(asked, 5000, 0, Choice(context))).estimates
    assert abs(got.value - MEAN[0] - shift(context)[0, 0]) < 4.0 * got.standard_error
    two, lost = np.repeat(context, 2, axis=0), np.full((1, 3), np.nan)
    for wrong, words in ((None, "context"), (two, "1 row"), (lost, "non_finite_input")):
        with pytest.raises(ServiceError, match=words) as refused:
            asyncio.run(served.expectation(asked, 100, 0, Choice(wrong)))
        assert refused.value.kind is ErrorKind.INVALID_INPUT


def test_entries_are_read_in_order() -> None:
    of = [
        {"mean": "flow"},
        {"variance": "count"},
        {"quantile": "pressure", "q": 0.25},
        {"probability": {"flow": [None, 1], "count": [3, 4.5]}},
    ]
    assert questions(of, NAMES).asked == (
        Mean(1),
        Variance(2),
        Quantile(0, 0.25),
        Probability((1, 2), (-math.inf, 3.0), (1.0, 4.5)),
    )


# name: (value of "of", what the refusal says)
WRONG: dict[str, tuple[object, str]] = {
    "no list": ({"mean": "flow"}, "list of 1 to"),
    "empty": ([], "got 0"),
    "too many": ([{"mean": "flow"}] * (MAX_QUESTIONS + 1), f"got {MAX_QUESTIONS + 1}"),
    "not an object": (["mean"], "entry 0"),
    "unknown kind": ([{"mode": "flow"}], '"quantile"'),
    "two kinds": ([{"mean": "flow", "variance": "flow"}], "entry 0"),
    "unknown feature": ([{"mean": "flow"}, {"mean": "flaw"}], "entry 1 .* 'flaw'.* pressure"),
    "feature of another type": ([{"mean": ["flow"]}], "unknown feature"),
    "no q": ([{"quantile": "flow"}], "entry 0"),
    "q of one": ([{"quantile": "flow", "q": 1.0}], "between 0 and 1"),
    "q as text": ([{"quantile": "flow", "q": "0.5"}], "between 0 and 1"),
    "q as a truth": ([{"quantile": "flow", "q": True}], "between 0 and 1"),
    "no box": ([{"probability": {}}], "at least one feature"),
    "box of another type": ([{"probability": ["flow"]}], "entry 0"),
    "one end": ([{"probability": {"flow": [1]}}], "low, high"),
    "descending": ([{"probability": {"flow": [2, 1]}}], "low at most"),
    "end as text": ([{"probability": {"flow": ["a", 1]}}], "low, high"),
    "huge end": ([{"probability": {"flow": [None, 10**400]}}], "low, high"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_means_nothing_is_refused_with_a_reason(name: str) -> None:
    value, words = WRONG[name]
    with pytest.raises(ServiceError, match=words):
        questions(value, NAMES)
