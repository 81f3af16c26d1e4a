from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exported.calibration import Calibration
from exported.errors import BundleInvalidError
from exported.kinds import BACKGROUND_GRAPH
from service.errors import ServiceError
from service.examples import bodies, curl
from service.model import Model
from service.results import NON_FINITE_INPUT, NOT_CONVERGED, OK, OUT_OF_SUPPORT
from service.runtime import Runtime
from tests.bundles import SITE, exact, exact_decode, ordinary_rows, write_gaussian

GOOD = ordinary_rows(1)[0]
cell = st.one_of(st.floats(), st.integers(-300, 300).map(float))


def test_evaluate_is_what_the_formula_says(model: Model) -> None:
    x = ordinary_rows(300)
    got, truth = model.evaluate(x), exact(x)
    np.testing.assert_allclose(got.log_prob, truth.log_prob, atol=1e-4)
    np.testing.assert_allclose(got.z, truth.z, atol=1e-4)
    np.testing.assert_allclose(got.log_det, truth.log_det, atol=1e-4)
    assert (got.status == OK).all()


@settings(deadline=None)
@given(st.lists(st.tuples(cell, cell, cell, cell), min_size=1, max_size=8))
def test_no_row_can_spoil_another_or_the_run(model: Model, rows: list[tuple[float, ...]]) -> None:
    x = np.vstack([GOOD, np.array(rows), GOOD])
    got = model.evaluate(x)
    np.testing.assert_allclose(got.log_prob[[0, -1]], exact(GOOD[None]).log_prob[0], atol=1e-4)
    finite = np.isfinite(x).all(axis=1)
    np.testing.assert_array_equal(got.status == NON_FINITE_INPUT, ~finite)
    assert np.isfinite(got.log_prob[got.status == OK]).all()
    assert np.isnan(got.log_prob[~finite]).all()
    assert (got.log_prob[got.status == OUT_OF_SUPPORT] == -np.inf).all()


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({0: np.nan}, NON_FINITE_INPUT),
        ({1: np.inf}, NON_FINITE_INPUT),
        ({2: 40.5}, OUT_OF_SUPPORT),
        ({2: 200.0}, OK),
        ({2: 201.0}, OUT_OF_SUPPORT),
        ({3: SITE + 1e-9}, OUT_OF_SUPPORT),
        ({0: 1e300}, OUT_OF_SUPPORT),
        ({0: -1e39}, OUT_OF_SUPPORT),
        ({0: np.nan, 2: 201.0}, NON_FINITE_INPUT),
    ],
)
def test_each_row_says_what_became_of_it(
    model: Model, changed: dict[int, float], status: int
) -> None:
    x = GOOD.copy()
    for column, value in changed.items():
        x[column] = value
    assert model.evaluate(x[None]).status[0] == status


def test_decode_gives_the_density_of_its_own_rows(model: Model) -> None:
    z = np.random.default_rng(0).standard_normal((50, 3))
    decoded = model.decode(z)
    np.testing.assert_allclose(decoded.x, exact_decode(z), rtol=1e-5)
    np.testing.assert_allclose(decoded.log_prob, exact(exact_decode(z)).log_prob, atol=1e-4)


@pytest.mark.parametrize("method", ["decode", "emit"])
def test_a_constant_comes_back_exactly_and_in_its_support(model: Model, method: str) -> None:
    z = np.random.default_rng(0).standard_normal((50, 3))
    z[7] = np.nan
    made = getattr(model, method)(z)
    ok = made.status == OK
    assert ok.sum() == 49
    assert made.x.dtype == np.float64
    assert set(made.x[ok, 3]) == {SITE}
    assert np.isnan(made.x[7]).all()
    again = model.evaluate(model.rules.round(made.x[ok]))
    assert (again.status == OK).all()


def test_rows_without_constants_keep_the_type_of_the_graph(model: Model) -> None:
    none = dataclasses.replace(model.rules, constant=np.zeros(4, dtype=bool))
    decoded = dataclasses.replace(model, rules=none).decode(np.zeros((2, 3)))
    assert decoded.x.dtype == np.float32


def test_a_decoded_row_out_of_support_says_so(model: Model) -> None:
    far = np.array([[0.0, 0.0, -50.0], [0.0, 0.0, 0.0]])
    decoded = model.decode(far)
    assert decoded.status.tolist() == [OUT_OF_SUPPORT, OK]
    assert decoded.log_prob[0] == -np.inf
    emitted = model.emit(far)
    assert emitted.status.tolist() == [OUT_OF_SUPPORT, OK]


def test_samples_do_not_depend_on_how_they_are_cut(model: Model) -> None:
    whole = model.sample(100, seed=3).rows
    parts = [model.sample(n, 3, first_row=first).rows for first, n in ((0, 1), (1, 60), (61, 39))]
    np.testing.assert_allclose(np.vstack([p.x for p in parts]), whole.x, rtol=1e-6)
    np.testing.assert_allclose(
        np.concatenate([p.log_prob for p in parts]), whole.log_prob, atol=1e-5
    )


def test_sampled_integers_are_the_cell_in_which_the_value_fell(model: Model) -> None:
    z = model.base_noise(0, 1.0, 0, 500)
    continuous, emitted = model.decode(z).x[:, 2], model.emit(z).x[:, 2]
    np.testing.assert_array_equal(emitted, np.floor(continuous + 0.5))


def test_a_temperature_beyond_all_bounds_makes_rows_that_have_not_converged(model: Model) -> None:
    drawn = model.sample(5, seed=0, temperature=1e308).rows
    assert set(drawn.status.tolist()) <= {NOT_CONVERGED, OUT_OF_SUPPORT}


def test_the_default_alpha_is_one_that_few_calibration_rows_can_tell(model: Model) -> None:
    few = dataclasses.replace(model, calibration=Calibration.of(np.arange(9.0)))
    assert few.decide(np.zeros(1)).alpha == pytest.approx(0.1)
    assert model.decide(np.zeros(1)).alpha == 0.01


def test_a_decision_needs_an_alpha_that_the_calibration_rows_can_tell(model: Model) -> None:
    x = ordinary_rows(2000, seed=8)
    decision = model.decide(model.evaluate(x).log_prob, alpha=0.1)
    assert 0.06 < decision.is_anomaly.mean() < 0.14
    with pytest.raises(ServiceError, match="calibration rows"):
        model.decide(np.zeros(1), alpha=1e-5)


def test_a_bundle_whose_golden_rows_do_not_replay_is_refused(tmp_path: Path) -> None:
    folder = write_gaussian(tmp_path, golden_offset=0.01)
    with pytest.raises(BundleInvalidError, match="golden rows"):
        Model.load(folder, Runtime.choose("cpu", sessions=1))


def test_an_operation_that_this_service_does_not_know_is_refused(tmp_path: Path) -> None:
    folder = write_gaussian(tmp_path, operations=("log_prob", "reconstruct"))
    with pytest.raises(BundleInvalidError, match="reconstruct"):
        Model.load(folder, Runtime.choose("cpu", sessions=1))


def test_examples_are_rows_that_the_model_accepts(model: Model) -> None:
    examples = bodies(model.manifest)
    assert set(examples) == set(model.manifest.operations)
    x = np.array(examples["score"]["rows"])
    assert model.evaluate(x).status.tolist() == [OK]
    assert "7.1" in curl(model.manifest, "http://127.0.0.1:1")


class Background:
    """A graph that has no answer for the first rows."""

    def __init__(self, *lost: float) -> None:
        self._lost = lost

    def run(self, inputs: dict[str, Any]) -> dict[str, Any]:
        log_prob = np.full(len(inputs["x"]), -3.0, np.float32)
        log_prob[: len(self._lost)] = self._lost
        return {"log_prob": log_prob}


def test_a_background_without_an_answer_takes_nothing_but_the_ratio(root: Path) -> None:
    model = Model.load(root / "scored" / "1", Runtime.choose("cpu", sessions=1))
    graphs: Any = {**model.graphs, BACKGROUND_GRAPH: Background(np.nan, np.inf, -np.inf)}
    x = ordinary_rows(5)
    whole, judged = model.evaluate(x), model.judge(x)
    odd = dataclasses.replace(model, graphs=graphs).judge(x)
    for one, other in zip(odd.evaluated, whole, strict=True):
        np.testing.assert_array_equal(one, other)
    for name, values in judged.scores.items():
        if name != "likelihood_ratio":
            np.testing.assert_array_equal(odd.scores[name], values)
    ratio = odd.scores["likelihood_ratio"]
    assert (ratio[:3] == -np.inf).all()
    np.testing.assert_allclose(ratio[3:], whole.log_prob[3:] + 3.0, rtol=1e-6)


def test_a_decision_is_that_of_the_calibration_it_is_handed(model: Model) -> None:
    few = Calibration.of(np.arange(9.0))
    decision = model.decide(np.array([-1.0, 5.0]), calibration=few)
    assert (decision.alpha, decision.threshold) == (0.1, 0.0)
    with pytest.raises(ServiceError, match="that 9 calibration rows give"):
        model.decide(np.array([-1.0]), fdr=0.01, calibration=few)
