"""Running services with a bundle of each kind, for the tests of the client."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.bundles import write_gaussian
from tests.engines import Running, embedded
from tests.latents import write_autoencoder, write_vae
from tests.scored import write_scored
from tests.variants import write_conditional, write_ordered, write_stepped


@contextmanager
def each_kind(root: Path) -> Iterator[Running]:
    """The embedded engine over a folder that is filled with a bundle of each kind."""
    write_gaussian(root, "gauss", 1)
    write_gaussian(root, "gauss", 2)
    write_conditional(root, "given")
    write_stepped(root, "stepped")
    write_ordered(root, "ordered")
    write_scored(root)
    write_vae(root, "vae")
    write_autoencoder(root, "auto")
    with embedded(root) as running:
        yield running
