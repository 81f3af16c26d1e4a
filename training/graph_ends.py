"""Where a graph meets the user's table: constants, units, ends of bounded columns."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from training.bijections import Standardise
from training.columns import Columns

# Rows of the example that is traced; any number above one leaves the batch axis free.
EXAMPLE_ROWS = 3


class FromRows(nn.Module):
    """Raw rows ``(batch, columns)`` to modelled ones in the model's unit, and log-det.

    Args:
        columns: Of the table.
        units: From the user's units, in a type that holds the raw rows.
        dtype: Of the results.
    """

    modelled: Tensor

    def __init__(
        self, columns: Columns, units: Standardise, dtype: torch.dtype = torch.float32
    ) -> None:
        super().__init__()
        self.units, self.dtype = units, dtype
        self.selects = any(column.constant for column in columns.all)
        self.register_buffer("modelled", torch.tensor(columns.modelled_index))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """See the class."""
        if self.selects:
            x = torch.index_select(x, 1, self.modelled)
        scaled, log_det = self.units.encode(x.to(self.units.scale.dtype))
        return scaled.to(self.dtype), log_det.to(self.dtype)


class ToRows(nn.Module):
    """Modelled rows in the model's unit to raw ones with the constants among them, and log-det.

    Args:
        columns: Of the table.
        units: From the user's units, in the type of the raw rows.
    """

    constants: Tensor
    order: Tensor
    edges: Tensor

    def __init__(self, columns: Columns, units: Standardise) -> None:
        super().__init__()
        self.units = units
        constant = [i for i, column in enumerate(columns.all) if column.constant]
        values = [columns.all[i].low for i in constant]
        order = sorted(
            range(len(columns.all)), key=lambda k: [*columns.modelled_index, *constant][k]
        )
        self.inserts = bool(constant)
        self.register_buffer("constants", torch.tensor([values], dtype=units.scale.dtype))
        self.register_buffer("order", torch.tensor(order))
        self.clamps = any(column.interval is not None for column in columns.modelled)
        edges = torch.from_numpy(columns.edges[:, columns.modelled_index])
        self.register_buffer("edges", edges.to(units.scale.dtype))

    def forward(self, scaled: Tensor) -> tuple[Tensor, Tensor]:
        """See the class."""
        x, log_det = self.units.decode(scaled.to(self.units.scale.dtype))
        if self.clamps:
            x = torch.minimum(torch.maximum(x, self.edges[0]), self.edges[1])
        if self.inserts:
            x = torch.cat([x, self.constants.expand(x.shape[0], -1)], dim=1)
            x = torch.index_select(x, 1, self.order)
        return x, log_det.float()


def example_rows(columns: Columns) -> Tensor:
    """The medians, as rows of the graph's input type."""
    medians = np.array([[column.centre for column in columns.all]], dtype=columns.dtype())
    return torch.from_numpy(np.repeat(medians, EXAMPLE_ROWS, axis=0))


def in_input_type(
    units: Standardise, columns: Columns, dtype: torch.dtype = torch.float32
) -> Standardise:
    """The same map in the type of the raw rows, or in the graph's own where that is wider."""
    wide = torch.float64 if columns.needs_float64_input() else dtype
    return Standardise(units.centre.to(wide), units.scale.to(wide))
