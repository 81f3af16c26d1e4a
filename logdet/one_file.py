"""One file, or standard input, scored in this process; what is printed of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np

from exported.manifest import Manifest
from exported.scores import LOG_PROB
from logdet.batch.work import Settings
from logdet.beside import check_output, read_rows, write_beside
from logdet.decided import rate_words, threshold_words, unit
from logdet.errors import UserError
from logdet.every_score import score_by
from logdet.explaining import Asked
from logdet.frame import Frame
from logdet.lines import answer_lines, are_lines, begun, standard_input
from logdet.opening import Provider
from logdet.placed import Asking
from logdet.scoring import Scores, lowest, status_counts, status_names
from logdet.text import aligned, counted
from service.kinds import AnyModel

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
            if is_set and self.by not in (None, LOG_PROB):
                raise UserError(f"expected {option} with log_prob, got it with --by {self.by}")
        if self.method is not None and not self.explain:
            raise UserError("expected --explain beside --method, got --method alone")

    def settings(self, provider: Provider) -> Settings:
        """For workers, which have a GPU only where one is asked for.

        Raises:
            UserError: If more is asked than a job tells.
        """
        self._expect_plain("one file, not a job over several")
        runs = "cuda" if provider == "cuda" else "cpu"
        rates = {"alpha": self.alpha, "fdr": self.fdr}
        return Settings(**rates, terms=self.terms, by=self.by, provider=runs)

    def of_lines(self, model: AnyModel) -> Asking:
        """For lines of JSON.

        Raises:
            UserError: If more is asked than lines tell.
        """
        self._expect_plain("one file, not lines of JSON")
        return Asking(model, self.alpha, self.terms, self.by)

    def _expect_plain(self, instead: str) -> None:
        for option, is_set in (("--explain", self.explain), ("--nearest", self.nearest)):
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
    scores = score_by(model, wanted.by, x, rates, context, wanted.terms)
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
        f"scored {rows} into {output}: {anomalies} {rate_words(decision.alpha, decision.fdr)}, "
        f"threshold {threshold_words(decision.threshold, manifest, scores.by)}, "
        f"by {manifest.name}/{manifest.version}, calibration {decision.calibration}"
    )


def _summary(scores: Scores, frame: Frame, manifest: Manifest, reasons: Sequence[str]) -> str:
    ok = scores.score[scores.status == 0]
    decision = scores.decision
    mean = "none, as no row is ok"
    if len(ok):
        mean = f"{ok.mean(dtype=np.float64):.4f}{unit(manifest, scores.by)}"
    facts = [
        ("model", f"{manifest.name}/{manifest.version}"),
        ("rows", f"{len(scores.score):,}"),
        ("status", status_counts(scores.status)),
        (f"mean {scores.by or scores.called}", mean),
        ("anomalies", f"{decision.is_anomaly.sum():,} {rate_words(decision.alpha, decision.fdr)}"),
        ("calibration", decision.calibration),
        ("threshold", threshold_words(decision.threshold, manifest, scores.by)),
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
        header.append("because (nats)" if scores.by is None else "because of log_prob (nats)")
        rows = [[*row, reason] for row, reason in zip(rows, reasons, strict=True)]
    return f"{aligned(facts)}\n\n{aligned([header, *rows])}"
