"""A trained flow becomes a bundle: export, measure, calibrate, write, read back."""

from __future__ import annotations

import datetime
import importlib.metadata
import platform
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from exported import bundle as bundles
from exported.arrays import write_arrays
from exported.calibration import Calibration
from exported.golden import pack, replay
from exported.manifest import (
    FORMAT_VERSION,
    Base,
    CalibrationSummary,
    DataType,
    Feature,
    Graph,
    Manifest,
    OutputTensor,
    Provenance,
    Tensor,
)
from exported.noise import standard_normal
from training.columns import Column
from training.evaluate import held_out
from training.flow import Flow
from training.graphs import OPSET, GraphSpec, table_graphs, to_onnx
from training.measure import Measured, measure
from training.prepared import Prepared
from training.recipes import Recipe
from training.runner import Runner, ask

GOLDEN_ROWS = 64
GOLDEN_SEED = 1
# Golden rows are drawn from the model, never from the user's data, and a little wider than it.
GOLDEN_TEMPERATURE = 1.25
LIBRARIES = ("logdet", "torch", "onnx", "onnxruntime", "onnxruntime-gpu", "numpy", "pydantic")
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
        seconds: Wall time of the fit.
        command: The command line that did it.
    """

    recipe: Recipe
    prepared: Prepared
    density: Flow
    data_name: str
    data_sha256: str
    seconds: float
    command: str


def publish(trained: Trained, root: Path) -> tuple[Path, Manifest]:
    """Write the next version of the recipe's name under a root.

    Raises:
        ValueError: If the graphs are not exact enough.
        exported.errors.BundleError: If what was written does not read back or replay.
    """
    specs = table_graphs(trained.density, trained.prepared.columns)
    contents = {f"{name}.onnx": to_onnx(spec) for name, spec in specs.items()}
    run = Runner({name: contents[f"{name}.onnx"] for name in specs})
    dtype = specs["log_prob"].example.numpy().dtype.type
    measured = measure(run, trained.density, trained.prepared, dtype)
    golden = _golden(run, trained, dtype)
    scores = run("log_prob", {"x": trained.prepared.split.calibration.astype(dtype)})["log_prob"]
    calibration = Calibration.of(scores.astype(np.float64))
    contents["golden.npz"] = write_arrays(golden)
    contents["calibration.npz"] = write_arrays({"log_prob": calibration.scores})
    version = max(bundles.versions(root, trained.recipe.name), default=0) + 1
    manifest = Manifest(
        format_version=FORMAT_VERSION,
        name=trained.recipe.name,
        version=version,
        family=trained.recipe.model.family,
        density="exact",
        density_tolerance=measured.accuracy.log_prob_error.max,
        features=tuple(map(_feature, trained.prepared.columns.all)),
        latent_features=len(trained.prepared.columns.modelled),
        base=Base(
            distribution="standard_normal", draws_per_row=len(trained.prepared.columns.modelled)
        ),
        graphs=_graphs(specs, contents, golden, measured),
        operations={
            "log_prob": "log_prob",
            "score": "log_prob",
            "encode": "log_prob",
            "decode": "decode",
            "sample": "decode",
        },
        golden=bundles.describe_file("golden.npz", contents["golden.npz"]),
        calibration=CalibrationSummary(
            artifact=bundles.describe_file("calibration.npz", contents["calibration.npz"]),
            rows=len(calibration.scores),
            quantiles=calibration.quantiles(),
        ),
        accuracy=measured.accuracy,
        held_out=held_out(trained.density, trained.prepared),
        provenance=_provenance(trained),
    )
    replay(manifest, golden, run)
    folder = bundles.write_bundle(root, manifest, contents)
    bundles.read_bundle(folder)
    return folder, manifest


def _golden(
    run: Runner, trained: Trained, dtype: type[np.floating]
) -> dict[str, NDArray[np.generic]]:
    """Rows drawn from the model, with the float64 flow's answers."""
    features = len(trained.prepared.columns.modelled)
    z = GOLDEN_TEMPERATURE * standard_normal(GOLDEN_SEED, 0, GOLDEN_ROWS, features)
    decoded = ask(run, trained.density, trained.prepared, "decode", {"z": z.astype(np.float32)})
    integer = np.array([column.kind == "integer" for column in trained.prepared.columns.all])
    rows = np.where(integer, np.floor(decoded.truth["x"] + 0.5), decoded.truth["x"]).astype(dtype)
    encoded = ask(run, trained.density, trained.prepared, "log_prob", {"x": rows})
    return {
        **pack("log_prob", encoded.inputs, encoded.truth),
        **pack("decode", decoded.inputs, decoded.truth),
    }


def _feature(column: Column) -> Feature:
    return Feature(
        name=column.name,
        kind="integer" if column.kind == "integer" else "continuous",
        training_range=(column.low, column.high),
        median=float(np.floor(column.centre)) if column.kind == "integer" else column.centre,
        support=(column.low, column.high) if column.constant else (None, None),
        role="constant" if column.constant else "modelled",
    )


def _graphs(
    specs: Mapping[str, GraphSpec],
    contents: Mapping[str, bytes],
    golden: Mapping[str, NDArray[np.generic]],
    measured: Measured,
) -> dict[str, Graph]:
    graphs = {}
    for name, spec in specs.items():
        inputs = [_tensor(t, golden[f"{name}.in.{t}"]) for t in spec.inputs]
        outputs = [
            OutputTensor(
                name=t,
                datatype=inputs[0].datatype if t == "x" else "FP32",
                shape=(-1, *golden[f"{name}.out.{t}"].shape[1:]),
                tolerance=measured.tolerances[name, t],
            )
            for t in spec.outputs
        ]
        if name == "decode" and golden["log_prob.in.x"].dtype == np.float64:
            outputs[0] = outputs[0].model_copy(update={"datatype": "FP64"})
        graphs[name] = Graph(
            artifact=bundles.describe_file(f"{name}.onnx", contents[f"{name}.onnx"]),
            opset=OPSET,
            inputs=tuple(inputs),
            outputs=tuple(outputs),
            passes=1,
        )
    return graphs


def _tensor(name: str, value: NDArray[np.generic]) -> Tensor:
    return Tensor(name=name, datatype=DATATYPES[value.dtype.name], shape=(-1, *value.shape[1:]))


def _provenance(trained: Trained) -> Provenance:
    return Provenance(
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        command=trained.command,
        recipe=trained.recipe.model_dump(mode="json"),
        seed=trained.recipe.seed,
        data_name=trained.data_name,
        data_sha256=trained.data_sha256,
        rows=trained.prepared.split.counts(),
        split=trained.prepared.split.description,
        versions={"python": platform.python_version(), **_library_versions()},
        git_commit=_git_commit(),
        training_seconds=round(trained.seconds, 3),
    )


def _library_versions() -> dict[str, str]:
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _git_commit() -> str | None:
    """Commit of the working folder, where there is one."""
    try:
        answer = subprocess.run(
            ["git", "rev-parse", "HEAD"],  # noqa: S607
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip()
