"""The columns of a model, by name: what is sent, and which of what comes back belong together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from logdet.client.errors import ServiceFailed

# What an operation answers beside single numbers, in the order in which names are looked for.
_MATRICES: Mapping[str, tuple[str, ...]] = {
    "encode": ("z", "mean", "scale"),
    "decode": ("rows",),
    "sample": ("rows", "z"),
    "reconstruct": ("rows",),
    "feature_log_prob": ("feature_log_prob",),
    "score": ("contribution", "nearest", "change"),
}
_LATENT = ("z", "mean", "scale")
# Where numbers of a feature or latent are not called by its name alone.
_PREFIXES: Mapping[tuple[str, str], str] = {
    ("encode", "mean"): "mean_",
    ("encode", "scale"): "scale_",
    ("reconstruct", "rows"): "reconstructed_",
    ("feature_log_prob", "feature_log_prob"): "log_prob_",
    ("score", "contribution"): "contribution_",
    ("score", "nearest"): "nearest_",
    ("score", "change"): "change_",
}


@dataclass(frozen=True, slots=True)
class Columns:
    """Of one version of a model.

    Attributes:
        features: Names, in order.
        context: Names of the context features, in order.
        latents: How many.
        version: That has them.
    """

    features: tuple[str, ...]
    context: tuple[str, ...]
    latents: int
    version: int = field(compare=False)

    @classmethod
    def of(cls, manifest: Mapping[str, Any]) -> Columns:
        """Those of a manifest.

        Raises:
            ServiceFailed: If it is none.
        """
        try:
            features, context = (
                tuple(feature["name"] for feature in manifest[kind])
                for kind in ("features", "context_features")
            )
            return cls(features, context, manifest["latent_features"], manifest["version"])
        except (KeyError, TypeError) as error:
            raise ServiceFailed("expected a manifest of a logdet service, got none") from error

    def taken(self, operation: str) -> tuple[str, ...]:
        """Names of what an operation takes: latents or features."""
        return self._latents() if operation == "decode" else self.features

    def matrices(self, operation: str, names: Sequence[str]) -> dict[str, tuple[str, ...]]:
        """Which of an answer's columns belong together, by the name of what they are."""
        given, found = frozenset(names), {}
        for whole in _MATRICES.get(operation, ()):
            parts = self._parts(operation, whole)
            if given.issuperset(parts):
                found[whole] = parts
                given -= frozenset(parts)
        return found

    def _parts(self, operation: str, whole: str) -> tuple[str, ...]:
        names = self._latents() if whole in _LATENT else self.features
        prefix = _PREFIXES.get((operation, whole), "")
        return tuple(prefix + name for name in names)

    def _latents(self) -> tuple[str, ...]:
        return tuple(f"z{i}" for i in range(self.latents))
