"""A flow as a scikit-learn estimator: fit, exact log-density, outliers, samples, bundle."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils.validation import check_is_fitted, validate_data

from exported.calibration import Calibration
from logdet.estimators.seeds import seed_of
from logdet.estimators.thresholded import Floats, Thresholded

if TYPE_CHECKING:
    from logdet.estimators.fitting import Fitted

# A row in each of the three tenths that are held back from training.
FEWEST_ROWS = 10
# Settings of a recipe that are parameters here, by the name they have in the recipe.
_PARAMETERS = {"epochs": "epochs", "max_seconds": "max_seconds", "seed": "random_state"}


class DensityEstimator(Thresholded):
    """A normalizing flow fitted by a recipe of ``logdet train``, the same way.

    Seven tenths of the rows move the parameters; a tenth each chooses the epoch, calibrates the
    threshold, and is held out for the figures of a published bundle. Columns of whole numbers
    only are modelled as such: a row between them has density zero, as has one that changes a
    constant column. ``settings={"continuous": [NAME]}`` declares otherwise.

    Args:
        recipe: A shipped recipe's name, or a path to a YAML file, of a flow without context.
        settings: Changes of the recipe, such as ``{"family": "nsf", "layers": 4}``; what
            ``logdet train --set`` takes.
        epochs: Most passes over the training rows; the recipe's if None.
        max_seconds: Time after which the fit ends with the epoch; the recipe's if None.
        alpha: Accepted rate of false alarms; 0.01, or the smallest that the calibration rows can
            decide, if None.
        random_state: Of the split, the parameters and the batches. A whole number is the recipe's
            seed: the same number, the same fit.

    Attributes:
        offset_: See :class:`Thresholded`.
        alpha_: The rate of false alarms that the threshold is for.
        calibration_: Scores that turn a log-density into a p-value.
        epochs_: Trained.
        best_epoch_: The one whose parameters were kept.
        n_features_in_: Columns of the fit.
        feature_names_in_: Their names, if X had any; ``x0``, ``x1``, ... otherwise in bundles.
    """

    def __init__(
        self,
        recipe: str = "table",
        *,
        settings: Mapping[str, object] | None = None,
        epochs: int | None = None,
        max_seconds: float | None = None,
        alpha: float | None = None,
        random_state: int | np.random.RandomState | None = 0,
    ) -> None:
        self.recipe = recipe
        self.settings = settings
        self.epochs = epochs
        self.max_seconds = max_seconds
        self.alpha = alpha
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: object = None) -> Self:
        """Train on rows ``(rows, features)`` of finite numbers; y is ignored.

        Raises:
            ValueError: If there are fewer than :data:`FEWEST_ROWS` rows, X does not suit the
                recipe or the recipe an estimator, alpha cannot be decided, or the fit diverges.
        """
        from logdet.estimators import fitting

        rows: Floats = validate_data(self, X, dtype=np.float64, ensure_min_samples=FEWEST_ROWS)
        recipe = fitting.read(self.recipe, self._settings())
        data = fitting.divided(recipe, self._names(), rows, FEWEST_ROWS)
        # An alpha that cannot be decided costs no training.
        held_back = np.zeros(len(data.prepared.split.calibration))
        self.alpha_ = _decided(self.alpha, Calibration.of(held_back))
        self._fitted: Fitted = fitting.trained(data)
        self.calibration_ = Calibration.of(self._fitted.calibration_scores())
        self.offset_ = self.calibration_.threshold(self.alpha_)
        self.epochs_ = self._fitted.state.epoch
        self.best_epoch_ = self._fitted.state.best_epoch
        self._command = self._called(recipe.seed)
        return self

    def score_samples(self, X: ArrayLike) -> Floats:
        """See :meth:`Thresholded.score_samples`."""
        check_is_fitted(self)
        return self._fitted.log_prob(validate_data(self, X, dtype=np.float64, reset=False))

    def p_value(self, X: ArrayLike) -> Floats:
        """Conformal p-values of rows, shape ``(rows,)``; outliers are those up to ``alpha_``."""
        return self.calibration_.p_value(self.score_samples(X))

    def sample(
        self, n_samples: int = 1, random_state: int | np.random.RandomState | None = None
    ) -> Floats:
        """Rows drawn from the density, shape ``(n_samples, features)``.

        Args:
            n_samples: How many.
            random_state: A whole number draws the rows that ``logdet sample --seed`` draws of the
                published bundle, up to float32.

        Raises:
            ValueError: If ``n_samples`` is not positive.
        """
        check_is_fitted(self)
        if n_samples < 1:
            raise ValueError(f"expected n_samples of at least 1, got {n_samples}")
        return self._fitted.sample(n_samples, seed_of(random_state))

    def publish(self, root: str | Path, name: str) -> Path:
        """Write the fit as the next version of a bundle, which ``logdet serve`` serves.

        The graphs are measured against the fit, verified and calibrated as by ``logdet train``.

        Args:
            root: Folder of bundles, such as ``exported/bundles``.
            name: Of the bundle.

        Returns:
            The folder ``root/name/version``.

        Raises:
            ValueError: If the name is no bundle's, fewer than two held-out rows are in support, or
                the graphs are not exact enough.
        """
        check_is_fitted(self)
        return self._fitted.publish(Path(root), name, self._command)

    def _settings(self) -> dict[str, object]:
        """The recipe's settings, those that are parameters here among them."""
        settings = dict(self.settings or {})
        for key in settings:
            if parameter := _PARAMETERS.get(key.removeprefix("fit.")):
                raise ValueError(f"expected the parameter {parameter}, got it in the settings")
        own = {"epochs": self.epochs, "max_seconds": self.max_seconds}
        given = {key: value for key, value in own.items() if value is not None}
        return settings | given | {"seed": seed_of(self.random_state)}

    def _names(self) -> tuple[str, ...]:
        numbered = [f"x{i}" for i in range(self.n_features_in_)]
        return tuple(map(str, getattr(self, "feature_names_in_", numbered)))

    def _called(self, seed: int) -> str:
        """How to make this fit again, for provenance; a recipe's path by its last part."""
        params = self.get_params() | {"recipe": Path(self.recipe).name, "random_state": seed}
        given = ", ".join(f"{key}={value!r}" for key, value in params.items())
        return f"{type(self).__name__}({given}).fit(X)"


def _decided(alpha: float | None, calibration: Calibration) -> float:
    """The rate of false alarms, as the service decides it.

    Raises:
        ValueError: If so many calibration rows cannot decide it.
    """
    from service.loaded import DEFAULT_ALPHA

    if alpha is None:
        return max(DEFAULT_ALPHA, calibration.smallest_alpha)
    calibration.threshold(alpha)
    return float(alpha)
