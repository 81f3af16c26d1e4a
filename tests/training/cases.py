"""Every bijection, as a table: how to make one of a number of features."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from training import masked, networks
from training.bijections import (
    ActNorm,
    Affine,
    ArcsinhTails,
    Autoregressive,
    Bijection,
    Chain,
    Coupling,
    ElementwiseMap,
    ElementwiseSpline,
    Inverse,
    Linear,
    LULinear,
    Permuted,
    Planar,
    Radial,
    RationalQuadratic,
    Shift,
    Standardise,
    Sylvester,
)
from training.families import build
from training.layers import Sizes
from training.recipes import (
    FamilyConfig,
    MixedConfig,
    NiceConfig,
    PlanarConfig,
    RadialConfig,
    RealNVPConfig,
    SplineCouplingConfig,
    SylvesterConfig,
)

STRAIN = 0.7  # Standard deviation added to every parameter; a bin's logits reach their bound.
CONTEXT = 3  # Size of the context of the conditional cases.
HIDDEN = (16,)


@dataclass(frozen=True)
class Case:
    """A bijection to be made, given its number of features."""

    make: Callable[[int], Bijection]
    context_features: int = 0


def _coupling(features: int, elementwise: ElementwiseMap, given: int = 0) -> Bijection:
    kept = features // 2
    changed = features - kept
    heads = [changed * size for size in elementwise.parameters_per_scalar()]
    conditioner = networks.dense(kept + given, HIDDEN, heads)
    return Coupling(kept, changed, conditioner, elementwise)


def _autoregressive(features: int, elementwise: ElementwiseMap, given: int = 0) -> Bijection:
    sizes = elementwise.parameters_per_scalar()
    conditioner = masked.autoregressive(features, HIDDEN, sizes, given)
    return Autoregressive(features, conditioner, elementwise)


def _permuted(features: int, given: int = 0) -> Bijection:
    # A cycle, which is not its own inverse.
    order = torch.arange(features).roll(1)
    return Permuted(_autoregressive(features, Affine(), given), order)


def _sylvester(features: int, given: int = 0) -> Bijection:
    return Sylvester(features, min(3, features), given, HIDDEN)


def _family(config: FamilyConfig, features: int, given: int = 0) -> Bijection:
    return build(config, Sizes(features, given), torch.Generator().manual_seed(0))


def _linear(features: int) -> Bijection:
    weight = torch.eye(features) + 0.3 * torch.randn(features, features)
    return Linear(weight, torch.randn(features))


_MAKERS: dict[str, Callable[[int], Bijection]] = {
    "standardise": lambda d: Standardise(0.3 * torch.randn(d), torch.rand(d) + 0.5),
    "arcsinh tails": lambda d: ArcsinhTails(torch.linspace(0.01, 0.4, d)),
    "actnorm": ActNorm,
    "lu linear": lambda d: LULinear(d, torch.Generator().manual_seed(0)),
    "folded linear": _linear,
    "elementwise spline": lambda d: ElementwiseSpline(d, 6, 4.0),
    "additive coupling": lambda d: _coupling(d, Shift()),
    "affine coupling": lambda d: _coupling(d, Affine()),
    "spline coupling": lambda d: _coupling(d, RationalQuadratic(5, 4.0)),
    # Pyro's example is spline_coupling(2, count_bins=16) with bound 3; ours is a power of two.
    "spline coupling of 16 bins": lambda d: _coupling(d, RationalQuadratic(16, 4.0)),
    "autoregressive affine": lambda d: _autoregressive(d, Affine()),
    "autoregressive spline": lambda d: _autoregressive(d, RationalQuadratic(5, 4.0)),
    "inverse autoregressive": lambda d: Inverse(_autoregressive(d, Affine())),
    "permuted autoregressive affine": _permuted,
    "planar": Planar,
    "radial": Radial,
    "sylvester": _sylvester,
    "chain": lambda d: Chain(
        [ActNorm(d), _coupling(d, RationalQuadratic(5, 4.0)), ElementwiseSpline(d, 3, 2.0)]
    ),
    "family planar": lambda d: _family(PlanarConfig(family="planar", layers=3), d),
    "family radial": lambda d: _family(RadialConfig(family="radial", layers=3), d),
    "family sylvester": lambda d: _family(SylvesterConfig(family="sylvester", layers=2), d),
    "family nice": lambda d: _family(NiceConfig(family="nice", layers=2, hidden=HIDDEN), d),
    "family realnvp": lambda d: _family(
        RealNVPConfig(family="realnvp", layers=1, hidden=HIDDEN, marginal_bins=0), d
    ),
    "family mixed": lambda d: _family(
        MixedConfig(
            family="mixed",
            layers=(
                RadialConfig(family="radial", layers=1),
                SplineCouplingConfig(layers=1, bins=4, hidden=HIDDEN, marginal_bins=0),
            ),
        ),
        d,
    ),
    "family nsf": lambda d: _family(
        SplineCouplingConfig(layers=2, bins=4, hidden=HIDDEN, marginal_bins=5), d
    ),
}
_CONDITIONAL: dict[str, Callable[[int], Bijection]] = {
    "additive coupling": lambda d: _coupling(d, Shift(), CONTEXT),
    "affine coupling": lambda d: _coupling(d, Affine(), CONTEXT),
    "spline coupling": lambda d: _coupling(d, RationalQuadratic(5, 4.0), CONTEXT),
    "autoregressive affine": lambda d: _autoregressive(d, Affine(), CONTEXT),
    "autoregressive spline": lambda d: _autoregressive(d, RationalQuadratic(5, 4.0), CONTEXT),
    "inverse autoregressive": lambda d: Inverse(_autoregressive(d, Affine(), CONTEXT)),
    "permuted autoregressive affine": lambda d: _permuted(d, CONTEXT),
    "planar": lambda d: Planar(d, CONTEXT, HIDDEN),
    "radial": lambda d: Radial(d, CONTEXT, HIDDEN),
    "sylvester": lambda d: _sylvester(d, CONTEXT),
    "family sylvester": lambda d: _family(
        SylvesterConfig(family="sylvester", layers=2, context_hidden=HIDDEN), d, CONTEXT
    ),
    "family realnvp": lambda d: _family(
        RealNVPConfig(family="realnvp", layers=1, hidden=HIDDEN, marginal_bins=0), d, CONTEXT
    ),
}
CONDITIONAL = {f"conditional {name}": Case(make, CONTEXT) for name, make in _CONDITIONAL.items()}
CASES = {name: Case(make) for name, make in _MAKERS.items()} | CONDITIONAL
WITHOUT_PARAMETERS = ("standardise", "arcsinh tails", "folded linear")
LEARNING = [name for name in CASES if name not in WITHOUT_PARAMETERS]


def make(name: str, features: int, strained: bool, strain: float = STRAIN) -> Bijection:
    bijection = CASES[name].make(features)
    if strained:
        with torch.no_grad():
            for parameter in bijection.parameters():
                parameter.add_(strain * torch.randn_like(parameter))
    return bijection


def rows(features: int, count: int = 12) -> Tensor:
    x = 1.5 * torch.randn(count, features)
    x[0] = 4.0  # On the box of the splines,
    x[1] = -9.0  # and outside of it.
    return x


def contexts(name: str, count: int = 12) -> Tensor | None:
    """A context for each row where the case has one."""
    size = CASES[name].context_features
    return torch.randn(count, size) if size else None
