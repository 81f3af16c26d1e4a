"""Densities as scikit-learn knows estimators: fitted here, or served elsewhere."""

from logdet.estimators.density import DensityEstimator
from logdet.estimators.remote import RemoteDensity

__all__ = ["DensityEstimator", "RemoteDensity"]
