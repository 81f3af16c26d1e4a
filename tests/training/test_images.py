"""Bijections of images under every law, and where their numbers stand.

The mass law needs two features: the layers have a case of two (planes of one pixel), a whole glow
has at least the four channels of one squeezed square, so the Jacobian stands for it.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from tests.training import laws
from training.bijections import (
    ActNorm,
    Affine,
    Bijection,
    Chain,
    Coupling,
    LULinear,
    PerPixel,
    Shift,
    Split,
    channels_first,
    squeeze,
)
from training.flow import folded
from training.glow import glow
from training.networks import Convolutional
from training.recipes import GlowConfig

STRAIN = 0.3
CONTEXT_FEATURES = 3
ROWS = 5


def _generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def _mix(channels: int) -> Chain:
    return Chain([ActNorm(channels), LULinear(channels, _generator())])


def _coupling(channels: int, height: int, width: int, context_features: int = 0) -> Coupling:
    size = channels * height * width
    planes = (channels, height, width)
    return Coupling(
        size, size, Convolutional(planes, context_features, 6, [channels] * 2), Affine()
    )


def _glow(height: int, width: int, channels: int, context_features: int = 0) -> Chain:
    levels = 2 if min(height, width) >= 4 else 1
    config = GlowConfig(family="glow", levels=levels, steps=2, hidden_channels=6, marginal_bins=4)
    return glow(config, (height, width, channels), context_features, _generator())


# Features of a row, and how to make a bijection of them; conditional ones say so.
CASES: dict[str, tuple[int, Callable[[], Bijection]]] = {
    "channels first": (12, lambda: channels_first(2, 2, 3)),
    "squeeze": (16, lambda: squeeze(2, 2, 4)),
    "per pixel, two channels of one": (2, lambda: PerPixel(_mix(2), 2, 1)),
    "per pixel, one channel of two": (2, lambda: PerPixel(ActNorm(1), 1, 2)),
    "per pixel": (12, lambda: PerPixel(_mix(3), 3, 4)),
    "split of two": (2, lambda: Split(1, ActNorm(1))),
    "split": (5, lambda: Split(3, LULinear(3, _generator()))),
    "convolutional coupling of two": (2, lambda: _coupling(1, 1, 1)),
    "convolutional coupling": (16, lambda: _coupling(2, 2, 2)),
    "conditional coupling of two": (2, lambda: _coupling(1, 1, 1, CONTEXT_FEATURES)),
    "conditional coupling": (16, lambda: _coupling(2, 2, 2, CONTEXT_FEATURES)),
    "glow 2 x 2 x 1": (4, lambda: _glow(2, 2, 1)),
    "glow 2 x 4 x 3": (24, lambda: _glow(2, 4, 3)),
    "glow 4 x 4 x 1": (16, lambda: _glow(4, 4, 1)),
    "glow 4 x 4 x 3": (48, lambda: _glow(4, 4, 3)),
    "conditional glow": (16, lambda: _glow(4, 4, 1, CONTEXT_FEATURES)),
}
TWO_FEATURES = [name for name, (features, _) in CASES.items() if features == 2]
LEARNING = [name for name in CASES if name not in ("channels first", "squeeze")]


pytestmark = pytest.mark.usefixtures("in_float64")


def make(name: str, strained: bool) -> tuple[Bijection, Tensor, Tensor | None]:
    """A bijection, rows, and the context of each where it takes one."""
    features, build = CASES[name]
    bijection = build()
    if strained:
        with torch.no_grad():
            for parameter in bijection.parameters():
                parameter.add_(STRAIN * torch.randn_like(parameter))
    context = torch.randn(ROWS, CONTEXT_FEATURES) if name.startswith("conditional") else None
    return bijection, 1.5 * torch.randn(ROWS, features), context


@pytest.mark.parametrize("strained", [True, False], ids=["strained", "fresh"])
@pytest.mark.parametrize("name", CASES)
class TestLaws:
    def test_round_trip(self, name: str, strained: bool) -> None:
        laws.round_trips(*make(name, strained))

    def test_log_det(self, name: str, strained: bool) -> None:
        laws.log_det_is_that_of_the_jacobian(*make(name, strained))

    def test_rows_independent(self, name: str, strained: bool) -> None:
        laws.rows_are_independent(*make(name, strained))


@pytest.mark.parametrize("name", TWO_FEATURES)
def test_mass(name: str) -> None:
    bijection, _, context = make(name, strained=True)
    with torch.no_grad():
        laws.density_integrates_to_one(bijection, None if context is None else context[:1])


@pytest.mark.parametrize("strained", [True, False], ids=["strained", "fresh"])
@pytest.mark.parametrize("name", LEARNING)
def test_gradient_reaches_every_parameter(name: str, strained: bool) -> None:
    laws.gradient_reaches_every_parameter(*make(name, strained))


def test_a_squeeze_keeps_the_pixels_of_a_square_together() -> None:
    image = torch.arange(16.0).reshape(1, 16)
    z, log_det = squeeze(1, 4, 4).encode(image)
    planes = z.reshape(4, 2, 2)
    assert planes[:, 0, 0].tolist() == [0.0, 1.0, 4.0, 5.0]
    assert planes[:, 1, 1].tolist() == [10.0, 11.0, 14.0, 15.0]
    assert log_det.tolist() == [0.0]


def test_channels_first_takes_pixels_as_files_hold_them() -> None:
    image = torch.rand(1, 2, 3, 3)  # height, width, channels
    z, _ = channels_first(2, 3, 3).encode(image.reshape(1, -1))
    assert torch.equal(z.reshape(3, 2, 3), image[0].permute(2, 0, 1))


def test_every_pixel_is_mapped_the_same() -> None:
    mixed = PerPixel(_mix(3), 3, 4)
    one = torch.randn(3)
    z, _ = mixed.encode(one.repeat_interleave(4)[None])
    assert (z.reshape(3, 4) == z.reshape(3, 4)[:, :1]).all()


def test_the_last_latents_are_those_that_the_first_level_left() -> None:
    """Without couplings between, the deepest level alone decides the first half of z."""
    chain = _glow(4, 4, 1)
    x = torch.randn(5, 16)
    split = chain.bijections[-1]
    assert isinstance(split, Split)
    before, _ = Chain(list(chain.bijections)[:-1]).encode(x)
    z, _ = chain.encode(x)
    assert split.passed == 8
    assert torch.equal(z[:, 8:], before[:, 8:])
    assert not torch.allclose(z[:, :8], before[:, :8])


@pytest.mark.parametrize("name", [name for name in CASES if name.startswith("conditional")])
def test_the_context_moves_every_row(name: str) -> None:
    bijection, x, context = make(name, strained=True)
    assert context is not None
    laws.context_matters(bijection, x, context)


def test_initialisation_gives_channels_unit_moments() -> None:
    mixed = PerPixel(ActNorm(3), 3, 4)
    x = 5.0 + 2.0 * torch.randn(200, 12)
    mixed.initialise(x)
    z = mixed.encode(x)[0].reshape(200, 3, 4)
    assert torch.allclose(z.mean(dim=(0, 2)), torch.zeros(3), atol=1e-9)
    assert torch.allclose(z.std(dim=(0, 2)), torch.ones(3), atol=1e-9)


def test_folding_reaches_inside_and_changes_nothing() -> None:
    chain, x = _glow(4, 4, 3), torch.randn(5, 48)
    with torch.no_grad():
        for parameter in chain.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    constant = folded(chain)
    assert not [module for module in constant.modules() if isinstance(module, LULinear)]
    for direction in ("encode", "decode"):
        expected, got = getattr(chain, direction)(x), getattr(constant, direction)(x)
        assert torch.allclose(expected[0], got[0], atol=1e-10)
        assert torch.allclose(expected[1], got[1], atol=1e-10)


def test_additive_couplings_of_images_keep_volumes() -> None:
    coupling = Coupling(8, 8, Convolutional((2, 2, 2), 0, 6, [2]), Shift())
    _, log_det = coupling.encode(torch.randn(3, 16))
    assert log_det.tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize(("sides", "levels"), [((7, 7), 1), ((28, 28), 3), ((8, 6), 2)])
def test_sides_that_cannot_be_halved_are_refused(sides: tuple[int, int], levels: int) -> None:
    config = GlowConfig(family="glow", levels=levels)
    with pytest.raises(ValueError, match=f"divisible by {2**levels}.* got {sides[0]} x "):
        glow(config, (*sides, 1), 0, _generator())
