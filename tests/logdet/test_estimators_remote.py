"""``logdet.RemoteDensity``: against a running service, and in scikit-learn's own checks."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.utils.estimator_checks import check_estimator

from logdet import RemoteDensity
from logdet.client import Client, NotFound
from logdet.opening import open_model
from logdet.options import Reference
from logdet.scoring import score
from tests.bundles import NAMES, exact, ordinary_rows, write_gaussian
from tests.engines import embedded
from tests.latents import write_autoencoder, write_vae
from tests.variants import write_conditional


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("served")
    write_gaussian(root, "gauss", 1)
    write_gaussian(root, "gauss", 2)
    write_conditional(root, "given")
    write_vae(root, "vae")
    write_autoencoder(root, "auto")
    return root


@pytest.fixture(scope="module")
def url(served: Path) -> Iterator[str]:
    with embedded(served) as running:
        yield running.url


@pytest.fixture(scope="module")
def fitted(url: str) -> RemoteDensity:
    return RemoteDensity(url, "gauss", alpha=0.05).fit(ordinary_rows(10))


SERVED: ContextVar[list[str]] = ContextVar("names of the features that are served")


class AnyWidth:
    """A client of a standard normal density of the features that the table to fit has."""

    def model(self, name: str, *, version: int | None) -> Mapping[str, Any]:
        features = [{"name": feature} for feature in SERVED.get()]
        operations = {"log_prob": "log_prob"}
        return {
            "version": 3, "features": features, "context_features": [], "operations": operations
        }  # fmt: skip

    def score(
        self, name: str, rows: np.ndarray, *, alpha: float | None, version: int | None
    ) -> SimpleNamespace:
        assert (name, version) == ("any", 3)
        log_prob = (-0.5 * rows**2).sum(axis=1)
        return SimpleNamespace(log_prob=log_prob, threshold=-5.0, alpha=alpha or 0.01)


class OfAnyWidth(RemoteDensity):
    """A served model has its features; the checks fit tables of one, two, three and ten."""

    def fit(self, X: Any, y: object = None) -> Self:
        shape = getattr(X, "shape", None) or np.asarray(X).shape
        SERVED.set([f"x{i}" for i in range(shape[-1])])
        return super().fit(X, y)


def test_scikit_learns_own_checks_pass_without_exception() -> None:
    """But for the width of the table, which the double follows, nothing here is the test's."""
    density = OfAnyWidth("http://nowhere", "any", client=AnyWidth())
    results = check_estimator(density, on_skip=None)
    skipped = {result["check_name"] for result in results if result["status"] != "passed"}
    assert len(results) > 40
    # It needs SCIPY_ARRAY_API in the environment and the tag array_api_support, which is not set.
    assert skipped <= {"check_array_api_input"}


def test_scores_are_those_of_the_bundle(fitted: RemoteDensity, served: Path) -> None:
    x = ordinary_rows(300, seed=4)
    local = score(open_model(served, Reference("gauss", None), "cpu", "score"), x, 0.05)
    np.testing.assert_array_equal(fitted.score_samples(x), local.score.astype(np.float64))
    np.testing.assert_allclose(fitted.score_samples(x), exact(x).log_prob, atol=1e-3)
    np.testing.assert_array_equal(fitted.p_value(x), local.decision.p_value)
    np.testing.assert_array_equal(fitted.predict(x) == -1, local.decision.is_anomaly)
    assert 0 < (fitted.predict(x) == -1).sum() < 40
    assert fitted.offset_ == local.decision.threshold
    assert (fitted.alpha_, fitted.version_, fitted.n_features_in_) == (0.05, 2, 4)
    assert fitted.score(x) == pytest.approx(exact(x).log_prob.mean(), abs=1e-3)


def test_rows_out_of_support_are_outliers(fitted: RemoteDensity) -> None:
    x = ordinary_rows(1)
    x[0, 3] = 8.0
    assert fitted.score_samples(x) == -np.inf
    assert fitted.predict(x) == -1


def test_columns_of_frames_come_in_any_order(url: str, fitted: RemoteDensity) -> None:
    pandas = pytest.importorskip("pandas")
    x = ordinary_rows(50)
    frame = pandas.DataFrame(x, columns=list(NAMES))
    shuffled = frame[list(reversed(NAMES))]
    density = RemoteDensity(url, "gauss").fit(shuffled)
    np.testing.assert_array_equal(density.score_samples(shuffled), fitted.score_samples(x))
    drawn = density.sample(20, random_state=3)
    np.testing.assert_array_equal(drawn[:, ::-1], fitted.sample(20, random_state=3))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda f: f.rename(columns={"count": "number"}), "missing: count; unknown: number"),
        (lambda f: f.drop(columns=["count", "flow"]), "missing: flow, count"),
        (lambda f: f.assign(number=1.0, year=2.0), "unknown: number, year"),
    ],
)
def test_columns_that_are_missing_or_unknown_are_named(url: str, change: Any, said: str) -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(ordinary_rows(5), columns=list(NAMES))
    message = f"^expected the 4 features of gauss as columns, in any order; {said}$"
    with pytest.raises(ValueError, match=message):
        RemoteDensity(url, "gauss").fit(change(frame))


def test_samples_follow_their_seed(fitted: RemoteDensity, served: Path) -> None:
    model = open_model(served, Reference("gauss", None), "cpu", "sample")
    drawn = fitted.sample(5, random_state=9)
    np.testing.assert_array_equal(drawn, model.sample(5, 9).rows.x)
    assert not np.array_equal(fitted.sample(5), fitted.sample(5))


@pytest.mark.parametrize(
    ("model", "params", "columns", "said"),
    [
        ("gauss", {}, 3, "the 4 features of gauss, got 3 columns"),
        ("vae", {}, 4, "a model with log_prob, got vae"),
        ("auto", {}, 4, "a model with log_prob, got auto"),
        ("given", {}, 4, "a model without context, got given"),
        ("gauss", {"alpha": 1e-9}, 4, "alpha of at least 0.001"),
    ],
)
def test_what_does_not_fit_the_model_is_refused(
    url: str, model: str, params: dict[str, Any], columns: int, said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        RemoteDensity(url, model, **params).fit(ordinary_rows(5)[:, :columns])


def test_a_model_that_is_not_there(url: str) -> None:
    with pytest.raises(NotFound):
        RemoteDensity(url, "nosuch").fit(ordinary_rows(5))


class Recorder(Client):
    """Remembers which versions were asked."""

    def score(self, *given: Any, **settings: Any) -> Any:
        self.versions = [*getattr(self, "versions", []), settings["version"]]
        return super().score(*given, **settings)


@pytest.mark.parametrize(("version", "found"), [(None, 2), (1, 1)])
def test_the_version_of_the_fit_is_kept(url: str, version: int | None, found: int) -> None:
    """A newer one may be published before the next question."""
    with Recorder(url) as client:
        density = RemoteDensity(url, "gauss", version=version, client=client)
        density.fit(ordinary_rows(5)).predict(ordinary_rows(5))
    assert density.version_ == found
    assert client.versions == [found, found]


def test_a_pickle_and_a_clone_ask_the_same(fitted: RemoteDensity) -> None:
    x = ordinary_rows(20)
    again = pickle.loads(pickle.dumps(fitted))  # noqa: S301
    np.testing.assert_array_equal(again.score_samples(x), fitted.score_samples(x))
    assert clone(fitted).get_params() == fitted.get_params()


def test_a_client_of_ones_own_is_asked_and_stays_open(url: str, fitted: RemoteDensity) -> None:
    x = ordinary_rows(20)
    with Client(url, chunk_rows=7) as client:
        density = RemoteDensity("http://127.0.0.1:1", "gauss", client=client).fit(x)
        for _ in range(2):
            np.testing.assert_array_equal(density.score_samples(x), fitted.score_samples(x))
