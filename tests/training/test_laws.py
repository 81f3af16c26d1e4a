"""Every bijection, fresh and strained, alone and given a context, under every law."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests.training import laws
from tests.training.cases import CASES, CONDITIONAL, LEARNING, contexts, make, rows
from training.bijections import ActNorm, Radial, Sylvester

STRAINED = [True, False]
# Layers whose networks alone decide the map.
CONDITIONED = (
    "coupling",
    "autoregressive affine",
    "autoregressive spline",
    "inverse autoregressive",
)


pytestmark = pytest.mark.usefixtures("in_float64")


@pytest.mark.parametrize("strained", STRAINED, ids=["strained", "fresh"])
@pytest.mark.parametrize("name", CASES)
class TestLaws:
    @pytest.mark.parametrize("features", [2, 5])
    def test_round_trip(self, name: str, strained: bool, features: int) -> None:
        laws.round_trips(make(name, features, strained), rows(features), contexts(name))

    @pytest.mark.parametrize("features", [2, 5])
    def test_log_det(self, name: str, strained: bool, features: int) -> None:
        # Off the kinks, where the Jacobian exists.
        x, context = rows(features)[2:], contexts(name, 10)
        laws.log_det_is_that_of_the_jacobian(make(name, features, strained), x, context)

    def test_rows_independent(self, name: str, strained: bool) -> None:
        laws.rows_are_independent(make(name, 4, strained), rows(4), contexts(name))

    def test_mass(self, name: str, strained: bool) -> None:
        # Gentler, so that the mass stays on the grid.
        bijection = make(name, 2, strained, strain=0.15)
        with torch.no_grad():
            laws.density_integrates_to_one(bijection, contexts(name, 1))


@pytest.mark.parametrize("strained", STRAINED, ids=["strained", "fresh"])
@pytest.mark.parametrize("name", LEARNING)
def test_gradient_reaches_every_parameter(name: str, strained: bool) -> None:
    bijection = make(name, 5, strained)
    laws.gradient_reaches_every_parameter(bijection, rows(5, 200), contexts(name, 200))


@pytest.mark.parametrize("name", CONDITIONAL)
class TestContext:
    @pytest.mark.parametrize("features", [1, 2, 5])
    def test_it_matters(self, name: str, features: int) -> None:
        inside = rows(features).clamp(-3.0, 3.0)
        context = contexts(name)
        assert context is not None
        laws.context_matters(make(name, features, strained=True), inside, context)

    def test_a_single_feature_is_mapped_by_the_context_alone(self, name: str) -> None:
        bijection, x, context = make(name, 1, strained=True), rows(1), contexts(name)
        laws.round_trips(bijection, x, context)
        laws.log_det_is_that_of_the_jacobian(bijection, x[2:], contexts(name, 10))


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


@pytest.mark.parametrize(
    "name", ["elementwise spline", "actnorm", "planar", "radial", "sylvester"]
)
def test_zero_parameters_are_the_identity(name: str) -> None:
    x = rows(3)
    bijection = make(name, 3, strained=False)
    if isinstance(bijection, Radial):
        torch.nn.init.zeros_(bijection.values.own["stretch"])
    if isinstance(bijection, Sylvester):
        torch.nn.init.zeros_(bijection.values.own["triangles"])
    z, log_det = bijection.encode(x)
    assert torch.allclose(z, x, atol=1e-12)
    assert torch.allclose(log_det, torch.zeros(len(x)), atol=1e-12)


@pytest.mark.parametrize("name", [name for name in CASES if name.endswith(CONDITIONED)])
def test_conditioners_that_say_nothing_leave_rows_as_they_are(name: str) -> None:
    bijection, x = make(name, 3, strained=False), rows(3)
    for parameter in bijection.parameters():
        torch.nn.init.zeros_(parameter)
    z, log_det = bijection.encode(x, contexts(name))
    assert torch.allclose(z, x, atol=1e-12)
    assert torch.allclose(log_det, torch.zeros(len(x)), atol=1e-12)


@pytest.mark.parametrize("name", ["autoregressive affine", "autoregressive spline"])
@pytest.mark.parametrize("features", [1, 2, 6])
def test_autoregressive_layers_are_triangular(name: str, features: int) -> None:
    jacobian = laws.jacobians(make(name, features, strained=True), rows(features)[2:])
    assert (torch.triu(jacobian, diagonal=1) == 0).all()
    assert features == 1 or (torch.tril(jacobian, diagonal=-1) != 0).any()
