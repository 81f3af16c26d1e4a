"""Data ready for training: split, described, and mapped to the flow's input with its log-det."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from training.bijections import ArcsinhTails, Chain, Standardise
from training.columns import Columns, describe_columns
from training.recipes import Recipe
from training.streams import Stream, generator
from training.table import Rows, Split, Table, split


@dataclass(frozen=True, slots=True)
class Prepared:
    """A recipe's data.

    Attributes:
        split: The parts, raw rows.
        columns: What each column is.
        preprocessing: Float64 chain from raw modelled columns to the flow's input.
        seed: Of every random choice about the data.
    """

    split: Split
    columns: Columns
    preprocessing: Chain
    seed: int

    def noise(self, stream: Stream, index: int = 0) -> np.random.Generator:
        """See :func:`training.streams.generator`."""
        return generator(self.seed, stream, index)

    def dequantised(self, rows: Rows, noise: np.random.Generator) -> Tensor:
        """Modelled columns with integers spread over their cells, ``(rows, features)`` float64."""
        return self.modelled(self.columns.dequantise(rows, noise))

    def modelled(self, rows: Rows) -> Tensor:
        """Modelled columns of raw rows, ``(rows, features)`` float64."""
        return torch.from_numpy(np.ascontiguousarray(rows[:, self.columns.modelled_index]))

    def flow_input(self, rows: Rows, noise: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Dequantised, preprocessed float32 rows and the log-det so far, in nats."""
        x, log_det = self.preprocessing.encode(self.dequantised(rows, noise))
        return x.float(), log_det.float()


def prepare(recipe: Recipe, table: Table) -> Prepared:
    """Split the table, describe its columns and fit the preprocessing to the training rows.

    Args:
        recipe: What to train.
        table: Already without the columns that the recipe drops.

    Raises:
        ValueError: If the table has too few rows or no column to model.
    """
    parts = split(table, recipe.seed)
    columns = describe_columns(table.columns, parts.train, recipe.continuous)
    noise = generator(recipe.seed, Stream.SCALES)
    rows = columns.dequantise(parts.train, noise)[:, columns.modelled_index]
    return Prepared(parts, columns, preprocessing(columns, rows), recipe.seed)


def preprocessing(columns: Columns, train: Rows) -> Chain:
    """Robust scaling, arcsinh tails, and scaling again to unit moments; all float64.

    Args:
        columns: Of the table.
        train: Dequantised training rows, modelled columns only, shape ``(rows, features)``.
    """
    centre = torch.tensor([c.centre for c in columns.modelled], dtype=torch.float64)
    scale = torch.tensor([c.scale for c in columns.modelled], dtype=torch.float64)
    tightness = torch.tensor([c.tightness for c in columns.modelled], dtype=torch.float64)
    raw, tails = Standardise(centre, scale), ArcsinhTails(tightness)
    bent, _ = tails.encode(raw.encode(torch.from_numpy(train))[0])
    return Chain([raw, tails, Standardise(bent.mean(dim=0), bent.std(dim=0))])
