"""Graphs of the model of :mod:`tests.linear_gaussian`, written by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tests.bundles import SITE
from tests.linear_gaussian import (
    CENTRE,
    DEFAULT_DEPTH,
    DEVIATION,
    DIAGONAL,
    GAIN,
    NORM,
    ROOT,
    SIGMA,
    WEIGHTS,
)

_CONSTANTS: dict[str, Any] = {
    "pick": np.eye(4, 3),
    "place": np.eye(3, 4),
    "site": np.array([0.0, 0.0, 0.0, SITE]),
    "centre": CENTRE,
    "gain": GAIN,
    "weights_t": WEIGHTS.T,
    "sigma": SIGMA,
    "deviation": DEVIATION,
    "scales": np.diag(DIAGONAL),
    "diagonal": DIAGONAL,
    "apart": ROOT - DIAGONAL,
    "eye": np.eye(2),
    "half": np.array(0.5),
    "nought": np.array(0.0),
    "norm": np.array(NORM),
}
_MEAN = [
    helper.make_node("MatMul", ["x", "pick"], ["modelled"]),
    helper.make_node("Sub", ["modelled", "centre"], ["centred"]),
    helper.make_node("MatMul", ["centred", "gain"], ["mean"]),
]
_SPREAD = [
    helper.make_node("Cast", ["depth"], ["wide_depth"], to=TensorProto.FLOAT),
    helper.make_node("Mul", ["wide_depth", "half"], ["share"]),
    helper.make_node("Mul", ["apart", "share"], ["some"]),
    helper.make_node("Add", ["diagonal", "some"], ["spread"]),
    helper.make_node("Transpose", ["spread"], ["spread_t"], perm=[1, 0]),
    helper.make_node("MatMul", ["noise", "spread_t"], ["moved"]),
]


def _to_rows(latent: str, row: str) -> list[Any]:
    """From latents to the likelihood's mean."""
    return [
        helper.make_node("MatMul", [latent, "weights_t"], ["from_centre"]),
        helper.make_node("Add", ["from_centre", "centre"], ["varying"]),
        helper.make_node("MatMul", ["varying", "place"], ["placed"]),
        helper.make_node("Add", ["placed", "site"], [row]),
    ]


def posterior(has_depth: bool) -> bytes:
    nodes = [
        *_MEAN,
        *_SPREAD,
        helper.make_node("Add", ["mean", "moved"], ["z"]),
        helper.make_node("Mul", ["mean", "nought"], ["noughts"]),
        helper.make_node("Add", ["noughts", "scales"], ["scale"]),
    ]
    inputs = {"x": ["b", 4], "noise": ["b", 2]}
    return _graph(nodes, inputs, {n: ["b", 2] for n in ("mean", "scale", "z")}, has_depth)


def log_weight(has_depth: bool) -> bytes:
    last = {"keepdims": 0}
    nodes = [
        *_MEAN,
        *_SPREAD,
        helper.make_node("Unsqueeze", ["mean", "one"], ["means"]),
        helper.make_node("Unsqueeze", ["centred", "one"], ["all_centred"]),
        helper.make_node("Add", ["means", "moved"], ["z"]),
        helper.make_node("MatMul", ["z", "weights_t"], ["from_centre"]),
        helper.make_node("Sub", ["all_centred", "from_centre"], ["off"]),
        helper.make_node("Div", ["off", "sigma"], ["residual"]),
        helper.make_node("ReduceSumSquare", ["residual", "two"], ["misfit"], **last),
        helper.make_node("ReduceSumSquare", ["z", "two"], ["prior"], **last),
        helper.make_node("ReduceSumSquare", ["noise", "two"], ["drawn"], **last),
        helper.make_node("Add", ["misfit", "prior"], ["both"]),
        helper.make_node("Sub", ["drawn", "both"], ["balance"]),
        helper.make_node("Mul", ["balance", "half"], ["halves"]),
        helper.make_node("Mul", ["spread", "eye"], ["on_diagonal"]),
        helper.make_node("ReduceSum", ["on_diagonal", "one"], ["slopes"], **last),
        helper.make_node("Log", ["slopes"], ["log_slopes"]),
        helper.make_node("ReduceSum", ["log_slopes"], ["log_det"], **last),
        helper.make_node("Add", ["log_det", "norm"], ["constant"]),
        helper.make_node("Add", ["halves", "constant"], ["log_weight"]),
    ]
    inputs = {"x": ["b", 4], "noise": ["b", "k", 2]}
    return _graph(nodes, inputs, {"log_weight": ["b", "k"]}, has_depth)


def decode() -> bytes:
    return _graph(_to_rows("z", "x"), {"z": ["b", 2]}, {"x": ["b", 4]})


def encode() -> bytes:
    nodes = [*_MEAN, helper.make_node("Identity", ["mean"], ["z"])]
    return _graph(nodes, {"x": ["b", 4]}, {"z": ["b", 2]})


def draw() -> bytes:
    nodes = [
        *_to_rows("noise", "middle"),
        helper.make_node("Mul", ["observation_noise", "sigma"], ["off"]),
        helper.make_node("MatMul", ["off", "place"], ["off_rows"]),
        helper.make_node("Add", ["middle", "off_rows"], ["x"]),
        helper.make_node("Identity", ["noise"], ["z"]),
    ]
    inputs = {"noise": ["b", 2], "observation_noise": ["b", 3]}
    return _graph(nodes, inputs, {"x": ["b", 4], "z": ["b", 2]})


def reconstruct(has_depth: bool) -> bytes:
    """The centre is the same at every depth, which is taken all the same."""
    nodes = [
        *_MEAN,
        helper.make_node("Cast", ["depth"], ["wide_depth"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["wide_depth", "nought"], ["nothing"]),
        helper.make_node("Add", ["mean", "nothing"], ["still"]),
        *_to_rows("still", "reconstruction"),
        helper.make_node("Sub", ["modelled", "varying"], ["off"]),
        helper.make_node("Div", ["off", "deviation"], ["scaled"]),
        helper.make_node("Mul", ["scaled", "scaled"], ["squares"]),
        helper.make_node("ReduceMean", ["squares", "one"], ["square"], keepdims=0),
        helper.make_node("Sqrt", ["square"], ["error"]),
    ]
    outputs = {"reconstruction": ["b", 4], "error": ["b"]}
    return _graph(nodes, {"x": ["b", 4]}, outputs, has_depth)


def _graph(
    nodes: list[Any],
    inputs: dict[str, list[Any]],
    outputs: dict[str, list[Any]],
    has_depth: bool = False,
) -> bytes:
    """A model of these nodes; the depth is an input, or the default in the graph itself."""

    def values(shapes: dict[str, list[Any]]) -> list[Any]:
        return [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
            for name, shape in shapes.items()
        ]

    used = {name for node in nodes for name in node.input}
    given = values(inputs)
    whole = {"one": np.array([1]), "two": np.array([2]), "depth": np.array(DEFAULT_DEPTH)}
    if has_depth:
        del whole["depth"]
        given.append(helper.make_tensor_value_info("depth", TensorProto.INT64, []))
    numbers = {key: np.asarray(value, np.float32) for key, value in _CONSTANTS.items()}
    numbers |= {key: value.astype(np.int64) for key, value in whole.items()}
    kept = [numpy_helper.from_array(v, k) for k, v in numbers.items() if k in used]
    graph = helper.make_graph(nodes, "g", given, values(outputs), kept)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    onnx.checker.check_model(model)
    return model.SerializeToString()
