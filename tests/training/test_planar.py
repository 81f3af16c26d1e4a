"""The scalar equation behind the planar and Sylvester inverses, over all that a layer can ask."""

from __future__ import annotations

import pytest
import torch

from training.bijections import Planar
from training.bijections.bend import MIN_PRODUCT, bent_root, slope

PRODUCTS = [MIN_PRODUCT, -0.5, -1e-3, 0.0, 1e-3, 1.0, 20.0, 200.0]


def roots() -> torch.Tensor:
    a = torch.cat([torch.zeros(1), torch.logspace(-8, 4, 6001)]).double()
    return torch.cat([-a.flip(0), a])


@pytest.mark.parametrize("product", PRODUCTS)
def test_the_root_is_found_from_zero_to_far_away(product: float) -> None:
    a, c = roots(), torch.tensor(product, dtype=torch.float64)
    y = a + c * torch.tanh(a)
    bent = bent_root(y, c)
    found = y - c * bent
    assert ((found - a).abs() <= 1e-10 * (1 + a.abs())).all()
    assert ((bent - torch.tanh(a)).abs() <= 1e-10).all()


def test_the_root_is_found_for_every_product_in_between() -> None:
    products = torch.linspace(MIN_PRODUCT, 20.0, 400, dtype=torch.float64)[:, None]
    a = roots()[None, ::10]
    bent = bent_root(a + products * torch.tanh(a), products)
    assert ((bent - torch.tanh(a)).abs() <= 1e-10).all()


@pytest.mark.parametrize("product", PRODUCTS)
def test_float32_converges_everywhere(product: float) -> None:
    a, c = roots().float(), torch.tensor(product)
    y = a + c * torch.tanh(a)
    assert ((bent_root(y, c) - torch.tanh(a)).abs() <= 1e-5).all()


@pytest.mark.parametrize("product", [1e3, 1e5])
def test_beyond_these_products_a_root_is_exact_or_nan(product: float) -> None:
    a, c = roots(), torch.tensor(product, dtype=torch.float64)
    bent = bent_root(a + c * torch.tanh(a), c)
    assert ((bent - torch.tanh(a)).abs()[torch.isfinite(bent)] <= 1e-6).all()


def test_a_row_that_cannot_converge_is_nan() -> None:
    y = torch.tensor([1.0, torch.nan], dtype=torch.float64)
    bent = bent_root(y, torch.tensor(0.5, dtype=torch.float64))
    assert torch.isfinite(bent).tolist() == [True, False]


def test_the_slope_is_the_derivative() -> None:
    a, c = roots().clamp(-20.0, 20.0).requires_grad_(), torch.tensor(0.7, dtype=torch.float64)
    (derivative,) = torch.autograd.grad((a + c * torch.tanh(a)).sum(), a)
    assert torch.allclose(slope(torch.tanh(a), c), derivative, atol=1e-12)


def test_the_constraint_holds_for_any_parameters() -> None:
    generator = torch.Generator().manual_seed(0)
    for _ in range(200):
        layer = Planar(4).double()
        with torch.no_grad():
            for parameter in layer.parameters():
                parameter.normal_(0.0, 5.0, generator=generator)
        w, direction, product, _ = layer._shape(None)
        assert product >= MIN_PRODUCT
        assert torch.allclose(w @ direction, product, atol=1e-9)
