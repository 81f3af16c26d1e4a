"""What exported graphs of autoencoders must answer: the trained model in float64, unfolded."""

from __future__ import annotations

import copy

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from exported.golden import Arrays
from training.table import Examples
from training.vae.autoencoder import Autoencoder
from training.vae.data import Observations
from training.vae.graphs import reconstructed, root_mean_square
from training.vae.model import VAE

Outputs = dict[str, NDArray[np.float64]]


class Truth:
    """Answers by graph name, as :class:`training.runner.Runner` gives them.

    Args:
        model: Trained.
        data: Its data.
    """

    def __init__(self, model: VAE | Autoencoder, data: Observations) -> None:
        self.model = copy.deepcopy(model).double().eval()
        self.data = data

    @torch.no_grad()
    def __call__(self, graph: str, inputs: Arrays) -> Outputs:
        """The outputs of a graph for its inputs; the depth is among them where there is one."""
        answers = getattr(self, f"_{graph}")(inputs)
        return {name: np.asarray(value, dtype=np.float64) for name, value in answers.items()}

    def _posterior(self, inputs: Arrays) -> dict[str, Tensor]:
        found = self._vae.infer(
            self._observed(inputs), _tensor(inputs["noise"])[:, None], _depth(inputs)
        )
        return {
            "mean": torch.cat([level.mean for level in found], dim=1),
            "scale": torch.cat([level.scale for level in found], dim=1),
            "z": torch.cat([level.z for level in found], dim=1),
        }

    def _log_weight(self, inputs: Arrays) -> dict[str, Tensor]:
        weights = self._vae.log_weight(
            self._observed(inputs), _tensor(inputs["noise"]), _depth(inputs)
        )
        return {"log_weight": weights + log_det(self._vae, self.data)}

    def _decode(self, inputs: Arrays) -> dict[str, NDArray[np.float64]]:
        z = _tensor(inputs["z"])
        if isinstance(self.model, Autoencoder):
            return {"x": self._raw(self.model.decode(z))}
        return {"x": self._raw(self.model.mean(z[:, : self.model.latents[0]]))}

    def _draw(self, inputs: Arrays) -> dict[str, NDArray[np.float64]]:
        latents = self._vae.generate(_tensor(inputs["noise"]))
        x = self._vae.draw(latents[0], _tensor(inputs["observation_noise"]))
        return {"x": self._raw(x), "z": torch.cat(latents, dim=1).numpy()}

    def _encode(self, inputs: Arrays) -> dict[str, Tensor]:
        if not isinstance(self.model, Autoencoder):
            raise TypeError("expected an autoencoder")
        return {"z": self.model.encode(self._observed(inputs))}

    def _reconstruct(self, inputs: Arrays) -> dict[str, NDArray[np.float64]]:
        x = self._observed(inputs)
        again = reconstructed(self.model, x, _depth(inputs))
        error = root_mean_square((again - x) * self.data.error_scale())
        return {"reconstruction": self._raw(again), "error": error.numpy()}

    @property
    def _vae(self) -> VAE:
        if not isinstance(self.model, VAE):
            raise TypeError("expected a variational autoencoder")
        return self.model

    def _observed(self, inputs: Arrays) -> Tensor:
        rows = inputs["x"].astype(np.float64)
        return self.data.served(Examples(rows, np.empty((len(rows), 0))))

    def _raw(self, x: Tensor) -> NDArray[np.float64]:
        """Rows in the user's unit, with the constants among them."""
        columns = self.data.columns
        rows = np.tile([column.low for column in columns.all], (len(x), 1))
        rows[:, columns.modelled_index] = self.data.preprocessing.decode(x)[0].numpy()
        return np.asarray(np.clip(rows, *columns.edges))


def log_det(model: VAE, data: Observations) -> float:
    """Of the scaling, nats: what a density changes by with the unit, and a mass does not."""
    return 0.0 if model.likelihood.is_mass else -float(data.scaling().scale.log().sum())


def _tensor(values: NDArray[np.generic]) -> Tensor:
    return torch.from_numpy(values.astype(np.float64))


def _depth(inputs: Arrays) -> int | None:
    return int(inputs["depth"]) if "depth" in inputs else None
