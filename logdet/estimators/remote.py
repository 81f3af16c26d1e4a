"""A served density as a scikit-learn estimator: nothing is trained, everything is asked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted, validate_data

from logdet.estimators.seeds import seed_of
from logdet.estimators.thresholded import Floats, Thresholded

if TYPE_CHECKING:
    from logdet.client.token import Token


class Asked(Protocol):
    """What of :class:`logdet.Client` is used."""

    def model(self, name: str, *, version: int | None) -> Mapping[str, Any]:
        """The manifest."""

    def score(
        self, name: str, rows: NDArray[np.float64], *, alpha: float | None, version: int | None
    ) -> Any:  # noqa: ANN401 - an Answer, whose arrays are attributes
        """With ``log_prob``, ``p_value``, ``threshold`` and ``alpha``."""

    def sample(self, name: str, n: int, *, seed: int, version: int | None) -> Any:  # noqa: ANN401
        """With ``rows``."""


class RemoteDensity(Thresholded):
    """A flow behind a running service, in the place of a :class:`DensityEstimator`.

    ``fit`` trains nothing: it checks that X has the features of the served model, and keeps the
    version that it found, so that scores and threshold stay those of one model while newer
    versions are published. Every other method is a request.

    Args:
        url: Of the service, such as ``http://127.0.0.1:8000``.
        model: Name of a bundle that it serves.
        version: Of the bundle; the newest if None.
        alpha: Accepted rate of false alarms; the service's own choice if None.
        token: That the service wants, see :class:`logdet.Client`; kept as a
            ``logdet.client.Token``, which does not show itself, but is pickled with the rest.
        client: To ask through, with settings of its own; a ``logdet.Client(url, token=token)`` for
            each call if None, which alone can be pickled and cloned.

    Attributes:
        offset_: See :class:`Thresholded`.
        alpha_: The rate of false alarms that the threshold is for.
        version_: Of the bundle that was found.
        n_features_in_: Features of the model.
        feature_names_in_: Columns of X in ``fit``, if it had names.
    """

    def __init__(
        self,
        url: str,
        model: str,
        *,
        version: int | None = None,
        alpha: float | None = None,
        token: str | Token | None = None,
        client: Asked | None = None,
    ) -> None:
        self.url = url
        self.model = model
        self.version = version
        self.alpha = alpha
        self.token = token
        self.client = client

    @property
    def token(self) -> str | Token | None:
        """What is shown to the service; text that is set becomes a ``Token``."""
        return self._token

    @token.setter
    def token(self, given: str | Token | None) -> None:
        self._token = given
        if isinstance(given, str) and given:
            from logdet.client.token import Token

            self._token = Token(given)

    def fit(self, X: ArrayLike, y: object = None) -> Self:
        """Check rows ``(rows, features)`` against the served model; y is ignored.

        Columns with names are those of the model in any order, others in the model's order.

        Raises:
            ValueError: If they are not, the model has no log-density of rows alone, or alpha
                cannot be decided with its calibration rows.
            logdet.client.ServiceRefused: If there is no answer, as from every other method.
        """
        rows: Floats = validate_data(self, X, dtype=np.float64)
        with self._asking() as client:
            manifest = client.model(self.model, version=self.version)
            self._order = self._order_of(manifest)
            self.version_ = int(manifest["version"])
            answer = client.score(
                self.model, rows[:1, self._order], alpha=self.alpha, version=self.version_
            )
        self.offset_, self.alpha_ = float(answer.threshold), float(answer.alpha)
        return self

    def score_samples(self, X: ArrayLike) -> Floats:
        """See :meth:`Thresholded.score_samples`; NaN where a solver did not converge."""
        return self._scored(X, "log_prob")

    def p_value(self, X: ArrayLike) -> Floats:
        """Conformal p-values of rows, shape ``(rows,)``; outliers are those up to ``alpha_``."""
        return self._scored(X, "p_value")

    def sample(
        self, n_samples: int = 1, random_state: int | np.random.RandomState | None = None
    ) -> Floats:
        """Rows drawn from the density, shape ``(n_samples, features)``, columns as in ``fit``.

        Args:
            n_samples: How many.
            random_state: A whole number is the service's seed: the same number, the same rows.
        """
        check_is_fitted(self)
        with self._asking() as client:
            answer = client.sample(
                self.model, n_samples, seed=seed_of(random_state), version=self.version_
            )
        drawn = np.empty((n_samples, self.n_features_in_))
        drawn[:, self._order] = answer.rows
        return drawn

    def _scored(self, X: ArrayLike, what: str) -> Floats:
        check_is_fitted(self)
        rows: Floats = validate_data(self, X, dtype=np.float64, reset=False)
        with self._asking() as client:
            answer = client.score(
                self.model, rows[:, self._order], alpha=self.alpha, version=self.version_
            )
        return np.asarray(getattr(answer, what), dtype=np.float64)

    @contextmanager
    def _asking(self) -> Iterator[Asked]:
        if self.client is not None:
            yield self.client
            return
        from logdet.client import Client

        with Client(self.url, token=self.token) as client:
            yield client

    def _order_of(self, manifest: Mapping[str, Any]) -> list[int]:
        """Columns of X by the model's features.

        Raises:
            ValueError: If they do not match, or the model is of another kind.
        """
        if "log_prob" not in manifest["operations"]:
            raise ValueError(f"expected a model with log_prob, got {self.model}, which has none")
        if manifest["context_features"]:
            raise ValueError(f"expected a model without context, got {self.model}, which needs it")
        features = [feature["name"] for feature in manifest["features"]]
        names: Sequence[str] = list(getattr(self, "feature_names_in_", ()))
        if names:
            self._check_names(names, features)
        elif self.n_features_in_ != len(features):
            raise ValueError(
                f"expected the {len(features)} features of {self.model}, "
                f"got {self.n_features_in_} columns"
            )
        return [(names or features).index(name) for name in features]

    def _check_names(self, names: Sequence[str], features: Sequence[str]) -> None:
        """Refuse columns with names that are not just the features, telling which."""
        from logdet.client.rows import some

        wrong = {
            "missing": [name for name in features if name not in names],
            "unknown": [name for name in names if name not in features],
        }
        told = [f"{what}: {some(listed)}" for what, listed in wrong.items() if listed]
        if told:
            raise ValueError(
                f"expected the {len(features)} features of {self.model} as columns, in any order; "
                f"{'; '.join(told)}"
            )
