"""The graph of the terms log p(x_i | x_<i), of a flow that has them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from training.bases import BaseDensity
from training.bijections import Chain, Standardise
from training.columns import Columns


class FeatureLogProbGraph(nn.Module):
    """Raw rows ``(batch, columns)`` to ``feature_log_prob``, each column's term in nats.

    A constant column has probability one, so its term is zero. The terms sum to log_prob.

    Args:
        columns: Of the table.
        units: From the user's units.
        layers: The rest of the map.
        base: Of the latents.
        context: From the raw context to what the layers see; None without a context.
    """

    modelled: Tensor
    place: Tensor

    def __init__(
        self,
        columns: Columns,
        units: Standardise,
        layers: Chain,
        base: BaseDensity,
        context: nn.Module | None,
    ) -> None:
        super().__init__()
        self.units, self.layers, self.base = units, layers, base
        self.context = context
        # From the modelled columns to their places among all.
        place = torch.zeros(len(columns.modelled), len(columns.all))
        place[torch.arange(len(place)), torch.tensor(columns.modelled_index)] = 1.0
        self.register_buffer("place", place)
        self.register_buffer("modelled", torch.tensor(columns.modelled_index))

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """See the class."""
        x = torch.index_select(x, 1, self.modelled)
        scaled, units_terms = self.units.encode_terms(x)
        given = None if self.context is None else self.context(context)
        z, terms = self.layers.encode_terms(scaled.float(), given)
        return (self.base.terms(z) + terms + units_terms.float()) @ self.place
