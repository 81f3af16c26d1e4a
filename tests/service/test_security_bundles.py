"""Bundles from untrusted places, as the service meets them."""

from __future__ import annotations

import ast
import time
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from exported.arrays import read_arrays
from exported.bundle import Bundle, describe_file, read_bundle
from exported.errors import BundleInvalidError
from service.loaded import open_graphs, open_sessions
from service.runtime import Runtime
from tests.bundles import write_gaussian

ROOT = Path(__file__).parents[2]
CPU = Runtime.choose("cpu", sessions=1)
PLACES = ("exported", "service", "logdet", "training")


def with_graph(bundle: Bundle, model: onnx.ModelProto) -> Bundle:
    """The bundle with another graph in the place of log_prob, all digests made right."""
    content = model.SerializeToString()
    graph = bundle.manifest.graphs["log_prob"]
    entry = describe_file(graph.artifact.file, content)
    graphs = {
        **bundle.manifest.graphs,
        "log_prob": graph.model_copy(update={"artifact": entry}),
    }
    manifest = bundle.manifest.model_copy(update={"graphs": graphs})
    return Bundle(manifest, {**bundle.contents, entry.file: content})


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return read_bundle(write_gaussian(tmp_path))


@pytest.mark.parametrize("location", ["../../../../etc/passwd", "/etc/passwd"])
def test_a_graph_that_reads_a_file_is_refused_in_a_sentence(bundle: Bundle, location: str) -> None:
    model = onnx.ModelProto.FromString(bundle.graph("log_prob"))
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    for load in (open_graphs, open_sessions):  # of the service, of the command that verifies
        with pytest.raises(BundleInvalidError, match="its numbers in another file") as refused:
            load(with_graph(bundle, model), CPU)
        assert location in str(refused.value)


def test_a_graph_that_takes_for_ever_is_given_up(bundle: Bundle) -> None:
    """As many rounds as are allowed, each of them slow."""
    body = helper.make_graph(
        [helper.make_node("Identity", ["on"], ["more"])]
        + [
            helper.make_node("Sin", ["state" if i == 0 else f"s{i - 1}"], [f"s{i}"])
            for i in range(200)
        ],
        "body",
        [
            helper.make_tensor_value_info("round", TensorProto.INT64, []),
            helper.make_tensor_value_info("on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("state", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("more", TensorProto.BOOL, []),
            helper.make_tensor_value_info("s199", TensorProto.FLOAT, None),
        ],
    )
    model = onnx.ModelProto.FromString(bundle.graph("log_prob"))
    model.graph.initializer.append(numpy_helper.from_array(np.array(99_999, np.int64), "rounds"))
    model.graph.initializer.append(numpy_helper.from_array(np.array(True), "true"))
    loop = helper.make_node("Loop", ["rounds", "true", "x"], ["slow"], body=body)
    model.graph.node.insert(0, loop)
    for node in model.graph.node[1:]:
        for place, name in enumerate(node.input):
            if name == "x":
                node.input[place] = "slow"
    slow = with_graph(bundle, model)
    sessions = CPU.load(slow.manifest.graphs["log_prob"], slow.graph("log_prob"))
    rows = {"x": slow.golden()["log_prob.in.x"]}
    started = time.monotonic()
    with pytest.raises(BundleInvalidError, match=r"did not answer its golden rows in 0\.5 s"):
        sessions.replay(rows, within_s=0.5)
    assert time.monotonic() - started < 10


def test_what_is_not_onnx_is_not_read_as_something_else(bundle: Bundle) -> None:
    graph = bundle.manifest.graphs["log_prob"]
    with pytest.raises(BundleInvalidError, match="onnxruntime refuses"):
        CPU.load(graph, b"\x10\x00\x00\x00ORTM" + bytes(64))


def test_nothing_of_ours_unpickles() -> None:
    """Every np.load says that it does not; pickle and its kin are not called at all."""
    loads, called = [], set()
    for path in (path for place in PLACES for path in (ROOT / place).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                name = ast.unparse(node.func)
                called.add(name)
                if name in ("np.load", "numpy.load"):
                    loads.append((path, {k.arg: ast.unparse(k.value) for k in node.keywords}))
    assert all(given.get("allow_pickle") == "False" for _, given in loads), loads
    forbidden = ("pickle.", "dill.", "joblib.", "shelve.", "marshal.")
    assert not [name for name in called if name.startswith(forbidden)]


def test_an_archive_of_pickled_objects_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "evil.npz"
    np.savez(path, x=np.array([{"a": 1}], dtype=object))
    with pytest.raises(BundleInvalidError, match="not a plain array"):
        read_arrays(path.read_bytes())
