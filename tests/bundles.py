"""A real bundle with a known density: a correlated Gaussian, one column of it whole numbers."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from exported.arrays import write_arrays
from exported.bundle import describe_file, write_bundle
from exported.calibration import Calibration
from exported.golden import pack
from exported.kinds import FlowManifest

NAMES = ("pressure", "flow", "count", "site")
MEAN = np.array([10.0, -3.0, 40.0])
COVARIANCE = np.array([[4.0, 1.0, 3.0], [1.0, 2.0, -2.0], [3.0, -2.0, 36.0]])
HALF = np.array([0.0, 0.0, 0.5])
SITE = 7.1  # the constant column; not a float32 number
COUNT_RANGE = (0.0, 200.0)
CALIBRATION_ROWS = 999
FLOW = ("log_prob", "score", "encode", "decode", "sample", "expectation")
_WHITEN = np.linalg.inv(np.linalg.cholesky(COVARIANCE)).T  # z = (x - mean) @ _WHITEN
_LOG_DET = float(np.linalg.slogdet(_WHITEN)[1])


@dataclass(frozen=True, slots=True)
class Exact:
    """What the density is by its formula, float64."""

    z: NDArray[np.float64]
    log_det: NDArray[np.float64]
    log_prob: NDArray[np.float64]


def exact(x: NDArray[np.float64], mean: NDArray[np.float64] = MEAN) -> Exact:
    """Latents and log-density of rows of shape (rows, 4)."""
    z = (x[:, :3] + HALF - mean) @ _WHITEN
    log_det = np.full(len(z), _LOG_DET)
    base = -0.5 * np.sum(z * z, axis=1) - 1.5 * math.log(2.0 * math.pi)
    return Exact(z, log_det, base + log_det)


def exact_decode(z: NDArray[np.float64], mean: NDArray[np.float64] = MEAN) -> NDArray[np.float64]:
    """Rows at latents, shape (rows, 4), unrounded."""
    x = z @ np.linalg.inv(_WHITEN) + mean - HALF
    return np.column_stack([x, np.full(len(z), SITE)])


def ordinary_rows(rows: int, seed: int = 0) -> NDArray[np.float64]:
    """Rows as the training table would have them."""
    rng = np.random.default_rng(seed)
    x = exact_decode(rng.standard_normal((rows, 3)))
    x[:, 2] = np.clip(np.floor(x[:, 2] + 0.5), *COUNT_RANGE)
    return x


def calibration_of(mean: NDArray[np.float64] = MEAN) -> Calibration:
    """What the bundle of a mean is calibrated with."""
    return Calibration.of(exact(ordinary_rows(CALIBRATION_ROWS, seed=2), mean).log_prob)


def write_gaussian(
    root: Path,
    name: str = "gauss",
    version: int = 1,
    operations: tuple[str, ...] = FLOW,
    golden_offset: float = 0.0,
    mean: NDArray[np.float64] = MEAN,
) -> Path:
    """Publish the bundle; a golden offset makes one whose golden rows do not replay.

    With another mean, the rows that it is calibrated on are still those of :data:`MEAN`.
    """
    graphs = {"log_prob": _log_prob_graph(mean), "decode": _decode_graph(mean)}
    x = ordinary_rows(16, seed=1)
    truth = exact(x, mean)
    z = truth.z
    answers = {"log_prob": truth.log_prob + golden_offset, "z": truth.z, "log_det": truth.log_det}
    back = {"x": exact_decode(z, mean), "log_det": -truth.log_det}
    golden = pack("log_prob", {"x": x.astype(np.float32)}, answers)
    golden |= pack("decode", {"z": z.astype(np.float32)}, back)
    calibration = calibration_of(mean)
    contents = {f"{key}.onnx": graph for key, graph in graphs.items()} | {
        "golden.npz": write_arrays(golden),
        "calibration.npz": write_arrays({"log_prob": calibration.scores}),
    }
    manifest = _manifest(name, version, operations, contents, calibration)
    return write_bundle(root, manifest, contents)


def _manifest(
    name: str,
    version: int,
    operations: tuple[str, ...],
    contents: Mapping[str, bytes],
    calibration: Calibration,
) -> FlowManifest:
    tolerance = {"absolute": 1e-3, "relative": 1e-5}

    def tensor(name: str, *columns: int) -> dict[str, Any]:
        return {"name": name, "datatype": "FP32", "shape": (-1, *columns)}

    def graph(name: str, inputs: list[Any], outputs: list[Any]) -> dict[str, Any]:
        return {
            "artifact": describe_file(f"{name}.onnx", contents[f"{name}.onnx"]),
            "opset": 20,
            "inputs": inputs,
            "outputs": [output | {"tolerance": tolerance} for output in outputs],
            "passes": 1,
        }

    error = {"median": 1e-7, "p999": 1e-6, "max": 1e-5}
    return FlowManifest.model_validate(
        {
            "format_version": 1,
            "name": name,
            "version": version,
            "family": "gaussian",
            "density": "exact",
            "density_tolerance": 0.0,
            "features": _features(),
            "latent_features": 3,
            "base": {"distribution": "standard_normal", "draws_per_row": 3},
            "graphs": {
                "log_prob": graph(
                    "log_prob",
                    [tensor("x", 4)],
                    [tensor("log_prob"), tensor("z", 3), tensor("log_det")],
                ),
                "decode": graph("decode", [tensor("z", 3)], [tensor("x", 4), tensor("log_det")]),
            },
            "operations": {
                key: FlowManifest.OPERATIONS.get(key, "log_prob") for key in operations
            },
            "golden": describe_file("golden.npz", contents["golden.npz"]),
            "calibration": {
                "artifact": describe_file("calibration.npz", contents["calibration.npz"]),
                "rows": len(calibration.scores),
                "quantiles": calibration.quantiles(),
            },
            "accuracy": {
                "rows": 16,
                "log_prob_error": error,
                "round_trip_error": error,
                "decode_log_prob_error": error,
            },
            "held_out": {
                "rows": 16,
                "log_likelihood": -6.0,
                "standard_error": 0.1,
                "log_likelihood_standardised": -4.0,
            },
            "provenance": {
                "created": "2026-01-01T00:00:00Z",
                "command": "tests/bundles.py",
                "recipe": {},
                "seed": 0,
                "data_name": "gaussian",
                "data_sha256": hashlib.sha256(b"gaussian").hexdigest(),
                "rows": {"train": 0},
                "split": "none",
                "versions": {},
                "git_commit": None,
                "training_seconds": 0.0,
            },
        }
    )


def _features() -> list[dict[str, Any]]:
    return [
        {
            "name": "pressure",
            "kind": "continuous",
            "unit": "bar",
            "training_range": (4.0, 16.0),
            "median": 10.0,
        },
        {"name": "flow", "kind": "continuous", "training_range": (-8.0, 2.0), "median": -3.0},
        {
            "name": "count",
            "kind": "integer",
            "training_range": (20.0, 61.0),
            "median": 40.0,
            "support": COUNT_RANGE,
        },
        {
            "name": "site",
            "kind": "continuous",
            "training_range": (SITE, SITE),
            "median": SITE,
            "support": (SITE, SITE),
            "role": "constant",
        },
    ]


def _log_prob_graph(mean: NDArray[np.float64]) -> bytes:
    whiten = np.vstack([_WHITEN, np.zeros((1, 3))])
    shift = np.append(mean - HALF, 0.0)
    constants = {
        "shift": shift,
        "whiten": whiten,
        "log_det_each": np.array(_LOG_DET),
        "norm": np.array(-1.5 * math.log(2.0 * math.pi)),
        "minus_half": np.array(-0.5),
        "nought": np.array(0.0),
    }
    nodes = [
        helper.make_node("Sub", ["x", "shift"], ["centred"]),
        helper.make_node("MatMul", ["centred", "whiten"], ["z"]),
        helper.make_node("Mul", ["z", "z"], ["squares"]),
        helper.make_node("ReduceSum", ["squares", "axis"], ["sum"], keepdims=0),
        helper.make_node("Mul", ["sum", "minus_half"], ["half"]),
        helper.make_node("Mul", ["sum", "nought"], ["noughts"]),
        helper.make_node("Add", ["noughts", "log_det_each"], ["log_det"]),
        helper.make_node("Add", ["half", "norm"], ["base"]),
        helper.make_node("Add", ["base", "log_det"], ["log_prob"]),
    ]
    outputs = [("log_prob", ["b"]), ("z", ["b", 3]), ("log_det", ["b"])]
    return _model(nodes, constants, ("x", ["b", 4]), outputs)


def _decode_graph(mean: NDArray[np.float64]) -> bytes:
    constants = {
        "colour": np.hstack([np.linalg.inv(_WHITEN), np.zeros((3, 1))]),
        "shift": np.append(mean - HALF, SITE),
        "nought": np.array(0.0),
        "log_det_each": np.array(-_LOG_DET),
    }
    nodes = [
        helper.make_node("MatMul", ["z", "colour"], ["scaled"]),
        helper.make_node("Add", ["scaled", "shift"], ["x"]),
        helper.make_node("ReduceSum", ["z", "axis"], ["sum"], keepdims=0),
        helper.make_node("Mul", ["sum", "nought"], ["noughts"]),
        helper.make_node("Add", ["noughts", "log_det_each"], ["log_det"]),
    ]
    return _model(nodes, constants, ("z", ["b", 3]), [("x", ["b", 4]), ("log_det", ["b"])])


def _model(
    nodes: list[Any],
    constants: Mapping[str, NDArray[np.float64]],
    source: tuple[str, list[Any]],
    outputs: list[tuple[str, list[Any]]],
) -> bytes:
    def value(name: str, shape: list[Any]) -> Any:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    initialisers = [
        numpy_helper.from_array(array.astype(np.float32), name)
        for name, array in constants.items()
    ]
    initialisers.append(numpy_helper.from_array(np.array([1], dtype=np.int64), "axis"))
    graph = helper.make_graph(
        nodes, "g", [value(*source)], [value(*o) for o in outputs], initialisers
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    onnx.checker.check_model(model)
    return model.SerializeToString()
