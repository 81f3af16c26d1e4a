"""Score many files, or large ones, into a folder."""

from __future__ import annotations

import os
import secrets
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from logdet.batch.job import Job, begin
from logdet.batch.judging import Judge, level
from logdet.batch.pieces import Piece
from logdet.batch.places import Folder, inputs
from logdet.batch.work import Settings, Tally, Worker
from logdet.decided import rate_words, threshold_words
from logdet.errors import UserError
from logdet.frame import needed
from logdet.placed import Asking
from logdet.text import counted
from service.kinds import AnyModel
from service.ray_profile import environment

if TYPE_CHECKING:
    from service.ray_job import Crew, Work

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Given:
    """A job as typed.

    Attributes:
        files: Names, folders, patterns and addresses.
        output: Folder of the results.
        settings: What is asked of every row.
        workers: Processes; None is one for each processor.
        address: Of a Ray cluster; None is this machine.
    """

    files: Sequence[str]
    output: str | None
    settings: Settings
    workers: int | None
    address: str | None


@dataclass(slots=True)
class Progressed:
    """How far a pass is.

    Attributes:
        rows: Done in this run.
        failed: Pieces that could not be.
    """

    rows: int = 0
    failed: int = 0


def score_files(given: Given, folder: Path, model: AnyModel) -> str:
    """Score what is not scored yet; a sentence about all of it.

    Args:
        given: The job.
        folder: Of the bundle.
        model: That bundle, loaded, to refuse at once what it cannot do; workers load their own.

    Raises:
        UserError: If it cannot begin, or a piece cannot be scored.
        StartError: If Ray cannot start.
    """
    if given.output is None:
        raise UserError("expected -o FOLDER for the results of several files, got no -o")
    output, settings = Folder.of(given.output), given.settings
    model.decide(np.empty(0), settings.alpha, settings.fdr)
    Asking(model, settings.alpha, settings.terms, settings.by).columns(0, _nothing(model))
    job = begin(folder, model.manifest, settings, inputs(given.files, output), output)
    if job.left() or job.unjudged():
        with _crew(given) as crew:
            _pass("scoring", crew, Worker, (job.document.model, settings, output), job.left())
            if settings.fdr is not None:
                alpha = _level(job, model, settings.fdr)
                _pass("judging", crew, Judge, (alpha, output), job.unjudged())
    replaced = sorted({name for tally in job.tallies() for name in tally.replaced})
    if replaced:
        click.echo(f"logdet: replaced the files' own {', '.join(replaced)}", err=True)
    return _sentence(job, model)


def _nothing(model: AnyModel) -> NDArray[np.float64]:
    """A row without values."""
    return np.full((1, len(needed(model.manifest))), np.nan)


@contextmanager
def _crew(given: Given) -> Iterator[Crew]:
    """Ray, with the environment that it reads when it is imported."""
    if given.address is None:
        os.environ.update(environment(LOOPBACK, secrets.token_hex(32), os.environ))
    from service.ray_job import Crew, joined

    crew = Crew(given.workers, given.address, given.settings.provider == "cuda")
    with joined(crew, _cores()) as ready:
        yield ready


def _cores() -> int:
    known = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return known or 1


def _pass(
    doing: str, crew: Crew, make: type[Work], arguments: tuple[Any, ...], pieces: Sequence[Piece]
) -> None:
    """Have all pieces done, each failure told; those that can be done are."""
    from service.ray_job import done

    if not pieces:
        return
    items = [{"piece": piece.model_dump_json()} for piece in pieces]
    so_far = Progressed()
    with _bar(doing, len(pieces)) as advance:
        for answer in done(crew, make, arguments, items):
            tally = Tally.model_validate_json(answer["tally"])
            so_far.rows += tally.rows
            if tally.error is not None:
                so_far.failed += 1
                click.echo(f"logdet: {tally.error}", err=True)
            advance(so_far)
    if so_far.failed:
        raise UserError(
            f"{so_far.failed:,} of {counted(len(pieces), 'piece', 'pieces')} could not be "
            "scored; what was is kept, and the same command goes on from there"
        )


@contextmanager
def _bar(doing: str, pieces: int) -> Iterator[Callable[[Progressed], object]]:
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda _: None
        return
    shown = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total} pieces, {task.fields[rows]:,} rows"),
        TimeRemainingColumn(),
    )
    with Progress(*shown, console=console, transient=True) as bar:
        task = bar.add_task(doing, total=pieces, rows=0)
        yield lambda so_far: bar.update(task, advance=1, rows=so_far.rows)


def _level(job: Job, model: AnyModel, fdr: float) -> float | None:
    """The level of all rows together."""
    counts: Counter[int] = Counter()
    for tally in job.tallies():
        counts.update(tally.p_values)
    return level(counts, len(model.calibration.scores), fdr)


def _sentence(job: Job, model: AnyModel) -> str:
    rows, anomalies, status = 0, 0, Counter[str]()
    for tally in job.tallies():
        rows, anomalies = rows + tally.rows, anomalies + (tally.anomalies or 0)
        status.update(tally.status)
    settings = job.document.settings
    alpha = settings.alpha
    if settings.fdr is not None:
        alpha = _level(job, model, settings.fdr)
    elif alpha is None:
        alpha = model.default_alpha
    known = model.calibrations[settings.by or model.manifest.SCORES]
    threshold = None if alpha is None else known.threshold(alpha)
    return (
        f"scored {counted(rows, 'row', 'rows')} of "
        f"{counted(len(job.document.sources), 'file', 'files')} into {job.output.shown}: "
        f"{counted(anomalies, 'anomaly', 'anomalies')} {rate_words(alpha, settings.fdr)}, "
        f"threshold {threshold_words(threshold, model.manifest, settings.by)}, "
        f"status {', '.join(f'{word} {count:,}' for word, count in sorted(status.items()))}, "
        f"by {job.document.model}, calibration {model.manifest.calibration.artifact.sha256}"
    )
