"""Exported graphs in onnxruntime, beside the same answers from float64 torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnxruntime as ort
import torch
from numpy.typing import NDArray
from torch import Tensor

from exported.golden import Arrays
from training.columns import Columns
from training.evaluate import EVALUATION_ROWS
from training.flow import Flow
from training.prepared import Prepared


class Runner:
    """Runs exported graphs as the service does: one thread, float32.

    Args:
        graphs: ONNX bytes by name.
    """

    def __init__(self, graphs: Mapping[str, bytes]) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._sessions = {
            name: ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
            for name, content in graphs.items()
        }

    def __call__(self, graph: str, inputs: Arrays) -> dict[str, NDArray[np.generic]]:
        """Run a graph; see :data:`exported.golden.RunGraph`."""
        session = self._sessions[graph]
        names = [output.name for output in session.get_outputs()]
        rows = len(next(iter(inputs.values())))
        parts = [
            session.run(names, {k: v[start : start + EVALUATION_ROWS] for k, v in inputs.items()})
            for start in range(0, rows, EVALUATION_ROWS)
        ]
        return {name: np.concatenate([p[i] for p in parts]) for i, name in enumerate(names)}


@dataclass(frozen=True, slots=True)
class Answers:
    """A graph's answers and the true ones.

    Attributes:
        graph: Its name.
        inputs: What it was asked.
        got: From onnxruntime.
        truth: From the trained flow in float64, asked the same.
    """

    graph: str
    inputs: Arrays
    got: Mapping[str, NDArray[np.generic]]
    truth: Mapping[str, NDArray[np.float64]]

    def context(self) -> Arrays:
        """The context that was asked about; nothing without one."""
        return {name: value for name, value in self.inputs.items() if name == "context"}

    def error(self, output: str) -> NDArray[np.float64]:
        """Absolute difference of an output, shaped like it."""
        got = self.got[output].astype(np.float64)
        return np.asarray(np.abs(got - self.truth[output]), dtype=np.float64)


def ask(run: Runner, density: Flow, prepared: Prepared, graph: str, inputs: Arrays) -> Answers:
    """Ask a graph and the float64 flow the same."""
    truth = _decoded if graph == "decode" else _encoded
    return Answers(graph, inputs, run(graph, inputs), truth(density, prepared, inputs))


@torch.no_grad()
def _encoded(density: Flow, prepared: Prepared, inputs: Arrays) -> dict[str, NDArray[np.float64]]:
    rows = prepared.modelled(inputs["x"].astype(np.float64))
    z, log_det = density.bijection.encode(rows, _conditions(prepared, inputs))
    log_prob = density.base.log_prob(z) + log_det
    return {"log_prob": log_prob.numpy(), "z": z.numpy(), "log_det": log_det.numpy()}


@torch.no_grad()
def _decoded(density: Flow, prepared: Prepared, inputs: Arrays) -> dict[str, NDArray[np.float64]]:
    z = torch.from_numpy(inputs["z"].astype(np.float64))
    x, log_det = density.bijection.decode(z, _conditions(prepared, inputs))
    return {"x": _all_columns(prepared.columns, x.numpy()), "log_det": log_det.numpy()}


def _conditions(prepared: Prepared, inputs: Arrays) -> Tensor | None:
    return (
        prepared.conditions(inputs["context"].astype(np.float64)) if "context" in inputs else None
    )


def _all_columns(columns: Columns, modelled: NDArray[np.float64]) -> NDArray[np.float64]:
    rows = np.tile([column.low for column in columns.all], (len(modelled), 1))
    rows[:, columns.modelled_index] = modelled
    return rows
