"""Rank statistics against scikit-learn, and their errors against drawing anew."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from logdet.separation import Ranked, separations

SCORES = st.floats(-3.0, 3.0).map(lambda v: round(v, 1)) | st.just(-np.inf)
ROWS = st.lists(st.tuples(SCORES, st.booleans(), st.integers(0, 4)), min_size=2, max_size=60)


@given(ROWS)
def test_areas_are_those_of_scikit_learn(rows: list[tuple[float, bool, int]]) -> None:
    scores, positive, counts = (np.array(column) for column in zip(*rows, strict=True))
    counted = counts.astype(np.float64)
    if not (counted[positive].sum() and counted[~positive].sum()):
        return
    auroc, precision = Ranked(scores, positive).statistics(counted)
    stranger = -np.maximum(scores, -1e9)  # scikit-learn takes no infinity
    assert auroc == pytest.approx(roc_auc_score(positive, stranger, sample_weight=counts))
    expected = average_precision_score(positive, stranger, sample_weight=counts)
    assert precision == pytest.approx(expected)


def drawn(rng: np.random.Generator, rows: int = 300) -> tuple[np.ndarray, np.ndarray]:
    positive = np.arange(rows) < rows // 5
    return rng.standard_normal((rows, 2)) - 1.2 * positive[:, None] * [1.0, 0.5], positive


def test_errors_are_those_of_drawing_anew() -> None:
    rng = np.random.default_rng(0)
    found = []
    for _ in range(60):
        x, positive = drawn(rng)
        scores = {"one": x[:, 0], "other": x[:, 1]}
        found.append(separations(scores, scores, positive)["other"])
    for name in ("auroc", "average_precision", "gain"):
        values = np.array([getattr(one, name).value for one in found])
        told = np.mean([getattr(one, name).standard_error for one in found])
        assert told == pytest.approx(values.std(ddof=1), rel=0.3), name


def test_a_gain_is_beyond_its_error_where_it_is_real() -> None:
    x, positive = drawn(np.random.default_rng(1), rows=2000)
    scores = {"weak": x[:, 1], "strong": x[:, 0], "same": x[:, 1] * 3.0}
    found = separations(scores, scores, positive)
    assert found["strong"].gain.value > 0.1
    assert [found[name].differs for name in scores] == [False, True, False]
    assert found["same"].gain.standard_error == 0.0


def test_decisions_are_shares_of_each_kind() -> None:
    positive = np.array([True, True, False, False, False])
    p_value = np.array([0.005, 0.3, 0.01, 0.04, 0.9])
    found = separations({"s": p_value}, {"s": p_value}, positive)["s"].decided
    assert [(d.alpha, d.false_alarms, d.power) for d in found] == [
        (0.01, pytest.approx(1 / 3), 0.5),
        (0.05, pytest.approx(2 / 3), 0.5),
    ]


@pytest.mark.parametrize("positives", [0, 1, 9, 10])
def test_one_row_of_a_kind_is_not_enough(positives: int) -> None:
    scores = {"s": np.arange(10.0)}
    with pytest.raises(ValueError, match=f"got {positives} and {10 - positives}"):
        separations(scores, scores, np.arange(10) < positives)
