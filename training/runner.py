"""Exported graphs in onnxruntime, beside the same answers from float64 torch."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnxruntime as ort
import torch
from numpy.typing import NDArray
from torch import Tensor

from exported.golden import Arrays
from exported.kinds import GRADIENT_GRAPH
from training.chunks import rows_at_once
from training.columns import MAX_SIZE, Columns
from training.flow import Flow
from training.prepared import Prepared


class Runner:
    """Runs exported graphs as the service does: one thread, each in its own precision.

    Args:
        graphs: ONNX bytes by name.
        steps: Of graphs with a solver, where a call does not choose.

    Attributes:
        names: Of the graphs.
    """

    def __init__(self, graphs: Mapping[str, bytes], steps: int | None = None) -> None:
        self.steps = steps
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self.names = tuple(graphs)
        self._sessions = {
            name: ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
            for name, content in graphs.items()
        }

    def at(self, steps: int) -> Runner:
        """The same graphs with another number of steps."""
        other = copy.copy(self)
        other.steps = steps
        return other

    def __call__(self, graph: str, inputs: Arrays) -> dict[str, NDArray[np.generic]]:
        """Run a graph; see :data:`exported.golden.RunGraph`."""
        session = self._sessions[graph]
        names = [output.name for output in session.get_outputs()]
        options: Arrays = {name: value for name, value in inputs.items() if not value.ndim}
        if self.steps is not None:
            options = {"steps": np.array(self.steps, np.int64), **options}
        tensors = {name: value for name, value in inputs.items() if value.ndim}
        first = next(iter(tensors.values()))
        rows, step = len(first), rows_at_once(first.shape[1])
        parts = [
            session.run(names, {k: v[i : i + step] for k, v in tensors.items()} | dict(options))
            for i in range(0, rows, step)
        ]
        return {name: np.concatenate([p[i] for p in parts]) for i, name in enumerate(names)}


@dataclass(frozen=True, slots=True)
class Answers:
    """A graph's answers and the true ones.

    Attributes:
        graph: Its name.
        inputs: What it was asked.
        got: From onnxruntime.
        truth: From the trained flow in float64, asked the same; a solver takes as many steps.
    """

    graph: str
    inputs: Arrays
    got: Mapping[str, NDArray[np.generic]]
    truth: Mapping[str, NDArray[np.float64]]

    def context(self) -> Arrays:
        """The context that was asked about; nothing without one."""
        return {name: value for name, value in self.inputs.items() if name == "context"}

    def within_float32(self) -> Answers:
        """Without the rows whose true values float32 does not hold: no graph can give those."""
        held = np.all(
            [
                (np.abs(value).reshape(len(value), -1) <= MAX_SIZE).all(axis=1)
                for value in self.truth.values()
            ],
            axis=0,
        )
        inputs = {name: value[held] for name, value in self.inputs.items()}
        got = {name: value[held] for name, value in self.got.items()}
        truth = {name: value[held] for name, value in self.truth.items()}
        return Answers(self.graph, inputs, got, truth)

    def error(self, output: str) -> NDArray[np.float64]:
        """Absolute difference of an output, shaped like it."""
        got = self.got[output].astype(np.float64)
        return np.asarray(np.abs(got - self.truth[output]), dtype=np.float64)


def ask(run: Runner, density: Flow, prepared: Prepared, graph: str, inputs: Arrays) -> Answers:
    """Ask a graph and the float64 flow the same."""
    truth = _TRUTHS[graph](density, prepared, inputs)
    return Answers(graph, inputs, run(graph, inputs), truth)


@torch.no_grad()
def _encoded(density: Flow, prepared: Prepared, inputs: Arrays) -> dict[str, NDArray[np.float64]]:
    rows = prepared.modelled(inputs["x"].astype(np.float64))
    z, log_det = density.bijection.encode(rows, _conditions(prepared, inputs))
    log_prob = density.base.log_prob(z) + log_det
    return {"log_prob": log_prob.numpy(), "z": z.numpy(), "log_det": log_det.numpy()}


@torch.no_grad()
def decoded(density: Flow, prepared: Prepared, inputs: Arrays) -> dict[str, NDArray[np.float64]]:
    """The float64 flow's answer to what the graph ``decode`` is asked."""
    z = torch.from_numpy(inputs["z"].astype(np.float64))
    x, log_det = density.bijection.decode(z, _conditions(prepared, inputs))
    return {"x": _all_columns(prepared.columns, x.numpy()), "log_det": log_det.numpy()}


@torch.no_grad()
def _terms(density: Flow, prepared: Prepared, inputs: Arrays) -> dict[str, NDArray[np.float64]]:
    rows = prepared.modelled(inputs["x"].astype(np.float64))
    terms = np.zeros(inputs["x"].shape)  # A constant column has probability one.
    modelled = density.feature_log_prob(rows, _conditions(prepared, inputs))
    terms[:, prepared.columns.modelled_index] = modelled.numpy()
    return {"feature_log_prob": terms}


def _gradient(density: Flow, prepared: Prepared, inputs: Arrays) -> dict[str, NDArray[np.float64]]:
    rows = prepared.modelled(inputs["x"].astype(np.float64)).requires_grad_()
    with torch.enable_grad():
        log_prob = density(rows, _conditions(prepared, inputs))
        (slope,) = torch.autograd.grad(log_prob.sum(), rows)
    columns = prepared.columns
    gradient = np.zeros(inputs["x"].shape)  # A constant column does not vary.
    deviation = np.array([column.deviation for column in columns.modelled])
    gradient[:, columns.modelled_index] = slope.numpy() * deviation
    return {GRADIENT_GRAPH: gradient}


# The float64 answers to what each graph is asked.
_TRUTHS = {
    "log_prob": _encoded,
    "decode": decoded,
    "feature_log_prob": _terms,
    GRADIENT_GRAPH: _gradient,
}


def _conditions(prepared: Prepared, inputs: Arrays) -> Tensor | None:
    return (
        prepared.conditions(inputs["context"].astype(np.float64)) if "context" in inputs else None
    )


def _all_columns(columns: Columns, modelled: NDArray[np.float64]) -> NDArray[np.float64]:
    rows = np.tile([column.low for column in columns.all], (len(modelled), 1))
    rows[:, columns.modelled_index] = modelled
    return np.asarray(np.clip(rows, *columns.edges))
