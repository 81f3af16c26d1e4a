"""Golden rows: inputs with the float64 answers that every platform must reproduce.

``golden.npz`` holds ``GRAPH.in.TENSOR`` and ``GRAPH.out.TENSOR`` for each graph; options have the
manifest's defaults.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from exported.errors import BundleInvalidError
from exported.manifest import Manifest

Arrays = Mapping[str, NDArray[np.generic]]
RunGraph = Callable[[str, Arrays], Arrays]


@dataclass(frozen=True, slots=True)
class Replayed:
    """The worst difference of one output over the golden rows.

    Attributes:
        graph: Name of the graph.
        output: Name of its output.
        error: Largest absolute difference.
        excess: Largest difference as a multiple of the tolerance; over 1 is a mismatch.
    """

    graph: str
    output: str
    error: float
    excess: float

    @property
    def matches(self) -> bool:
        """Within the tolerance; NaN is a mismatch."""
        return self.excess <= 1.0


def pack(graph: str, inputs: Arrays, outputs: Arrays) -> dict[str, NDArray[np.generic]]:
    """Name one graph's golden arrays for the archive."""
    packed = {f"{graph}.in.{name}": value for name, value in inputs.items()}
    return packed | {f"{graph}.out.{name}": value for name, value in outputs.items()}


def compare(manifest: Manifest, golden: Arrays, run: RunGraph) -> list[Replayed]:
    """Run every graph on its golden rows and measure the differences.

    Args:
        manifest: Says which graphs, tensors and tolerances.
        golden: The arrays of ``golden.npz``.
        run: Executes a graph by name.

    Raises:
        BundleInvalidError: If an array is missing, or an answer has another shape.
    """
    results = []
    for name, graph in manifest.graphs.items():
        inputs = {t.name: _array(golden, f"{name}.in.{t.name}") for t in graph.inputs}
        options = {k: np.array(v, np.int64) for k, v in manifest.options(name).items()}
        got = run(name, inputs | options)
        for tensor in graph.outputs:
            expected = _array(golden, f"{name}.out.{tensor.name}").astype(np.float64)
            results.append(_compare(name, tensor.name, got[tensor.name], expected, manifest))
    return results


def replay(manifest: Manifest, golden: Arrays, run: RunGraph) -> list[Replayed]:
    """Compare, and refuse a bundle whose answers are not the golden ones.

    Raises:
        BundleInvalidError: As :func:`compare`, and if an answer is further from the expected one
            than the manifest's tolerance, or not finite.
    """
    results = compare(manifest, golden, run)
    mismatches = [r for r in results if not r.matches]
    if mismatches:
        worst = mismatches[0]
        raise BundleInvalidError(
            f"golden rows do not replay: {worst.graph}.{worst.output} is off by "
            f"{worst.error:.3g}, {worst.excess:.3g} times the tolerance"
        )
    return results


def _array(golden: Arrays, key: str) -> NDArray[np.generic]:
    array = golden.get(key)
    if array is None or not len(array):
        raise BundleInvalidError(f"the golden archive has no array {key!r}, or one without rows")
    return array


def _compare(
    graph: str,
    output: str,
    got: NDArray[np.generic],
    expected: NDArray[np.float64],
    manifest: Manifest,
) -> Replayed:
    if got.shape != expected.shape:
        raise BundleInvalidError(
            f"golden rows do not replay: {graph}.{output} has shape {got.shape}, "
            f"expected {expected.shape}"
        )
    tolerance = next(t.tolerance for t in manifest.graphs[graph].outputs if t.name == output)
    with np.errstate(invalid="ignore"):
        difference = np.abs(got.astype(np.float64) - expected)
    allowed = np.asarray(tolerance.absolute) + tolerance.relative * np.abs(expected)
    # Where nothing is allowed, anything but equality is infinitely too much; np.max keeps NaN.
    excess = np.divide(
        difference, allowed, out=np.where(difference == 0.0, 0.0, np.inf), where=allowed > 0.0
    )
    return Replayed(graph, output, float(np.max(difference)), float(np.max(excess)))
