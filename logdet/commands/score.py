"""``logdet score``: how likely is each row of a file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from logdet.options import Reference, bundles_option, find, model_argument, provider_option

if TYPE_CHECKING:
    from exported.manifest import Manifest
    from logdet.batch.work import Settings
    from logdet.frame import Frame
    from logdet.opening import Provider
    from logdet.scoring import Scores
    from service.kinds import AnyModel
    from service.results import Decision

EXAMPLE = """\b
Examples:
  logdet score shuttle rows.csv
  logdet score shuttle rows.parquet -o scored.parquet --alpha 0.001
  logdet score shuttle rows.parquet --fdr 0.1
  logdet score shuttle 'rows/*.parquet' -o scored/
  zcat rows.csv.gz | logdet score shuttle - -o scored.csv
  tail -f rows.ndjson | logdet score shuttle -
"""
MOST_ANOMALOUS = 5


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked of every row; see the options."""

    alpha: float | None
    fdr: float | None
    terms: bool

    def settings(self, provider: Provider) -> Settings:
        """For workers, which have a GPU only where one is asked for."""
        from logdet.batch.work import Settings

        runs = "cuda" if provider == "cuda" else "cpu"
        return Settings(alpha=self.alpha, fdr=self.fdr, terms=self.terms, provider=runs)


@click.command(epilog=EXAMPLE, short_help="Log-density and p-value of each row of a file.")
@model_argument
@click.argument("files", metavar="FILE...", nargs=-1, required=True)
@click.option("-o", "--output", metavar="FILE|FOLDER", help=".csv, .parquet or .npz, or a folder.")
@click.option("--alpha", type=float, help="Accepted rate of false alarms; by default 0.01.")
@click.option("--fdr", type=float, help="In place of alpha: share of false among the anomalies.")
@click.option("--terms", is_flag=True, help="With -o, also log_prob_FEATURE of each feature.")
@click.option("--workers", type=click.IntRange(min=1), help="With a folder: processes.")
@click.option("--address", help="With a folder: of a Ray cluster, in place of this machine.")
@bundles_option
@provider_option
def score(  # noqa: PLR0913  one parameter an option
    model: Reference,
    files: tuple[str, ...],
    output: str | None,
    alpha: float | None,
    fdr: float | None,
    terms: bool,
    workers: int | None,
    address: str | None,
    bundles: Path,
    provider: Literal["auto", "cpu", "cuda"],
) -> int:
    """Score the rows of FILE (- is standard input) without a server.

    Several files, a folder, a pattern in quotes or a remote address are scored on Ray Data, piece
    by piece, into the folder of -o; what an interrupted run has done is not done again.

    Columns, those of a conditional density's context among them, are found by name, in any
    order. With -o, the file's columns are written with log_prob
    (nats), p_value, is_anomaly and status; without it, a summary is printed. A row without an
    answer has a null (in CSV an empty cell) as is_anomaly; .npz has no nulls, there it is False
    beside a p_value of NaN.

    With --fdr all rows are judged together: of the rows called anomalies, an expected share of at
    most so many is a false alarm. The rate alpha that follows is told with the threshold.

    A VAE and an autoencoder have score in place of log_prob: the importance bound (nats) of the
    samples and the seed that it was calibrated at, or the error of reconstruction (deviations)
    with its sign turned.

    A model that keeps one feature order (maf or nsf_ar with mixing: false) also knows --terms: the
    log-density of each feature given those before it; a row's terms sum to its log_prob.

    On standard input comes CSV, or lines of JSON: objects with the features by name. These are
    answered line by line on standard output as they come, with the object's own fields first.
    """
    from logdet.batch.places import is_many
    from logdet.errors import UserError, user_errors
    from logdet.opening import open_model

    asked = Asked(alpha, fdr, terms)
    with user_errors():
        if is_many(files, output):
            from logdet.batch.command import Given, score_files

            # Workers load the model themselves, on a device that Ray gives them.
            loaded = open_model(bundles, model, "cpu", "score")
            given = Given(files, output, asked.settings(provider), workers, address)
            click.echo(score_files(given, find(bundles, model), loaded))
            return 0
        if workers is not None or address is not None:
            raise UserError("expected -o FOLDER with --workers and --address, got no folder")
        loaded = open_model(bundles, model, provider, "score")
        return _score_one(loaded, Path(files[0]), None if output is None else Path(output), asked)


def _score_one(model: AnyModel, file: Path, output: Path | None, asked: Asked) -> int:
    """A file, or standard input, in this process; the exit code."""
    from logdet.beside import check_output, read_rows, write_beside
    from logdet.errors import UserError
    from logdet.lines import answer_lines, are_lines, begun, standard_input
    from logdet.placed import Asking
    from logdet.scoring import score as score_rows

    check_output(file, output)
    start = begun(standard_input()) if str(file) == "-" else b""
    if are_lines(start):
        return answer_lines(Asking(model, asked.alpha, asked.terms), start, output, asked.fdr)
    if asked.terms and output is None:
        raise UserError("expected -o FILE for the columns of --terms, got no -o")
    given = read_rows(file, model.manifest, start)
    scores = score_rows(model, given.x, asked.alpha, given.context, asked.terms, asked.fdr)
    if output is None:
        click.echo(_summary(scores, given.frame, model.manifest))
    else:
        write_beside(given, scores.columns(), output)
        click.echo(_sentence(scores, output, model.manifest))
    return 0


def _sentence(scores: Scores, output: Path, manifest: Manifest) -> str:
    from logdet.text import counted

    rows, decision = counted(len(scores.score), "row", "rows"), scores.decision
    anomalies = counted(int(decision.is_anomaly.sum()), "anomaly", "anomalies")
    return (
        f"scored {rows} into {output}: {anomalies} {_rate(decision)}, "
        f"threshold {_threshold(decision, manifest)}, "
        f"by {manifest.name}/{manifest.version}, calibration {decision.calibration}"
    )


def _rate(decision: Decision) -> str:
    """What was asked for, and the alpha that follows where it was an fdr."""
    alpha = None if decision.alpha is None else f"alpha {decision.alpha:g}"
    fdr = None if decision.fdr is None else f"fdr {decision.fdr:g}"
    return f"at {', '.join(rate for rate in (fdr, alpha) if rate)}"


def _threshold(decision: Decision, manifest: Manifest) -> str:
    if decision.threshold is None:
        return "none"
    return f"{decision.threshold:.4f} {_unit(manifest)}"


def _unit(manifest: Manifest) -> str:
    return "deviations" if manifest.density == "none" else "nats"


def _summary(scores: Scores, frame: Frame, manifest: Manifest) -> str:
    import numpy as np

    from logdet.scoring import lowest, status_counts, status_names
    from logdet.text import aligned

    ok = scores.score[scores.status == 0]
    decision, unit = scores.decision, _unit(manifest)
    mean = f"{ok.mean(dtype=np.float64):.4f} {unit}" if len(ok) else "none, as no row is ok"
    facts = [
        ("model", f"{manifest.name}/{manifest.version}"),
        ("rows", f"{len(scores.score):,}"),
        ("status", status_counts(scores.status)),
        (f"mean {scores.called}", mean),
        ("anomalies", f"{decision.is_anomaly.sum():,} {_rate(decision)}"),
        ("calibration", decision.calibration),
        ("threshold", _threshold(decision, manifest)),
    ]
    worst = lowest(scores.score, MOST_ANOMALOUS)
    words = status_names(scores.status)
    rows = [
        (place, f"{scores.score[r]:.4f}", f"{decision.p_value[r]:.2g}", words[r])
        for place, r in zip(frame.places(worst), worst, strict=True)
    ]
    if not rows:
        return aligned(facts)
    least = "least likely" if scores.called == "log_prob" else "lowest score"
    return f"{aligned(facts)}\n\n{aligned([(least, scores.called, 'p_value', 'status'), *rows])}"
