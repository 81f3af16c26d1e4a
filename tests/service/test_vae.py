"""A VAE whose density is known in closed form, below any protocol."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import service.bound
from exported.draws import bound_noise
from exported.errors import BundleInvalidError
from service.errors import ServiceError
from service.kinds import load
from service.model import Model
from service.results import NON_FINITE_INPUT, NOT_CONVERGED, OK, OUT_OF_SUPPORT
from service.runtime import Runtime
from service.vae import VAE
from tests.bundles import CALIBRATION_ROWS, COUNT_RANGE, SITE
from tests.latents import write_vae
from tests.linear_gaussian import (
    CENTRE,
    COVARIANCE,
    DEFAULT_DEPTH,
    OFFERED,
    SIGMA,
    exact_error,
    exact_gap,
    exact_log_prob,
    exact_log_weight,
    exact_mean,
    exact_rows,
    exact_score,
    exact_z,
    rows,
)
from tests.same_bounds import same_bounds

CPU = Runtime.choose("cpu", sessions=1)
EXACT = max(OFFERED)  # the depth at which the posterior is the true one


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("vaes")
    write_vae(root)
    write_vae(root, "plain", has_depth=False)
    return root


@pytest.fixture(scope="module")
def vae(folder: Path) -> VAE:
    loaded = load(folder / "vae" / "1", CPU)
    assert isinstance(loaded, VAE)
    return loaded


@pytest.fixture(scope="module")
def plain(folder: Path) -> VAE:
    loaded = load(folder / "plain" / "1", CPU)
    assert isinstance(loaded, VAE)
    return loaded


@pytest.mark.parametrize("depth", OFFERED)
def test_the_bound_of_many_samples_is_the_density(vae: VAE, depth: int) -> None:
    x = rows(20, seed=7)
    got = vae.bound(x, vae.weighing(5000, seed=1, depth=depth))
    apart = np.abs(got.importance_bound - exact_log_prob(x))
    assert (apart <= 3.0 * got.standard_error + 1e-3).all()


@pytest.mark.parametrize("depth", OFFERED)
def test_the_elbo_is_short_of_the_density_by_the_divergence(vae: VAE, depth: int) -> None:
    x = rows(20, seed=7)
    got = vae.bound(x, vae.weighing(20_000, seed=2, depth=depth))
    off = got.elbo - (exact_log_prob(x) - exact_gap(depth))
    assert (np.abs(off) <= 4.0 * got.elbo_standard_error + 1e-3).all()


def test_the_elbo_of_the_true_posterior_is_the_density(vae: VAE) -> None:
    x = rows(20)
    got = vae.bound(x, vae.weighing(3, depth=EXACT))
    np.testing.assert_allclose(got.elbo, exact_log_prob(x), atol=1e-3)
    np.testing.assert_allclose(got.importance_bound, exact_log_prob(x), atol=1e-3)
    np.testing.assert_allclose(got.effective_sample_size, 3.0, rtol=1e-4)


def test_the_bound_does_not_fall_with_samples(vae: VAE) -> None:
    x = rows(200, seed=9)
    bounds = [vae.bound(x, vae.weighing(k, seed=3, depth=0)) for k in (1, 8, 64, 512, 4096)]
    means = [float(b.importance_bound.mean()) for b in bounds]
    for fewer, more, at in zip(bounds, bounds[1:], range(4), strict=False):
        difference = more.importance_bound - fewer.importance_bound
        error = float(difference.std(ddof=1)) / len(x) ** 0.5
        assert means[at + 1] >= means[at] - 2.0 * error
    assert means[-1] > means[0] + 0.1
    assert means[-1] <= float(exact_log_prob(x).mean()) + 0.02


def test_the_weights_are_those_of_the_format_text(vae: VAE) -> None:
    x = rows(5)
    noise = np.stack([bound_noise(vae.manifest.base, 9, row, 0, 40) for row in range(5)])
    weights = exact_log_weight(x, noise)
    got = vae.bound(x, vae.weighing(40, seed=9))
    np.testing.assert_allclose(got.elbo, weights.mean(axis=1), atol=1e-3)


def test_a_seed_draws_the_same_again_and_another_other_numbers(vae: VAE) -> None:
    x = rows(4)
    first, again, other = (vae.bound(x, vae.weighing(50, seed=s)) for s in (1, 1, 2))
    np.testing.assert_array_equal(first.elbo, again.elbo)
    assert (first.elbo != other.elbo).all()


@pytest.mark.parametrize("numbers", [1, 40, 399, 1000])
def test_pieces_do_not_change_the_answer(
    vae: VAE, monkeypatch: pytest.MonkeyPatch, numbers: int
) -> None:
    x = rows(9)
    whole = vae.bound(x, vae.weighing(50, seed=4))
    monkeypatch.setattr(service.bound, "RUN_NUMBERS", numbers)
    cut = vae.weighing(50, seed=4)
    assert cut.plan.pieces > 1 or cut.plan.pieces_per_run < 9
    same_bounds(vae.bound(x, cut), whole)


def test_no_run_holds_more_samples_than_it_may(vae: VAE, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    tally = VAE.tally

    def note(self: VAE, x: Any, places: Any, piece: int, weighing: Any) -> Any:
        seen.append(len(x) * weighing.plan.span(piece)[1])
        return tally(self, x, places, piece, weighing)

    monkeypatch.setattr(VAE, "tally", note)
    vae.bound(rows(2), vae.weighing(100_000))
    assert sum(seen) == 200_000
    assert max(seen) <= service.bound.RUN_SAMPLES


def test_a_row_keeps_its_noise_in_another_batch(vae: VAE) -> None:
    x, weighing = rows(30), vae.weighing(20, seed=5)
    whole = vae.bound(x, weighing)
    for first, stop in ((0, 1), (7, 20), (29, 30)):
        same_bounds(vae.bound(x[first:stop], weighing, first), whole, slice(first, stop))


def test_a_score_depends_on_the_row_alone(vae: VAE) -> None:
    x = rows(30)
    score, status = vae.score(x)
    np.testing.assert_allclose(score, exact_score(x), atol=1e-3)
    assert (status == OK).all()
    turned, _ = vae.score(x[::-1])
    np.testing.assert_allclose(turned[::-1], score, atol=1e-4)
    # The same row at two places has other noise in a bound.
    bound = vae.bound(np.repeat(x[:1], 2, axis=0), vae.weighing(10)).elbo
    assert bound[0] != bound[1]


def test_p_values_are_those_of_the_calibration_rows(vae: VAE) -> None:
    score, _ = vae.score(rows(2000, seed=8))
    decision = vae.decide(score, alpha=0.1)
    assert 0.06 < decision.is_anomaly.mean() < 0.14
    far = rows(1)
    far[0, :2] += 30.0
    assert vae.decide(vae.score(far)[0]).p_value[0] == pytest.approx(1 / (CALIBRATION_ROWS + 1))


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({0: np.nan}, NON_FINITE_INPUT),
        ({1: np.inf}, NON_FINITE_INPUT),
        ({2: 40.5}, OUT_OF_SUPPORT),
        ({2: 201.0}, OUT_OF_SUPPORT),
        ({3: SITE + 1e-9}, OUT_OF_SUPPORT),
        ({0: 1e300}, OUT_OF_SUPPORT),
        ({0: 1e30}, NOT_CONVERGED),
    ],
)
def test_a_row_that_is_not_fit_is_its_own_problem(
    vae: VAE, changed: dict[int, float], status: int
) -> None:
    x = rows(3)
    alone = vae.bound(x, vae.weighing(10))
    for column, value in changed.items():
        x[1, column] = value
    got = vae.bound(x, vae.weighing(10))
    assert got.status.tolist() == [OK, status, OK]
    np.testing.assert_allclose(got.elbo[[0, 2]], alone.elbo[[0, 2]], atol=1e-4)
    impossible = status == OUT_OF_SUPPORT
    assert (got.importance_bound[1] == -np.inf) if impossible else np.isnan(got.elbo[1])
    assert np.isnan(got.standard_error[1])
    score, judged = vae.score(x)
    assert judged[1] == status
    assert (score[1] == -np.inf) if impossible else np.isnan(score[1])
    if status != NOT_CONVERGED:
        assert vae.encode(x).status.tolist() == [OK, status, OK]
        back = vae.reconstruct(x)
        assert back.status.tolist() == [OK, status, OK]
        assert np.isnan(back.x[1]).all()
        assert np.isnan(back.error[1])


@pytest.mark.parametrize("depth", OFFERED)
def test_encode_is_the_posterior(vae: VAE, depth: int) -> None:
    x = rows(40)
    centre = vae.encode(x, depth=depth)
    np.testing.assert_allclose(centre.mean, exact_mean(x), atol=1e-4)
    np.testing.assert_allclose(centre.z, exact_mean(x), atol=1e-4)
    drawn = vae.encode(x, seed=3, depth=depth)
    noise = vae.posterior_noise(3, 0, 40)
    np.testing.assert_allclose(drawn.z, exact_z(x, noise, depth), atol=1e-4)
    part = vae.encode(x[10:], seed=3, depth=depth, first_row=10)
    np.testing.assert_allclose(part.z, drawn.z[10:], atol=1e-5)


def test_decode_is_the_mean_and_not_rounded(vae: VAE) -> None:
    z = np.random.default_rng(0).standard_normal((10, 2))
    z[3, 1] = np.nan
    made = vae.decode(z)
    assert made.status.tolist() == [OK] * 3 + [NON_FINITE_INPUT] + [OK] * 6
    ok = made.status == OK
    np.testing.assert_allclose(made.x[ok], exact_rows(z[ok]), rtol=1e-5)
    assert set(made.x[ok, 3]) == {SITE}
    assert np.isnan(made.x[3]).all()


def test_reconstruct_gives_the_rows_and_how_far_off_they_are(vae: VAE) -> None:
    x = rows(20)
    got, back = vae.reconstruct(x), exact_rows(exact_mean(x))
    np.testing.assert_allclose(got.x, back, rtol=1e-5)
    np.testing.assert_allclose(got.error, exact_error(x, back), atol=1e-5)
    assert set(got.x[:, 3]) == {SITE}


def test_samples_have_the_moments_of_the_density(vae: VAE) -> None:
    drawn = vae.sample(20_000, seed=1)
    assert (drawn.status == OK).all()
    np.testing.assert_allclose(drawn.x[:, :3].mean(axis=0), CENTRE, atol=0.2)
    np.testing.assert_allclose(np.cov(drawn.x[:, :3].T), COVARIANCE, atol=1.0)
    assert vae.rules.judge(drawn.x).max() == OK


def test_drawn_integers_are_whole_and_in_their_support(vae: VAE) -> None:
    drawn = vae.sample(2000, seed=2, temperature=12.0)
    count = drawn.x[:, 2]
    np.testing.assert_array_equal(count, np.round(count))
    assert (count.min(), count.max()) == COUNT_RANGE
    assert set(drawn.x[:, 3]) == {SITE}


def test_the_temperature_scales_the_latent_and_not_the_observation(vae: VAE) -> None:
    cold = vae.sample(20_000, seed=4, temperature=0.0)
    assert (cold.z == 0.0).all()
    np.testing.assert_allclose(cold.x[:, :2].std(axis=0), SIGMA[:2], rtol=0.05)


def test_samples_do_not_depend_on_how_they_are_cut(vae: VAE) -> None:
    whole = vae.sample(100, seed=3)
    parts = [vae.sample(n, 3, first_row=first) for first, n in ((0, 1), (1, 60), (61, 39))]
    np.testing.assert_allclose(np.vstack([p.x for p in parts]), whole.x, rtol=1e-6)
    np.testing.assert_allclose(np.vstack([p.z for p in parts]), whole.z, rtol=1e-6)


def test_a_temperature_beyond_all_bounds_makes_rows_that_have_not_converged(vae: VAE) -> None:
    drawn = vae.sample(5, seed=0, temperature=1e308)
    assert set(drawn.status.tolist()) == {NOT_CONVERGED}
    assert np.isnan(drawn.x).all()
    assert np.isnan(drawn.z).all()


def test_the_default_depth_is_that_of_the_manifest(vae: VAE, plain: VAE) -> None:
    x, ask = rows(5), (30, 6)
    default = vae.bound(x, vae.weighing(*ask))
    same_bounds(vae.bound(x, vae.weighing(*ask, depth=DEFAULT_DEPTH)), default)
    same_bounds(plain.bound(x, plain.weighing(*ask)), default)
    deeper = vae.bound(x, vae.weighing(*ask, depth=EXACT))
    assert (deeper.standard_error < default.standard_error).all()


def test_depths_that_are_not_on_offer_are_refused(vae: VAE, plain: VAE) -> None:
    with pytest.raises(ServiceError, match="'depth' to be one of 0, 1, 2, got 3"):
        vae.encode(rows(1), depth=3)
    with pytest.raises(ServiceError, match="no 'depth', as the posterior of plain has one depth"):
        plain.weighing(depth=1)


def test_a_bundle_whose_golden_rows_do_not_replay_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleInvalidError, match=r"log_weight\.log_weight is off"):
        load(write_vae(tmp_path, golden_offset=0.01), CPU)


def test_a_vae_is_no_flow(folder: Path) -> None:
    with pytest.raises(BundleInvalidError, match="expected a flow, got vae/1"):
        Model.load(folder / "vae" / "1", CPU)
