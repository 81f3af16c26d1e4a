"""What of the bundle format this service can serve; the rest is refused when it is loaded."""

from __future__ import annotations

from collections.abc import Sequence

from exported.errors import BundleInvalidError
from exported.manifest import OPERATIONS, Graph, Manifest, Tensor

_Sizes = dict[str, tuple[int, ...]]


def refuse_unsupported(manifest: Manifest) -> None:
    """Check what the service relies on beyond the manifest's own rules.

    Raises:
        BundleInvalidError: Naming the first thing that cannot be served.
    """
    if manifest.context_features:
        raise BundleInvalidError("context features are not served by this version")
    if manifest.base.draws_per_row != manifest.latent_features:
        raise BundleInvalidError(
            f"expected {manifest.latent_features} draws a row, got {manifest.base.draws_per_row}"
        )
    for operation, graph in manifest.operations.items():
        if OPERATIONS.get(operation) != graph:
            raise BundleInvalidError(
                f"operation {operation!r} on graph {graph!r} is not known here"
            )
    features, latents = len(manifest.features), manifest.latent_features
    row: _Sizes = {"x": (features,)}
    latent: _Sizes = {"z": (latents,)}
    expected: dict[str, tuple[_Sizes, _Sizes]] = {
        "log_prob": (row, {"log_prob": (), **latent, "log_det": ()}),
        "decode": (latent, {**row, "log_det": ()}),
    }
    for name in sorted(set(manifest.operations.values())):
        _check_tensors(name, manifest.graphs[name], *expected[name])


def _check_tensors(name: str, graph: Graph, inputs: _Sizes, outputs: _Sizes) -> None:
    got = _sizes(graph.outputs)
    if _sizes(graph.inputs) != inputs or not outputs.items() <= got.items():
        raise BundleInvalidError(
            f"expected graph {name!r} to map {_text(inputs)} to {_text(outputs)}, "
            f"got {_text(_sizes(graph.inputs))} to {_text(got)}"
        )


def _sizes(tensors: Sequence[Tensor]) -> _Sizes:
    return {tensor.name: tensor.shape[1:] for tensor in tensors}


def _text(sizes: _Sizes) -> str:
    return ", ".join(f"{name} {[-1, *size]}" for name, size in sizes.items())
