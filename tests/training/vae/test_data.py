"""Rows as autoencoders see them in training and when served, and tables that do not suit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from tests.training.fits import ring
from tests.training.vae.builders import (
    CONVOLUTIONAL,
    autoencoder,
    counted,
    images,
    measured,
    observations,
    recipe,
    vae,
)
from training.recipes import Recipe
from training.table import Table
from training.vae.data import prepare_observations

BYTE = 255.0


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


class TestBinary:
    def test_pixels_are_drawn_anew_with_their_share_of_the_range(self) -> None:
        data = observations(images(), likelihood="bernoulli")
        noise, times = rng(), 200
        train = data.split.train[:50]
        drawn = torch.stack([data.flow_input(train, noise).x for _ in range(times)])
        assert drawn.dtype == torch.float32
        assert set(drawn.unique().tolist()) == {0.0, 1.0}
        assert (drawn[0] != drawn[1]).any()
        share = torch.from_numpy(train.rows / BYTE)
        deviation = (share * (1.0 - share) / times).sqrt()
        assert ((drawn.double().mean(dim=0) - share).abs() <= 5.0 * deviation).all()

    def test_the_same_noise_gives_the_same(self) -> None:
        data = observations(images(), likelihood="bernoulli")
        one, two = (data.flow_input(data.split.train, rng()).x for _ in range(2))
        assert torch.equal(one, two)

    def test_served_rows_are_divided_in_the_middle(self) -> None:
        data = observations(images(), likelihood="bernoulli")
        served = data.served(data.split.test).numpy()
        assert (served == (data.split.test.rows > 0.5 * BYTE)).all()
        assert 0.0 < served.mean() < 1.0

    def test_ones_and_noughts_stay_what_they_are(self) -> None:
        rows = rng().integers(0, 2, (200, 3)).astype(float)
        data = observations(Table("bits", ("a", "b", "c"), rows), likelihood="bernoulli")
        x = data.flow_input(data.split.train, rng()).x
        assert (x.numpy() == data.split.train.rows).all()


class TestWholeNumbers:
    def test_discretised_ones_are_not_spread(self) -> None:
        data = observations(counted(), likelihood="discretised_logistic")
        x = data.flow_input(data.split.train, rng()).x.double()
        raw, _ = data.preprocessing.decode(x)
        assert np.allclose(raw.numpy(), data.split.train.rows, atol=1e-4)
        assert torch.allclose(x, data.served(data.split.train), atol=1e-6)

    @pytest.mark.parametrize("likelihood", ["gaussian", "student_t"])
    def test_with_a_density_they_are(self, likelihood: str) -> None:
        data = observations(counted(), likelihood=likelihood)
        raw, _ = data.preprocessing.decode(data.flow_input(data.split.train, rng()).x.double())
        moved = raw.numpy() - data.split.train.rows
        assert np.abs(moved).max() < 0.5 + 1e-4
        assert moved.std() == pytest.approx(np.sqrt(1 / 12), rel=0.1)

    def test_an_autoencoder_sees_them_as_they_are(self) -> None:
        data = observations(counted(), family="autoencoder")
        raw, _ = data.preprocessing.decode(data.flow_input(data.split.train, rng()).x.double())
        assert np.allclose(raw.numpy(), data.split.train.rows, atol=1e-4)


class TestScaling:
    def test_columns_have_unit_moments_and_constants_are_left_out(self) -> None:
        data = observations(measured())
        x = data.scaled(data.split.train.rows)
        assert x.shape[1] == 3
        assert torch.allclose(x.mean(dim=0), torch.zeros(3).double(), atol=1e-9)
        assert torch.allclose(x.std(dim=0), torch.ones(3).double(), atol=1e-9)

    def test_pixels_share_the_unit_of_their_range(self) -> None:
        data = observations(images(), likelihood="discretised_logistic")
        x = data.scaled(np.array([[0.0] * 15 + [BYTE]]))
        assert x[0].tolist() == pytest.approx([-BYTE / 256] * 15 + [BYTE / 256])

    def test_errors_are_told_in_deviations(self) -> None:
        data = observations(measured())
        deviations = data.split.train.rows[:, :3].std(axis=0)
        scale = (
            data.preprocessing.decode(torch.ones(1, 3))[0]
            - data.preprocessing.decode(torch.zeros(1, 3))[0]
        )
        assert np.allclose(data.error_scale().numpy(), scale[0].numpy() / deviations, rtol=1e-6)

    def test_errors_of_pixels_in_one_deviation(self) -> None:
        data = observations(images(), likelihood="bernoulli")
        assert len(data.error_scale().unique()) == 1


REFUSED: dict[str, tuple[Table, dict[str, Any], str]] = {
    "numbers that are not whole as ones and noughts": (
        measured(),
        {"likelihood": "bernoulli"},
        "^likelihood: bernoulli needs columns of whole numbers, 'a' is not one$",
    ),
    "numbers that are not whole in cells": (
        measured(),
        {"likelihood": "discretised_logistic"},
        "^likelihood: discretised_logistic needs columns of whole numbers, 'a' is not one$",
    ),
    "whole numbers not from nought": (
        replace(counted(), rows=counted().rows + 2.0),
        {"likelihood": "bernoulli"},
        "^likelihood: bernoulli needs values from 0 to a largest, 'a' begins at 2$",
    ),
    "pixels that are not whole": (
        replace(images(), rows=images().rows / BYTE),
        {"likelihood": "bernoulli"},
        "^expected whole numbers as pixels, got 0",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_tables_that_do_not_suit_the_likelihood_are_refused(name: str) -> None:
    table, settings, message = REFUSED[name]
    with pytest.raises(ValueError, match=message):
        observations(table, **settings)


@pytest.mark.parametrize("family", ["vae", "autoencoder"])
@pytest.mark.parametrize("given", [{"context": ("shift",)}, {"bounds": {"shift": (0.0, 3.0)}}])
def test_context_and_bounds_are_refused(family: str, given: dict[str, Any]) -> None:
    asked = Recipe.model_validate({**recipe(family=family).model_dump(), **given})
    message = f"^the family {family} takes no context and no bounds$"
    with pytest.raises(ValueError, match=message):
        prepare_observations(asked, ring())


def sides(height: int, width: int) -> Table:
    rows = rng().integers(0, 256, (100, height * width)).astype(float)
    return Table(
        "noise", tuple(f"p{i}" for i in range(height * width)), rows, image=(height, width, 1)
    )


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (
            measured(),
            "^network: convolutional needs images and all of their pixels, got a table of 3",
        ),
        (
            sides(6, 4),
            "^network: convolutional needs sides that are multiples of 4, got 6 x 4$",
        ),
        (
            sides(4, 6),
            "^network: convolutional needs sides that are multiples of 4, got 4 x 6$",
        ),
    ],
    ids=["a table", "six rows", "six columns"],
)
def test_convolutions_need_images_that_can_be_halved_twice(table: Table, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        vae(observations(table, **CONVOLUTIONAL), **CONVOLUTIONAL)
    with pytest.raises(ValueError, match=message):
        autoencoder(observations(table, family="autoencoder", **CONVOLUTIONAL), **CONVOLUTIONAL)


def test_convolutions_need_three_sizes() -> None:
    with pytest.raises(ValueError, match="network: convolutional needs three hidden sizes"):
        recipe(network="convolutional", hidden=[8])


def test_a_label_beside_the_pixels_is_no_pixel() -> None:
    """Then the columns are a table's, as for a flow; see :func:`training.prepared.described`."""
    pixels = images()
    labels = rng().integers(0, 10, (len(pixels.rows), 1)).astype(float)
    rows = np.hstack([pixels.rows, labels])
    data = observations(replace(pixels, columns=(*pixels.columns, "label"), rows=rows))
    assert data.image is None
    assert data.columns.all[-1].interval is None
