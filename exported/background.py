"""A flow is given another one to be held against: the background of its likelihood ratio."""

from __future__ import annotations

from exported.arrays import write_arrays
from exported.bundle import Bundle, describe_file
from exported.errors import BundleInvalidError
from exported.kinds import BACKGROUND_GRAPH, BackgroundSource, FlowManifest, expect_flow
from exported.manifest import Feature

_FILE = f"{BACKGROUND_GRAPH}.onnx"


def with_background(bundle: Bundle, background: Bundle) -> Bundle:
    """The bundle with the graph ``log_prob`` of another one, and the golden rows of that graph.

    What it is calibrated with is as it was, so it has no likelihood ratio yet.

    Raises:
        BundleInvalidError: If the two do not describe the same rows, or the other has a solver.
    """
    manifest, other = expect_flow(bundle.manifest), expect_flow(background.manifest)
    _expect_alike(manifest, other)
    golden = {
        key: array
        for key, array in bundle.golden().items()
        if not key.startswith(f"{BACKGROUND_GRAPH}.")
    } | {
        f"{BACKGROUND_GRAPH}.{key.removeprefix('log_prob.')}": array
        for key, array in background.golden().items()
        if key.startswith("log_prob.")
    }
    graph, content = other.graphs["log_prob"], background.graph("log_prob")
    rows = write_arrays(golden)
    changed = manifest.model_copy(
        update={
            "graphs": manifest.graphs
            | {
                BACKGROUND_GRAPH: graph.model_copy(
                    update={"artifact": describe_file(_FILE, content)}
                )
            },
            "operations": manifest.operations | {"scores": "log_prob"},
            "golden": describe_file(manifest.golden.file, rows),
            "background": BackgroundSource(name=other.name, version=other.version),
        }
    )
    return Bundle(changed, {**bundle.contents, _FILE: content, manifest.golden.file: rows})


def _expect_alike(manifest: FlowManifest, other: FlowManifest) -> None:
    mine, its = f"{manifest.name}/{manifest.version}", f"{other.name}/{other.version}"
    for what in ("features", "context_features"):
        expected, got = (list(map(_described, getattr(one, what))) for one in (manifest, other))
        if len(expected) != len(got):
            raise BundleInvalidError(
                f"expected a background with the {len(expected)} {what} of {mine}, got {its} with "
                f"{len(got)}"
            )
        for one, another in zip(expected, got, strict=True):
            if one != another:
                raise BundleInvalidError(
                    f"expected a background with the {what} of {mine} in their order, got {its} "
                    f"with {another} in the place of {one}"
                )
    if other.graphs["log_prob"].artifact.sha256 == manifest.graphs["log_prob"].artifact.sha256:
        raise BundleInvalidError(f"expected another flow than {mine} as background, got its graph")
    if other.steps is not None:
        raise BundleInvalidError(f"expected a background without a solver, got {its}")


def _described(feature: Feature) -> str:
    """What two densities must have in common to be compared: rows, and which have any density."""
    low, high = feature.support
    ends = f"{'open' if low is None else low} to {'open' if high is None else high}"
    return f"{feature.name} ({feature.kind}, {ends})"
