"""The Gaussian of :mod:`tests.bundles`, moved by a context, or made as if by a solver."""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import GraphProto, TensorProto, helper, numpy_helper

from exported.arrays import write_arrays
from exported.bundle import Bundle, describe_file, read_bundle, write_bundle
from exported.golden import pack
from exported.kinds import REFERENCE_GRAPH, FlowManifest
from tests.bundles import (
    COUNT_RANGE,
    COVARIANCE,
    Exact,
    exact,
    exact_decode,
    ordinary_rows,
    write_gaussian,
)

Rows = NDArray[np.float64]
Document = dict[str, Any]

CONTEXT = ("second", "load", "plant")
PLANT = 0.3  # the constant column of the context; not a float32 number
# Seconds since 1970: float32 would tell no two of a minute apart.
CENTRE = np.array([1_700_000_000.0, 50.0, PLANT])
# What a unit of each context column adds to pressure, flow, count and site.
EFFECT = np.array([[0.1, 0.05, 0.0, 0.0], [0.02, -0.03, 0.2, 0.0], [0.0, 0.0, 0.0, 0.0]])
OFFERED, DEFAULT_STEPS = (4, 8, 32), 8


def contexts(rows: int, seed: int = 0) -> Rows:
    """Context rows, shape (rows, 3)."""
    rng = np.random.default_rng(seed)
    second = CENTRE[0] + rng.uniform(0.0, 60.0, rows)
    return np.column_stack([second, rng.integers(0, 101, rows), np.full(rows, PLANT)])


def shift(context: Rows) -> Rows:
    """How far each row is moved, shape (rows, 4)."""
    return (context - CENTRE) @ EFFECT


def exact_given(x: Rows, context: Rows) -> Exact:
    """Latents and log-density by the formula."""
    return exact(x - shift(context))


def exact_decode_given(z: Rows, context: Rows) -> Rows:
    """Rows at latents, unrounded."""
    return exact_decode(z) + shift(context)


def rows_given(context: Rows, seed: int = 0) -> Rows:
    """Rows as a table with that context would have them."""
    x = ordinary_rows(len(context), seed) + shift(context)
    x[:, 2] = np.clip(np.floor(x[:, 2] + 0.5), *COUNT_RANGE)
    return x


def write_conditional(root: Path, name: str = "given", version: int = 1) -> Path:
    """Publish the Gaussian whose mean is moved by its context, an input of float64."""
    context = contexts(16, seed=3)
    x = rows_given(context, seed=4)
    truth = exact_given(x, context)
    answers = {"log_prob": truth.log_prob, "z": truth.z, "log_det": truth.log_det}
    back = {"x": exact_decode_given(truth.z, context), "log_det": -truth.log_det}
    golden = pack("log_prob", {"x": x.astype(np.float32), "context": context}, answers)
    golden |= pack("decode", {"z": truth.z.astype(np.float32), "context": context}, back)

    def describe(document: Document) -> None:
        document["context_features"] = _context_features()
        tensor = {"name": "context", "datatype": "FP64", "shape": [-1, 3]}
        for graph in document["graphs"].values():
            graph["inputs"].append(tensor)

    graphs = {"log_prob": _move_in, "decode": _move_out}
    return _write(root, (name, version), graphs, golden, describe)


def write_stepped(root: Path, name: str = "stepped", version: int = 1) -> Path:
    """Publish the Gaussian with an error of 1 / steps nats in its log-density."""
    error = {"median": 0.1, "p999": 0.1, "max": 0.1}

    def describe(document: Document) -> None:
        offered = [
            {"steps": n, "log_prob_error": error, "round_trip_error": error, "passes": 4 * n}
            for n in OFFERED
        ]
        document["steps"] = {"default": DEFAULT_STEPS, "offered": offered}
        for graph in document["graphs"].values():
            graph["options"] = ["steps"]

    with tempfile.TemporaryDirectory() as folder:
        golden = dict(read_bundle(write_gaussian(Path(folder))).golden())
    golden["log_prob.out.log_prob"] = golden["log_prob.out.log_prob"] + 1.0 / DEFAULT_STEPS
    golden["decode.out.log_det"] = golden["decode.out.log_det"] - 1.0 / DEFAULT_STEPS
    graphs = {
        "log_prob": lambda graph: _add_error(graph, "log_prob", 1.0),
        "decode": lambda graph: _add_error(graph, "log_det", -1.0),
    }
    return _write(root, (name, version), graphs, golden, describe)


def exact_terms(x: Rows) -> Rows:
    """Log-density of each feature given those before it, by the formula; the constant's is 0."""
    log_slopes = np.log(np.diag(np.linalg.inv(np.linalg.cholesky(COVARIANCE))))
    terms = log_slopes - 0.5 * (exact(x).z ** 2 + math.log(2.0 * math.pi))
    return np.column_stack([terms, np.zeros(len(x))])


def write_ordered(root: Path, name: str = "ordered", version: int = 1) -> Path:
    """Publish the Gaussian with a graph of each feature's term."""
    with tempfile.TemporaryDirectory() as folder:
        plain = read_bundle(write_gaussian(Path(folder)))
    key = "feature_log_prob"
    x = ordinary_rows(16, seed=5)
    content = _changed(plain, "log_prob", _to_terms)
    golden = dict(plain.golden()) | pack(key, {"x": x.astype(np.float32)}, {key: exact_terms(x)})
    document = json.loads(plain.manifest.model_dump_json())
    document |= {"name": name, "version": version}
    graph = json.loads(json.dumps(document["graphs"]["log_prob"]))
    output = graph["outputs"][0] | {"name": key, "shape": [-1, 4]}
    artifact = describe_file(f"{key}.onnx", content).model_dump()
    document["graphs"][key] = graph | {"outputs": [output], "artifact": artifact}
    document["operations"][key] = key
    contents = dict(plain.contents) | {f"{key}.onnx": content, "golden.npz": write_arrays(golden)}
    document["golden"] |= describe_file("golden.npz", contents["golden.npz"]).model_dump()
    manifest = FlowManifest.model_validate_json(json.dumps(document))
    return write_bundle(root, manifest, contents)


def write_referenced(root: Path, name: str = "referenced", version: int = 1) -> Path:
    """Publish the Gaussian with its log-density in float64 beside it."""
    with tempfile.TemporaryDirectory() as folder:
        plain = read_bundle(write_gaussian(Path(folder)))
    content = _changed(plain, "log_prob", _to_float64)
    document = json.loads(plain.manifest.model_dump_json())
    document |= {"name": name, "version": version}
    graph = json.loads(json.dumps(document["graphs"]["log_prob"]))
    for output in graph["outputs"]:
        output["datatype"] = "FP64"
    graph["artifact"] = describe_file("wide.onnx", content).model_dump()
    document["graphs"][REFERENCE_GRAPH] = graph
    golden = {
        key.replace("log_prob.", f"{REFERENCE_GRAPH}.", 1): value
        for key, value in plain.golden().items()
        if key.startswith("log_prob.")
    }
    contents = dict(plain.contents) | {"wide.onnx": content}
    contents["golden.npz"] = write_arrays(dict(plain.golden()) | golden)
    document["golden"] |= describe_file("golden.npz", contents["golden.npz"]).model_dump()
    manifest = FlowManifest.model_validate_json(json.dumps(document))
    return write_bundle(root, manifest, contents)


def _to_float64(graph: GraphProto) -> None:
    for tensor in graph.initializer:
        value = numpy_helper.to_array(tensor)
        if value.dtype == np.float32:
            tensor.CopyFrom(numpy_helper.from_array(value.astype(np.float64), tensor.name))
    for node in graph.node:
        node.input[:] = ["wide" if name == "x" else name for name in node.input]
    _prepend(graph, [helper.make_node("Cast", ["x"], ["wide"], to=TensorProto.DOUBLE)])
    for output in graph.output:
        output.type.tensor_type.elem_type = TensorProto.DOUBLE


def _to_terms(graph: GraphProto) -> None:
    """From the latents on, each feature's own part."""
    places, norm = np.eye(3, 4), exact_terms(exact_decode(np.zeros((1, 3))))
    for name, value in (("places", places), ("at_zero", norm)):
        graph.initializer.append(numpy_helper.from_array(value.astype(np.float32), name))
    graph.node.extend(
        [
            helper.make_node("Mul", ["squares", "minus_half"], ["halves"]),
            helper.make_node("MatMul", ["halves", "places"], ["placed"]),
            helper.make_node("Add", ["placed", "at_zero"], ["feature_log_prob"]),
        ]
    )
    del graph.output[:]
    graph.output.append(
        helper.make_tensor_value_info("feature_log_prob", TensorProto.FLOAT, ["b", 4])
    )


def _write(
    root: Path,
    identity: tuple[str, int],
    graphs: dict[str, Callable[[GraphProto], None]],
    golden: dict[str, NDArray[np.generic]],
    describe: Callable[[Document], None],
) -> Path:
    with tempfile.TemporaryDirectory() as folder:
        plain = read_bundle(write_gaussian(Path(folder)))
    contents = dict(plain.contents) | {"golden.npz": write_arrays(golden)}
    contents |= {f"{key}.onnx": _changed(plain, key, change) for key, change in graphs.items()}
    document = json.loads(plain.manifest.model_dump_json())
    document |= {"name": identity[0], "version": identity[1]}
    describe(document)
    for entry in (document["golden"], *(g["artifact"] for g in document["graphs"].values())):
        entry |= describe_file(entry["file"], contents[entry["file"]]).model_dump()
    manifest = FlowManifest.model_validate_json(json.dumps(document))
    return write_bundle(root, manifest, contents)


def _changed(plain: Bundle, name: str, change: Callable[[GraphProto], None]) -> bytes:
    model = onnx.load_model_from_string(plain.graph(name))
    change(model.graph)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def _move_in(graph: GraphProto) -> None:
    for node in graph.node:
        node.input[:] = ["still" if name == "x" else name for name in node.input]
    nodes = [*_shift_nodes(graph), helper.make_node("Sub", ["x", "moved"], ["still"])]
    _prepend(graph, nodes)


def _move_out(graph: GraphProto) -> None:
    for node in graph.node:
        node.output[:] = ["still" if name == "x" else name for name in node.output]
    _prepend(graph, _shift_nodes(graph))
    graph.node.append(helper.make_node("Add", ["still", "moved"], ["x"]))


def _shift_nodes(graph: GraphProto) -> list[Any]:
    graph.input.append(helper.make_tensor_value_info("context", TensorProto.DOUBLE, ["b", 3]))
    graph.initializer.append(numpy_helper.from_array(CENTRE, "centre"))
    graph.initializer.append(numpy_helper.from_array(EFFECT, "effect"))
    return [
        helper.make_node("Sub", ["context", "centre"], ["off_centre"]),
        helper.make_node("MatMul", ["off_centre", "effect"], ["moved_wide"]),
        helper.make_node("Cast", ["moved_wide"], ["moved"], to=TensorProto.FLOAT),
    ]


def _add_error(graph: GraphProto, output: str, sign: float) -> None:
    for node in graph.node:
        for names in (node.input, node.output):
            names[:] = ["without_error" if name == output else name for name in names]
    graph.input.append(helper.make_tensor_value_info("steps", TensorProto.INT64, []))
    graph.initializer.append(numpy_helper.from_array(np.array(sign, np.float32), "sign"))
    graph.node.extend(
        [
            helper.make_node("Cast", ["steps"], ["wide_steps"], to=TensorProto.FLOAT),
            helper.make_node("Div", ["sign", "wide_steps"], ["error"]),
            helper.make_node("Add", ["without_error", "error"], [output]),
        ]
    )


def _prepend(graph: GraphProto, nodes: list[Any]) -> None:
    following = list(graph.node)
    del graph.node[:]
    graph.node.extend([*nodes, *following])


def _context_features() -> list[Document]:
    return [
        {
            "name": "second",
            "kind": "continuous",
            "unit": "s",
            "training_range": [CENTRE[0], CENTRE[0] + 60.0],
            "median": CENTRE[0] + 30.5,
            "support": [0.0, None],
        },
        {"name": "load", "kind": "integer", "training_range": [0.0, 100.0], "median": 50.0},
        {
            "name": "plant",
            "kind": "continuous",
            "training_range": [PLANT, PLANT],
            "median": PLANT,
            "support": [PLANT, PLANT],
            "role": "constant",
        },
    ]
