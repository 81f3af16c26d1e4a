"""A VAE in the batcher: what shares runs, what is refused, what is counted."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import service.bound
import service.served_vae
from service.choice import Choice
from service.config import ServiceConfig
from service.core import Core
from service.errors import ErrorKind, ServiceError
from service.kinds import load
from service.results import OK
from service.runtime import Runtime
from service.vae import VAE
from tests.latents import write_vae
from tests.linear_gaussian import (
    DEFAULT_DEPTH,
    OFFERED,
    SAMPLES,
    SEED,
    exact_score,
    rows,
)
from tests.same_bounds import same_bounds

CPU = Runtime.choose("cpu", sessions=1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("vaes")
    write_vae(root)
    return root


@pytest.fixture(scope="module")
def running(folder: Path) -> Core:
    core = Core(ServiceConfig(bundles=folder, provider="cpu", sessions=2, chunk_rows=16))
    core.load()
    return core


def ask(*asked: Any) -> list[Any]:
    async def work() -> list[Any]:
        return await asyncio.gather(*asked, return_exceptions=True)

    return asyncio.run(work())


@settings(max_examples=15, deadline=None)
@given(
    asked=st.lists(
        st.tuples(st.integers(1, 40), st.sampled_from([1, 5, 300]), st.sampled_from(OFFERED)),
        min_size=1,
        max_size=6,
    )
)
def test_batched_is_alone(running: Core, asked: list[tuple[int, int, int]]) -> None:
    served = running.find("vae")
    requests = [
        (rows(n, seed), samples, seed, depth) for seed, (n, samples, depth) in enumerate(asked)
    ]
    bounds = [
        served.log_prob_bound(x, samples, seed, Choice(depth=depth))
        for x, samples, seed, depth in requests
    ]
    scores = [served.score(x) for x, *_ in requests]
    drawn = [served.encode(x, seed, Choice(depth=depth)) for x, _, seed, depth in requests]
    answers = ask(*bounds, *scores, *drawn)
    count = len(requests)
    for at, (x, samples, seed, depth) in enumerate(requests):
        model = served.model
        same_bounds(answers[at].bounded, model.bound(x, model.weighing(samples, seed, depth)))
        np.testing.assert_allclose(answers[count + at].score, exact_score(x), atol=1e-3)
        alone = model.encode(x, seed, depth)
        np.testing.assert_allclose(answers[2 * count + at].z, alone.z, atol=1e-5)


def test_many_rows_are_put_together_as_few_are(
    running: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    served, x = running.find("vae"), rows(6)
    (few,) = ask(served.log_prob_bound(x, 5, 1))
    monkeypatch.setattr(service.served_vae, "INLINE_PIECES", 6)
    (many,) = ask(served.log_prob_bound(x, 5, 1))
    same_bounds(many.bounded, few.bounded)


@pytest.mark.parametrize("numbers", [4, 40, 1000])
def test_batched_in_pieces_is_alone(
    folder: Path, monkeypatch: pytest.MonkeyPatch, numbers: int
) -> None:
    x = rows(7)
    reference = load(folder / "vae" / "1", CPU)
    assert isinstance(reference, VAE)
    whole = reference.bound(x, reference.weighing(60, 3))
    monkeypatch.setattr(service.bound, "RUN_NUMBERS", numbers)
    core = Core(ServiceConfig(bundles=folder, provider="cpu", sessions=2))
    core.load()
    served = core.find("vae")
    (bound, scored) = ask(served.log_prob_bound(x, 60, 3), served.score(x))
    same_bounds(bound.bounded, whole)
    np.testing.assert_allclose(scored.score, exact_score(x), atol=1e-3)
    value = core.metrics.registry.get_sample_value
    labels = {"replica": "0", "model": "vae", "version": "1"}
    assert value("logdet_bound_samples_total", labels) == 7 * (60 + SAMPLES)
    assert value("logdet_rows_total", labels | {"method": "log_prob_bound"}) == 7
    assert value("logdet_score_count", labels) == 7


def test_a_small_request_does_not_wait_for_the_samples_of_a_large_one(folder: Path) -> None:
    core = Core(ServiceConfig(bundles=folder, provider="cpu", sessions=1))
    core.load()
    served, x = core.find("vae"), rows(20)

    async def work() -> tuple[bool, Any]:
        large = asyncio.ensure_future(served.log_prob_bound(x, 100_000, 0))
        await asyncio.sleep(0.05)
        await served.score(x[:1])
        finished = large.done()
        return finished, await large

    finished, answer = asyncio.run(work())
    assert not finished
    assert (answer.bounded.status == OK).all()


def test_a_seed_not_given_is_drawn_and_told(running: Core) -> None:
    served, x = running.find("vae"), rows(3)
    first, second = ask(served.log_prob_bound(x), served.log_prob_bound(x))
    assert first.weighing.seed != second.weighing.seed
    assert first.weighing.plan.samples == SAMPLES
    (again,) = ask(served.log_prob_bound(x, None, first.weighing.seed))
    same_bounds(again.bounded, first.bounded)


# name: (what is asked of the served model, words of the refusal)
REFUSED: dict[str, tuple[Any, str]] = {
    "no samples": (lambda s, x: s.log_prob_bound(x, 0), "'samples' between 1 and 100000, got 0"),
    "too many samples": (lambda s, x: s.log_prob_bound(x, 100_001), "got 100001"),
    "a negative seed": (lambda s, x: s.log_prob_bound(x, 1, -1), "'seed' between 0"),
    "an encoding's seed": (lambda s, x: s.encode(x, 2**63), "'seed' between 0"),
    "a depth": (lambda s, x: s.log_prob_bound(x, 1, 1, Choice(depth=7)), "0, 1, 2, got 7"),
    "a depth to encode": (lambda s, x: s.encode(x, None, Choice(depth=7)), "0, 1, 2, got 7"),
    "a depth to reconstruct": (lambda s, x: s.reconstruct(x, Choice(depth=7)), "got 7"),
    "a score at other samples": (
        lambda s, x: s.score(x, None, (5, None)),
        f"'samples' of {SAMPLES}, at which the p-values of vae are calibrated, got 5; "
        "log_prob_bound takes other numbers",
    ),
    "a score of another seed": (lambda s, x: s.score(x, None, (None, 1)), f"'seed' of {SEED}"),
    "a score at another depth": (
        lambda s, x: s.score(x, None, choice=Choice(depth=2)),
        f"'depth' of {DEFAULT_DEPTH}, at which the p-values",
    ),
    "a score at no depth on offer": (
        lambda s, x: s.score(x, None, choice=Choice(depth=9)),
        "one of 0, 1, 2, got 9",
    ),
    "an alpha": (lambda s, x: s.score(x, 1e-6), "calibration rows"),
    "no rows drawn": (lambda s, x: s.sample(0), "'n' to be at least 1"),
    "a temperature": (lambda s, x: s.sample(1, 0, -1.0), "'temperature'"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_asked_is_refused(running: Core, name: str) -> None:
    asked, words = REFUSED[name]
    (error,) = ask(asked(running.find("vae"), rows(2)))
    assert isinstance(error, ServiceError)
    assert error.kind is ErrorKind.INVALID_INPUT
    assert words in error.message


def test_what_scores_are_calibrated_at_may_be_named(running: Core) -> None:
    served, x = running.find("vae"), rows(3)
    choice = Choice(depth=DEFAULT_DEPTH)
    named, plain = ask(served.score(x, None, (SAMPLES, SEED), choice), served.score(x))
    np.testing.assert_array_equal(named.score, plain.score)


def test_too_many_samples_over_all_rows_are_refused(running: Core) -> None:
    x = rows(1000)
    (error,) = ask(running.find("vae").log_prob_bound(x, 100_000))
    assert isinstance(error, ServiceError)
    assert error.kind is ErrorKind.TOO_LARGE
    assert "1000 rows of 100000" in error.message
