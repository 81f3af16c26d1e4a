"""Data ready for training: split, described, and mapped to the flow's input with its log-det."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.bijections import ArcsinhTails, Chain, Standardise
from training.bounds import opening
from training.columns import Columns, describe_columns
from training.layers import Sizes
from training.pixels import describe_pixels, need_image, pixel_preprocessing
from training.recipes import Recipe
from training.streams import Stream, generator
from training.table import Examples, Image, Rows, Split, Table, separated, split

Arrays = dict[str, NDArray[np.generic]]
# The one whose columns are pixels and are prepared as such.
IMAGE_FAMILY = "glow"
_NONE: Mapping[str, Rows] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class FlowInput:
    """What the trained layers see.

    Attributes:
        x: Preprocessed rows, shape ``(rows, features)``.
        log_det: Of the preprocessing, nats, shape ``(rows,)``.
        context: Preprocessed, shape ``(rows, context_features)``; None without.
    """

    x: Tensor
    log_det: Tensor
    context: Tensor | None

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: Tensor | slice) -> FlowInput:
        context = None if self.context is None else self.context[index]
        return FlowInput(self.x[index], self.log_det[index], context)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A recipe's data.

    Attributes:
        split: The parts, raw rows.
        columns: What each column is.
        context: What each column of the context is; none where the density has no context.
        preprocessing: Float64 chain from raw modelled columns to the flow's input.
        context_preprocessing: The same for the context.
        seed: Of every random choice about the data.
        image: Height, width and channels where the columns are the pixels of an image.
    """

    split: Split
    columns: Columns
    context: Columns
    preprocessing: Chain
    context_preprocessing: Chain
    seed: int
    image: Image | None = None

    @property
    def sizes(self) -> Sizes:
        """What the trained layers work on."""
        return Sizes(len(self.columns.modelled), len(self.context.modelled), self.image)

    def noise(self, stream: Stream, index: int = 0) -> np.random.Generator:
        """See :func:`training.streams.generator`."""
        return generator(self.seed, stream, index)

    def dequantised(self, rows: Rows, noise: np.random.Generator) -> Tensor:
        """Modelled columns with integers spread over their cells, ``(rows, features)`` float64."""
        return self.modelled(self.columns.dequantise(rows, noise))

    def modelled(self, rows: Rows) -> Tensor:
        """Modelled columns of raw rows, ``(rows, features)`` float64."""
        return _tensor(rows, self.columns)

    def conditions(self, context: Rows) -> Tensor | None:
        """Preprocessed context ``(rows, context_features)`` float64; None without a context."""
        if not self.context.all:
            return None
        return self.context_preprocessing.encode(_tensor(context, self.context))[0]

    def flow_input(self, examples: Examples, noise: np.random.Generator) -> FlowInput:
        """Dequantised, preprocessed float32 rows with the log-det so far, and their context."""
        x, log_det = self.preprocessing.encode(self.dequantised(examples.rows, noise))
        conditions = self.conditions(examples.context)
        return FlowInput(
            x.float(), log_det.float(), None if conditions is None else conditions.float()
        )

    def inputs(self, examples: Examples) -> Arrays:
        """Raw rows and their context as an exported graph takes them."""
        return {"x": examples.rows.astype(self.columns.dtype()), **self.contexts(examples.context)}

    def contexts(self, context: Rows) -> Arrays:
        """A raw context as an exported graph takes it; nothing without one."""
        if not self.context.all:
            return {}
        return {"context": context.astype(self.context.dtype())}

    def in_support(self, examples: Examples) -> NDArray[np.bool_]:
        """Which examples the service would score; see :meth:`Columns.in_support`."""
        inside = self.columns.in_support(examples.rows)
        return inside & self.context.in_support(examples.context)


def prepare(recipe: Recipe, table: Table, scores: Mapping[str, Rows] = _NONE) -> Prepared:
    """Split the table, describe its columns and fit the preprocessing to the training rows.

    Args:
        recipe: What to train.
        table: Already without the columns that the recipe drops.
        scores: Of rows of parts that are to be trimmed; see :meth:`Split.without_lowest`.

    Raises:
        ValueError: If the table has too few rows or no column to model.
    """
    parts = split(table, recipe.seed, recipe.context).without_lowest(scores, recipe.trim)
    return described(recipe, table.columns, parts, table.image)


def described(
    recipe: Recipe, names: tuple[str, ...], parts: Split, image: Image | None = None
) -> Prepared:
    """The same for rows that are divided already.

    Args:
        recipe: What to train.
        names: Of all columns, the context's among them.
        parts: With the context set apart.
        image: See :class:`Table`.

    Raises:
        ValueError: If no column can be modelled, or the family needs images and got none.
    """
    places = separated(names, recipe.context)
    names, context_names = (tuple(names[i] for i in some) for some in places)
    columns = _describe_rows(names, parts.train.rows, recipe, image)
    columns.refuse_out_of_bounds(parts.validation.rows)
    context = _describe_context(context_names, parts.train.context, recipe)
    noise = generator(recipe.seed, Stream.SCALES)
    rows = columns.dequantise(parts.train.rows, noise)[:, columns.modelled_index]
    if recipe.model.family == IMAGE_FAMILY:
        to_flow = pixel_preprocessing(columns, rows)
    else:
        to_flow = preprocessing(columns, rows, linear=recipe.linear)
    return Prepared(
        split=parts,
        columns=columns,
        context=context,
        preprocessing=to_flow,
        context_preprocessing=_context_preprocessing(context, parts.train.context),
        seed=recipe.seed,
        image=image if image is not None and math.prod(image) == len(names) else None,
    )


def _describe_rows(
    names: tuple[str, ...], train: Rows, recipe: Recipe, image: Image | None
) -> Columns:
    if recipe.model.family == IMAGE_FAMILY:
        need_image(image, len(names))
        return describe_pixels(names, train, recipe)
    continuous = recipe.continuous - set(recipe.context)
    return describe_columns(names, train, continuous, recipe.bounds)


def _describe_context(names: tuple[str, ...], train: Rows, recipe: Recipe) -> Columns:
    if not names:
        return Columns(())
    if (train == train[:1]).all():
        raise ValueError(f"expected a context that varies, all of {', '.join(names)} is constant")
    return describe_columns(names, train, recipe.continuous & set(names))


def _context_preprocessing(context: Columns, train: Rows) -> Chain:
    return preprocessing(context, train[:, context.modelled_index]) if context.all else Chain([])


def _tensor(rows: Rows, columns: Columns) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(rows[:, columns.modelled_index]))


def preprocessing(columns: Columns, train: Rows, *, linear: bool = False) -> Chain:
    """Robust scaling, arcsinh tails, and scaling again to unit moments; all float64.

    Bounded columns are opened behind the first scaling.

    Args:
        columns: Of the table.
        train: Dequantised training rows, modelled columns only, shape ``(rows, features)``.
        linear: Whether to leave the tails as they are.
    """
    centre, scale = torch.tensor(
        [c.units for c in columns.modelled], dtype=torch.float64
    ).T.contiguous()
    opened = np.array([c.opened for c in columns.modelled]).T
    tightness = torch.tensor([c.tightness for c in columns.modelled], dtype=torch.float64)
    layers = [
        Standardise(centre, scale),
        *opening([c.interval for c in columns.modelled], *opened),
        *([] if linear else [ArcsinhTails(tightness)]),
    ]
    bent, _ = Chain(layers).encode(torch.from_numpy(train))
    return Chain([*layers, Standardise(bent.mean(dim=0), bent.std(dim=0))])
