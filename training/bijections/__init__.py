"""Invertible maps with tractable log-determinants. They know no data, files or configuration."""

from training.bijections.autoregressive import Autoregressive, Inverse
from training.bijections.base import Bijection, Chain
from training.bijections.coupling import Coupling
from training.bijections.elementwise import ActNorm, ArcsinhTails, Standardise
from training.bijections.linear import Linear, LULinear
from training.bijections.maps import Affine, ElementwiseMap, Shift
from training.bijections.marginal import ElementwiseSpline
from training.bijections.planar import Planar
from training.bijections.radial import Radial
from training.bijections.spline import RationalQuadratic

__all__ = [
    "ActNorm",
    "Affine",
    "ArcsinhTails",
    "Autoregressive",
    "Bijection",
    "Chain",
    "Coupling",
    "ElementwiseMap",
    "ElementwiseSpline",
    "Inverse",
    "LULinear",
    "Linear",
    "Planar",
    "Radial",
    "RationalQuadratic",
    "Shift",
    "Standardise",
]
