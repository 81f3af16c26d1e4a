"""``logdet reconstruct``: what comes back of each row of a file through an autoencoder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from logdet.options import Reference, bundles_option, model_argument, provider_option

if TYPE_CHECKING:
    from logdet.files import Columns
    from logdet.frame import Frame
    from service.autoencoder import Autoencoder
    from service.results import Reconstructed
    from service.vae import VAE

EXAMPLE = """\b
Examples:
  logdet reconstruct digits_vae rows.csv
  logdet reconstruct digits_vae rows.npz -o back.parquet
"""
WORST = 5


@click.command(epilog=EXAMPLE, short_help="Each row of a file as an autoencoder gives it back.")
@model_argument
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True))
@click.option("-o", "--output", type=click.Path(path_type=Path), help=".csv, .parquet or .npz.")
@bundles_option
@provider_option
def reconstruct(
    model: Reference,
    file: Path,
    output: Path | None,
    bundles: Path,
    provider: Literal["auto", "cpu", "cuda"],
) -> None:
    """Encode and decode the rows of FILE (- is CSV on standard input).

    Columns are found by name, in any order. With -o, the file's columns are written with
    reconstructed_FEATURE of each feature (of a VAE the likelihood's mean at the posterior's
    centre, not rounded), error and status; without it, a summary is printed. The error is the
    root mean square difference of a row in deviations of the features.
    """
    from logdet.beside import check_output, read_rows, write_beside
    from logdet.errors import user_errors
    from logdet.opening import open_model
    from logdet.scoring import in_chunks, joined
    from logdet.text import counted

    with user_errors():
        check_output(file, output)
        loaded = open_model(bundles, model, provider, "reconstruct")
        given = read_rows(file, loaded.manifest)
        back = joined(
            in_chunks(loaded, len(given.x), lambda i, j: loaded.reconstruct(given.x[i:j]))
        )
        if output is None:
            click.echo(_summary(back, given.frame))
        else:
            write_beside(given, _columns(loaded, back), output)
            click.echo(
                f"reconstructed {counted(len(given.x), 'row', 'rows')} into {output}: "
                f"mean error {_mean(back)}"
            )


def _columns(model: VAE | Autoencoder, back: Reconstructed) -> Columns:
    from logdet.scoring import status_names

    names = [f"reconstructed_{feature.name}" for feature in model.manifest.features]
    rows = dict(zip(names, back.x.T, strict=True))
    return {**rows, "error": back.error, "status": status_names(back.status)}


def _summary(back: Reconstructed, frame: Frame) -> str:
    from logdet.scoring import lowest, status_counts
    from logdet.text import aligned

    facts = [
        ("rows", f"{len(back.error):,}"),
        ("status", status_counts(back.status)),
        ("mean error", _mean(back)),
    ]
    worst = lowest(-back.error, WORST)
    if not worst:
        return aligned(facts)
    rows = [
        (place, f"{back.error[r]:.4f}")
        for place, r in zip(frame.places(worst), worst, strict=True)
    ]
    return f"{aligned(facts)}\n\n{aligned([('largest error', 'deviations'), *rows])}"


def _mean(back: Reconstructed) -> str:
    import numpy as np

    ok = back.error[back.status == 0]
    return f"{ok.mean(dtype=np.float64):.4f} deviations" if len(ok) else "none, as no row is ok"
