"""Scores of a flow: formulas, ends, and the guarantee of each."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from exported import scores as module
from exported.background import with_background
from exported.bundle import Bundle, describe_file, read_bundle
from exported.calibration import Calibration
from exported.calibration_file import write
from exported.distributions import Base, GaussianMixture, StandardNormal, StudentT, Uniform
from exported.errors import BundleInvalidError
from exported.scores import COMBINED, PARTS, Reference, Scorer
from tests.bundles import MEAN, exact, ordinary_rows, write_gaussian
from tests.exported.test_calibration import tails
from tests.scored import BESIDE, ELSEWHERE, NAMED, truth, write_scored
from tests.variants import write_conditional, write_stepped

Floats = NDArray[np.float64]
NORMAL = StandardNormal(distribution="standard_normal", draws_per_row=3)
UNIFORM = Uniform(distribution="uniform", draws_per_row=2)
STUDENT = StudentT(distribution="student_t", draws_per_row=4, degrees_of_freedom=(3.0, 8.0))
MIXTURE = GaussianMixture(
    distribution="gaussian_mixture",
    draws_per_row=2,
    weights=(1.0,),
    means=((1.0,),),
    scales=((2.0,),),
)


def scorer(names: tuple[str, ...] = (*PARTS[1:], COMBINED), seed: int = 3) -> Scorer:
    answer = exact(ordinary_rows(500, seed=seed))
    return Scorer(NORMAL, names, Reference.of(NORMAL, answer.log_prob, answer.z))


@pytest.mark.parametrize(
    ("base", "z", "expected"),
    [
        (NORMAL, [[0.0, 0.0, 0.0], [1.0, -2.0, 3.0]], [0.0, -14.0]),
        (UNIFORM, [[0.5, 0.5], [0.8413447460685429, 0.5]], [0.0, -1.0]),
        (MIXTURE, [[1.0], [5.0]], [-2 * math.log(2.0), -4.0 - 2 * math.log(2.0)]),
    ],
)
def test_the_norm_of_latents_is_of_their_base(
    base: Base, z: list[list[float]], expected: list[float]
) -> None:
    np.testing.assert_allclose(module.latent_norm(base, np.array(z)), expected, atol=1e-9)


def test_far_student_t_latents_fall_on_without_end() -> None:
    z = np.array([[10.0**k, 0.0] for k in range(12)])
    fallen = module.latent_norm(STUDENT, z)
    assert (np.diff(fallen) < -1.0).all()


@pytest.mark.parametrize("end", [0.0, 1.0])
def test_a_uniform_latent_at_an_end_is_as_far_as_float32_can_tell(end: float) -> None:
    near = abs(end - 2.0**-24)
    z = np.array([[end, 0.5], [near, 0.5], [0.5, 0.5]], dtype=np.float32)
    at, inner, middle = module.latent_norm(UNIFORM, z)
    assert -40.0 < at < inner < middle == 0.0
    other = module.latent_norm(UNIFORM, np.array([[1.0 - end, 0.5]]))
    np.testing.assert_allclose(at, other[0], rtol=1e-9)


def test_rows_without_an_answer_have_none_and_rows_out_of_support_the_lowest() -> None:
    log_prob = np.array([-6.0, -np.inf, np.nan], dtype=np.float32)
    z = np.array([[0.1, 0.2, 0.3], [np.nan] * 3, [np.nan] * 3], dtype=np.float32)
    ratio = Scorer(NORMAL, BESIDE, scorer().reference)(log_prob, z, np.array([-7.0, -1.0, -1.0]))
    for name in BESIDE:
        assert np.isfinite(ratio[name][0])
        np.testing.assert_array_equal(ratio[name][1:], [-np.inf, np.nan])


@pytest.mark.parametrize("background", [np.nan, np.inf, -np.inf])
def test_a_row_without_a_background_is_strangest_by_the_ratio_alone(background: float) -> None:
    made = Scorer(NORMAL, BESIDE, scorer().reference)
    log_prob, z = np.array([-6.0, -np.inf, np.nan]), np.zeros((3, 3))
    found = made(log_prob, z, np.full(3, background))
    np.testing.assert_array_equal(found["likelihood_ratio"], [-np.inf, -np.inf, np.nan])
    assert all(np.isfinite(found[name][0]) for name in BESIDE if name != "likelihood_ratio")


def test_a_reference_of_many_rows_keeps_their_quantiles() -> None:
    rows = 3 * module.MAX_REFERENCE + 7
    z = np.random.default_rng(0).standard_normal((rows, 3))
    log_prob = module.latent_norm(NORMAL, z)
    reference = Reference.of(NORMAL, log_prob, z)
    for known in reference.scores.values():
        assert len(known) == module.MAX_REFERENCE
        assert (np.diff(known) >= 0.0).all()
    assert reference.mean_log_prob == pytest.approx(log_prob.mean())
    share = (log_prob <= reference.scores["log_prob"][:, None]).mean(axis=1)
    even = (np.arange(module.MAX_REFERENCE) + 0.5) / module.MAX_REFERENCE
    np.testing.assert_allclose(share, even, atol=1.0 / rows + 1e-12)


def test_rows_stranger_than_every_reference_row_do_not_tie() -> None:
    made = scorer()
    z = np.array([[k, k, k] for k in (5.0, 6.0, 50.0)])
    log_prob = exact(np.zeros((1, 4))).log_det - 0.5 * (z**2).sum(axis=1)
    combined = made(log_prob, z)[COMBINED]
    assert (np.diff(combined) < 0.0).all()


def test_a_reference_of_equal_scores_is_no_division_by_zero() -> None:
    reference = Reference.of(NORMAL, np.full(9, -4.0), np.zeros((9, 3)))
    found = Scorer(NORMAL, (COMBINED,), reference)(np.array([-5.0]), np.zeros((1, 3)))
    assert found[COMBINED][0] == pytest.approx(2 * math.log(0.1))


def test_rows_none_of_which_is_in_support_are_no_reference() -> None:
    with pytest.raises(ValueError, match="expected reference rows in support, got none"):
        Reference.of(NORMAL, np.array([-np.inf, np.nan]), np.zeros((2, 3)))


@pytest.mark.parametrize("alpha", [0.1, 0.01, 0.001])
def test_false_alarms_of_one_calibration_are_beta_binomial_for_every_score(alpha: float) -> None:
    """Each score is continuous here; 0.5e-6 on either side of what one calibration explains."""
    known, asked = 1999, 5000
    k = math.floor(alpha * (known + 1))
    calibrating, fresh = every(known, seed=21), every(asked, seed=22)
    for name in NAMED:
        p_value = Calibration.of(calibrating[name]).p_value(fresh[name])
        alarms = int((p_value <= alpha).sum())
        assert min(tails(alarms, asked, k, known)) >= 0.5e-6, name


@pytest.mark.parametrize("rows", [19, 99])
def test_no_score_raises_more_false_alarms_than_alpha_over_many_calibrations(rows: int) -> None:
    """Also with a reference of few rows, drawn once: it is the calibration that is drawn anew."""
    repetitions, alpha = 2000, 0.1
    drawn = every(repetitions * (rows + 1), seed=23)
    spread = np.sqrt(alpha * (1 - alpha) / repetitions)
    for name in NAMED:
        sets = drawn[name].reshape(repetitions, rows + 1)
        alarms = [Calibration.of(s[1:]).p_value(s[:1])[0] <= alpha for s in sets]
        assert np.mean(alarms) <= alpha + 4 * spread, name


def test_a_mean_over_the_calibration_rows_would_break_the_promise() -> None:
    """Why the reference is of other rows: with few of them the error is plain to see."""
    rng = np.random.default_rng(24)
    repetitions, rows = 20_000, 3
    drawn = rng.standard_normal((repetitions, rows + 1))
    mean = drawn[:, 1:].mean(axis=1, keepdims=True)
    strange = -np.abs(drawn - mean)
    alarms = (strange[:, 1:] > strange[:, :1]).all(axis=1)  # p = 1 / 4
    assert alarms.mean() > 0.25 + 5 * math.sqrt(0.25 * 0.75 / repetitions)


def every(rows: int, seed: int) -> dict[str, Floats]:
    """Every score of ordinary rows, by float64 formulas."""
    x = ordinary_rows(rows, seed=seed)
    x[:, 2] += np.random.default_rng(seed + 1000).uniform(-0.5, 0.5, rows)  # no ties
    answer = exact(x)
    background = exact(x, ELSEWHERE).log_prob
    made = Scorer(NORMAL, BESIDE, scorer(seed=3).reference)
    return {"log_prob": answer.log_prob, **made(answer.log_prob, answer.z, background)}


def test_scores_are_their_formulas() -> None:
    x = ordinary_rows(50, seed=31)
    answer = exact(x)
    made = Scorer(NORMAL, BESIDE, scorer(seed=3).reference)
    found = made(answer.log_prob, answer.z, exact(x, ELSEWHERE).log_prob)
    for name, values in truth(x).items():
        if name != "log_prob":
            np.testing.assert_allclose(found[name], values, rtol=1e-9, atol=1e-9)


@pytest.fixture
def scored(tmp_path: Path) -> Bundle:
    return read_bundle(write_scored(tmp_path))


def with_arrays(bundle: Bundle, **changed: Floats) -> Bundle:
    """With other reference scores of that name."""
    reference = bundle.scorer().reference
    assert reference is not None
    kept = {**reference.scores, **changed}
    kept = {name: values for name, values in kept.items() if values.size}
    summary = bundle.manifest.calibration
    content = write(bundle.calibrations(), Reference(reference.mean_log_prob, kept))
    artifact = describe_file(summary.artifact.file, content)
    calibration = summary.model_copy(update={"artifact": artifact})
    manifest = bundle.manifest.model_copy(update={"calibration": calibration})
    return Bundle(manifest, {**bundle.contents, summary.artifact.file: content})


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ([], "has no array 'reference.typicality'"),
        ([2.0, 1.0], "to ascend to a finite score without NaN"),
        ([1.0, np.nan], "to ascend to a finite score without NaN"),
        ([1.0, np.inf], "to ascend to a finite score without NaN"),
        ([-np.inf, -np.inf], "to ascend to a finite score without NaN"),
        ([0.0] * 4097, r"of shape \(4097,\), expected 1 to 4096 scores"),
        ([[1.0]], r"of shape \(1, 1\), expected 1 to 4096 scores"),
    ],
)
def test_reference_scores_that_cannot_be_are_refused(
    scored: Bundle, changed: list, message: str
) -> None:
    with pytest.raises(BundleInvalidError, match=message):
        with_arrays(scored, typicality=np.array(changed)).scorer()


def test_a_score_without_its_array_is_refused(scored: Bundle) -> None:
    summary = scored.manifest.calibration
    content = write({"log_prob": scored.calibration()}, scored.scorer().reference)
    lacking = Bundle(scored.manifest, {**scored.contents, summary.artifact.file: content})
    with pytest.raises(BundleInvalidError, match="has no array 'typicality'"):
        lacking.calibrations()


class TestBackground:
    def bundle(self, root: Path, name: str, mean: Floats = MEAN) -> Bundle:
        return read_bundle(write_gaussian(root, name, mean=mean))

    def test_its_graph_comes_with_its_golden_rows(self, tmp_path: Path) -> None:
        other = self.bundle(tmp_path, "other", ELSEWHERE)
        made = with_background(self.bundle(tmp_path, "mine"), other)
        assert made.graph("background") == other.graph("log_prob")
        golden = made.golden()
        truth = golden["background.out.log_prob"]
        np.testing.assert_array_equal(truth, other.golden()["log_prob.out.log_prob"])
        assert set(golden) > set(self.bundle(tmp_path / "again", "mine").golden())

    def test_one_takes_the_place_of_another(self, scored: Bundle, tmp_path: Path) -> None:
        other = self.bundle(tmp_path, "other", MEAN + 1.0)
        made = with_background(scored, other)
        assert made.graph("background") == other.graph("log_prob")
        assert made.manifest.background.name == "other"  # type: ignore[union-attr]
        assert set(made.golden()) == set(scored.golden())

    def test_another_flow_is_wanted(self, tmp_path: Path) -> None:
        mine = self.bundle(tmp_path, "mine")
        with pytest.raises(BundleInvalidError, match="expected another flow than mine/1"):
            with_background(mine, self.bundle(tmp_path, "twin"))

    def test_it_has_the_same_features(self, tmp_path: Path) -> None:
        mine, other = self.bundle(tmp_path, "mine"), self.bundle(tmp_path, "other", ELSEWHERE)
        features = other.manifest.features
        swapped = (features[1], features[0], *features[2:])
        narrow = (features[0], features[1], narrowed(features[2]), features[3])
        for changed, got in ((swapped, "flow"), (narrow, "count"), (features[:2], "with 2")):
            manifest = other.manifest.model_copy(update={"features": changed})
            with pytest.raises(BundleInvalidError, match=f"features of mine/1.*{got}"):
                with_background(mine, Bundle(manifest, other.contents))

    def test_it_has_the_same_context(self, tmp_path: Path) -> None:
        given = read_bundle(write_conditional(tmp_path, "given"))
        with pytest.raises(BundleInvalidError, match="with the 0 context_features of mine/1"):
            with_background(self.bundle(tmp_path, "mine"), given)

    def test_it_has_no_solver(self, tmp_path: Path) -> None:
        stepped = read_bundle(write_stepped(tmp_path, "stepped"))
        with pytest.raises(BundleInvalidError, match="a background without a solver, got stepped"):
            with_background(self.bundle(tmp_path, "mine", ELSEWHERE), stepped)


def narrowed(feature):  # noqa: ANN001, ANN201 - as it came
    return feature.model_copy(update={"support": (0.0, 100.0)})
