"""Invertible maps with tractable log-determinants. They know no data, files or configuration."""

from training.bijections.autoregressive import Autoregressive, Inverse
from training.bijections.base import Bijection, Chain
from training.bijections.bounded import Bounded, Squash
from training.bijections.continuous import Continuous
from training.bijections.coupling import Coupling
from training.bijections.elementwise import ActNorm, ArcsinhTails, Standardise
from training.bijections.image import PerPixel, Rearrange, channels_first, squeeze
from training.bijections.linear import Linear, LULinear
from training.bijections.maps import Affine, ElementwiseMap, Shift
from training.bijections.marginal import ElementwiseSpline
from training.bijections.permuted import Permuted
from training.bijections.planar import Planar
from training.bijections.quadratic import RationalQuadratic
from training.bijections.radial import Radial
from training.bijections.split import Split
from training.bijections.sylvester import Sylvester
from training.bijections.velocity import Velocity

__all__ = [
    "ActNorm",
    "Affine",
    "ArcsinhTails",
    "Autoregressive",
    "Bijection",
    "Bounded",
    "Chain",
    "Continuous",
    "Coupling",
    "ElementwiseMap",
    "ElementwiseSpline",
    "Inverse",
    "LULinear",
    "Linear",
    "PerPixel",
    "Permuted",
    "Planar",
    "Radial",
    "RationalQuadratic",
    "Rearrange",
    "Shift",
    "Split",
    "Squash",
    "Standardise",
    "Sylvester",
    "Velocity",
    "channels_first",
    "squeeze",
]
