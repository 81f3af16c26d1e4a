"""A complete bundle whose graphs are placeholder bytes: nothing here runs one."""

from pathlib import Path

import numpy as np
import pytest

from exported.arrays import write_arrays
from exported.bundle import describe_file, write_bundle
from exported.golden import pack
from exported.kinds import FlowManifest

_ERRORS = {"median": 1e-6, "p999": 1e-5, "max": 1e-5}


@pytest.fixture
def contents() -> dict[str, bytes]:
    x = np.array([[0.5, 1.0], [2.0, 3.0]])
    by_row = np.array([-1.0, -2.0])
    golden = pack("log_prob", {"x": x}, {"log_prob": by_row, "z": x, "log_det": by_row})
    golden |= pack("decode", {"z": x}, {"x": x, "log_det": -by_row})
    return {
        "log_prob.onnx": b"placeholder of a graph",
        "decode.onnx": b"placeholder of another graph",
        "golden.npz": write_arrays(golden),
        "calibration.npz": write_arrays({"log_prob": np.linspace(-9.0, -1.0, 99)}),
    }


@pytest.fixture
def document(contents: dict[str, bytes]) -> dict:
    """The manifest as a plain document, to be changed by a test."""
    entry = {name: describe_file(name, content).model_dump() for name, content in contents.items()}
    x, z = _tensor("x", 2), _tensor("z", 2)
    by_row = [_output("log_prob"), _output("z", 2), _output("log_det")]
    features = [_feature("speed", "continuous"), _feature("count", "integer")]
    return {
        "format_version": 1,
        "name": "example",
        "version": 3,
        "family": "spline_coupling",
        "density": "exact",
        "density_tolerance": 0.0,
        "features": features,
        "latent_features": 2,
        "base": {"distribution": "standard_normal", "draws_per_row": 2},
        "graphs": {
            "log_prob": _graph(entry["log_prob.onnx"], [x], by_row),
            "decode": _graph(entry["decode.onnx"], [z], [_output("x", 2), _output("log_det")]),
        },
        "operations": {"log_prob": "log_prob", "sample": "decode"},
        "golden": entry["golden.npz"],
        "calibration": {
            "artifact": entry["calibration.npz"],
            "rows": 99,
            "quantiles": {"0.5": -5.0},
        },
        "accuracy": {
            "rows": 100,
            "log_prob_error": _ERRORS,
            "round_trip_error": _ERRORS,
            "decode_log_prob_error": _ERRORS,
        },
        "held_out": {
            "rows": 100,
            "log_likelihood": -3.5,
            "standard_error": 0.01,
            "log_likelihood_standardised": -2.5,
        },
        "provenance": {
            "created": "2025-01-01T00:00:00Z",
            "command": "logdet train example",
            "recipe": {"layers": 4},
            "seed": 0,
            "data_name": "example",
            "data_sha256": "0" * 64,
            "rows": {"train": 1000},
            "split": "by hand",
            "versions": {"torch": "2"},
            "git_commit": None,
            "training_seconds": 1.0,
        },
    }


@pytest.fixture
def manifest(document: dict) -> FlowManifest:
    return FlowManifest.model_validate(document)


@pytest.fixture
def folder(tmp_path: Path, manifest: FlowManifest, contents: dict[str, bytes]) -> Path:
    """A published bundle."""
    return write_bundle(tmp_path / "bundles", manifest, contents)


def _feature(name: str, kind: str) -> dict:
    return {
        "name": name,
        "kind": kind,
        "training_range": [0.0, 5.0],
        "median": 2.0,
        "support": [0.0, None],
    }


def _tensor(name: str, *sizes: int) -> dict:
    return {"name": name, "datatype": "FP32", "shape": [-1, *sizes]}


def _output(name: str, *sizes: int) -> dict:
    return _tensor(name, *sizes) | {"tolerance": {"absolute": 1e-4, "relative": 1e-5}}


def _graph(artifact: dict, inputs: list[dict], outputs: list[dict]) -> dict:
    return {"artifact": artifact, "opset": 20, "inputs": inputs, "outputs": outputs, "passes": 1}
