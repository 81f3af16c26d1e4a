"""Model configuration, in the form that the extension and its clients expect."""

from __future__ import annotations

from typing import Any

from service.oip.messages import ModelSpec, TensorSpec

PLATFORM = "onnx_onnxv1"


def metadata_of(spec: ModelSpec) -> dict[str, Any]:
    """A model's metadata."""
    return {
        "name": spec.name,
        "versions": list(spec.versions),
        "platform": PLATFORM,
        "inputs": [_described(tensor) for tensor in spec.inputs],
        "outputs": [_described(tensor) for tensor in spec.outputs],
        "properties": dict(spec.properties),
    }


def config_of(spec: ModelSpec, max_rows: int) -> dict[str, Any]:
    """A model's configuration, with the names that the protocol's messages have.

    Args:
        spec: Of the model.
        max_rows: Most rows of a request; the sizes then leave out the axis of rows.
    """
    return {
        "name": spec.name,
        "platform": PLATFORM,
        "backend": "onnxruntime",
        "version_policy": {"specific": {"versions": [int(v) for v in spec.versions]}},
        "max_batch_size": max_rows if spec.batched else 0,
        "input": [_configured(tensor, batched=spec.batched) for tensor in spec.inputs],
        "output": [_configured(tensor, batched=spec.batched) for tensor in spec.outputs],
        "dynamic_batching": {},
    }


def _described(tensor: TensorSpec) -> dict[str, Any]:
    return {"name": tensor.name, "datatype": tensor.datatype, "shape": list(tensor.shape)}


def _configured(tensor: TensorSpec, *, batched: bool) -> dict[str, Any]:
    # One value a row has no axis of its own, but the configuration needs a size.
    dims = list(tensor.shape[1:] or (1,)) if batched else list(tensor.shape)
    return {"name": tensor.name, "data_type": f"TYPE_{tensor.datatype}", "dims": dims}
