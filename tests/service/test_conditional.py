"""Densities p(x | c) and numbers of steps, below any protocol."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.choice import Choice
from service.config import ServiceConfig
from service.core import Core
from service.errors import ServiceError
from service.examples import bodies
from service.model import Model
from service.results import NON_FINITE_INPUT, OK, OUT_OF_SUPPORT
from service.runtime import Runtime
from tests.bundles import SITE, exact, ordinary_rows
from tests.variants import (
    DEFAULT_STEPS,
    OFFERED,
    PLANT,
    contexts,
    exact_decode_given,
    exact_given,
    rows_given,
    write_conditional,
    write_stepped,
)

CPU = Runtime.choose("cpu", sessions=1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("variants")
    write_conditional(root)
    write_stepped(root)
    return root


@pytest.fixture(scope="module")
def conditional(folder: Path) -> Model:
    return Model.load(folder / "given" / "1", CPU)


@pytest.fixture(scope="module")
def stepped(folder: Path) -> Model:
    return Model.load(folder / "stepped" / "1", CPU)


@pytest.fixture(scope="module")
def variants(folder: Path) -> Core:
    core = Core(ServiceConfig(bundles=folder, provider="cpu", sessions=2, chunk_rows=16))
    core.load()
    return core


def test_evaluate_is_what_the_formula_says(conditional: Model) -> None:
    context = contexts(200)
    x = rows_given(context)
    got, truth = conditional.evaluate(x, context), exact_given(x, context)
    np.testing.assert_allclose(got.log_prob, truth.log_prob, atol=1e-4)
    np.testing.assert_allclose(got.z, truth.z, atol=1e-4)
    assert (got.status == OK).all()


def test_one_row_of_context_is_for_all_rows(conditional: Model) -> None:
    context = contexts(1)
    x = rows_given(np.repeat(context, 30, axis=0))
    got = conditional.evaluate(x, context)
    truth = exact_given(x, np.repeat(context, 30, axis=0))
    np.testing.assert_allclose(got.log_prob, truth.log_prob, atol=1e-4)


def test_decode_and_emit_are_of_the_context(conditional: Model) -> None:
    context = contexts(60)
    z = np.random.default_rng(0).standard_normal((60, 3))
    truth = exact_decode_given(z, context)
    decoded = conditional.decode(z, context)
    np.testing.assert_allclose(decoded.x, truth, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(decoded.log_prob, exact_given(truth, context).log_prob, atol=1e-4)
    emitted = conditional.emit(z, context)
    np.testing.assert_array_equal(emitted.x[:, 2], np.floor(decoded.x[:, 2] + 0.5))
    again = exact_given(emitted.x, context).log_prob
    np.testing.assert_allclose(emitted.log_prob, again, atol=1e-4)


def test_samples_with_a_context_each_do_not_depend_on_how_they_are_cut(conditional: Model) -> None:
    context = contexts(100)
    whole = conditional.sample(100, seed=3, context=context).rows
    parts = [
        conditional.sample(n, 3, first_row=first, context=context[first : first + n]).rows
        for first, n in ((0, 1), (1, 60), (61, 39))
    ]
    np.testing.assert_allclose(np.vstack([p.x for p in parts]), whole.x, rtol=1e-6)


@pytest.mark.parametrize(
    ("column", "value", "status"),
    [
        (0, np.nan, NON_FINITE_INPUT),
        (1, np.inf, NON_FINITE_INPUT),
        (0, -1.0, OUT_OF_SUPPORT),
        (1, 50.5, OUT_OF_SUPPORT),
        (1, 1e300, OUT_OF_SUPPORT),
        (2, PLANT + 1e-9, OUT_OF_SUPPORT),
    ],
)
def test_a_context_that_is_not_fit_is_its_own_rows_problem(
    conditional: Model, column: int, value: float, status: int
) -> None:
    context = contexts(3)
    x, z = rows_given(context), np.zeros((3, 3))
    truth = exact_given(x, context).log_prob
    context[1, column] = value
    got = conditional.evaluate(x, context)
    assert got.status.tolist() == [OK, status, OK]
    np.testing.assert_allclose(got.log_prob[[0, 2]], truth[[0, 2]], atol=1e-4)
    impossible = status == OUT_OF_SUPPORT
    for made in (conditional.decode(z, context), conditional.emit(z, context), got):
        assert made.status.tolist() == [OK, status, OK]
        assert (made.log_prob[1] == -np.inf) if impossible else np.isnan(made.log_prob[1])
    for made in (conditional.decode(z, context), conditional.emit(z, context)):
        assert np.isnan(made.x[1]).all()
        assert set(made.x[[0, 2], 3]) == {SITE}


def test_what_is_not_finite_in_row_or_context_wins_over_support(conditional: Model) -> None:
    context = contexts(2)
    x = rows_given(context)
    x[0, 0], context[0, 1] = np.nan, 50.5
    x[1, 2], context[1, 0] = -1.0, np.nan
    assert conditional.evaluate(x, context).status.tolist() == [NON_FINITE_INPUT] * 2
    latent = np.array([[np.nan, 0.0, 0.0]])
    assert conditional.decode(latent, context[:1]).status.tolist() == [NON_FINITE_INPUT]


@pytest.mark.parametrize(
    ("context", "words"),
    [
        (None, "expected a 'context' of second, load, plant"),
        (contexts(2), "expected 1 or 5 rows of 'context'"),
        (contexts(5)[:, :2], "expected 3 values"),
        (contexts(5)[0], "expected 1 or 5 rows"),
    ],
)
def test_a_context_of_another_size_is_refused(
    conditional: Model, context: np.ndarray | None, words: str
) -> None:
    with pytest.raises(ServiceError, match=words):
        conditional.evaluate(ordinary_rows(5), context)


def test_a_context_that_nobody_wants_is_refused(model: Model) -> None:
    with pytest.raises(ServiceError, match="gauss has no context features"):
        model.evaluate(ordinary_rows(5), contexts(5))


def test_examples_of_a_conditional_model_are_accepted(conditional: Model) -> None:
    examples = bodies(conditional.manifest)
    x, context = (np.array(examples["score"][field]) for field in ("rows", "context"))
    assert conditional.evaluate(x, context).status.tolist() == [OK]
    assert all("context" in body for body in examples.values())


@settings(max_examples=20, deadline=None)
@given(sizes=st.lists(st.tuples(st.integers(1, 40), st.booleans()), min_size=1, max_size=8))
def test_requests_that_share_runs_keep_their_own_context(
    variants: Core, sizes: list[tuple[int, bool]]
) -> None:
    served = variants.find("given")
    asked: list[tuple[Any, Any]] = []
    for seed, (rows, alone) in enumerate(sizes):
        context = contexts(1 if alone else rows, seed)
        asked.append((rows_given(np.broadcast_to(context, (rows, 3)), seed), context))

    async def work() -> list[Any]:
        scored = [served.log_prob(x, Choice(context)) for x, context in asked]
        drawn = [served.sample(len(x), 1, 1.0, Choice(context)) for x, context in asked]
        return await asyncio.gather(*scored, *drawn)

    answers = asyncio.run(work())
    for (x, context), got, drawn in zip(asked, answers, answers[len(asked) :], strict=False):
        wide = np.broadcast_to(context, (len(x), 3))
        np.testing.assert_allclose(got.log_prob, exact_given(x, wide).log_prob, atol=1e-4)
        alone = served.model.sample(len(x), 1, context=context).rows
        np.testing.assert_allclose(drawn.rows.x, alone.x, rtol=1e-6)
        np.testing.assert_allclose(drawn.rows.log_prob, alone.log_prob, atol=1e-5)


@pytest.mark.parametrize("steps", [None, *OFFERED])
def test_the_caller_chooses_among_the_steps_on_offer(stepped: Model, steps: int | None) -> None:
    x = ordinary_rows(4)
    error = 1.0 / (DEFAULT_STEPS if steps is None else steps)
    got = stepped.evaluate(x, steps=steps)
    np.testing.assert_allclose(got.log_prob - exact(x).log_prob, error, atol=1e-4)
    decoded = stepped.decode(exact(x).z, steps=steps)
    np.testing.assert_allclose(decoded.log_prob - exact(x).log_prob, error, atol=1e-4)
    drawn = stepped.sample(4, 0, steps=steps).rows
    np.testing.assert_allclose(drawn.log_prob - exact(drawn.x).log_prob, error, atol=1e-4)


def test_steps_that_are_not_on_offer_are_refused(stepped: Model, model: Model) -> None:
    with pytest.raises(ServiceError, match="'steps' to be one of 4, 8, 32, got 9"):
        stepped.evaluate(ordinary_rows(1), steps=9)
    with pytest.raises(ServiceError, match="gauss has no solver"):
        model.evaluate(ordinary_rows(1), steps=8)


def test_rows_of_different_steps_never_share_a_run(variants: Core) -> None:
    served, x = variants.find("stepped"), ordinary_rows(40)
    counts = [None, *OFFERED] * 4

    async def work() -> list[Any]:
        asked = (served.log_prob(x, Choice(steps=steps)) for steps in counts)
        return await asyncio.gather(*asked)

    for steps, got in zip(counts, asyncio.run(work()), strict=True):
        error = 1.0 / (DEFAULT_STEPS if steps is None else steps)
        np.testing.assert_allclose(got.log_prob - exact(x).log_prob, error, atol=1e-4)
