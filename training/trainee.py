"""What a fit trains."""

from __future__ import annotations

from torch import Tensor, nn


class Trainee(nn.Module):
    """A model with parameters, some of which a first batch may set."""

    def initialise(self, x: Tensor, context: Tensor | None = None) -> None:
        """Set data-dependent parameters from preprocessed rows ``(batch, features)``."""
        raise NotImplementedError
