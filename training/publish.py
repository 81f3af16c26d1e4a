"""A trained flow becomes a bundle: export, measure, calibrate, write, read back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from exported import bundle as bundles
from exported.accuracy import Accuracy, StepChoices
from exported.arrays import write_arrays
from exported.base import base_noise
from exported.golden import pack, replay
from exported.kinds import REFERENCE_GRAPH, FlowManifest
from exported.latents import LatentMoments
from exported.manifest import Graph
from exported.noise import base_uniforms
from training import reference
from training.calibrated import Calibrated
from training.columns import Columns
from training.describe import Trained, describe, describe_graphs
from training.graphs import table_graphs
from training.measure import measure
from training.onnx_export import to_onnx
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
    specs = table_graphs(trained.density, trained.prepared)
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
    scores, latents = _calibrating(run, trained)
    calibrated = Calibrated.of(scores, trained.recipe.trim, latents)
    contents["golden.npz"] = write_arrays(golden)
    contents["calibration.npz"] = write_arrays(
        {
            "log_prob": calibrated.calibration.scores,
            **({} if latents is None else latents.arrays()),
        }
    )
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


def _calibrating(
    run: Runner, trained: Trained
) -> tuple[NDArray[np.float64], LatentMoments | None]:
    """Scores of the calibration rows as the service gives them, so -inf for a row out of support.

    And what the latents of those in support are like, if any is.
    """
    prepared = trained.prepared
    examples = prepared.split.calibration
    inside = prepared.in_support(examples)
    out = run("log_prob", prepared.inputs(examples))
    scores = np.where(inside, out["log_prob"].astype(np.float64), -np.inf)
    base = trained.density.base.describe(len(prepared.columns.modelled))
    z = out["z"][inside].astype(np.float64)
    return scores, LatentMoments.of(base, z) if len(z) else None
