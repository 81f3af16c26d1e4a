"""One bundle of every kind, and one that is refused."""

from __future__ import annotations

from pathlib import Path

from tests.bundles import write_gaussian
from tests.latents import write_autoencoder, write_vae
from tests.scored import write_scored
from tests.variants import write_conditional, write_ordered, write_stepped


def write_every(root: Path) -> Path:
    """Publish them; the root again."""
    write_gaussian(root, "gauss", 1)
    write_gaussian(root, "gauss", 2)
    write_gaussian(root, "scorer", 1, operations=("log_prob", "score"))
    write_gaussian(root, "broken", 1, golden_offset=1.0)
    write_conditional(root, "given")
    write_stepped(root, "stepped")
    write_ordered(root, "ordered")
    write_scored(root, "scored")
    write_vae(root, "vae")
    write_vae(root, "plain", has_depth=False)
    write_autoencoder(root, "auto")
    return root
