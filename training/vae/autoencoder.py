"""Deterministic autoencoders."""

from __future__ import annotations

from torch import Tensor, nn

from training.trainee import Trainee


class Autoencoder(Trainee):
    """A row to a shorter one and back.

    Args:
        encoder: From rows ``(rows, features)`` to one tensor, ``(rows, latents)``.
        decoder: And back.
    """

    def __init__(self, encoder: nn.Module, decoder: nn.Module) -> None:
        super().__init__()
        self.encoder, self.decoder = encoder, decoder

    def encode(self, x: Tensor) -> Tensor:
        """Latents ``(rows, latents)`` of rows in the model's unit."""
        z: Tensor = self.encoder(x)[0]
        return z

    def decode(self, z: Tensor) -> Tensor:
        """Rows of latents."""
        x: Tensor = self.decoder(z)[0]
        return x

    def error(self, x: Tensor) -> Tensor:
        """Mean square of what is lost, in the model's unit squared, ``(rows,)``."""
        return (self.decode(self.encode(x)) - x).square().mean(dim=1)

    def initialise(self, x: Tensor, context: Tensor | None = None) -> None:
        """See :meth:`Trainee.initialise`; there is nothing to set."""
