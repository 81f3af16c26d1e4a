"""Rows as autoencoders see them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import torch
from torch import Tensor

from training.bijections import Chain, Standardise
from training.columns import Column, Columns, describe_columns
from training.pixels import describe_pixels
from training.prepared import FlowInput, Prepared
from training.recipes import AutoencoderConfig, Recipe, VAEConfig
from training.streams import Stream, generator
from training.table import Examples, Image, Rows, Split, Table, split

# A row's share of the range above which the served model takes a binary feature for a one.
THRESHOLD = 0.5
_NONE: Mapping[str, Rows] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Observations(Prepared):
    """Data of an autoencoder: as a flow's, in columns that are scaled and not bent.

    Attributes:
        likelihood: The recipe's; None of a deterministic autoencoder.
    """

    likelihood: str | None = None

    def flow_input(self, examples: Examples, noise: np.random.Generator) -> FlowInput:
        """See :meth:`Prepared.flow_input`.

        A binary feature is drawn with the probability that its value is of the range, anew in
        every epoch; whole numbers whose mass is modelled are not spread over their cells.
        """
        if self.likelihood == "bernoulli":
            share = self.scaled(examples.rows).numpy()
            x = torch.from_numpy((noise.random(share.shape) < share).astype(np.float32))
            return FlowInput(x, torch.zeros(len(x)), None)
        if self.likelihood in (None, "discretised_logistic"):
            x = self.scaled(examples.rows).float()
            return FlowInput(x, torch.zeros(len(x)), None)
        # Not super() without arguments: a dataclass with slots is another class than this one.
        return Prepared.flow_input(self, examples, noise)

    def scaled(self, rows: Rows) -> Tensor:
        """Modelled columns in the model's unit, float64."""
        return self.preprocessing.encode(self.modelled(rows))[0]

    def error_scale(self) -> Tensor:
        """The model's unit in deviations of each modelled feature, float64.

        Pixels share one deviation: one that is almost always blank would outweigh all others.
        """
        deviation = torch.tensor(
            [column.deviation for column in self.columns.modelled], dtype=torch.float64
        )
        if self.image is not None:
            deviation = deviation.square().mean().sqrt().expand_as(deviation)
        return self.scaling().scale / deviation

    def scaling(self) -> Standardise:
        """From the modelled columns to the model's unit; all of the preprocessing."""
        scaling = self.preprocessing.bijections[0]
        if not isinstance(scaling, Standardise):
            raise TypeError(f"expected rows that are scaled, got {type(scaling).__name__}")
        return scaling

    def served(self, examples: Examples) -> Tensor:
        """The same as the served model sees them: binary features by a threshold."""
        x = self.scaled(examples.rows)
        return (x > THRESHOLD).double() if self.likelihood == "bernoulli" else x


def prepare_observations(
    recipe: Recipe, table: Table, scores: Mapping[str, Rows] = _NONE
) -> Observations:
    """Split the table, describe its columns and scale them.

    Arguments are those of :func:`training.prepared.prepare`.

    Raises:
        ValueError: If the table does not suit the likelihood, or has a context or bounds.
    """
    parts = split(table, recipe.seed, ()).without_lowest(scores, recipe.trim)
    return described_observations(recipe, table.columns, parts, table.image)


def described_observations(
    recipe: Recipe, names: tuple[str, ...], parts: Split, image: Image | None = None
) -> Observations:
    """The same for rows that are divided already; arguments as of ``training.prepared``.

    Raises:
        ValueError: As :func:`prepare_observations`.
    """
    config = recipe.model
    if not isinstance(config, VAEConfig | AutoencoderConfig):
        raise TypeError(f"expected an autoencoder, got the family {config.family}")
    if recipe.context or recipe.bounds:
        raise ValueError(f"the family {config.family} takes no context and no bounds")
    # With a label beside them the columns are a table, of pixels and something else.
    image = image if image is not None and math.prod(image) == len(names) else None
    columns = _columns(names, parts.train.rows, recipe, image)
    likelihood = config.likelihood if isinstance(config, VAEConfig) else None
    spread = columns.dequantise(parts.train.rows, generator(recipe.seed, Stream.SCALES))
    return Observations(
        split=parts,
        columns=columns,
        context=Columns(()),
        preprocessing=Chain([_scaling(columns, spread, likelihood, image)]),
        context_preprocessing=Chain([]),
        seed=recipe.seed,
        image=image,
        likelihood=likelihood,
    )


def _columns(names: tuple[str, ...], train: Rows, recipe: Recipe, image: Image | None) -> Columns:
    if image is not None:
        return describe_pixels(names, train, recipe)
    return describe_columns(names, train, recipe.continuous)


def _scaling(
    columns: Columns, train: Rows, likelihood: str | None, image: Image | None
) -> Standardise:
    """To [0, 1] where features are binary, pixels by their range, others to unit moments."""
    modelled = columns.modelled
    if likelihood in ("bernoulli", "discretised_logistic"):
        _need_whole_numbers(columns, likelihood)
    if likelihood == "bernoulli":
        scale = torch.tensor([_high(column) for column in modelled], dtype=torch.float64)
        return Standardise(torch.zeros_like(scale), scale)
    if image is not None:
        centre, scale = torch.tensor([c.units for c in modelled], dtype=torch.float64).T
        return Standardise(centre.contiguous(), scale.contiguous())
    rows = torch.from_numpy(train[:, columns.modelled_index])
    return Standardise(rows.mean(dim=0), rows.std(dim=0))


def _need_whole_numbers(columns: Columns, likelihood: str) -> None:
    broken = [column.name for column in columns.modelled if column.kind != "integer"]
    if broken:
        raise ValueError(
            f"likelihood: {likelihood} needs columns of whole numbers, {broken[0]!r} is not one"
        )


def _high(column: Column) -> float:
    """The value that stands for one; zero stands for zero."""
    ends = column.interval
    low, high = (column.low, column.high) if ends is None else (ends.low or 0.0, ends.high or 0.0)
    if low != 0.0:
        raise ValueError(
            f"likelihood: bernoulli needs values from 0 to a largest, {column.name!r} begins at "
            f"{low:g}"
        )
    return high
