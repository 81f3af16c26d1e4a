"""``logdet score``: how likely is each row of a file."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from logdet.options import Reference, bundles_option, model_argument, provider_option

if TYPE_CHECKING:
    from exported.manifest import Manifest
    from logdet.files import Columns
    from logdet.frame import Frame
    from logdet.scoring import Scores

EXAMPLE = """\b
Examples:
  logdet score shuttle rows.csv
  logdet score shuttle rows.parquet -o scored.parquet --alpha 0.001
  zcat rows.csv.gz | logdet score shuttle - -o scored.csv
"""
MOST_ANOMALOUS = 5


@click.command(epilog=EXAMPLE, short_help="Log-density and p-value of each row of a file.")
@model_argument
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True))
@click.option("-o", "--output", type=click.Path(path_type=Path), help=".csv, .parquet or .npz.")
@click.option("--alpha", type=float, help="Accepted rate of false alarms; by default 0.01.")
@click.option("--terms", is_flag=True, help="With -o, also log_prob_FEATURE of each feature.")
@bundles_option
@provider_option
def score(  # noqa: PLR0913  one parameter an option
    model: Reference,
    file: Path,
    output: Path | None,
    alpha: float | None,
    terms: bool,
    bundles: Path,
    provider: Literal["auto", "cpu", "cuda"],
) -> None:
    """Score the rows of FILE (- is CSV on standard input) without a server.

    Columns, those of a conditional density's context among them, are found by name, in any
    order. With -o, the file's columns are written with log_prob
    (nats), p_value, is_anomaly and status; without it, a summary is printed. A row without an
    answer has a null (in CSV an empty cell) as is_anomaly; .npz has no nulls, there it is False
    beside a p_value of NaN.

    A model that keeps one feature order (maf or nsf_ar with mixing: false) also knows --terms: the
    log-density of each feature given those before it; a row's terms sum to its log_prob.
    """
    from logdet.cells import to_float64
    from logdet.errors import UserError, user_errors
    from logdet.files import extension, write_table
    from logdet.scoring import open_model
    from logdet.scoring import score as score_rows

    with user_errors():
        if terms and output is None:
            raise UserError("expected -o FILE for the columns of --terms, got no -o")
        if output is not None:
            extension(output)
            _refuse_overwriting(file, output)
        loaded = open_model(bundles, model, provider)
        frame = _read(file)
        columns = _columns(loaded.manifest, frame)
        table = to_float64(frame, columns, "nan")
        features = len(loaded.manifest.features)
        context = table[:, features:] if features < len(columns) else None
        scores = score_rows(loaded, table[:, :features], alpha, context, terms)
        if output is None:
            click.echo(_summary(scores, frame))
        else:
            given = _given(frame, dict(zip(columns, table.T, strict=True)), output)
            write_table(output, _with_scores(given, scores))
            click.echo(_sentence(scores, output))


def _refuse_overwriting(file: Path, output: Path) -> None:
    from logdet.errors import UserError

    if output.exists() and file.exists() and output.samefile(file):
        raise UserError(f"expected another file than the input {file} as output, got {output}")


def _read(file: Path) -> Frame:
    from logdet.csv_file import read_csv_bytes
    from logdet.errors import TableError
    from logdet.files import read_frame

    if str(file) != "-":
        return read_frame(file)
    content = sys.stdin.buffer.read()
    frame = read_csv_bytes("standard input", content)
    if not frame.columns.num_rows:
        raise TableError("standard input has no rows")
    return frame


def _columns(manifest: Manifest, frame: Frame) -> Sequence[str]:
    """Names of the features, then those of the context."""
    from logdet.frame import require

    columns = [feature.name for feature in manifest.features + manifest.context_features]
    require(frame, columns, manifest.name)
    return columns


def _given(frame: Frame, features: Columns, output: Path) -> Columns:
    """The file's own columns as the output can hold them: only CSV keeps how numbers looked."""
    from logdet.cells import is_exact, typed, typed_as_written
    from logdet.files import extension

    given = {name: frame.columns.column(name) for name in frame.names}
    if not frame.is_text:
        return given
    if extension(output).startswith(".csv"):
        return {name: typed_as_written(column) for name, column in given.items()}
    numbers = {name: typed(column) for name, column in given.items()}
    return numbers | {name: x for name, x in features.items() if not is_exact(numbers[name])}


def _with_scores(given: Columns, scores: Scores) -> Columns:
    added = scores.columns()
    replaced = [name for name in given if name in added]
    if replaced:
        click.echo(f"logdet: replaced the file's own {', '.join(replaced)}", err=True)
    return {name: column for name, column in given.items() if name not in added} | added


def _sentence(scores: Scores, output: Path) -> str:
    from logdet.text import counted

    rows = counted(len(scores.log_prob), "row", "rows")
    anomalies = counted(int(scores.decision.is_anomaly.sum()), "anomaly", "anomalies")
    return f"scored {rows} into {output}: {anomalies} at alpha {scores.decision.alpha:g}"


def _summary(scores: Scores, frame: Frame) -> str:
    import numpy as np

    from logdet.scoring import status_counts, status_names
    from logdet.text import aligned

    ok = scores.log_prob[scores.status == 0]
    decision = scores.decision
    mean = f"{ok.mean(dtype=np.float64):.4f} nats" if len(ok) else "none, as no row is ok"
    facts = [
        ("rows", f"{len(scores.log_prob):,}"),
        ("status", status_counts(scores.status)),
        ("mean log_prob", mean),
        ("anomalies", f"{decision.is_anomaly.sum():,} at alpha {decision.alpha:g}"),
        ("threshold", f"{decision.threshold:.4f} nats"),
    ]
    order = np.argsort(scores.log_prob, kind="stable")  # NaN comes last
    worst = [int(row) for row in order[:MOST_ANOMALOUS] if not np.isnan(scores.log_prob[row])]
    words = status_names(scores.status)
    rows = [
        (place, f"{scores.log_prob[r]:.4f}", f"{decision.p_value[r]:.2g}", words[r])
        for place, r in zip(frame.places(worst), worst, strict=True)
    ]
    if not rows:
        return aligned(facts)
    header = ("least likely", "log_prob", "p_value", "status")
    return f"{aligned(facts)}\n\n{aligned([header, *rows])}"
