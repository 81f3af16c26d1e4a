"""Ways to run a graph: from the host as the service does, bound, captured, or by TensorRT."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnxruntime.capi.onnxruntime_pybind11_state as native
from numpy.typing import NDArray
from onnx import TensorProto, helper
from onnxruntime import InferenceSession, OrtValue

from service.runtime import Provider, Runtime, session_options

HOST = "as served"
BOUND = "bound"
RESIDENT = "rows stay on the device"
CAPTURED = "CUDA graph"
TENSORRT = "TensorRT"

Providers = Sequence[tuple[str, Mapping[str, str]]]
Answer = Sequence[NDArray[np.generic]]
# What onnxruntime raises of graphs, providers and devices.
REFUSED = (
    native.EPFail,
    native.Fail,
    native.InvalidArgument,
    native.InvalidGraph,
    native.NotImplemented,
    native.RuntimeException,
    RuntimeError,
)
_TENSORRT = "TensorrtExecutionProvider"
_IR_VERSION, _OPSET = 10, 20
_DTYPES = {"tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(int64)": np.int64}


def served(provider: Provider) -> Providers:
    """The service's."""
    return Runtime(provider, sessions=1).providers()


def captured() -> Providers:
    """CUDA's with the kernels of a call recorded once; for one number of rows a session."""
    (name, options), cpu = served("cuda")
    return [(name, {**options, "enable_cuda_graph": "1"}), cpu]


def tensorrt(name: str, features: int, most_rows: int) -> Providers:
    """TensorRT's for 1 row to the most there are, with CUDA for what it has no kernels for.

    TF32 is off only where ``NVIDIA_TF32_OVERRIDE`` is 0: there is no option for it.
    """
    shapes = {"min": 1, "opt": min(1024, most_rows), "max": most_rows}
    profile = {
        f"trt_profile_{which}_shapes": f"{name}:{rows}x{features}"
        for which, rows in shapes.items()
    }
    return [(_TENSORRT, {"device_id": "0", **profile}), *served("cuda")]


def opened(content: bytes, providers: Providers) -> InferenceSession:
    """A session with the service's options.

    Raises:
        RuntimeError: If it does not run on the provider that is preferred.
    """
    session = InferenceSession(
        content, session_options(), providers=list(providers), enable_fallback=0
    )
    if session.get_providers()[0] != providers[0][0]:
        raise RuntimeError(f"expected {providers[0][0]}, got {session.get_providers()[0]}")
    return session


def has_tensorrt() -> bool:
    """Whether onnxruntime can use it here."""
    try:
        opened(one_node("Neg", ["x"], 1), [(_TENSORRT, {}), *served("cuda")])
    except REFUSED:
        return False
    return True


def one_node(node: str, inputs: list[str], side: int) -> bytes:
    """A graph of one operator from a square matrix ``x`` to another, ``y``."""
    tensors = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, (side, side)) for name in "xy"
    ]
    graph = helper.make_graph(
        [helper.make_node(node, inputs, ["y"])], "one", tensors[:1], tensors[1:]
    )
    opset = [helper.make_opsetid("", _OPSET)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=_IR_VERSION)
    content: bytes = model.SerializeToString()
    return content


@dataclass(frozen=True, slots=True)
class Bound:
    """Inputs and outputs in memory of a device, the same for every call.

    Attributes:
        copied: A call with a copy to the device and one back; the outputs.
        resident: A call without.
        answer: Outputs of the last call.
    """

    copied: Callable[[], Answer]
    resident: Callable[[], object]
    answer: Callable[[], Answer]


def bound(
    session: InferenceSession,
    feed: Mapping[str, NDArray[np.generic]],
    shapes: Mapping[str, tuple[int, ...]],
    device: str,
) -> Bound:
    """Bind a session to inputs, of which the first is that of the rows, and to outputs.

    Args:
        session: To run.
        feed: Its inputs; scalars stay on the host, where loops count.
        shapes: Of its outputs, in order.
        device: ``cuda`` or ``cpu``.
    """
    binding, (first, *scalars) = session.io_binding(), feed
    rows = np.ascontiguousarray(feed[first])
    inside = OrtValue.ortvalue_from_numpy(rows, device, 0)
    binding.bind_ortvalue_input(first, inside)
    for name in scalars:
        binding.bind_cpu_input(name, feed[name])
    outputs = [
        OrtValue.ortvalue_from_shape_and_type(shapes[one.name], _DTYPES[one.type], device, 0)
        for one in session.get_outputs()
    ]
    for one, value in zip(session.get_outputs(), outputs, strict=True):
        binding.bind_ortvalue_output(one.name, value)

    def resident() -> None:
        session.run_with_iobinding(binding)
        binding.synchronize_outputs()

    def answer() -> Answer:
        return [value.numpy() for value in outputs]

    def copied() -> Answer:
        inside.update_inplace(rows)
        resident()
        return answer()

    return Bound(copied, resident, answer)
