"""``logdet.DensityEstimator``."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.utils.estimator_checks import check_estimator

from exported.bundle import read_bundle
from logdet import DensityEstimator
from logdet.estimators import fitting
from logdet.opening import open_model
from logdet.options import Reference
from logdet.scoring import score

SMALL = {"family": "nsf", "layers": 1, "hidden": [16], "marginal_bins": 0}
NAMES = ("pressure", "flow", "count")


def readings(rows: int, seed: int = 0) -> np.ndarray:
    """Two numbers that depend on one another, and a whole one."""
    rng = np.random.default_rng(seed)
    pressure, rest = rng.normal(10.0, 2.0, rows), rng.normal(0.0, 0.1, rows)
    return np.column_stack([pressure, pressure / 5.0 + rest, rng.integers(0, 20, rows)])


def small(**params: object) -> DensityEstimator:
    return DensityEstimator(settings=SMALL, epochs=5).set_params(**params)


@pytest.fixture(scope="module")
def fitted() -> DensityEstimator:
    return small(alpha=0.05).fit(readings(1000))


@pytest.mark.parametrize(
    "density",
    [
        pytest.param(DensityEstimator(settings=SMALL, epochs=3), id="small"),
        pytest.param(DensityEstimator(epochs=3), id="default", marks=pytest.mark.slow),
    ],
)
def test_scikit_learns_own_checks_pass_without_exception(density: DensityEstimator) -> None:
    results = check_estimator(density, on_skip=None)
    skipped = {result["check_name"] for result in results if result["status"] != "passed"}
    assert len(results) > 40
    # It needs SCIPY_ARRAY_API in the environment and the tag array_api_support, which is not set.
    assert skipped <= {"check_array_api_input"}


def test_import_is_light() -> None:
    heavy = "{'torch', 'ray', 'sklearn', 'onnxruntime', 'onnx', 'numpy', 'training', 'service'}"
    lazy = "{'torch', 'ray', 'onnxruntime', 'onnx', 'training', 'service'}"
    program = (
        f"import sys, logdet; print({heavy} & set(sys.modules)); "
        f"logdet.DensityEstimator; print({lazy} & set(sys.modules), 'sklearn' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert ran.stdout.split("\n")[:2] == ["set()", "set() True"], ran.stderr


def test_no_such_name() -> None:
    import logdet

    with pytest.raises(AttributeError, match="'logdet' has no attribute 'Estimator'"):
        _ = logdet.Estimator


def test_the_density_has_mass_one() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal([3.0, -1.0], [2.0, 0.5], (400, 2))
    density = small().fit(x)
    axes = [np.linspace(m - 12 * s, m + 12 * s, 200) for m, s in ((3.0, 2.0), (-1.0, 0.5))]
    grid = np.stack(np.meshgrid(*axes), axis=-1).reshape(-1, 2)
    cell = np.prod([axis[1] - axis[0] for axis in axes])
    assert np.exp(density.score_samples(grid)).sum() * cell == pytest.approx(1.0, abs=0.01)


def test_predict_says_what_the_p_value_and_the_threshold_say(fitted: DensityEstimator) -> None:
    x = np.concatenate([readings(2000, seed=1), readings(50, seed=2) + np.array([20.0, 0.0, 0.0])])
    outlier = fitted.predict(x) == -1
    scores = fitted.score_samples(x)
    np.testing.assert_array_equal(outlier, fitted.p_value(x) <= 0.05)
    np.testing.assert_array_equal(outlier, scores < fitted.offset_)
    np.testing.assert_array_equal(outlier, fitted.decision_function(x) < 0.0)
    assert fitted.alpha_ == 0.05
    assert outlier[-50:].all()
    # 100 calibration rows decide about 0.05 within four of its deviations.
    assert abs(outlier[:2000].mean() - 0.05) < 4 * np.sqrt(0.05 * 0.95 * (1 / 100 + 1 / 2000))


def test_the_threshold_comes_of_rows_that_did_not_train(fitted: DensityEstimator) -> None:
    parts = fitted._fitted.data.prepared.split
    kept = {row.tobytes() for row in parts.calibration.rows}
    assert len(kept) == 100
    for part in (parts.train, parts.validation, parts.test):
        assert not kept & {row.tobytes() for row in part.rows}
    scores = np.sort(fitted.score_samples(parts.calibration.rows))
    assert fitted.offset_ == scores[4]  # 5 of 101 is the largest share up to 0.05


def test_score_is_the_mean(fitted: DensityEstimator) -> None:
    x = readings(100, seed=1)
    assert fitted.score(x) == fitted.score_samples(x).mean()


def test_without_alpha_few_rows_decide_what_they_can() -> None:
    few = small().fit(readings(40))
    assert few.alpha_ == 1 / 5
    assert few.offset_ == few.calibration_.scores.min()


@pytest.mark.parametrize(
    ("alpha", "said"), [(0.01, "alpha of at least 0.0909"), (1.5, "alpha between 0 and 1")]
)
def test_an_alpha_that_cannot_be_decided_costs_no_training(
    monkeypatch: pytest.MonkeyPatch, alpha: float, said: str
) -> None:
    monkeypatch.setattr(fitting, "trained", lambda _: pytest.fail("trained"))
    with pytest.raises(ValueError, match=said):
        small(alpha=alpha).fit(readings(100))


def test_rows_out_of_support_are_outliers(fitted: DensityEstimator) -> None:
    between = [[10.0, 2.0, 3.5]]
    assert fitted.score_samples(between) == -np.inf
    assert fitted.decision_function(between) == -np.inf
    assert fitted.predict(between) == -1
    assert fitted.score(np.concatenate([readings(9), between])) == -np.inf


def test_a_row_far_out_has_a_number(fitted: DensityEstimator) -> None:
    far = fitted.score_samples([[1e300, 2.0, 3.0], [10.0, -1e300, 3.0], [1e30, 1e30, 3.0]])
    assert np.isfinite(far).all()
    assert (far < -50.0).all()


def test_a_threshold_of_minus_infinity_leaves_no_nan(fitted: DensityEstimator) -> None:
    open_ended = pickle.loads(pickle.dumps(fitted))  # noqa: S301
    open_ended.offset_ = -np.inf
    x = np.array([[10.0, 2.0, 3.5], [10.0, 2.0, 3.0]])
    np.testing.assert_array_equal(open_ended.decision_function(x), [0.0, np.inf])
    np.testing.assert_array_equal(open_ended.predict(x), [1, 1])


def test_a_row_scores_the_same_in_any_batch(fitted: DensityEstimator) -> None:
    x = readings(300, seed=3)
    one_by_one = np.concatenate([fitted.score_samples(x[i : i + 1]) for i in range(len(x))])
    np.testing.assert_array_equal(fitted.score_samples(x), one_by_one)


@pytest.mark.parametrize("frames", ["pandas", "polars"])
def test_columns_of_frames_have_names(frames: str) -> None:
    frame = pytest.importorskip(frames).DataFrame
    x = readings(200)
    named = frame({name: x[:, j] for j, name in enumerate(NAMES)})
    density = small().fit(named)
    assert tuple(density.feature_names_in_) == NAMES
    assert density.n_features_in_ == 3
    np.testing.assert_array_equal(density.score_samples(named), small().fit(x).score_samples(x))
    with pytest.raises(ValueError, match="in the same order"):
        density.score_samples(named[["flow", "pressure", "count"]])


def test_a_missing_value_of_a_frame_is_refused() -> None:
    polars = pytest.importorskip("polars")
    x = readings(20)
    holed = polars.DataFrame({"a": [None, *x[1:, 0]], "b": x[:, 1]})
    with pytest.raises(ValueError, match="contains NaN"):
        small().fit(holed)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_numbers_that_are_none_are_refused(fitted: DensityEstimator, value: float) -> None:
    x = readings(20)
    x[3, 1] = value
    for ask in (small().fit, fitted.score_samples, fitted.predict):
        with pytest.raises(ValueError, match=r"NaN|infinity"):
            ask(x)


def test_too_few_rows_are_refused() -> None:
    with pytest.raises(ValueError, match=r"9 sample.* minimum of 10 is required"):
        small().fit(readings(9))
    assert np.isfinite(small().fit(readings(10) * 1.1).score_samples(readings(5) * 1.1)).all()


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"recipe": "nosuch"}, "no recipe 'nosuch'"),
        ({"recipe": "vae"}, "recipe vae: expected a flow, got the family vae"),
        ({"recipe": "reverse_kl"}, "recipe reverse_kl: expected a fit to rows"),
        ({"settings": {"name": "a"}}, "expected no name among the settings, as publish takes it"),
        ({"settings": {"data": "shuttle"}}, "expected no data among the settings, as fit takes X"),
        ({"settings": {"trim": 0.1}}, "expected no trim among the settings, as rows are trimmed"),
        ({"settings": {"context": ["x0"]}}, "recipe table: expected no context"),
        ({"settings": {"drop": ["x0"]}}, "recipe table: expected no drop"),
        ({"settings": {"colour": 1}}, "no setting 'colour'"),
        ({"settings": {"fit.epochs": 1}}, "expected the parameter epochs, got it in the settings"),
        ({"settings": {"seed": 1}}, "expected the parameter random_state"),
        ({"settings": {"layers": object}}, "expected a setting of numbers and text"),
        ({"settings": {"continuous": ["x9"]}}, "declared continuous but not in the data: x9"),
        ({"random_state": -1}, "seed"),
        ({"epochs": 0}, "epochs"),
    ],
)
def test_what_makes_no_density_of_these_rows_is_refused(
    params: dict[str, object], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        DensityEstimator(**params).fit(readings(20))


def test_settings_reach_the_recipe() -> None:
    settings = {"layers": np.int64(1), "learning_rate": 1e-5, "continuous": {"x2"}, "hidden": (8,)}
    params = {"epochs": np.int64(2), "max_seconds": 9.0, "random_state": np.int64(7)}
    density = small(**params, settings=SMALL | settings).fit(readings(20))
    got = density._fitted.data.recipe
    assert (got.model.family, got.model.layers, got.model.hidden) == ("nsf", 1, (8,))
    assert (got.fit.learning_rate, got.fit.epochs, got.fit.max_seconds) == (1e-5, 2, 9.0)
    assert (got.seed, got.continuous) == (7, {"x2"})
    assert density.epochs_ == 2
    assert density.best_epoch_ in (1, 2)


def test_the_random_state_decides_the_fit(fitted: DensityEstimator) -> None:
    x = readings(100)
    fits = [
        small(random_state=state).fit(x).score(x)
        for state in (3, 3, 4, np.random.RandomState(5), np.random.RandomState(5))
    ]
    assert fits[0] == fits[1] != fits[2]
    assert fits[3] == fits[4] != fits[0]


def test_samples_are_rows_of_the_table(fitted: DensityEstimator) -> None:
    drawn = fitted.sample(500, random_state=1)
    assert drawn.shape == (500, 3)
    assert (drawn[:, 2] == np.rint(drawn[:, 2])).all()
    assert np.isfinite(fitted.score_samples(drawn)).all()
    np.testing.assert_allclose(drawn.mean(axis=0), readings(1000).mean(axis=0), atol=1.0)
    np.testing.assert_allclose(fitted.sample(3, random_state=1), drawn[:3], rtol=1e-12)
    assert not np.array_equal(fitted.sample(3), fitted.sample(3))
    with pytest.raises(ValueError, match="n_samples of at least 1, got 0"):
        fitted.sample(0)


def test_a_pickle_answers_and_a_clone_is_unfitted(fitted: DensityEstimator) -> None:
    x = readings(50, seed=1)
    again = pickle.loads(pickle.dumps(fitted))  # noqa: S301
    np.testing.assert_array_equal(again.score_samples(x), fitted.score_samples(x))
    fresh = clone(fitted)
    assert fresh.get_params() == fitted.get_params()
    assert not hasattr(fresh, "offset_")


def test_a_fit_leaves_torch_its_threads() -> None:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        small().fit(readings(20))
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_what_was_fitted_is_what_is_served(fitted: DensityEstimator, tmp_path: Path) -> None:
    """Of a pickle too, so that a fit can be published elsewhere."""
    elsewhere = pickle.loads(pickle.dumps(fitted))  # noqa: S301
    folder = elsewhere.publish(tmp_path, "readings")
    assert folder == tmp_path / "readings" / "1"
    manifest = read_bundle(folder).manifest
    model = open_model(tmp_path, Reference("readings", None), "cpu", "sample")
    x = readings(200, seed=5)
    served = score(model, x, 0.05)
    within = 4 * manifest.density_tolerance + 1e-4
    np.testing.assert_allclose(served.score, fitted.score_samples(x), atol=within)
    assert served.decision.threshold == pytest.approx(fitted.offset_, abs=within)
    drawn = model.sample(20, 11).rows.x
    np.testing.assert_allclose(drawn, fitted.sample(20, random_state=11), atol=1e-3)
    assert [feature.name for feature in manifest.features] == ["x0", "x1", "x2"]
    assert manifest.provenance.command.startswith("DensityEstimator(alpha=0.05, epochs=5,")
    assert manifest.provenance.rows["train"] == 700


def test_a_bundles_name_is_checked_first(fitted: DensityEstimator, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^expected the name of a b.*got 'No Name'$"):
        fitted.publish(tmp_path, "No Name")
    assert not list(tmp_path.iterdir())
