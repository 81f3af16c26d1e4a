"""One file, or standard input, scored in this process; what is printed of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np

from exported.manifest import Manifest
from logdet.batch.work import Settings
from logdet.beside import check_output, read_rows, write_beside
from logdet.errors import UserError
from logdet.every_score import score_by
from logdet.explaining import Asked
from logdet.frame import Frame
from logdet.lines import answer_lines, are_lines, begun, standard_input
from logdet.opening import Provider
from logdet.placed import Asking
from logdet.scoring import Scores, lowest, score, status_counts, status_names
from logdet.text import aligned, counted
from service.kinds import AnyModel
from service.results import Decision

MOST_ANOMALOUS = 5


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked of every row; see the options of ``logdet score``."""

    alpha: float | None
    fdr: float | None
    by: str | None
    terms: bool
    explain: bool
    method: str | None
    nearest: bool

    def check(self) -> None:
        """Refuse options that do not go together.

        Raises:
            UserError: For the first of them.
        """
        for option, is_set in (("--terms", self.terms), ("--nearest", self.nearest)):
            if is_set and self.by is not None:
                raise UserError(f"expected {option} or --by, got both")
        if self.method is not None and not self.explain:
            raise UserError("expected --explain beside --method, got --method alone")

    def settings(self, provider: Provider) -> Settings:
        """For workers, which have a GPU only where one is asked for.

        Raises:
            UserError: If more is asked than a job tells.
        """
        self._expect_plain("one file, not a job over several")
        runs = "cuda" if provider == "cuda" else "cpu"
        return Settings(alpha=self.alpha, fdr=self.fdr, terms=self.terms, provider=runs)

    def of_lines(self, model: AnyModel) -> Asking:
        """For lines of JSON.

        Raises:
            UserError: If more is asked than lines tell.
        """
        self._expect_plain("one file, not lines of JSON")
        return Asking(model, self.alpha, self.terms)

    def _expect_plain(self, instead: str) -> None:
        more = (("--by", self.by), ("--explain", self.explain), ("--nearest", self.nearest))
        for option, is_set in more:
            if is_set:
                raise UserError(f"expected {option} of {instead}")


def score_one(model: AnyModel, file: Path, output: Path | None, wanted: Wanted) -> int:
    """Score a file, or standard input, and print or write what is found; the exit code.

    Raises:
        UserError: If the file or the output is not as expected.
    """
    check_output(file, output)
    start = begun(standard_input()) if str(file) == "-" else b""
    if are_lines(start):
        return answer_lines(wanted.of_lines(model), start, output, wanted.fdr)
    for option, is_set in (("--terms", wanted.terms), ("--nearest", wanted.nearest)):
        if is_set and output is None:
            raise UserError(f"expected -o FILE for the columns of {option}, got no -o")
    asked = Asked.of(model, explain=wanted.explain, method=wanted.method, nearest=wanted.nearest)
    given = read_rows(file, model.manifest, start)
    x, context, rates = given.x, given.context, (wanted.alpha, wanted.fdr)
    if wanted.by is not None:
        scores = score_by(model, wanted.by, x, rates, context)
    else:
        scores = score(model, x, wanted.alpha, context, wanted.terms, wanted.fdr)
    if output is None:
        worst = lowest(scores.score, MOST_ANOMALOUS)
        why = asked.reasons(model, x, context, scores, worst)
        click.echo(_summary(scores, given.frame, model.manifest, why))
    else:
        more = asked.columns(model, x, context, scores)
        write_beside(given, scores.columns() | more, output)
        click.echo(_sentence(scores, output, model.manifest))
    return 0


def _sentence(scores: Scores, output: Path, manifest: Manifest) -> str:
    rows, decision = counted(len(scores.score), "row", "rows"), scores.decision
    anomalies = counted(int(decision.is_anomaly.sum()), "anomaly", "anomalies")
    return (
        f"scored {rows} into {output}: {anomalies} {_rate(decision)}, "
        f"threshold {_threshold(scores, manifest)}{_by(scores)}, "
        f"by {manifest.name}/{manifest.version}, calibration {decision.calibration}"
    )


def _rate(decision: Decision) -> str:
    """What was asked for, and the alpha that follows where it was an fdr."""
    alpha = None if decision.alpha is None else f"alpha {decision.alpha:g}"
    fdr = None if decision.fdr is None else f"fdr {decision.fdr:g}"
    return f"at {', '.join(rate for rate in (fdr, alpha) if rate)}"


def _by(scores: Scores) -> str:
    return "" if scores.by is None else f" of {scores.by}"


def _threshold(scores: Scores, manifest: Manifest) -> str:
    threshold = scores.decision.threshold
    return "none" if threshold is None else f"{threshold:.4f}{_unit(scores, manifest)}"


def _unit(scores: Scores, manifest: Manifest) -> str:
    """Behind a number; a squared norm and a sum of logarithms have none."""
    if scores.by in ("latent_norm", "combined"):
        return ""
    return " deviations" if manifest.density == "none" else " nats"


def _summary(scores: Scores, frame: Frame, manifest: Manifest, reasons: Sequence[str]) -> str:
    ok = scores.score[scores.status == 0]
    decision, unit = scores.decision, _unit(scores, manifest)
    mean = f"{ok.mean(dtype=np.float64):.4f}{unit}" if len(ok) else "none, as no row is ok"
    facts = [
        ("model", f"{manifest.name}/{manifest.version}"),
        ("rows", f"{len(scores.score):,}"),
        ("status", status_counts(scores.status)),
        (f"mean {scores.by or scores.called}", mean),
        ("anomalies", f"{decision.is_anomaly.sum():,} {_rate(decision)}"),
        ("calibration", decision.calibration),
        ("threshold", _threshold(scores, manifest)),
    ]
    worst = lowest(scores.score, MOST_ANOMALOUS)
    words = status_names(scores.status)
    rows = [
        [place, f"{scores.score[r]:.4f}", f"{decision.p_value[r]:.2g}", words[r]]
        for place, r in zip(frame.places(worst), worst, strict=True)
    ]
    if not rows:
        return aligned(facts)
    least = "least likely" if scores.called == "log_prob" else "lowest score"
    header = [least, scores.called, "p_value", "status"]
    if reasons:
        header.append("because (nats)")
        rows = [[*row, reason] for row, reason in zip(rows, reasons, strict=True)]
    return f"{aligned(facts)}\n\n{aligned([header, *rows])}"
