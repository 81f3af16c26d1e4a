"""Graphs of trained autoencoders: raw rows in, raw rows out, noise always an input."""

from __future__ import annotations

import copy
from typing import cast

import onnx
import torch
from torch import Tensor, nn

from training.flow import Flow, folded
from training.graph_ends import EXAMPLE_ROWS, FromRows, ToRows, example_rows, in_input_type
from training.onnx_export import GraphSpec, checked, to_model
from training.vae.autoencoder import Autoencoder
from training.vae.choice import with_groups
from training.vae.data import THRESHOLD, Observations
from training.vae.likelihoods import FAR
from training.vae.model import VAE
from training.vae.posterior import CarriedOn

EXAMPLE_SAMPLES = 4


class Observed(nn.Module):
    """Raw rows to what the model sees, float32, and the log-det of that in the user's unit.

    Args:
        rows: The first part of it.
        is_binary: Whether features above the threshold are ones and the others zeros.
    """

    def __init__(self, rows: FromRows, *, is_binary: bool) -> None:
        super().__init__()
        self.rows, self.is_binary = rows, is_binary

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """See the class."""
        scaled, log_det = self.rows(x)
        return (scaled > THRESHOLD).to(scaled.dtype) if self.is_binary else scaled, log_det


class PosteriorGraph(nn.Module):
    """Rows and noise ``(batch, latents)`` to the posterior's ``mean``, ``scale`` and ``z``."""

    def __init__(self, observed: Observed, model: VAE) -> None:
        super().__init__()
        self.observed, self.model = observed, model

    def forward(
        self, x: Tensor, noise: Tensor, depth: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """See the class."""
        found = self.model.infer(self.observed(x)[0], noise.unsqueeze(1), depth)
        mean = torch.cat([level.mean for level in found], dim=1)
        scale = torch.cat([level.scale for level in found], dim=1)
        return mean, scale, torch.cat([level.z for level in found], dim=1)


class LogWeightGraph(nn.Module):
    """Rows and noise ``(batch, samples, latents)`` to ``log_weight``, ``(batch, samples)``."""

    def __init__(self, observed: Observed, model: VAE) -> None:
        super().__init__()
        self.observed, self.model = observed, model

    def forward(self, x: Tensor, noise: Tensor, depth: Tensor | None = None) -> Tensor:
        """See the class."""
        scaled, log_det = self.observed(x)
        weights = self.model.log_weight(scaled, noise, depth)
        return weights if self.model.likelihood.is_mass else weights + log_det.unsqueeze(1)


class MeanGraph(nn.Module):
    """Latents ``(batch, latents)`` to the likelihood's mean, raw rows ``x``."""

    def __init__(self, rows: ToRows, model: VAE | Autoencoder) -> None:
        super().__init__()
        self.rows, self.model = rows, model

    def forward(self, z: Tensor) -> Tensor:
        """See the class."""
        if isinstance(self.model, Autoencoder):
            return cast("Tensor", self.rows(self.model.decode(z))[0])
        return cast("Tensor", self.rows(self.model.mean(z[:, : self.model.latents[0]]))[0])


class DrawGraph(nn.Module):
    """Noise of the prior and of the likelihood to drawn rows ``x`` and their latents ``z``."""

    def __init__(self, rows: ToRows, model: VAE) -> None:
        super().__init__()
        self.rows, self.model = rows, model

    def forward(self, noise: Tensor, observation_noise: Tensor) -> tuple[Tensor, Tensor]:
        """See the class."""
        latents = self.model.generate(noise)
        x, _ = self.rows(self.model.draw(latents[0], observation_noise))
        return x, torch.cat(latents, dim=1)


class ReconstructGraph(nn.Module):
    """Rows to ``reconstruction`` from the posterior's centre, and ``error``.

    Args:
        observed: From raw rows.
        rows: Back to raw rows.
        model: Of both.
        error_scale: The model's unit in deviations of each modelled feature.
    """

    error_scale: Tensor

    def __init__(
        self, observed: Observed, rows: ToRows, model: VAE | Autoencoder, error_scale: Tensor
    ) -> None:
        super().__init__()
        self.observed, self.rows, self.model = observed, rows, model
        self.register_buffer("error_scale", error_scale)

    def forward(self, x: Tensor, depth: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """See the class."""
        scaled, _ = self.observed(x)
        again = reconstructed(self.model, scaled, depth)
        return self.rows(again)[0], root_mean_square((again - scaled) * self.error_scale)


class EncodeGraph(nn.Module):
    """Rows to an autoencoder's latents ``z``."""

    def __init__(self, observed: Observed, model: Autoencoder) -> None:
        super().__init__()
        self.observed, self.model = observed, model

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        return self.model.encode(self.observed(x)[0])


def root_mean_square(error: Tensor) -> Tensor:
    """Of each row, finite however far the row is."""
    return error.clamp(-FAR, FAR).square().mean(dim=1).sqrt()


def reconstructed(
    model: VAE | Autoencoder, scaled: Tensor, depth: Tensor | int | None = None
) -> Tensor:
    """Rows in the model's unit, from the latents of their posteriors' centres."""
    if isinstance(model, Autoencoder):
        return model.decode(model.encode(scaled))
    noise = scaled.new_zeros(scaled.shape[0], 1, sum(model.latents))
    return model.mean(model.infer(scaled, noise, depth)[0].z)


@torch.no_grad()
def exportable(model: VAE) -> VAE:
    """The same model in float32, with everything folded that does not depend on a row."""
    copied = copy.deepcopy(model).double().eval()
    first_group = 0
    for level in copied.each_level():
        if level.flow is not None:
            level.flow.blocks = nn.ModuleList(folded(block) for block in level.flow.chains())
            level.flow.first_group = first_group
            first_group += len(level.flow.ends)
    copied.prior = Flow(folded(copied.prior.bijection), copied.prior.base.folded())
    copied.likelihood = copied.likelihood.folded()
    return copied.float()


def vae_graphs(model: VAE, data: Observations) -> dict[str, GraphSpec]:
    """The graphs of a trained variational autoencoder."""
    observed, rows = _ends(data)
    model = exportable(model)
    latents, modelled = sum(model.latents), len(data.columns.modelled)
    x, z = example_rows(data.columns), torch.zeros(EXAMPLE_ROWS, latents)
    many = torch.zeros(EXAMPLE_ROWS, EXAMPLE_SAMPLES, latents)
    emission = torch.full((EXAMPLE_ROWS, modelled), 0.5)
    depths = model.depths()
    choice = {"depth": torch.tensor(depths[-1])} if len(depths) > 1 else {}
    error_scale = data.error_scale().float()
    return {
        "posterior": GraphSpec(
            PosteriorGraph(observed, model),
            (x, z),
            ("x", "noise"),
            ("mean", "scale", "z"),
            1,
            choice,
        ),
        "log_weight": GraphSpec(
            LogWeightGraph(observed, model),
            (x, many),
            ("x", "noise"),
            ("log_weight",),
            1,
            choice,
            samples=("noise", "log_weight"),
        ),
        "decode": GraphSpec(MeanGraph(rows, model), (z,), ("z",), ("x",), 1, {}),
        "draw": GraphSpec(
            DrawGraph(rows, model),
            (z, emission),
            ("noise", "observation_noise"),
            ("x", "z"),
            model.prior.bijection.passes()[1] if model.prior.bijection.bijections else 1,
            {},
        ),
        "reconstruct": GraphSpec(
            ReconstructGraph(observed, rows, model, error_scale),
            (x,),
            ("x",),
            ("reconstruction", "error"),
            1,
            choice,
        ),
    }


def vae_contents(model: VAE, data: Observations) -> dict[str, bytes]:
    """ONNX bytes of the graphs of :func:`vae_graphs`."""
    groups, ends = _groups(model)
    contents: dict[str, bytes] = {}
    for name, spec in vae_graphs(model, data).items():
        contents[name] = checked(with_groups(to_model(spec), groups, ends), spec.options)
    return contents


def _groups(model: VAE) -> tuple[list[onnx.ModelProto], list[int]]:
    """Every group of layers that may be left out as a graph, and the depth that takes it."""
    groups, ends = [], []
    flows = [level.flow for level in exportable(model).each_level() if level.flow is not None]
    for flow, size in zip(flows, model.latents, strict=False):
        if len(flow.offered) < 2:
            continue
        for end, layers in zip(flow.ends, flow.chains(), strict=True):
            z = torch.zeros(EXAMPLE_ROWS, size)
            context = flow.context_features
            examples = (z, torch.zeros(EXAMPLE_ROWS, context)) if context else (z,)
            names = ("z", "context")[: len(examples)]
            groups.append(
                to_model(GraphSpec(CarriedOn(layers), examples, names, ("carried",), 1, {}))
            )
            ends.append(end)
    return groups, ends


def autoencoder_graphs(model: Autoencoder, data: Observations) -> dict[str, GraphSpec]:
    """The graphs of a trained autoencoder."""
    observed, rows = _ends(data)
    model = copy.deepcopy(model).float().eval()
    x = example_rows(data.columns)
    z = model.encode(torch.zeros(EXAMPLE_ROWS, len(data.columns.modelled))).detach()
    both = ReconstructGraph(observed, rows, model, data.error_scale().float())
    return {
        "encode": GraphSpec(EncodeGraph(observed, model), (x,), ("x",), ("z",), 1, {}),
        "decode": GraphSpec(MeanGraph(rows, model), (z,), ("z",), ("x",), 1, {}),
        "reconstruct": GraphSpec(both, (x,), ("x",), ("reconstruction", "error"), 1, {}),
    }


def _ends(data: Observations) -> tuple[Observed, ToRows]:
    units = in_input_type(data.scaling(), data.columns)
    rows = FromRows(data.columns, units)
    observed = Observed(rows, is_binary=data.likelihood == "bernoulli")
    return observed, ToRows(data.columns, units)
