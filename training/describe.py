"""The manifest of a trained flow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exported.accuracy import Accuracy, StepChoices
from exported.bundle import describe_file
from exported.calibration_summary import CalibrationSummary
from exported.kinds import FlowManifest
from exported.manifest import (
    FORMAT_VERSION,
    DataType,
    Feature,
    Graph,
    OutputTensor,
    Provenance,
    Tensor,
)
from exported.origin import now
from training.calibrated import Calibrated
from training.columns import Column, Columns
from training.evaluate import held_out
from training.flow import Flow
from training.measure import Tolerances
from training.onnx_export import OPSET, GraphSpec
from training.prepared import Prepared
from training.provenance import git_commit, library_versions
from training.recipes import Recipe

# Outputs in the user's own units, which have the type of the rows that go in.
RAW_ROWS = ("x", "reconstruction")
DATATYPES: dict[str, DataType] = {"float32": "FP32", "float64": "FP64", "int64": "INT64"}


@dataclass(frozen=True, slots=True)
class Facts:
    """What a manifest tells of a finished fit, whatever was fitted.

    Attributes:
        recipe: What was asked for.
        prepared: The data.
        data_name: Of the table, or of what stands in its place.
        data_sha256: Of that.
        seconds: Time of the fit, by the recipe's clock.
        command: The command line that did it.
    """

    recipe: Recipe
    prepared: Prepared
    data_name: str
    data_sha256: str
    seconds: float
    command: str


@dataclass(frozen=True, slots=True)
class Trained(Facts):
    """A finished fit of a flow, ready to be published.

    Attributes:
        density: The whole flow on raw modelled columns, float64.
    """

    density: Flow

    @classmethod
    def of(cls, facts: Facts, density: Flow) -> Trained:
        """A fit of which all else is told already."""
        return cls(
            **{field.name: getattr(facts, field.name) for field in fields(facts)}, density=density
        )


def describe(
    trained: Trained,
    version: int,
    graphs: Mapping[str, Graph],
    accuracy: tuple[Accuracy, StepChoices | None],
    files: tuple[Mapping[str, bytes], Calibrated],
) -> FlowManifest:
    """The manifest.

    Args:
        trained: With the density that is served.
        version: Of the name.
        graphs: The manifest's entries of the graphs.
        accuracy: What was measured; of each number of steps where these can be chosen.
        files: The bundle's contents, and the calibration among them.
    """
    measured, steps = accuracy
    features = len(trained.prepared.columns.modelled)
    return FlowManifest(
        **common(trained, version, graphs, files),
        family=trained.recipe.model.family,
        density="exact",
        density_tolerance=_tolerance(measured, steps),
        context_features=tuple(map(_feature, trained.prepared.context.all)),
        latent_features=features,
        base=trained.density.base.describe(features),
        operations={
            name: graph for name, graph in FlowManifest.OPERATIONS.items() if graph in graphs
        },
        accuracy=measured,
        steps=steps,
        held_out=held_out(trained.density, trained.prepared),
    )


def common(
    facts: Facts,
    version: int,
    graphs: Mapping[str, Graph],
    files: tuple[Mapping[str, bytes], Calibrated],
) -> dict[str, Any]:
    """The fields that the manifests of all kinds have; arguments are those of :func:`describe`."""
    contents, calibrated = files
    return {
        "format_version": FORMAT_VERSION,
        "name": facts.recipe.name,
        "version": version,
        "features": tuple(map(_feature, facts.prepared.columns.all)),
        "image": facts.prepared.image,
        "graphs": dict(graphs),
        "golden": describe_file("golden.npz", contents["golden.npz"]),
        "calibration": CalibrationSummary(
            artifact=describe_file("calibration.npz", contents["calibration.npz"]),
            **calibrated.described(),
        ),
        "provenance": _provenance(facts),
    }


def describe_graphs(
    specs: Mapping[str, GraphSpec],
    contents: Mapping[str, bytes],
    golden: Mapping[str, NDArray[np.generic]],
    tolerances: Tolerances,
    columns: Columns,
) -> dict[str, Graph]:
    """The manifest's entries of exported graphs, their shapes taken from the golden rows."""
    rows_type = DATATYPES[columns.dtype().__name__]
    graphs = {}
    for name, spec in specs.items():
        own_type: DataType = "FP64" if spec.wide else "FP32"
        inputs = [
            _tensor(t, golden[f"{name}.in.{t}"], free=t in spec.samples) for t in spec.inputs
        ]
        outputs = [
            OutputTensor(
                name=t,
                datatype=rows_type if t in RAW_ROWS else own_type,
                shape=_shape(golden[f"{name}.out.{t}"], free=t in spec.samples),
                tolerance=tolerances[name, t],
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


def _tensor(name: str, value: NDArray[np.generic], *, free: bool) -> Tensor:
    shape = _shape(value, free=free)
    return Tensor(name=name, datatype=DATATYPES[value.dtype.name], shape=shape)


def _shape(value: NDArray[np.generic], *, free: bool) -> tuple[int, ...]:
    """With a free axis of rows, and where it is said one of samples."""
    return (-1, -1, *value.shape[2:]) if free else (-1, *value.shape[1:])


def _feature(column: Column) -> Feature:
    declared = column.interval
    support = (None, None) if declared is None else (declared.low, declared.high)
    return Feature(
        name=column.name,
        kind="integer" if column.kind == "integer" else "continuous",
        training_range=(column.low, column.high),
        median=float(np.floor(column.centre)) if column.kind == "integer" else column.centre,
        deviation=None if column.constant else column.deviation,
        support=(column.low, column.high) if column.constant else support,
        role="constant" if column.constant else "modelled",
    )


def _provenance(facts: Facts) -> Provenance:
    return Provenance(
        created=now(),
        command=facts.command,
        recipe=facts.recipe.model_dump(mode="json"),
        seed=facts.recipe.seed,
        data_name=facts.data_name,
        data_sha256=facts.data_sha256,
        rows=facts.prepared.split.counts(),
        trimmed=dict(facts.prepared.split.trimmed),
        split=facts.prepared.split.description,
        versions=library_versions(),
        git_commit=git_commit(),
        training_seconds=round(facts.seconds, 3),
    )
