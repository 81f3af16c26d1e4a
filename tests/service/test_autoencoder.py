"""An autoencoder of known weights, below any protocol."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest

from exported.errors import BundleInvalidError
from service.autoencoder import Autoencoder
from service.core import Core
from service.errors import ErrorKind, ServiceError
from service.kinds import load
from service.model import Model
from service.results import NON_FINITE_INPUT, OK, OUT_OF_SUPPORT
from service.runtime import Runtime
from tests.bundles import CALIBRATION_ROWS, SITE
from tests.linear_gaussian import exact_error, exact_mean, exact_rows, minus_error, rows

CPU = Runtime.choose("cpu", sessions=1)


@pytest.fixture(scope="module")
def autoencoder(root: Path) -> Autoencoder:
    loaded = load(root / "auto" / "1", CPU)
    assert isinstance(loaded, Autoencoder)
    return loaded


def test_encode_decode_and_reconstruct_are_what_the_formula_says(autoencoder: Autoencoder) -> None:
    x = rows(30)
    z = exact_mean(x)
    back = exact_rows(z)
    np.testing.assert_allclose(autoencoder.encode(x).z, z, atol=1e-4)
    np.testing.assert_allclose(autoencoder.decode(z).x, back, rtol=1e-5)
    got = autoencoder.reconstruct(x)
    np.testing.assert_allclose(got.x, back, rtol=1e-5)
    np.testing.assert_allclose(got.error, exact_error(x, back), atol=1e-5)
    assert set(got.x[:, 3]) == set(autoencoder.decode(z).x[:, 3]) == {SITE}


def test_a_score_is_the_error_with_its_sign_turned(autoencoder: Autoencoder) -> None:
    x = rows(2000, seed=6)
    score, status = autoencoder.score(x)
    np.testing.assert_allclose(score, minus_error(x), atol=1e-5)
    assert (status == OK).all()
    assert 0.06 < autoencoder.decide(score, 0.1).is_anomaly.mean() < 0.14


def test_a_row_that_is_not_fit_is_its_own_problem(autoencoder: Autoencoder) -> None:
    x = rows(4)
    x[1, 0], x[2, 2] = np.nan, 40.5
    statuses = [OK, NON_FINITE_INPUT, OUT_OF_SUPPORT, OK]
    score, status = autoencoder.score(x)
    assert status.tolist() == statuses
    assert np.isnan(score[1])
    assert score[2] == -np.inf
    decision = autoencoder.decide(score)
    assert np.isnan(decision.p_value[1])
    assert decision.p_value[2] == pytest.approx(1 / (CALIBRATION_ROWS + 1))
    encoded, back = autoencoder.encode(x), autoencoder.reconstruct(x)
    assert encoded.status.tolist() == back.status.tolist() == statuses
    assert np.isnan(encoded.z[1:3]).all()
    assert np.isnan(back.error[1:3]).all()


def test_it_is_no_flow(root: Path) -> None:
    with pytest.raises(BundleInvalidError, match="expected a flow, got auto/1"):
        Model.load(root / "auto" / "1", CPU)


def test_batched_is_alone(core: Core, autoencoder: Autoencoder) -> None:
    served = core.find("auto")
    asked = [rows(n, seed) for seed, n in enumerate((1, 30, 200, 7))]

    async def work() -> list[np.ndarray]:
        return [out.score for out in await asyncio.gather(*(served.score(x) for x in asked))]

    for x, got in zip(asked, asyncio.run(work()), strict=True):
        np.testing.assert_allclose(got, autoencoder.score(x)[0], atol=1e-5)


@pytest.mark.parametrize("operation", ["sample", "log_prob", "log_prob_bound", "expectation"])
def test_it_has_no_density(core: Core, operation: str) -> None:
    with pytest.raises(ServiceError, match="it has: decode, encode, reconstruct, score") as error:
        core.find("auto", operation=operation)
    assert error.value.kind is ErrorKind.UNSUPPORTED
