"""A trained flow becomes a bundle: export, measure, calibrate, write, read back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from exported import bundle as bundles
from exported.accuracy import Accuracy, StepChoices
from exported.arrays import write_arrays
from exported.base import base_noise
from exported.calibration_summary import ScoreName
from exported.golden import pack, replay
from exported.kinds import GRADIENT_GRAPH, REFERENCE_GRAPH, FlowManifest
from exported.latents import LatentMoments
from exported.manifest import Graph
from exported.noise import base_uniforms
from exported.scores import LATENT_NORM, LIKELIHOOD_RATIO, Reference, Scorer
from training import reference
from training.calibrated import Calibrated
from training.columns import Columns
from training.describe import Trained, describe, describe_graphs
from training.graphs import table_graphs
from training.measure import measure
from training.onnx_export import to_onnx
from training.prepared import Prepared
from training.runner import Runner, ask
from training.steps import choose_steps, with_steps
from training.table import Examples, Rows

GOLDEN_ROWS = 64
GOLDEN_SEED = 1
# Golden rows are drawn from the model, never from the user's data, and a little wider than it.
GOLDEN_TEMPERATURE = 1.25


@dataclass(frozen=True, slots=True)
class Exported:
    """The parts of a bundle before its manifest.

    Attributes:
        contents: Bytes of every file.
        graphs: The manifest's entries of the graphs.
        accuracy: What was measured.
        steps: The numbers of steps on offer, of a continuous flow.
        served: The fit, with the default number of steps where these can be chosen.
        calibrated: Scores of the calibration rows.
        golden: Golden arrays.
        run: The exported graphs, running.
    """

    contents: Mapping[str, bytes]
    graphs: Mapping[str, Graph]
    accuracy: Accuracy
    steps: StepChoices | None
    served: Trained
    calibrated: Calibrated
    golden: Mapping[str, NDArray[np.generic]]
    run: Runner


def publish(trained: Trained, root: Path) -> tuple[Path, FlowManifest]:
    """Write the next version of the recipe's name under a root.

    Raises:
        ValueError: If the graphs are not exact enough.
        exported.errors.BundleError: If what was written does not read back or replay.
    """
    parts = _export(trained)
    version = max(bundles.versions(root, trained.recipe.name), default=0) + 1
    manifest = describe(
        parts.served,
        version,
        parts.graphs,
        (parts.accuracy, parts.steps),
        (parts.contents, parts.calibrated),
    )
    replay(manifest, parts.golden, parts.run)
    folder = bundles.write_bundle(root, manifest, parts.contents)
    bundles.read_bundle(folder)
    return folder, manifest


def _export(trained: Trained) -> Exported:
    wanted = trained.recipe.gradient
    specs = table_graphs(trained.density, trained.prepared, gradient=wanted)
    exported = reference.runnable({name: to_onnx(spec) for name, spec in specs.items()})
    contents = {f"{name}.onnx": content for name, content in exported.items()}
    run = Runner(exported)
    steps = choose_steps(run, trained.density, trained.prepared)
    if steps is not None:
        # From here on all is measured and described at the default.
        run = run.at(steps.default)
        trained = replace(trained, density=with_steps(trained.density, steps.default))
        specs = table_graphs(trained.density, trained.prepared)
    measured = measure(run, trained.density, trained.prepared)
    golden = _golden(run, trained)
    calibrated = _calibrated(run, trained)
    contents["golden.npz"] = write_arrays(golden)
    contents["calibration.npz"] = calibrated.content(FlowManifest.SCORES)
    graphs = describe_graphs(
        {name: specs[name] for name in exported},
        contents,
        golden,
        measured.tolerances,
        trained.prepared.columns,
    )
    return Exported(contents, graphs, measured.accuracy, steps, trained, calibrated, golden, run)


def _golden(run: Runner, trained: Trained) -> dict[str, NDArray[np.generic]]:
    """Rows drawn from the model, with the float64 flow's answers."""
    prepared = trained.prepared
    base = trained.density.base.describe(len(prepared.columns.modelled))
    z = base_noise(base, GOLDEN_SEED, 0, GOLDEN_ROWS, GOLDEN_TEMPERATURE)
    context = plausible(prepared.context)
    latents = {"z": z.astype(np.float32), **prepared.contexts(context)}
    decoded = ask(run, trained.density, prepared, "decode", latents)
    rows = prepared.columns.emitted(decoded.truth["x"])
    inputs = prepared.inputs(Examples(rows, context))
    answers = [ask(run, trained.density, prepared, "log_prob", inputs), decoded]
    if trained.density.has_terms():
        answers.append(ask(run, trained.density, prepared, "feature_log_prob", inputs))
    if GRADIENT_GRAPH in run.names:
        answers.append(ask(run, trained.density, prepared, GRADIENT_GRAPH, inputs))
    if REFERENCE_GRAPH in run.names:
        answers.append(reference.answers(run, answers[0]))
    golden: dict[str, NDArray[np.generic]] = {}
    for asked in answers:
        golden |= pack(asked.graph, asked.inputs, asked.truth)
    return golden


def plausible(columns: Columns) -> Rows:
    """Rows made up from each column's range and median alone: no user's row leaves in a bundle."""
    u = base_uniforms(GOLDEN_SEED, 0, GOLDEN_ROWS, max(1, len(columns.all)))[:, : len(columns.all)]
    places = [
        np.interp(u[:, i], (0, 0.5, 1), (c.low, c.centre, c.high))
        for i, c in enumerate(columns.all)
    ]
    rows = np.stack(places, axis=1) if places else np.empty((GOLDEN_ROWS, 0))
    return columns.emitted(rows)


def _calibrated(run: Runner, trained: Trained) -> Calibrated:
    """Every score of the calibration rows; those of validation rows are their reference."""
    prepared = trained.prepared
    base = trained.density.base.describe(len(prepared.columns.modelled))
    validation, reference = prepared.split.validation, None
    log_prob, z = _evaluated(run, prepared, validation)
    if np.isfinite(log_prob).any():
        reference = Reference.of(base, log_prob, z)
    names = get_args(ScoreName) if reference else (LATENT_NORM,)
    scorer = Scorer(base, [name for name in names if name != LIKELIHOOD_RATIO], reference)
    log_prob, z = _evaluated(run, prepared, prepared.split.calibration)
    counted = None if reference is None else (reference, len(validation))
    inside = log_prob > -np.inf
    latents = LatentMoments.of(base, z[inside]) if inside.any() else None
    return Calibrated.of(log_prob, trained.recipe.trim, scorer(log_prob, z), counted, latents)


def _evaluated(
    run: Runner, prepared: Prepared, examples: Examples
) -> tuple[NDArray[np.float64], NDArray[np.floating]]:
    """log_prob and z as the service has them, so log_prob is -inf for a row out of support."""
    out = run("log_prob", prepared.inputs(examples))
    scores = out["log_prob"].astype(np.float64)
    z = out["z"].astype(np.float64)
    return np.where(prepared.in_support(examples), scores, -np.inf), z
