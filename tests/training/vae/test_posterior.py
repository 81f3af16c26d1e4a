"""Flows behind a posterior, of every kind and at every depth."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import Tensor

from tests.training import laws
from tests.training.vae.builders import POSTERIORS, strain, vae_config
from training.bijections import Chain
from training.vae.posterior import CarriedOn, PosteriorFlow, offered_depths, posterior_flow

LATENTS, ROWS, STRAIN = 4, 6, 0.3
# Of four fresh layers from the identity, in deviations of the Gaussian before them, and in nats.
NEAR = 0.5
# A solver's log-det integrates a divergence, so it is that of the solver's map up to its error,
# which is small where the velocity is gentle.
SOLVED, GENTLE = 1e-4, 0.1

pytestmark = pytest.mark.usefixtures("in_float64")
of_every_kind = pytest.mark.parametrize("kind", POSTERIORS)
amortised_or_not = pytest.mark.parametrize("amortised", [True, False], ids=["amortised", "alone"])


def flow(kind: str, *, amortised: bool, is_fresh: bool = False, **settings: int) -> PosteriorFlow:
    config = vae_config(posterior=kind, amortised=amortised, **settings)
    made = posterior_flow(config, LATENTS, torch.Generator().manual_seed(0))
    assert made is not None
    if not is_fresh:
        strain(made, GENTLE if kind == "cnf" else STRAIN)
    return made


def given(made: PosteriorFlow) -> tuple[Tensor, Tensor | None]:
    size = made.context_features
    return torch.randn(ROWS, LATENTS), torch.randn(ROWS, size) if size else None


@of_every_kind
@amortised_or_not
class TestEveryKind:
    def test_log_det_is_that_of_the_jacobian_at_every_depth(
        self, kind: str, amortised: bool
    ) -> None:
        made = flow(kind, amortised=amortised)
        z, context = given(made)
        for number, depth in enumerate(made.offered):
            chain = Chain([*made.chains()[:number]])
            carried, log_det = made(z, context, depth)
            expected = torch.linalg.slogdet(laws.jacobians(chain, z, context)).logabsdet
            tolerance = SOLVED if kind == "cnf" else laws.EXACT
            assert (log_det - expected).abs().max() <= tolerance
            assert torch.equal(carried, chain.encode(z, context)[0])

    def test_every_depth_is_another_map_and_none_is_all(self, kind: str, amortised: bool) -> None:
        made = flow(kind, amortised=amortised)
        z, context = given(made)
        at = [made(z, context, depth)[0] for depth in made.offered]
        assert torch.equal(at[0], z)
        assert torch.equal(at[-1], made(z, context)[0])
        assert all((here != there).any(dim=1).all() for here, there in pairwise(at))

    def test_fresh_is_near_the_identity(self, kind: str, amortised: bool) -> None:
        made = flow(kind, amortised=amortised, is_fresh=True)
        z, context = given(made)
        carried, log_det = made(z, context)
        assert (carried - z).abs().max() < NEAR
        assert log_det.abs().max() < NEAR

    def test_a_group_of_layers_tells_its_log_det_behind_the_rows(
        self, kind: str, amortised: bool
    ) -> None:
        made = flow(kind, amortised=amortised)
        z, context = given(made)
        both = CarriedOn(made.chains()[0])(z, context)
        carried, log_det = made.chains()[0].encode(z, context)
        assert torch.equal(both, torch.cat([carried, log_det[:, None]], dim=1))


@of_every_kind
def test_a_context_matters(kind: str) -> None:
    made = flow(kind, amortised=True)
    z, context = given(made)
    assert context is not None
    assert (made(z, context)[0] != made(z, context + 1.0)[0]).any(dim=1).all()


@pytest.mark.parametrize("kind", [kind for kind in POSTERIORS if kind != "cnf"])
def test_noise_to_latent_is_one_pass_of_each_layer(kind: str) -> None:
    made = flow(kind, amortised=True)
    passes = [layer.passes() for chain in made.chains() for layer in chain.bijections]
    assert passes == [(1, LATENTS if kind == "iaf" else 1)] * 4


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"posterior": "none"}, ()),
        ({"posterior_layers": 1}, (0, 1)),
        ({"posterior_layers": 3}, (0, 1, 2, 3)),
        ({"posterior_layers": 8}, (0, 2, 4, 8)),
        ({"posterior_layers": 80}, (0, 20, 40, 80)),
        ({"posterior_layers": 8, "truncation": False}, (8,)),
        ({"posterior": "cnf", "posterior_layers": 8}, (0, 1)),
    ],
)
def test_offered_depths(settings: dict[str, object], expected: tuple[int, ...]) -> None:
    assert offered_depths(vae_config(**{"posterior": "planar"} | settings)) == expected


def test_every_latent_is_moved_where_layers_keep_half() -> None:
    made = flow("realnvp", amortised=False, posterior_layers=2)
    z, _ = given(made)
    assert (made(z, None)[0] != z).all()


@pytest.mark.parametrize("kind", ["realnvp", "nsf"])
def test_a_single_latent_cannot_be_coupled_to_nothing(kind: str) -> None:
    config = vae_config(posterior=kind, amortised=False, latents=[1])
    with pytest.raises(ValueError, match=f"posterior: {kind} needs at least two latents, got 1"):
        posterior_flow(config, 1, torch.Generator())


def test_without_a_posterior_flow_there_is_none() -> None:
    assert posterior_flow(vae_config(), LATENTS, torch.Generator()) is None
