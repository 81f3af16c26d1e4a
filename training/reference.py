"""The float64 graph of a flow, against which a service holds its answers while it serves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import onnxruntime.capi.onnxruntime_pybind11_state as native

from exported.kinds import REFERENCE_GRAPH
from exported.manifest import Tolerance
from training.runner import Answers, Runner

# Largest error of the float64 graph that is published: nats, plus a share of log_prob itself. A
# float32 graph may be off by ten thousand times as much.
MAX_ERROR, MAX_SHARE = 1e-6, 1e-9
# Golden rows must replay on other processors too, whose sums have another order.
LEAST_TOLERANCE = Tolerance(absolute=1e-8, relative=1e-9)


def runnable(graphs: Mapping[str, bytes]) -> dict[str, bytes]:
    """The graphs, without the float64 one where onnxruntime has no kernels for it.

    On a CPU it has none for convolutions.
    """
    try:
        Runner({name: graphs[name] for name in graphs if name == REFERENCE_GRAPH})
    except native.NotImplemented:
        return {name: content for name, content in graphs.items() if name != REFERENCE_GRAPH}
    return dict(graphs)


def answers(run: Runner, encoded: Answers) -> Answers:
    """What the float64 graph answers to what ``log_prob`` was asked."""
    got = run(REFERENCE_GRAPH, encoded.inputs)
    return replace(encoded, graph=REFERENCE_GRAPH, got=got)


def refuse_inexact(asked: Answers) -> None:
    """Refuse a float64 graph that is no measure of a float32 one.

    Raises:
        ValueError: If it is.
    """
    error, truth = asked.error("log_prob"), asked.truth["log_prob"]
    # Also refuses what is not a number.
    if not (error <= MAX_ERROR + MAX_SHARE * np.abs(truth)).all():
        raise ValueError(
            f"not published: the float64 graph is up to {error.max():.3g} nats from float64, "
            f"at most {MAX_ERROR} is accepted"
        )
