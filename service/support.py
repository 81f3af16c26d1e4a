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
    for operation, graph in manifest.operations.items():
        if OPERATIONS.get(operation) != graph:
            raise BundleInvalidError(
                f"operation {operation!r} on graph {graph!r} is not known here"
            )
    expected = _expected(manifest)
    for name in sorted(set(manifest.operations.values())):
        _check_tensors(name, manifest.graphs[name], *expected[name])
        if manifest.steps is not None and not manifest.graphs[name].options:
            raise BundleInvalidError(f"expected graph {name!r} to have the option steps")


def _expected(manifest: Manifest) -> dict[str, tuple[_Sizes, _Sizes]]:
    """Sizes of the inputs and outputs of each graph."""
    row: _Sizes = {"x": (len(manifest.features),)}
    latent: _Sizes = {"z": (manifest.latent_features,)}
    given = len(manifest.context_features)
    context: _Sizes = {"context": (given,)} if given else {}
    return {
        "log_prob": ({**row, **context}, {"log_prob": (), **latent, "log_det": ()}),
        "decode": ({**latent, **context}, {**row, "log_det": ()}),
        "feature_log_prob": ({**row, **context}, {"feature_log_prob": row["x"]}),
    }


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
