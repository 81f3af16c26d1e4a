"""A bundle of any number of independent normal features, for what depends on their number."""

from __future__ import annotations

import json
import math
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from exported.arrays import write_arrays
from exported.bundle import describe_file, read_bundle, write_bundle
from exported.golden import pack
from exported.kinds import FlowManifest
from tests.bundles import write_gaussian

CENTRE, SCALE = 10.0, 2.0


def write_independent(root: Path, name: str, features: int) -> Path:
    """Publish ``features`` columns a, b, .. each normal with mean 10 and deviation 2."""
    log_scales = features * math.log(SCALE)
    z = np.random.default_rng(0).standard_normal((4, features))
    x = (z * SCALE + CENTRE).astype(np.float32)
    z = ((x - CENTRE) / SCALE).astype(np.float32).astype(np.float64)
    log_det = np.full(4, -log_scales)
    base = -0.5 * (z * z).sum(axis=1) - 0.5 * features * math.log(2.0 * math.pi)
    golden = pack("log_prob", {"x": x}, {"log_prob": base + log_det, "z": z, "log_det": log_det})
    back = {"x": z * SCALE + CENTRE, "log_det": -log_det}
    golden |= pack("decode", {"z": z.astype(np.float32)}, back)
    with tempfile.TemporaryDirectory() as folder:
        plain = read_bundle(write_gaussian(Path(folder)))
    contents = dict(plain.contents) | {
        "golden.npz": write_arrays(golden),
        "log_prob.onnx": _log_prob(features, -log_scales),
        "decode.onnx": _decode(features, log_scales),
    }
    document = json.loads(plain.manifest.model_dump_json()) | _sizes(name, features)
    for graph, tensors in zip(("log_prob", "decode"), (("x", "z"), ("z", "x")), strict=True):
        for tensor in (
            t for side in ("inputs", "outputs") for t in document["graphs"][graph][side]
        ):
            if tensor["name"] in tensors:
                tensor["shape"] = [-1, features]
    for entry in (document["golden"], *(g["artifact"] for g in document["graphs"].values())):
        entry |= describe_file(entry["file"], contents[entry["file"]]).model_dump()
    return write_bundle(root, FlowManifest.model_validate_json(json.dumps(document)), contents)


def _sizes(name: str, features: int) -> dict[str, Any]:
    columns = [
        {
            "name": chr(ord("a") + i),
            "kind": "continuous",
            "unit": "bar",
            "training_range": [CENTRE - 3 * SCALE, CENTRE + 3 * SCALE],
            "median": CENTRE,
        }
        for i in range(features)
    ]
    return {
        "name": name,
        "features": columns,
        "latent_features": features,
        "base": {"distribution": "standard_normal", "draws_per_row": features},
    }


def _log_prob(features: int, log_det: float) -> bytes:
    constants = {
        "centre": CENTRE,
        "scale": SCALE,
        "half": -0.5,
        "nought": 0.0,
        "log_det_each": log_det,
        "norm": log_det - 0.5 * features * math.log(2.0 * math.pi),
    }
    nodes = [
        helper.make_node("Sub", ["x", "centre"], ["centred"]),
        helper.make_node("Div", ["centred", "scale"], ["z"]),
        helper.make_node("ReduceSumSquare", ["z", "axis"], ["sum"], keepdims=0),
        helper.make_node("Mul", ["sum", "half"], ["halves"]),
        helper.make_node("Add", ["halves", "norm"], ["log_prob"]),
        helper.make_node("Mul", ["sum", "nought"], ["noughts"]),
        helper.make_node("Add", ["noughts", "log_det_each"], ["log_det"]),
    ]
    outputs = {"log_prob": ["b"], "z": ["b", features], "log_det": ["b"]}
    return _model(nodes, constants, ("x", features), outputs)


def _decode(features: int, log_det: float) -> bytes:
    constants = {"centre": CENTRE, "scale": SCALE, "nought": 0.0, "log_det_each": log_det}
    nodes = [
        helper.make_node("Mul", ["z", "scale"], ["scaled"]),
        helper.make_node("Add", ["scaled", "centre"], ["x"]),
        helper.make_node("ReduceSumSquare", ["z", "axis"], ["sum"], keepdims=0),
        helper.make_node("Mul", ["sum", "nought"], ["noughts"]),
        helper.make_node("Add", ["noughts", "log_det_each"], ["log_det"]),
    ]
    return _model(nodes, constants, ("z", features), {"x": ["b", features], "log_det": ["b"]})


def _model(
    nodes: list[Any],
    constants: dict[str, float],
    source: tuple[str, int],
    outputs: dict[str, list[Any]],
) -> bytes:
    def value(name: str, shape: list[Any]) -> Any:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    numbers = [numpy_helper.from_array(np.array(v, np.float32), k) for k, v in constants.items()]
    axis = numpy_helper.from_array(np.array([1], dtype=np.int64), "axis")
    name, features = source
    graph = helper.make_graph(
        nodes,
        "g",
        [value(name, ["b", features])],
        [value(*output) for output in outputs.items()],
        [*numbers, axis],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    onnx.checker.check_model(model)
    return model.SerializeToString()
