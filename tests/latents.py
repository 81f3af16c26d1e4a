"""Real bundles of a VAE and of an autoencoder, over :mod:`tests.linear_gaussian`."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from exported.arrays import write_arrays
from exported.bundle import describe_file, read_bundle, write_bundle
from exported.calibration import Calibration
from exported.document import parse_manifest
from exported.golden import pack
from exported.kinds import AutoencoderManifest, VAEManifest
from tests import latent_graphs as graphs
from tests.bundles import CALIBRATION_ROWS, write_gaussian
from tests.linear_gaussian import (
    DEFAULT_DEPTH,
    DIAGONAL,
    OFFERED,
    SAMPLES,
    SEED,
    SIGMA,
    Rows,
    exact_error,
    exact_gap,
    exact_log_weight,
    exact_mean,
    exact_rows,
    exact_score,
    exact_z,
    minus_error,
    rows,
)

Arrays = dict[str, NDArray[np.generic]]
Document = dict[str, Any]


def write_vae(
    root: Path,
    name: str = "vae",
    version: int = 1,
    has_depth: bool = True,
    golden_offset: float = 0.0,
) -> Path:
    """Publish the VAE; without a depth it has that of the default alone.

    A golden offset makes one whose golden rows do not replay.
    """
    written = {
        "posterior": graphs.posterior(has_depth),
        "log_weight": graphs.log_weight(has_depth),
        "decode": graphs.decode(),
        "draw": graphs.draw(),
        "reconstruct": graphs.reconstruct(has_depth),
    }
    document = _document(name, version) | {
        "density": "lower_bound",
        "family": "vae",
        "base": {"distribution": "standard_normal", "draws_per_row": 2},
        "observation": {"distribution": "standard_normal", "draws_per_row": 3},
        "likelihood": "gaussian",
        "depth": _depths() if has_depth else None,
        "scoring": {"samples": SAMPLES, "seed": SEED},
        "operations": dict(VAEManifest.OPERATIONS),
        "accuracy": {"rows": 16, "log_weight_error": _ERROR, "decode_error": _ERROR},
        "held_out": {"rows": 16, "samples": 100, **_BOUNDS},
    }
    options = ("posterior", "log_weight", "reconstruct") if has_depth else ()
    return _publish(root, document, written, _vae_golden(golden_offset), (exact_score, options))


def _vae_golden(offset: float) -> Arrays:
    x, noise = rows(16, seed=1), np.random.default_rng(2).standard_normal((16, 7, 2))
    one, other = noise[:, 0], np.random.default_rng(3).standard_normal((16, 3))
    z = exact_z(x, one)
    answers = {"mean": exact_mean(x), "scale": np.tile(np.diag(DIAGONAL), (16, 1)), "z": z}
    drawn = exact_rows(one) + np.column_stack([other * SIGMA, np.zeros(16)])
    weights = exact_log_weight(x, noise) + offset
    golden = pack("posterior", {"x": x, "noise": one}, answers)
    golden |= pack("log_weight", {"x": x, "noise": noise}, {"log_weight": weights})
    golden |= pack("decode", {"z": z}, {"x": exact_rows(z)})
    golden |= pack("draw", {"noise": one, "observation_noise": other}, {"x": drawn, "z": one})
    return golden | _come_back(x)


def _come_back(x: Rows) -> Arrays:
    back = exact_rows(exact_mean(x))
    return pack("reconstruct", {"x": x}, {"reconstruction": back, "error": exact_error(x, back)})


def write_autoencoder(root: Path, name: str = "auto", version: int = 1) -> Path:
    """Publish the autoencoder whose encoder is the posterior's mean."""
    x = rows(16, seed=1)
    z = exact_mean(x)
    golden = pack("encode", {"x": x}, {"z": z}) | pack("decode", {"z": z}, {"x": exact_rows(z)})
    written = {
        "encode": graphs.encode(),
        "decode": graphs.decode(),
        "reconstruct": graphs.reconstruct(has_depth=False),
    }
    document = _document(name, version) | {
        "density": "none",
        "family": "autoencoder",
        "operations": dict(AutoencoderManifest.OPERATIONS),
        "accuracy": {"rows": 16, "reconstruction_error": _ERROR},
        "held_out": {"rows": 16, "error": 0.4, "standard_error": 0.01},
    }
    return _publish(root, document, written, golden | _come_back(x), (minus_error, ()))


_ERROR = {"median": 1e-7, "p999": 1e-6, "max": 1e-5}
_BOUNDS = {"elbo": -7.0, "importance_bound": -6.0, "standard_error": 0.1}
_TOLERANCE = {"absolute": 1e-3, "relative": 1e-5}


def _depths() -> Document:
    offered = [
        _BOUNDS
        | {"depth": n, "elbo": -6.0 - exact_gap(n), "samples": 100, "milliseconds": 1.0 + n}
        for n in OFFERED
    ]
    return {"default": DEFAULT_DEPTH, "offered": offered}


def _document(name: str, version: int) -> Document:
    """What the Gaussian's manifest says of the same columns."""
    with tempfile.TemporaryDirectory() as folder:
        plain = read_bundle(write_gaussian(Path(folder))).manifest
    kept = ("format_version", "features", "image", "provenance")
    document = {key: json.loads(plain.model_dump_json())[key] for key in kept}
    return document | {"name": name, "version": version, "latent_features": 2}


def _publish(
    root: Path,
    document: Document,
    written: dict[str, bytes],
    golden: Arrays,
    scoring: tuple[Any, tuple[str, ...]],
) -> Path:
    score, options = scoring
    calibration = Calibration.of(score(rows(CALIBRATION_ROWS, seed=2)))
    narrow = {
        key: value.astype(np.float32) if ".in." in key else value for key, value in golden.items()
    }
    contents = {f"{key}.onnx": graph for key, graph in written.items()} | {
        "golden.npz": write_arrays(narrow),
        "calibration.npz": write_arrays({"score": calibration.scores}),
    }
    entry = {key: describe_file(key, value).model_dump() for key, value in contents.items()}
    document |= {
        "graphs": {
            key: _described(written[key], entry[f"{key}.onnx"], ["depth"] * (key in options))
            for key in written
        },
        "golden": entry["golden.npz"],
        "calibration": {
            "artifact": entry["calibration.npz"],
            "rows": len(calibration.scores),
            "quantiles": calibration.quantiles(),
        },
    }
    return write_bundle(root, parse_manifest(json.dumps(document).encode()), contents)


def _described(graph: bytes, artifact: Document, options: list[str]) -> Document:
    """The manifest's entry, its tensors as the graph itself declares them."""
    described = onnx.load_model_from_string(graph).graph
    inputs = [_tensor(value) for value in described.input if value.name not in options]
    outputs = [_tensor(value) | {"tolerance": _TOLERANCE} for value in described.output]
    return {
        "artifact": artifact,
        "opset": 20,
        "inputs": inputs,
        "outputs": outputs,
        "passes": 1,
        "options": options,
    }


def _tensor(value: Any) -> Document:
    shape = [d.dim_value or -1 for d in value.type.tensor_type.shape.dim]
    return {"name": value.name, "datatype": "FP32", "shape": shape}


def write_each_kind(root: Path) -> Path:
    """A VAE, one ``plain`` without a choice of depths, and an autoencoder; gives the root."""
    write_vae(root)
    write_vae(root, "plain", has_depth=False)
    write_autoencoder(root)
    return root
