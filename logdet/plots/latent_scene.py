"""What a picture of a VAE or an autoencoder shows beside the rows: what comes back of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from logdet.errors import UserError
from logdet.plots.scene import RECONSTRUCTIONS, SAMPLES, Draw, Points, Scene, some_rows
from logdet.scoring import in_chunks, joined
from service.autoencoder import Autoencoder
from service.results import OK
from service.vae import VAE


@dataclass(frozen=True, slots=True)
class LatentScene(Scene):
    """Everything that a picture of such a model is drawn of; see :class:`Scene`.

    Attributes:
        back: The file's rows as they come back, or None without a file. An autoencoder, which
            draws nothing, has them as its samples.
    """

    model: VAE | Autoencoder
    back: Points | None


def latent_scene(
    model: VAE | Autoencoder, draw: Draw, axes: tuple[int, ...], path: Path | None
) -> LatentScene:
    """Rows that the model draws, and rows of a file with what comes back of them.

    Raises:
        UserError: If there is nothing to show, or the file lacks a column.
    """
    data, back = (None, None) if path is None else _of_file(model, draw, path)
    made = drawn(model, draw) if isinstance(model, VAE) else back
    if made is None:
        raise UserError(
            f"expected --data FILE, as {model.manifest.name} is an autoencoder, which draws no "
            "samples and is shown by what comes back of rows"
        )
    return LatentScene(model, draw, axes, made, data, back)


def drawn(model: VAE, draw: Draw) -> Points:
    """Rows of a seed.

    Raises:
        UserError: If none of them is ok.
    """
    parts = in_chunks(model, draw.rows, lambda i, j: model.sample(j - i, draw.seed, first_row=i))
    rows = joined(parts)
    ok = rows.status == OK
    if not ok.any():
        raise UserError(f"none of the {len(ok):,} rows drawn from {model.manifest.name} is ok")
    return Points(SAMPLES, rows.x[ok], int((~ok).sum()))


def _of_file(model: VAE | Autoencoder, draw: Draw, path: Path) -> tuple[Points, Points]:
    """Rows of a file that are ok, and what comes back of them."""
    x, _ = some_rows(model, path, draw)
    back = joined(in_chunks(model, len(x), lambda i, j: model.reconstruct(x[i:j])))
    ok = back.status == OK
    if not ok.any():
        raise UserError(f"none of the {len(x):,} rows of {path.name} is ok under this model")
    lost = int(np.count_nonzero(~ok))
    return Points(path.name, x[ok], lost), Points(RECONSTRUCTIONS, back.x[ok], 0)
