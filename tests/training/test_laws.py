"""Every bijection, fresh and strained, under every law."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor

from tests.training import laws
from training import networks
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
    Planar,
    Radial,
    RationalQuadratic,
    Shift,
    Standardise,
)
from training.families import Sizes, build
from training.recipes import (
    FamilyConfig,
    NiceConfig,
    PlanarConfig,
    RadialConfig,
    RealNVPConfig,
    SplineCouplingConfig,
)

STRAIN = 0.7  # Standard deviation added to every parameter; a bin's logits reach their bound.


def _coupling(features: int, elementwise: ElementwiseMap) -> Bijection:
    kept = features // 2
    changed = features - kept
    heads = [changed * size for size in elementwise.parameters_per_scalar()]
    return Coupling(kept, changed, networks.dense(kept, (16,), heads), elementwise)


def _autoregressive(features: int, elementwise: ElementwiseMap) -> Bijection:
    conditioner = networks.autoregressive(features, (16,), elementwise.parameters_per_scalar())
    return Autoregressive(features, conditioner, elementwise)


def _family(config: FamilyConfig, features: int) -> Bijection:
    return build(config, Sizes(features), torch.Generator().manual_seed(0))


def _linear(features: int) -> Bijection:
    weight = torch.eye(features) + 0.3 * torch.randn(features, features)
    return Linear(weight, torch.randn(features))


CASES: dict[str, Callable[[int], Bijection]] = {
    "standardise": lambda d: Standardise(0.3 * torch.randn(d), torch.rand(d) + 0.5),
    "arcsinh tails": lambda d: ArcsinhTails(torch.linspace(0.01, 0.4, d)),
    "actnorm": ActNorm,
    "lu linear": lambda d: LULinear(d, torch.Generator().manual_seed(0)),
    "folded linear": _linear,
    "elementwise spline": lambda d: ElementwiseSpline(d, 6, 4.0),
    "additive coupling": lambda d: _coupling(d, Shift()),
    "affine coupling": lambda d: _coupling(d, Affine()),
    "spline coupling": lambda d: _coupling(d, RationalQuadratic(5, 4.0)),
    "autoregressive affine": lambda d: _autoregressive(d, Affine()),
    "autoregressive spline": lambda d: _autoregressive(d, RationalQuadratic(5, 4.0)),
    "inverse autoregressive": lambda d: Inverse(_autoregressive(d, Affine())),
    "planar": Planar,
    "radial": Radial,
    "chain": lambda d: Chain(
        [ActNorm(d), _coupling(d, RationalQuadratic(5, 4.0)), ElementwiseSpline(d, 3, 2.0)]
    ),
    "family planar": lambda d: _family(PlanarConfig(family="planar", layers=3), d),
    "family radial": lambda d: _family(RadialConfig(family="radial", layers=3), d),
    "family nice": lambda d: _family(NiceConfig(family="nice", layers=2, hidden=(16,)), d),
    "family realnvp": lambda d: _family(
        RealNVPConfig(family="realnvp", layers=1, hidden=(16,), marginal_bins=0), d
    ),
    "family nsf": lambda d: _family(
        SplineCouplingConfig(layers=2, bins=4, hidden=(16,), marginal_bins=5), d
    ),
}
STRAINED = [True, False]
WITHOUT_PARAMETERS = ("standardise", "arcsinh tails", "folded linear")
LEARNING = [name for name in CASES if name not in WITHOUT_PARAMETERS]


@pytest.fixture(autouse=True)
def _float64() -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    yield
    torch.set_default_dtype(before)


def make(name: str, features: int, strained: bool, strain: float = STRAIN) -> Bijection:
    bijection = CASES[name](features)
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


@pytest.mark.parametrize("strained", STRAINED, ids=["strained", "fresh"])
@pytest.mark.parametrize("name", CASES)
class TestLaws:
    @pytest.mark.parametrize("features", [2, 5])
    def test_round_trip(self, name: str, strained: bool, features: int) -> None:
        laws.round_trips(make(name, features, strained), rows(features))

    @pytest.mark.parametrize("features", [2, 5])
    def test_log_det(self, name: str, strained: bool, features: int) -> None:
        # Off the kinks, where the Jacobian exists.
        x = rows(features)[2:]
        laws.log_det_is_that_of_the_jacobian(make(name, features, strained), x)

    def test_rows_independent(self, name: str, strained: bool) -> None:
        laws.rows_are_independent(make(name, 4, strained), rows(4))

    def test_mass(self, name: str, strained: bool) -> None:
        # Gentler, so that the mass stays on the grid.
        bijection = make(name, 2, strained, strain=0.15)
        with torch.no_grad():
            laws.density_integrates_to_one(bijection)


@pytest.mark.parametrize("strained", STRAINED, ids=["strained", "fresh"])
@pytest.mark.parametrize("name", LEARNING)
def test_gradient_reaches_every_parameter(name: str, strained: bool) -> None:
    laws.gradient_reaches_every_parameter(make(name, 5, strained), rows(5, 200))


def test_the_laws_catch_a_doubled_log_det() -> None:
    """Round trip is blind to this; the Jacobian and the mass are not."""

    class Doubled(ActNorm):
        def _log_det(self, rows: Tensor) -> Tensor:
            return 2.0 * super()._log_det(rows)

    wrong = Doubled(2)
    with torch.no_grad():
        wrong.log_scale.fill_(0.3)
    laws.round_trips(wrong, rows(2))
    with pytest.raises(AssertionError):
        laws.log_det_is_that_of_the_jacobian(wrong, rows(2))
    with pytest.raises(AssertionError), torch.no_grad():
        laws.density_integrates_to_one(wrong)


@pytest.mark.parametrize("name", ["elementwise spline", "actnorm", "planar", "radial"])
def test_zero_parameters_are_the_identity(name: str) -> None:
    x = rows(3)
    bijection = make(name, 3, strained=False)
    if isinstance(bijection, Radial):
        torch.nn.init.zeros_(bijection.stretch)
    z, log_det = bijection.encode(x)
    assert torch.allclose(z, x, atol=1e-12)
    assert torch.allclose(log_det, torch.zeros(len(x)), atol=1e-12)


@pytest.mark.parametrize("name", ["autoregressive affine", "autoregressive spline"])
@pytest.mark.parametrize("features", [1, 2, 6])
def test_autoregressive_layers_are_triangular(name: str, features: int) -> None:
    jacobian = laws.jacobians(make(name, features, strained=True), rows(features)[2:])
    assert (torch.triu(jacobian, diagonal=1) == 0).all()
    assert features == 1 or (torch.tril(jacobian, diagonal=-1) != 0).any()
