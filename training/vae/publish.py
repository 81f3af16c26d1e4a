"""A trained autoencoder becomes a bundle: export, measure, calibrate, write, read back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from exported import bundle as bundles
from exported.arrays import write_arrays
from exported.bounds import BoundAccuracy, ReconstructionAccuracy, Scoring
from exported.golden import Arrays, pack, replay
from exported.kinds import AutoencoderManifest, VAEManifest
from training.bases import StandardNormal
from training.calibrated import Calibrated
from training.describe import Facts, common, describe_graphs
from training.evaluate import Separation, separated_by
from training.onnx_export import GraphSpec, to_onnx
from training.publish import GOLDEN_ROWS, plausible
from training.recipes import AutoencoderConfig, VAEConfig
from training.runner import Runner
from training.vae.autoencoder import Autoencoder
from training.vae.data import Observations
from training.vae.graphs import autoencoder_graphs, vae_contents, vae_graphs
from training.vae.measure import (
    Measured,
    autoencoder_questions,
    depth_choices,
    held_out,
    held_out_error,
    measure,
    questions,
)
from training.vae.model import VAE
from training.vae.scores import SCORE_SEED, Scores
from training.vae.truth import Truth

AnyAutoencoder = VAE | Autoencoder


@dataclass(frozen=True, slots=True)
class Parts:
    """A bundle before its manifest.

    Attributes:
        specs: Of the graphs.
        contents: Bytes of every file.
        run: The exported graphs, running.
        scores: That they give.
        measured: How exact they are.
        golden: Golden arrays.
        calibrated: Scores of the calibration rows.
    """

    specs: Mapping[str, GraphSpec]
    contents: dict[str, bytes]
    run: Runner
    scores: Scores
    measured: Measured
    golden: Mapping[str, NDArray[np.generic]]
    calibrated: Calibrated


def publish_autoencoder(
    facts: Facts, model: AnyAutoencoder, root: Path
) -> tuple[Path, VAEManifest | AutoencoderManifest, Separation | None]:
    """Write the next version of the recipe's name under a root.

    Returns:
        The bundle's folder and manifest, and how its scores tell labelled anomalies, if there are.

    Raises:
        ValueError: If the graphs are not exact enough.
        exported.errors.BundleError: If what was written does not read back or replay.
    """
    data = cast("Observations", facts.prepared)
    parts = _export(facts, model, data)
    version = max(bundles.versions(root, facts.recipe.name), default=0) + 1
    if isinstance(model, VAE):
        manifest: VAEManifest | AutoencoderManifest = _describe_vae(facts, model, parts, version)
    else:
        manifest = _describe_autoencoder(facts, model, parts, version)
    replay(manifest, parts.golden, parts.run)
    folder = bundles.write_bundle(root, manifest, parts.contents)
    bundles.read_bundle(folder)
    return folder, manifest, separated_by(parts.scores, data.split.test, data.split.anomalies)


def _export(facts: Facts, model: AnyAutoencoder, data: Observations) -> Parts:
    if isinstance(model, VAE):
        specs, graphs = vae_graphs(model, data), vae_contents(model, data)
        observation = model.likelihood.noise(len(data.columns.modelled))
        asked = questions(data, model, observation)
    else:
        specs = autoencoder_graphs(model, data)
        graphs = {name: to_onnx(spec) for name, spec in specs.items()}
        asked = autoencoder_questions(data, model)
    run, truth = Runner(graphs), Truth(model, data)
    measured = measure(run, truth, asked)
    golden = _golden(truth, asked, data)
    scores = Scores(run, model, cast("VAEConfig | AutoencoderConfig", facts.recipe.model), data)
    calibrated = Calibrated.of(scores(data.split.calibration), facts.recipe.trim)
    contents = {f"{name}.onnx": content for name, content in graphs.items()}
    contents["golden.npz"] = write_arrays(golden)
    contents["calibration.npz"] = calibrated.content(VAEManifest.SCORES)
    return Parts(specs, contents, run, scores, measured, golden, calibrated)


def _golden(
    truth: Truth, asked: Mapping[str, Arrays], data: Observations
) -> dict[str, NDArray[np.generic]]:
    """Made-up rows and the noise of the measurement, with the float64 model's answers."""
    made_up = plausible(data.columns).astype(data.columns.dtype())
    golden: dict[str, NDArray[np.generic]] = {}
    for name, given in asked.items():
        few = {key: value[:GOLDEN_ROWS] if value.ndim else value for key, value in given.items()}
        count = max(len(value) for value in few.values() if value.ndim)
        if "x" in few:
            few["x"] = made_up[:count]
        elif isinstance(truth.model, Autoencoder):
            few["z"] = truth("encode", {"x": made_up})["z"].astype(np.float32)[:count]
        tensors = {key: value for key, value in few.items() if value.ndim}
        golden |= pack(name, tensors, truth(name, few))
    return golden


def _describe_vae(facts: Facts, model: VAE, parts: Parts, version: int) -> VAEManifest:
    config = cast("VAEConfig", facts.recipe.model)
    data = cast("Observations", facts.prepared)
    latents = sum(model.latents)
    return VAEManifest(
        **_common(facts, parts, version),
        family=family_name(config),
        density="lower_bound",
        latent_features=latents,
        base=StandardNormal().describe(latents),
        observation=model.likelihood.noise(len(data.columns.modelled)),
        likelihood=config.likelihood,
        depth=depth_choices(parts.run, model, data),
        scoring=Scoring(samples=config.score_samples, seed=SCORE_SEED),
        operations=dict(VAEManifest.OPERATIONS),
        accuracy=cast("BoundAccuracy", parts.measured.accuracy),
        held_out=held_out(model, data),
    )


def _describe_autoencoder(
    facts: Facts, model: Autoencoder, parts: Parts, version: int
) -> AutoencoderManifest:
    data = cast("Observations", facts.prepared)
    return AutoencoderManifest(
        **_common(facts, parts, version),
        family="autoencoder",
        density="none",
        latent_features=parts.golden["encode.out.z"].shape[1],
        operations=dict(AutoencoderManifest.OPERATIONS),
        accuracy=cast("ReconstructionAccuracy", parts.measured.accuracy),
        held_out=held_out_error(model, data),
    )


def _common(facts: Facts, parts: Parts, version: int) -> dict[str, object]:
    graphs = describe_graphs(
        parts.specs,
        parts.contents,
        parts.golden,
        parts.measured.tolerances,
        facts.prepared.columns,
    )
    return common(facts, version, graphs, (parts.contents, parts.calibrated))


def family_name(config: VAEConfig) -> str:
    """What a VAE is called by what is in it."""
    if len(config.latents) > 1:
        return "hierarchical_vae"
    return "vae" if config.posterior == config.prior == "none" else "flow_vae"
