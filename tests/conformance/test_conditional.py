"""Requests with a context and with a number of steps, against any engine."""

from __future__ import annotations

import concurrent.futures
from typing import Any

import httpx
import numpy as np
import pytest

from tests.bundles import exact, ordinary_rows
from tests.variants import (
    CENTRE,
    CONTEXT,
    DEFAULT_STEPS,
    OFFERED,
    PLANT,
    contexts,
    exact_decode_given,
    exact_given,
    rows_given,
)

ROW = [[10.0, -3.0, 40, 7.1]]
GIVEN = [[CENTRE[0], 50, PLANT]]
BY_NAME = dict(zip(CONTEXT, GIVEN[0], strict=True))


def call(api: httpx.Client, operation: str, body: dict[str, Any], model: str = "given") -> Any:
    response = api.post(f"/v1/models/{model}/{operation}", json=body)
    assert response.status_code == 200, response.text
    return response.json()


@pytest.mark.parametrize("operation", ["log_prob", "score", "encode"])
def test_each_row_is_judged_by_its_own_context(api: httpx.Client, operation: str) -> None:
    context = contexts(50)
    x = rows_given(context)
    answer = call(api, operation, {"rows": x.tolist(), "context": context.tolist()})
    truth = exact_given(x, context)
    assert answer["status"] == ["ok"] * 50
    if operation == "encode":
        np.testing.assert_allclose(answer["z"], truth.z, atol=1e-4)
    else:
        np.testing.assert_allclose(answer["log_prob"], truth.log_prob, atol=1e-4)


def test_one_context_is_for_all_rows_and_may_go_by_name(api: httpx.Client) -> None:
    x = ordinary_rows(20)
    wide = np.repeat(np.array(GIVEN), 20, axis=0)
    listed = call(api, "log_prob", {"rows": x.tolist(), "context": GIVEN})
    np.testing.assert_allclose(listed["log_prob"], exact_given(x, wide).log_prob, atol=1e-4)
    named = [dict(reversed(BY_NAME.items()))]
    assert call(api, "log_prob", {"rows": x.tolist(), "context": named}) == listed


def test_decode_undoes_encode_under_the_same_context(api: httpx.Client) -> None:
    context = contexts(7)
    z = np.random.default_rng(0).standard_normal((7, 3))
    answer = call(api, "decode", {"z": z.tolist(), "context": context.tolist()})
    np.testing.assert_allclose(answer["rows"], exact_decode_given(z, context), atol=1e-4)


def test_samples_follow_their_context(api: httpx.Client) -> None:
    few, many = [CENTRE[0], 0, PLANT], [CENTRE[0], 100, PLANT]
    context = np.array([few, many] * 5000)
    rows = np.array(
        call(api, "sample", {"n": 10_000, "seed": 1, "context": context.tolist()})["rows"]
    )
    for start, given in ((0, few), (1, many)):
        middle = exact_decode_given(np.zeros((1, 3)), np.array([given]))[0]
        np.testing.assert_allclose(rows[start::2, :3].mean(axis=0), middle[:3], atol=0.3)
    alone = call(api, "sample", {"n": 3, "seed": 1, "context": [few]})["rows"]
    np.testing.assert_allclose(alone[::2], rows[:3:2], rtol=1e-6)


def test_a_context_that_is_not_finite_or_not_in_support_is_its_own_problem(
    api: httpx.Client,
) -> None:
    context = [*GIVEN, [None, 50, PLANT], [CENTRE[0], 50.5, PLANT], [CENTRE[0], 50, 0.4]]
    statuses = ["ok", "non_finite_input", "out_of_support", "out_of_support"]
    scored = call(api, "score", {"rows": ROW * 4, "context": context})
    assert scored["status"] == statuses
    assert scored["log_prob"][1:] == [None] * 3
    assert scored["is_anomaly"][1:] == [None, True, True]
    drawn = call(api, "sample", {"n": 4, "seed": 0, "context": context})
    assert drawn["status"] == statuses
    assert drawn["rows"][1:] == [[None] * 4] * 3


def test_concurrent_requests_keep_their_own_context(api: httpx.Client) -> None:
    context = contexts(120)
    x = rows_given(context)
    truth = exact_given(x, context).log_prob

    def one(place: int) -> float:
        rows = {"rows": [x[place].tolist()], "context": [context[place].tolist()]}
        return call(api, "log_prob", rows)["log_prob"][0]

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        np.testing.assert_allclose(list(pool.map(one, range(120))), truth, atol=1e-4)


# name: (model, operation, body, words that the sentence must have)
REFUSED: dict[str, tuple[str, str, dict[str, Any], list[str]]] = {
    "missing": ("given", "score", {"rows": ROW}, ["'context' of second, load, plant", "none"]),
    "null": ("given", "score", {"rows": ROW, "context": None}, ["'context'", "none"]),
    "missing in sample": ("given", "sample", {"n": 2}, ["'context' of second, load, plant"]),
    "missing in decode": ("given", "decode", {"z": [[0, 0, 0]]}, ["'context'"]),
    "two for three": (
        "given",
        "log_prob",
        {"rows": ROW * 3, "context": GIVEN * 2},
        ["1 or 3 rows of 'context'", "got 2"],
    ),
    "two for one": (
        "given",
        "encode",
        {"rows": ROW, "context": GIVEN * 2},
        ["expected 1 row of 'context'", "got 2"],
    ),
    "two for n": ("given", "sample", {"n": 5, "context": GIVEN * 2}, ["1 or 5 rows", "got 2"]),
    "empty": ("given", "score", {"rows": ROW, "context": []}, ["'context'", "got 0"]),
    "a row that is not in a list": (
        "given",
        "score",
        {"rows": ROW, "context": BY_NAME},
        ["'context' to be a list", "an object"],
    ),
    "too narrow": (
        "given",
        "score",
        {"rows": ROW, "context": [[1.0, 2]]},
        ["3 values in every one of 'context'", "got 2 at row 0"],
    ),
    "unknown name": (
        "given",
        "score",
        {"rows": ROW, "context": [BY_NAME | {"colour": 1}]},
        ["row 0 of 'context'", "unknown feature 'colour'", "second, load, plant"],
    ),
    "missing name": (
        "given",
        "score",
        {"rows": ROW, "context": [{"second": 1, "plant": PLANT}]},
        ["row 0 of 'context' lacks the feature 'load'"],
    ),
    "text": (
        "given",
        "score",
        {"rows": ROW, "context": [[1, "x", PLANT]]},
        ["column 'load' of 'context'", "'x'"],
    ),
    "not wanted": (
        "gauss",
        "score",
        {"rows": ROW, "context": GIVEN},
        ["gauss has no context features"],
    ),
    "not wanted, of any shape": (
        "gauss",
        "sample",
        {"n": 1, "context": {}},
        ["gauss has no context features"],
    ),
    "steps without a solver": (
        "gauss",
        "log_prob",
        {"rows": ROW, "steps": 8},
        ["gauss has no solver"],
    ),
    "steps not on offer": (
        "stepped",
        "log_prob",
        {"rows": ROW, "steps": 9},
        ["one of 4, 8, 32", "got 9"],
    ),
    "steps as text": ("stepped", "sample", {"n": 1, "steps": "8"}, ["whole number"]),
    "a p-value at other steps": (
        "stepped",
        "score",
        {"rows": ROW, "steps": 32},
        ["'steps' of 8", "calibrated", "got 32"],
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_given_is_refused_with_a_reason(api: httpx.Client, name: str) -> None:
    model, operation, body, words = REFUSED[name]
    response = api.post(f"/v1/models/{model}/{operation}", json=body)
    assert response.status_code == 400, response.text
    answer = response.json()
    assert answer["kind"] == "invalid_input"
    for word in words:
        assert word in answer["error"]
    assert call(api, "log_prob", {"rows": ROW, "context": GIVEN})["status"] == ["ok"]


@pytest.mark.parametrize("steps", [None, *OFFERED])
def test_more_steps_are_more_exact_and_the_answer_says_how_many(
    api: httpx.Client, steps: int | None
) -> None:
    x = ordinary_rows(5)
    taken = DEFAULT_STEPS if steps is None else steps
    answer = call(api, "log_prob", {"rows": x.tolist(), "steps": steps}, "stepped")
    assert answer["steps"] == taken
    truth = exact(x).log_prob + 1.0 / taken
    np.testing.assert_allclose(answer["log_prob"], truth, atol=1e-4)
    decoded = call(api, "decode", {"z": exact(x).z.tolist(), "steps": steps}, "stepped")
    np.testing.assert_allclose(decoded["log_prob"], truth, atol=1e-4)
    assert call(api, "sample", {"n": 1, "steps": steps}, "stepped")["steps"] == taken


def test_a_score_may_name_the_steps_it_is_calibrated_at(api: httpx.Client) -> None:
    named = call(api, "score", {"rows": ROW, "steps": DEFAULT_STEPS}, "stepped")
    assert named == call(api, "score", {"rows": ROW}, "stepped")
    assert "steps" not in call(api, "score", {"rows": ROW}, "gauss")
