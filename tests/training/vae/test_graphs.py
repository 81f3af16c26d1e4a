"""Exported graphs in onnxruntime beside the float64 model, at every batch, samples and depth.

One family of posterior flows takes about ten seconds of processor time to export, so most are
among the contract (``make test-contract``).
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from exported.draws import noise_of_rows
from tests.training.vae.builders import (
    CONVOLUTIONAL,
    POSTERIORS,
    autoencoder,
    counted,
    images,
    measured,
    observations,
    vae,
)
from training.bijections import Standardise
from training.onnx_export import to_onnx
from training.runner import Runner
from training.table import Table
from training.vae.autoencoder import Autoencoder
from training.vae.data import Observations
from training.vae.graphs import autoencoder_graphs, vae_contents, vae_graphs
from training.vae.model import VAE

BATCHES, SAMPLES = (1, 5, 17), (1, 3, 9)
# Float32 against float64, of numbers of this size and in nats.
ABSOLUTE, RELATIVE = 2e-4, 2e-5

Answer = dict[str, NDArray[np.generic]]
# The settings of the second case that is always run.
IMAGES: dict[str, Any] = CONVOLUTIONAL | {
    "likelihood": "discretised_logistic",
    "posterior": "iaf",
}


def _contract(name: str, table: Table, **settings: Any) -> Any:
    return pytest.param((table, settings), id=name, marks=pytest.mark.contract)


CASES = [
    pytest.param((measured(), {"posterior": "planar", "prior": "realnvp"}), id="planar."),
    pytest.param((images(), IMAGES), id="iaf of images."),
    *(
        _contract(f"{kind}.", measured(), posterior=kind)
        for kind in POSTERIORS
        if kind != "planar"
    ),
    *(
        _contract(f"{kind} for all rows.", measured(), posterior=kind, amortised=False)
        for kind in ("planar", "sylvester", "cnf")
    ),
    _contract("no posterior flow.", measured(), prior="nsf"),
    _contract("all layers or none.", measured(), posterior="planar", truncation=False),
    _contract("two layers.", measured(), latents=[3, 2], posterior="iaf", prior="maf"),
    _contract("student_t.", measured(), likelihood="student_t", prior="linear"),
    _contract("bernoulli.", images(), likelihood="bernoulli", **CONVOLUTIONAL),
    _contract("timestamps.", replace(measured(), rows=measured().rows + 1e7), posterior="planar"),
    _contract("cells without end.", counted(), likelihood="discretised_logistic"),
]


@dataclass(frozen=True)
class Exported:
    """A model in float64 and its graphs, running."""

    model: VAE
    data: Observations
    run: Runner

    def depths(self) -> tuple[int | None, ...]:
        """What a caller may choose; once nothing where there is no choice."""
        offered = self.model.depths()
        return offered if len(offered) > 1 else (None,)

    def ask(self, graph: str, inputs: Answer, depth: int | None = None) -> Answer:
        chosen = {} if depth is None else {"depth": np.array(depth)}
        return self.run(graph, inputs | chosen)

    def rows(self, count: int) -> tuple[NDArray[np.generic], Tensor]:
        """Raw rows as the graphs take them, and as the model does."""
        examples = self.data.split.test[:count]
        return self.data.inputs(examples)["x"], self.data.served(examples)

    def noise(self, *shape: int) -> NDArray[np.float32]:
        size = (*shape, sum(self.model.latents))
        return np.random.default_rng(0).standard_normal(size, dtype=np.float32)


class Deterministic(NamedTuple):
    """An autoencoder in float64 and its graphs, running."""

    model: Autoencoder
    data: Observations
    run: Runner


def raw(data: Observations, x: Tensor) -> NDArray[np.float64]:
    """Modelled rows in the user's unit, with the constants among them."""
    whole = np.tile([column.low for column in data.columns.all], (len(x), 1))
    whole[:, data.columns.modelled_index] = data.preprocessing.decode(x)[0].numpy()
    return np.asarray(np.clip(whole, *data.columns.edges))


@pytest.fixture(scope="module", params=CASES)
def exported(request: pytest.FixtureRequest) -> Exported:
    table, settings = request.param
    settings = {"posterior_layers": 2} | settings  # Each group of layers is an export of its own.
    data = observations(table, **settings)
    model = vae(data, **settings)
    model.initialise(data.scaled(data.split.train.rows).float())
    run = Runner(vae_contents(model, data))
    return Exported(copy.deepcopy(model).double().requires_grad_(False), data, run)


def near(got: NDArray[np.generic], expected: Tensor | NDArray[np.float64]) -> None:
    truth = np.asarray(expected)
    assert got.shape == truth.shape
    assert np.isfinite(truth).all()
    allowed = ABSOLUTE + RELATIVE * np.abs(truth)
    assert (np.abs(got.astype(np.float64) - truth) <= allowed).all(), np.abs(got - truth).max()


def float64(noise: NDArray[np.float32]) -> Tensor:
    return torch.from_numpy(noise).double()


@pytest.mark.parametrize("batch", BATCHES)
class TestGraphs:
    def test_posterior(self, exported: Exported, batch: int) -> None:
        x, rows = exported.rows(batch)
        noise = exported.noise(batch)
        for depth in exported.depths():
            got = exported.ask("posterior", {"x": x, "noise": noise}, depth)
            found = exported.model.infer(rows, float64(noise).unsqueeze(1), depth)
            for name in ("mean", "scale", "z"):
                near(got[name], torch.cat([getattr(one, name) for one in found], dim=1))

    @pytest.mark.parametrize("samples", SAMPLES)
    def test_log_weight(self, exported: Exported, batch: int, samples: int) -> None:
        x, rows = exported.rows(batch)
        noise, model = exported.noise(batch, samples), exported.model
        scaling = exported.data.preprocessing.bijections[0]
        assert isinstance(scaling, Standardise)
        # A density is told in the user's unit; a probability has none.
        volume = 0.0 if model.likelihood.is_mass else float(scaling.scale.log().sum())
        for depth in exported.depths():
            got = exported.ask("log_weight", {"x": x, "noise": noise}, depth)["log_weight"]
            near(got, model.log_weight(rows, float64(noise), depth) - volume)

    def test_decode(self, exported: Exported, batch: int) -> None:
        z, model = exported.noise(batch), exported.model
        expected = model.mean(float64(z)[:, : model.latents[0]])
        near(exported.ask("decode", {"z": z})["x"], raw(exported.data, expected))

    def test_draw(self, exported: Exported, batch: int) -> None:
        noise, model = exported.noise(batch), exported.model
        base = model.likelihood.noise(len(exported.data.columns.modelled))
        emission = noise_of_rows(base, 0, [0], 0, batch)[0].astype(np.float32)
        got = exported.ask("draw", {"noise": noise, "observation_noise": emission})
        latents = model.generate(float64(noise))
        near(got["z"], torch.cat(latents, dim=1))
        near(got["x"], raw(exported.data, model.draw(latents[0], float64(emission))))

    def test_reconstruct(self, exported: Exported, batch: int) -> None:
        x, rows = exported.rows(batch)
        for depth in exported.depths():
            got = exported.ask("reconstruct", {"x": x}, depth)
            centre = rows.new_zeros(batch, 1, sum(exported.model.latents))
            z = exported.model.infer(rows, centre, depth)[0].z
            again = exported.model.mean(z)
            near(got["reconstruction"], raw(exported.data, again))
            near(got["error"], error(exported.data, rows, again))


def error(data: Observations, rows: Tensor, again: Tensor) -> Tensor:
    """Root mean square of what is lost, in deviations; of pixels in that of all of them."""
    lost = data.preprocessing.decode(again)[0] - data.preprocessing.decode(rows)[0]
    deviation = torch.tensor([c.deviation for c in data.columns.modelled]).double()
    if data.image is not None:
        deviation = deviation.square().mean().sqrt()
    return (lost / deviation).square().mean(dim=1).sqrt()


def test_every_depth_is_another_answer(exported: Exported) -> None:
    x, _ = exported.rows(5)
    inputs = {"x": x, "noise": exported.noise(5, 3)}
    at = [exported.ask("log_weight", inputs, depth)["log_weight"] for depth in exported.depths()]
    assert all((here != there).any() for here, there in pairwise(at))


@pytest.mark.parametrize(
    ("settings", "choice"),
    [
        ({"posterior": "none"}, []),
        ({"posterior": "planar", "truncation": False}, []),
        ({"posterior": "planar"}, ["depth"]),
    ],
)
def test_a_depth_is_an_input_where_there_is_a_choice(
    settings: dict[str, Any], choice: list[str]
) -> None:
    data = observations(measured(), **settings)
    graphs = vae_graphs(vae(data, **settings), data)
    told = {name: list(spec.options) for name, spec in graphs.items()}
    of_posterior = dict.fromkeys(("posterior", "log_weight", "reconstruct"), choice)
    assert told == of_posterior | {"decode": [], "draw": []}


@pytest.fixture(
    scope="module",
    params=[
        pytest.param((measured(), {}), id="dense"),
        pytest.param((images(), CONVOLUTIONAL), id="convolutional", marks=pytest.mark.contract),
    ],
)
def deterministic(request: pytest.FixtureRequest) -> Deterministic:
    table, settings = request.param
    data = observations(table, family="autoencoder", **settings)
    model = autoencoder(data, **settings)
    contents = {name: to_onnx(spec) for name, spec in autoencoder_graphs(model, data).items()}
    return Deterministic(
        copy.deepcopy(model).double().requires_grad_(False), data, Runner(contents)
    )


@pytest.mark.parametrize("batch", BATCHES)
def test_an_autoencoder(deterministic: Deterministic, batch: int) -> None:
    model, data, run = deterministic
    examples = data.split.test[:batch]
    x, rows = {"x": data.inputs(examples)["x"]}, data.served(examples)
    z = model.encode(rows)
    near(run("encode", x)["z"], z)
    again = run("reconstruct", x)
    near(again["reconstruction"], raw(data, model.decode(z)))
    near(again["error"], error(data, rows, model.decode(z)))
    decoded = run("decode", {"z": z.numpy().astype(np.float32)})["x"]
    near(decoded, raw(data, model.decode(z)))
