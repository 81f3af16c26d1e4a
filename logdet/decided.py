"""Decisions in the words of the commands."""

from __future__ import annotations

from exported.manifest import Manifest


def rate_words(alpha: float | None, fdr: float | None) -> str:
    """What was asked for, and the alpha that follows where it was an fdr."""
    named = (("fdr", fdr), ("alpha", alpha))
    return "at " + ", ".join(f"{name} {rate:g}" for name, rate in named if rate is not None)


def threshold_words(threshold: float | None, manifest: Manifest, by: str | None) -> str:
    """The threshold with its unit, and of which score it is where that was asked for."""
    number = "none" if threshold is None else f"{threshold:.4f}{unit(manifest, by)}"
    return number if by is None else f"{number} of {by}"


def unit(manifest: Manifest, by: str | None) -> str:
    """Behind a number; a squared norm and a sum of logarithms have none."""
    if by in ("latent_norm", "combined"):
        return ""
    return " deviations" if manifest.density == "none" else " nats"
