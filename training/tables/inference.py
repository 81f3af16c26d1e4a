"""What a flow posterior gains over a diagonal Gaussian, on targets known up to a factor.

``python -m training.tables.inference --out docs/tables`` writes the table and the picture
(``make inference-table``).
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.bijections import ActNorm, Bijection, Chain, Inverse, Planar
from training.flow import Flow
from training.recipes import ReverseKLConfig
from training.reverse_kl import Divergence, Energy, fit_reverse_kl, reverse_kl
from training.tables.energies import ENERGIES, log_normaliser
from training.tables.results import grid

TABLE, PICTURE = "inference.md", "inference.png"
DEPTHS = (0, 2, 8, 32)
DRAWS, SEED = 100_000, 1
# Each fit is the best of a few: with a warm-up, which helps a flow to find all bumps and leaves a
# Gaussian between them, and without one, from several places.
WARM_UPS, SPREAD = (2000, 0, 0), 1.5
# Of the picture.
HALF_WIDTH, PIXELS = 4.8, 241


def approximation(depth: int, start: int) -> Flow:
    """A diagonal Gaussian with so many planar layers behind it, not yet fitted."""
    torch.manual_seed(start)
    first = ActNorm(2)
    with torch.no_grad():
        first.shift.add_(SPREAD * torch.randn(2))
    layers: list[Bijection] = [first, *(Planar(2) for _ in range(depth))]
    return Flow(Chain([Inverse(Chain(layers))]))


def fitted(
    depth: int, energy: Energy, normaliser: float, noise: Tensor
) -> tuple[Flow, Divergence]:
    """The best of a few fits, and its divergence from the target."""
    found = []
    for start, warm_up in enumerate(WARM_UPS):
        flow = approximation(depth, start)
        fit_reverse_kl(flow, energy, 2, ReverseKLConfig(warm_up=warm_up))
        found.append((flow, reverse_kl(flow, energy, normaliser, noise)))
    return min(found, key=lambda one: one[1].nats)


def name_of(depth: int) -> str:
    """What the table calls it."""
    return f"planar {depth}" if depth else "diagonal Gaussian"


@torch.no_grad()
def picture_of(density: Flow | Energy) -> NDArray[np.float64]:
    """Density over the picture's square, up to a factor; a flow's by its inverse."""
    axis = torch.linspace(-HALF_WIDTH, HALF_WIDTH, PIXELS)
    places = torch.cartesian_prod(axis, axis)
    nats = density(places) if isinstance(density, Flow) else -density(places)
    heights = torch.nan_to_num((nats - nats[nats.isfinite()].max()).exp())
    return np.asarray(heights.reshape(PIXELS, PIXELS).T.double().numpy())


def draw(pictures: dict[str, dict[str, NDArray[np.float64]]], path: Path) -> None:
    """A row of pictures for each target."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    columns = list(next(iter(pictures.values())))
    figure, axes = pyplot.subplots(
        len(pictures), len(columns), figsize=(2.1 * len(columns), 2.2 * len(pictures))
    )
    for row, (target, parts) in zip(axes, pictures.items(), strict=True):
        for axis, heights in zip(row, parts.values(), strict=True):
            axis.imshow(heights, origin="lower", cmap="viridis")
            axis.set_xticks([])
            axis.set_yticks([])
        row[0].set_ylabel(target, fontsize=10)
    for axis, column in zip(axes[0], columns, strict=True):
        axis.set_title(column, fontsize=10)
    figure.tight_layout(pad=0.6)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def main() -> None:
    """Measure, write and draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("docs/tables"))
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    noise = torch.randn(DRAWS, 2, generator=torch.Generator().manual_seed(SEED))
    texts: dict[str, dict[str, str]] = {}
    pictures: dict[str, dict[str, NDArray[np.float64]]] = {}
    for target, energy in ENERGIES.items():
        normaliser = log_normaliser(energy)
        pictures[target] = {"target": picture_of(energy)}
        for depth in DEPTHS:
            started = time.process_time()
            flow, found = fitted(depth, energy, normaliser, noise)
            text = f"{found.nats:.3f} ± {2.0 * found.standard_error:.3f}"
            seconds = time.process_time() - started
            sys.stdout.write(f"{target}, {name_of(depth)}: {text} nats, {seconds:.0f} s\n")
            sys.stdout.flush()
            texts.setdefault(target, {})[name_of(depth)] = text
            pictures[target][name_of(depth)] = picture_of(flow)
    chosen.out.mkdir(parents=True, exist_ok=True)
    (chosen.out / TABLE).write_text(
        f"KL(q, p) in nats ± 2 standard errors over {DRAWS:,} draws of q, which was fitted to the "
        f"energy of p alone, the best of {len(WARM_UPS)} fits:\n\n"
        + grid("q", [name_of(depth) for depth in DEPTHS], texts)
        + f"\n\n![The targets and their approximations]({PICTURE})\n"
    )
    draw(pictures, chosen.out / PICTURE)


if __name__ == "__main__":
    main()
