"""One layer of each layered family."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from training import masked, networks
from training.bijections import (
    Affine,
    Autoregressive,
    Bijection,
    Coupling,
    ElementwiseMap,
    Inverse,
    Planar,
    Radial,
    RationalQuadratic,
    Shift,
    Sylvester,
)
from training.recipes import (
    IAFConfig,
    LayeredFamily,
    MAFConfig,
    NiceConfig,
    PlanarConfig,
    RadialConfig,
    RealNVPConfig,
    SplineAutoregressiveConfig,
    SplineCouplingConfig,
    SylvesterConfig,
)
from training.table import Image


@dataclass(frozen=True, slots=True)
class Sizes:
    """What a layer works on.

    Attributes:
        features: Size of a row after preprocessing.
        context_features: Size of the context after preprocessing, possibly 0.
        image: Height, width and channels where a row holds an image.
    """

    features: int
    context_features: int = 0
    image: Image | None = None


def layer(config: LayeredFamily, sizes: Sizes) -> Bijection | None:
    """A fresh layer of a family; None where there is too little to work on."""
    return _LAYERS[config.family](config, sizes)


def _planar(config: PlanarConfig, sizes: Sizes) -> Bijection:
    return Planar(sizes.features, sizes.context_features, config.context_hidden)


def _radial(config: RadialConfig, sizes: Sizes) -> Bijection:
    return Radial(sizes.features, sizes.context_features, config.context_hidden)


def _sylvester(config: SylvesterConfig, sizes: Sizes) -> Bijection:
    columns = min(config.columns, sizes.features)
    return Sylvester(sizes.features, columns, sizes.context_features, config.context_hidden)


def _nice(config: NiceConfig, sizes: Sizes) -> Bijection | None:
    return _coupling(config, sizes, Shift())


def _realnvp(config: RealNVPConfig, sizes: Sizes) -> Bijection | None:
    return _coupling(config, sizes, Affine())


def _nsf(config: SplineCouplingConfig, sizes: Sizes) -> Bijection | None:
    return _coupling(config, sizes, RationalQuadratic(config.bins, config.tail_bound))


def _maf(config: MAFConfig, sizes: Sizes) -> Bijection:
    return _autoregressive(config, sizes, Affine())


def _iaf(config: IAFConfig, sizes: Sizes) -> Bijection:
    return Inverse(_autoregressive(config, sizes, Affine()))


def _nsf_ar(config: SplineAutoregressiveConfig, sizes: Sizes) -> Bijection:
    return _autoregressive(config, sizes, RationalQuadratic(config.bins, config.tail_bound))


_LAYERS: dict[str, Callable[[Any, Sizes], Bijection | None]] = {
    "planar": _planar,
    "radial": _radial,
    "sylvester": _sylvester,
    "nice": _nice,
    "realnvp": _realnvp,
    "nsf": _nsf,
    "maf": _maf,
    "iaf": _iaf,
    "nsf_ar": _nsf_ar,
}


def _autoregressive(
    config: MAFConfig | IAFConfig | SplineAutoregressiveConfig,
    sizes: Sizes,
    elementwise: ElementwiseMap,
) -> Autoregressive:
    conditioner = masked.autoregressive(
        sizes.features,
        config.hidden,
        elementwise.parameters_per_scalar(),
        sizes.context_features,
    )
    return Autoregressive(sizes.features, conditioner, elementwise)


def _coupling(
    config: NiceConfig | RealNVPConfig | SplineCouplingConfig,
    sizes: Sizes,
    elementwise: ElementwiseMap,
) -> Coupling | None:
    kept = sizes.features // 2
    seen = kept + sizes.context_features
    if not seen:
        return None  # A single feature has nothing to be coupled to; its marginal spline remains.
    changed = sizes.features - kept
    heads = [changed * size for size in elementwise.parameters_per_scalar()]
    return Coupling(kept, changed, networks.dense(seen, config.hidden, heads), elementwise)
