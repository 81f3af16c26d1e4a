"""The scalar equation behind the planar inverse, over all that a layer can be asked."""

from __future__ import annotations

import pytest
import torch

from training.bijections import Planar
from training.bijections.planar import MIN_PRODUCT, _root


@pytest.mark.parametrize("product", [MIN_PRODUCT, -0.5, -1e-3, 0.0, 1e-3, 1.0, 20.0])
def test_the_root_is_found_from_zero_to_far_away(product: float) -> None:
    a = torch.cat([torch.zeros(1), torch.logspace(-8, 3, 5001)]).double()
    a = torch.cat([-a.flip(0), a])
    c = torch.tensor(product, dtype=torch.float64)
    found = _root(a + c * torch.tanh(a), c)
    assert ((found - a).abs() <= 1e-9 * (1 + a.abs())).all()


def test_a_row_that_cannot_converge_is_nan() -> None:
    y = torch.tensor([1.0, torch.nan, torch.inf], dtype=torch.float64)
    found = _root(y, torch.tensor(0.5, dtype=torch.float64))
    assert torch.isfinite(found).tolist() == [True, False, False]


def test_the_constraint_holds_for_any_parameters() -> None:
    generator = torch.Generator().manual_seed(0)
    for _ in range(200):
        layer = Planar(4).double()
        with torch.no_grad():
            for parameter in layer.parameters():
                parameter.normal_(0.0, 5.0, generator=generator)
        direction, product = layer._direction()
        assert product >= MIN_PRODUCT
        assert torch.allclose(layer.w @ direction, product, atol=1e-9)
