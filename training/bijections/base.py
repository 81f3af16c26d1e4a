"""The one interface of every flow layer, and their composition."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn


class Bijection(nn.Module):
    """An invertible map of rows with a tractable log absolute Jacobian determinant.

    A subclass guarantees that ``decode(encode(x)[0])[0] == x``, that each row is mapped
    independently of the others, and that both log-dets are exact, in nats, of shape ``(batch,)``.
    A conditional map is such a map for every row of the context, ``(batch, context_features)``;
    others ignore the context, and a density without one passes None.
    """

    def encode(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map data ``(batch, features)`` towards the latent; returns ``(z, log_det)``."""
        raise NotImplementedError

    def decode(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map latents ``(batch, features)`` towards the data; returns ``(x, log_det)``."""
        raise NotImplementedError

    def is_triangular(self) -> bool:
        """Whether encode makes every z_i of features up to i alone, so that terms exist."""
        return False

    def encode_terms(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Like encode, with the log-det still apart: ``(z, terms)``, terms ``(batch, features)``.

        Term i is the logarithm of the Jacobian's diagonal entry at i, nats; they sum to the
        log-det.

        Raises:
            TypeError: If the map is not triangular.
        """
        raise TypeError(f"{type(self).__name__} mixes features: it has no term for each")

    def initialise(self, x: Tensor, context: Tensor | None = None) -> None:
        """Set data-dependent parameters from a first batch ``(batch, features)``."""

    def passes(self) -> tuple[int, int]:
        """Network evaluations that encode and decode cost one after the other."""
        return 1, 1

    def as_affine(self) -> tuple[Tensor, Tensor] | None:
        """``(weight, bias)`` when encode is ``x @ weight.T + bias``; export folds such layers."""
        return None


class Chain(Bijection):
    """Bijections applied in encode order; log-dets add.

    Args:
        bijections: In the order in which encode applies them.
    """

    def __init__(self, bijections: Sequence[Bijection]) -> None:
        super().__init__()
        self.bijections = cast("Sequence[Bijection]", nn.ModuleList(bijections))

    def encode(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """See :meth:`Bijection.encode`."""
        log_det = x.new_zeros(x.shape[0])
        for bijection in self.bijections:
            x, term = bijection.encode(x, context)
            log_det = log_det + term
        return x, log_det

    def decode(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """See :meth:`Bijection.decode`."""
        log_det = z.new_zeros(z.shape[0])
        for bijection in reversed(self.bijections):
            z, term = bijection.decode(z, context)
            log_det = log_det + term
        return z, log_det

    def is_triangular(self) -> bool:
        """See :meth:`Bijection.is_triangular`."""
        return all(bijection.is_triangular() for bijection in self.bijections)

    def encode_terms(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """See :meth:`Bijection.encode_terms`."""
        terms = torch.zeros_like(x)
        for bijection in self.bijections:
            x, more = bijection.encode_terms(x, context)
            terms = terms + more
        return x, terms

    def passes(self) -> tuple[int, int]:
        """See :meth:`Bijection.passes`; of the costliest layer, as a measure of the family."""
        encode, decode = zip(*(bijection.passes() for bijection in self.bijections), strict=True)
        return max(encode), max(decode)

    @torch.no_grad()
    def initialise(self, x: Tensor, context: Tensor | None = None) -> None:
        """See :meth:`Bijection.initialise`; each layer sees what the layers before it give."""
        for bijection in self.bijections:
            bijection.initialise(x, context)
            x, _ = bijection.encode(x, context)


def with_context(rows: Tensor, context: Tensor | None) -> Tensor:
    """What a conditioner sees: the rows, and the context beside them where there is one."""
    return rows if context is None else torch.cat([rows, context], dim=1)
