"""What every loaded bundle has, of whichever kind: verified, warmed, and answering here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Generic, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from exported import golden
from exported.bundle import Bundle
from exported.calibration import Calibration
from exported.graphs import check_graph
from exported.kinds import REFERENCE_GRAPH
from exported.latents import LatentMoments
from exported.manifest import Manifest
from service.errors import invalid
from service.results import Decision, Floats
from service.runtime import Arrays, Runtime, Sessions
from service.status import RowRules
from service.support import refuse_unsupported

DEFAULT_ALPHA = 0.01
_NONE: Mapping[str, int | None] = MappingProxyType({})

M = TypeVar("M", bound=Manifest)


@dataclass(frozen=True, slots=True)
class Loaded(Generic[M]):
    """A bundle whose graphs run here.

    Attributes:
        manifest: What it is.
        calibration: Of its first score; turns that into a p-value.
        calibrations: Of each score by name, the first among them; all of as many rows.
        rules: Which rows may be run.
        graphs: Sessions by graph name.
        provider: Where they run.
        latents: What those of the calibration rows are like; None where the bundle does not tell.
    """

    manifest: M
    calibration: Calibration
    calibrations: Mapping[str, Calibration]
    rules: RowRules
    graphs: Mapping[str, Sessions]
    provider: str
    latents: LatentMoments | None

    @classmethod
    def of(cls, manifest: M, bundle: Bundle, runtime: Runtime) -> Self:
        """Check and warm a bundle that was read.

        Args:
            manifest: Of the bundle.
            bundle: All of it.
            runtime: Makes its sessions.

        Raises:
            BundleInvalidError: If it cannot be served, or does not replay.
        """
        graphs = open_graphs(bundle, runtime)
        rules = RowRules.of(manifest.features)
        known, latents = bundle.calibrations(), bundle.latents()
        first = known[manifest.SCORES]
        return cls(manifest, first, known, rules, graphs, runtime.provider, latents)

    @property
    def sessions(self) -> int:
        """How many threads can run a graph at once."""
        return max(graph.count for graph in self.graphs.values())

    @property
    def default_alpha(self) -> float:
        """See :func:`default_alpha`."""
        return default_alpha(self.calibration)

    def decide(
        self,
        scores: Floats,
        alpha: float | None = None,
        fdr: float | None = None,
        calibration: Calibration | None = None,
    ) -> Decision:
        """Which scores are anomalies: at a rate of false alarms, or of false discoveries.

        Without either it is alpha, :attr:`default_alpha`. At an fdr the scores are judged
        together, so they must be all that were asked about. The calibration is that of the scores,
        by default of the first ones.

        Raises:
            ServiceError: If both are given, or one that this bundle's calibration rows cannot
                decide.
        """
        known = calibration or self.calibration
        p_value = known.p_value(scores)
        try:
            level = _level(known, p_value, alpha, fdr)
            threshold = None if level is None else known.threshold(level)
        except ValueError as error:
            raise invalid(str(error)) from error
        is_anomaly = np.zeros(p_value.shape, bool) if level is None else p_value <= level
        digest = self.manifest.calibration.artifact.sha256
        return Decision(p_value, is_anomaly, threshold, level, digest, fdr)

    def run(
        self, graph: str, inputs: Arrays, options: Mapping[str, int | None] = _NONE
    ) -> dict[str, NDArray[np.floating]]:
        """Run a graph; options that are None are those of a model without them."""
        chosen = {name: np.array(value) for name, value in options.items() if value is not None}
        given = {**inputs, **chosen} if chosen else inputs
        return self.graphs[graph].run(given)  # type: ignore[return-value]


def default_alpha(calibration: Calibration) -> float:
    """:data:`DEFAULT_ALPHA`, or the smallest rate that so few calibration rows can tell."""
    return max(DEFAULT_ALPHA, calibration.smallest_alpha)


def _level(
    calibration: Calibration,
    p_value: NDArray[np.float64],
    alpha: float | None,
    fdr: float | None,
) -> float | None:
    """The p-value up to which a row is an anomaly; None where no row is one."""
    if fdr is None:
        return default_alpha(calibration) if alpha is None else alpha
    if alpha is not None:
        raise ValueError(
            "expected alpha (accepted rate of false alarms) or fdr (accepted share of false "
            f"alarms among the anomalies), got both: alpha {alpha:g} and fdr {fdr:g}"
        )
    return calibration.level(p_value, fdr)


def open_graphs(bundle: Bundle, runtime: Runtime) -> Mapping[str, Sessions]:
    """Sessions of every graph, each of which has replayed the golden rows and is warm.

    Raises:
        BundleInvalidError: If the bundle cannot be served, or does not replay.
    """
    manifest = bundle.manifest
    refuse_unsupported(manifest)
    rows = bundle.golden()
    graphs = open_sessions(bundle, runtime)
    for _ in range(runtime.sessions):  # sessions take turns, so each one replays and is warm
        golden.replay(manifest, rows, lambda name, inputs: graphs[name].replay(inputs))
    return graphs


def open_sessions(bundle: Bundle, runtime: Runtime) -> Mapping[str, Sessions]:
    """Sessions of every graph, not yet replayed; of the float64 graph a single one, on the CPU.

    What nobody waits for needs no second session, and a device is held against another one.

    Raises:
        BundleInvalidError: If a graph is not safe to run, or onnxruntime does not accept it.
    """
    for name, graph in bundle.manifest.graphs.items():
        check_graph(graph.artifact.file, bundle.graph(name), graph.options)
    reference = Runtime("cpu", sessions=1)
    return {
        name: (reference if name == REFERENCE_GRAPH else runtime).load(graph, bundle.graph(name))
        for name, graph in bundle.manifest.graphs.items()
    }
