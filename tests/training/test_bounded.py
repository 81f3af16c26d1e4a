"""Maps from an interval to the line and back, on their own domains."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from tests.training import laws
from training.bijections import Bounded, Squash
from training.bijections.bounded import SQUEEZE

# An end below, an end above.
KINDS = {
    "both": (True, True),
    "below": (True, False),
    "above": (False, True),
    "open": (False,) * 2,
}


pytestmark = pytest.mark.usefixtures("in_float64")


def bounded(*kinds: str) -> Bounded:
    lower, upper = zip(*(KINDS[kind] for kind in kinds), strict=True)
    return Bounded(torch.tensor(lower), torch.tensor(upper))


def column(kind: str, count: int = 9) -> Tensor:
    """Scaled values over the domain, its ends included."""
    low, high = {"both": (-1, 1), "below": (0, 4), "above": (-4, 0), "open": (-4, 4)}[kind]
    return torch.linspace(low, high, count)


def every_kind() -> tuple[Bounded, Tensor]:
    return bounded(*KINDS), torch.stack([column(kind) for kind in KINDS], dim=1)


class TestBounded:
    def test_round_trip(self) -> None:
        laws.round_trips(*every_kind())

    def test_log_det(self) -> None:
        laws.log_det_is_that_of_the_jacobian(*every_kind())

    def test_rows_independent(self) -> None:
        laws.rows_are_independent(*every_kind())

    @pytest.mark.parametrize("kind", KINDS)
    def test_it_rises_and_is_finite_on_the_ends(self, kind: str) -> None:
        z, log_det = bounded(kind).encode(column(kind, 999).reshape(-1, 1))
        assert torch.isfinite(z).all()
        assert torch.isfinite(log_det).all()
        assert (z.diff(dim=0) > 0).all()

    @pytest.mark.parametrize("kind", KINDS)
    def test_mass(self, kind: str) -> None:
        """A normal density of z is one of x, of which the domain has what z says of its ends."""
        x = bounded(kind).decode(torch.linspace(-9.0, 9.0, 20_001).reshape(-1, 1))[0]
        ends = column(kind)[[0, -1]]
        x = x[(x[:, 0] >= ends[0]) & (x[:, 0] <= ends[1])]
        z, log_det = bounded(kind).encode(x)
        density = (log_det - 0.5 * z[:, 0] ** 2).exp() / math.sqrt(2.0 * math.pi)
        shares = torch.special.ndtr(bounded(kind).encode(ends.reshape(-1, 1))[0])
        mass = float(torch.trapezoid(density, x[:, 0]))
        assert mass == pytest.approx(float(shares[1] - shares[0]), abs=1e-3)

    def test_a_uniform_density_loses_as_much_as_the_squeeze_to_beyond_its_ends(self) -> None:
        z, _ = bounded("both").encode(torch.tensor([[-1.0], [1.0]]))
        beyond = 2.0 * float(torch.sigmoid(z[0, 0]))
        assert beyond == pytest.approx(SQUEEZE, rel=1e-3)
        assert float(z[1, 0]) == pytest.approx(-float(z[0, 0]))

    @pytest.mark.parametrize("kind", KINDS)
    def test_float32_keeps_its_digits_near_the_ends(self, kind: str) -> None:
        near = 10.0 ** -torch.linspace(1.0, 9.0, 200)
        end = column(kind)[0 if kind != "above" else -1]
        x = (end + (near if kind != "above" else -near)).reshape(-1, 1).float()
        z, log_det = bounded(kind).float().encode(x)
        wide_z, wide_log_det = bounded(kind).encode(x.double())
        assert (z - wide_z).abs().max() < 1e-5
        assert (log_det - wide_log_det).abs().max() < 1e-5


class TestSquash:
    def test_laws(self) -> None:
        x = 3.0 * torch.randn(10, 3)
        laws.round_trips(Squash(), x)
        laws.log_det_is_that_of_the_jacobian(Squash(), x)
        laws.rows_are_independent(Squash(), torch.rand(10, 3))

    def test_a_corner_of_the_box_decodes_to_numbers(self) -> None:
        corner = torch.tensor([[0.0, 1.0]], dtype=torch.float32)
        x, log_det = Squash().decode(corner)
        assert torch.isfinite(x).all()
        assert torch.isfinite(log_det).all()
        assert x[0, 0] < -80.0
        assert x[0, 1] > 16.0

    def test_it_is_the_distribution_function_of_a_logistic_number(self) -> None:
        x = torch.linspace(-30.0, 30.0, 6_001).reshape(-1, 1)
        _, log_det = Squash().encode(x)
        assert float(torch.trapezoid(log_det.exp(), x[:, 0])) == pytest.approx(1.0, abs=1e-6)
