"""The manifest of a trained flow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from exported.accuracy import Accuracy, StepChoices
from exported.bundle import describe_file
from exported.calibration import Calibration
from exported.manifest import (
    FORMAT_VERSION,
    OPERATIONS,
    CalibrationSummary,
    DataType,
    Feature,
    Graph,
    Manifest,
    OutputTensor,
    Provenance,
    Tensor,
)
from training.columns import Column
from training.evaluate import held_out
from training.flow import Flow
from training.measure import Measured
from training.onnx_export import OPSET, GraphSpec
from training.prepared import Prepared
from training.provenance import git_commit, library_versions, now
from training.recipes import Recipe

DATATYPES: dict[str, DataType] = {"float32": "FP32", "float64": "FP64", "int64": "INT64"}


@dataclass(frozen=True, slots=True)
class Trained:
    """A finished fit, ready to be published.

    Attributes:
        recipe: What was asked for.
        prepared: The data.
        density: The whole flow on raw modelled columns, float64.
        data_name: Of the table.
        data_sha256: Of the table.
        seconds: Time of the fit, by the recipe's clock.
        command: The command line that did it.
    """

    recipe: Recipe
    prepared: Prepared
    density: Flow
    data_name: str
    data_sha256: str
    seconds: float
    command: str


def describe(
    trained: Trained,
    version: int,
    graphs: Mapping[str, Graph],
    accuracy: tuple[Accuracy, StepChoices | None],
    files: tuple[Mapping[str, bytes], Calibration],
) -> Manifest:
    """The manifest.

    Args:
        trained: With the density that is served.
        version: Of the name.
        graphs: The manifest's entries of the graphs.
        accuracy: What was measured; of each number of steps where these can be chosen.
        files: The bundle's contents, and the calibration among them.
    """
    contents, calibration = files
    measured, steps = accuracy
    features = len(trained.prepared.columns.modelled)
    return Manifest(
        format_version=FORMAT_VERSION,
        name=trained.recipe.name,
        version=version,
        family=trained.recipe.model.family,
        density="exact",
        density_tolerance=_tolerance(measured, steps),
        features=tuple(map(_feature, trained.prepared.columns.all)),
        context_features=tuple(map(_feature, trained.prepared.context.all)),
        image=trained.prepared.image,
        latent_features=features,
        base=trained.density.base.describe(features),
        graphs=dict(graphs),
        operations={name: graph for name, graph in OPERATIONS.items() if graph in graphs},
        golden=describe_file("golden.npz", contents["golden.npz"]),
        calibration=CalibrationSummary(
            artifact=describe_file("calibration.npz", contents["calibration.npz"]),
            rows=len(calibration.scores),
            quantiles=calibration.quantiles(),
        ),
        accuracy=measured,
        steps=steps,
        held_out=held_out(trained.density, trained.prepared),
        provenance=_provenance(trained),
    )


def describe_graphs(
    specs: Mapping[str, GraphSpec],
    contents: Mapping[str, bytes],
    golden: Mapping[str, NDArray[np.generic]],
    measured: Measured,
) -> dict[str, Graph]:
    """The manifest's entries of exported graphs, their shapes taken from the golden rows."""
    rows_type = DATATYPES[golden["log_prob.in.x"].dtype.name]
    graphs = {}
    for name, spec in specs.items():
        inputs = [_tensor(t, golden[f"{name}.in.{t}"]) for t in spec.inputs]
        outputs = [
            OutputTensor(
                name=t,
                datatype=rows_type if t == "x" else "FP32",
                shape=(-1, *golden[f"{name}.out.{t}"].shape[1:]),
                tolerance=measured.tolerances[name, t],
            )
            for t in spec.outputs
        ]
        graphs[name] = Graph(
            artifact=describe_file(f"{name}.onnx", contents[f"{name}.onnx"]),
            opset=OPSET,
            inputs=tuple(inputs),
            outputs=tuple(outputs),
            passes=spec.passes,
            options=tuple(spec.options),
        )
    return graphs


def _tolerance(measured: Accuracy, steps: StepChoices | None) -> float:
    """Largest error of log_prob, a solver's own included, nats."""
    if steps is None:
        return measured.log_prob_error.max
    served = next(choice for choice in steps.offered if choice.steps == steps.default)
    return max(measured.log_prob_error.max, served.log_prob_error.max)


def _tensor(name: str, value: NDArray[np.generic]) -> Tensor:
    return Tensor(name=name, datatype=DATATYPES[value.dtype.name], shape=(-1, *value.shape[1:]))


def _feature(column: Column) -> Feature:
    declared = column.interval
    support = (None, None) if declared is None else (declared.low, declared.high)
    return Feature(
        name=column.name,
        kind="integer" if column.kind == "integer" else "continuous",
        training_range=(column.low, column.high),
        median=float(np.floor(column.centre)) if column.kind == "integer" else column.centre,
        support=(column.low, column.high) if column.constant else support,
        role="constant" if column.constant else "modelled",
    )


def _provenance(trained: Trained) -> Provenance:
    return Provenance(
        created=now(),
        command=trained.command,
        recipe=trained.recipe.model_dump(mode="json"),
        seed=trained.recipe.seed,
        data_name=trained.data_name,
        data_sha256=trained.data_sha256,
        rows=trained.prepared.split.counts(),
        split=trained.prepared.split.description,
        versions=library_versions(),
        git_commit=git_commit(),
        training_seconds=round(trained.seconds, 3),
    )
