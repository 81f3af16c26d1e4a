"""What of the bundle format this service can serve; the rest is refused when it is loaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from exported.errors import BundleInvalidError
from exported.kinds import AnyManifest, AutoencoderManifest, FlowManifest, VAEManifest
from exported.manifest import Graph, Option, Tensor

_Sizes = dict[str, tuple[int, ...]]
_SAMPLES = -1


@dataclass(frozen=True, slots=True)
class Signature:
    """What a graph takes and gives.

    Attributes:
        inputs: Sizes of the inputs after the batch, by name.
        outputs: Sizes of the outputs.
        options: What a caller may choose.
    """

    inputs: _Sizes
    outputs: _Sizes
    options: tuple[Option, ...] = ()


def refuse_unsupported(manifest: AnyManifest) -> None:
    """Check what the service relies on beyond the manifest's own rules.

    Raises:
        BundleInvalidError: Naming the first thing that cannot be served.
    """
    for operation, graph in manifest.operations.items():
        if manifest.OPERATIONS.get(operation) != graph:
            raise BundleInvalidError(
                f"operation {operation!r} on graph {graph!r} is not known here"
            )
    expected = _expected(manifest)
    for name in sorted(set(manifest.operations.values())):
        _check(name, manifest.graphs[name], expected[name])


def _expected(manifest: AnyManifest) -> Mapping[str, Signature]:
    match manifest:
        case FlowManifest():
            return _of_flow(manifest)
        case VAEManifest():
            return _of_vae(manifest)
        case AutoencoderManifest():
            return _of_autoencoder(manifest)


def _of_flow(manifest: FlowManifest) -> Mapping[str, Signature]:
    row: _Sizes = {"x": (len(manifest.features),)}
    latent: _Sizes = {"z": (manifest.latent_features,)}
    given = len(manifest.context_features)
    context: _Sizes = {"context": (given,)} if given else {}
    steps = tuple(manifest.defaults())
    by_row: _Sizes = {"log_prob": (), **latent, "log_det": ()}
    return {
        "log_prob": Signature(row | context, by_row, steps),
        "decode": Signature(latent | context, {**row, "log_det": ()}, steps),
        "feature_log_prob": Signature(row | context, {"feature_log_prob": row["x"]}, steps),
    }


def _of_vae(manifest: VAEManifest) -> Mapping[str, Signature]:
    row, size = (len(manifest.features),), (manifest.latent_features,)
    depth = tuple(manifest.defaults())
    posterior: _Sizes = {"mean": size, "scale": size, "z": size}
    sampled: _Sizes = {"x": row, "noise": (_SAMPLES, *size)}
    drawn: _Sizes = {"noise": size, "observation_noise": (manifest.modelled,)}
    return {
        "posterior": Signature({"x": row, "noise": size}, posterior, depth),
        "log_weight": Signature(sampled, {"log_weight": (_SAMPLES,)}, depth),
        "decode": Signature({"z": size}, {"x": row}),
        "draw": Signature(drawn, {"x": row, "z": size}),
        "reconstruct": Signature({"x": row}, {"reconstruction": row, "error": ()}, depth),
    }


def _of_autoencoder(manifest: AutoencoderManifest) -> Mapping[str, Signature]:
    row, size = (len(manifest.features),), (manifest.latent_features,)
    return {
        "encode": Signature({"x": row}, {"z": size}),
        "decode": Signature({"z": size}, {"x": row}),
        "reconstruct": Signature({"x": row}, {"reconstruction": row, "error": ()}),
    }


def _check(name: str, graph: Graph, expected: Signature) -> None:
    got = _sizes(graph.outputs)
    if _sizes(graph.inputs) != expected.inputs or not expected.outputs.items() <= got.items():
        raise BundleInvalidError(
            f"expected graph {name!r} to map {_text(expected.inputs)} to "
            f"{_text(expected.outputs)}, got {_text(_sizes(graph.inputs))} to {_text(got)}"
        )
    if graph.options != expected.options:
        wanted = f"the option {expected.options[0]}" if expected.options else "no option"
        raise BundleInvalidError(f"expected graph {name!r} to have {wanted}")


def _sizes(tensors: Sequence[Tensor]) -> _Sizes:
    return {tensor.name: tensor.shape[1:] for tensor in tensors}


def _text(sizes: _Sizes) -> str:
    return ", ".join(f"{name} {[-1, *size]}" for name, size in sizes.items())
