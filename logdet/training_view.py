"""What a person sees of a training run: the columns, a progress bar, and the result."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn
from rich.table import Table
from rich.text import Text

from exported.bundle import versions
from logdet.text import counted, some

if TYPE_CHECKING:
    from exported.accuracy import ErrorSummary, StepChoices
    from training.columns import Column
    from training.fit import EpochReport
    from training.prepared import Prepared
    from training.run import Published

# Columns listed one by one; of wider tables only those with a remark are.
MAX_LISTED = 24
# Lines printed over a whole fit when there is no terminal to draw a bar on.
PLAIN_LINES = 10
# Narrow, so that the numbers beside it fit an ordinary terminal.
BAR_WIDTH = 16


def show_columns(prepared: Prepared, source: str) -> None:
    """Print the split, and what was decided about each column."""
    console = _console()
    counts = ", ".join(f"{n:,} {part}" for part, n in prepared.split.counts().items() if n)
    console.print(f"{source}: {counts}", highlight=False, soft_wrap=True)
    if prepared.image is not None:
        console.print(
            f"images of {' x '.join(map(str, prepared.image))} (height, width, channels)"
        )
    columns = prepared.columns.all + prepared.context.all
    listed = columns if len(columns) <= MAX_LISTED else tuple(c for c in columns if c.notes)
    grid = Table(box=None, pad_edge=False, show_edge=False)
    for title in ("column", "kind", "low", "high", "tails"):
        grid.add_column(title, justify="right" if title in ("low", "high") else "left")
    grid.add_column("remarks", overflow="fold")
    for column in listed:
        grid.add_row(*_column_cells(column, is_context=column in prepared.context.all))
    if listed:
        console.print(grid)
    if len(listed) < len(columns):
        console.print(f"and {len(columns) - len(listed)} columns without remarks")


def show_next_version(root: Path, name: str) -> None:
    """Print which version will be published where a bundle of that name exists."""
    known = versions(root, name)
    if known:
        kind, them = ("version", "it") if len(known) == 1 else ("versions", "them")
        there = f"{kind} {some([str(version) for version in known])}"
        _console().print(
            f"{root / name} has {there}: this run publishes version {known[-1] + 1} beside "
            f"{them} (--name NAME makes another bundle)",
            highlight=False,
            soft_wrap=True,
        )


@contextmanager
def training_progress(epochs: int) -> Iterator[Callable[[EpochReport], None]]:
    """A progress bar on a terminal, a few plain lines elsewhere; yields the reporter."""
    console = _console()
    if not console.is_terminal:
        yield lambda report: _plain_line(console, report)
        return
    columns: list[ProgressColumn] = [
        TextColumn("epoch {task.completed:.0f}/{task.total:.0f}"),
        BarColumn(bar_width=BAR_WIDTH),
        _NatsColumn(),
    ]
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("fit", total=epochs, report=None)
        yield lambda report: progress.update(task, completed=report.epoch, report=report)


@contextmanager
def publishing(epochs: int, best: int) -> Iterator[None]:
    """Say what takes the seconds after the fit."""
    console = _console()
    done = counted(epochs, "epoch", "epochs")
    console.print(f"fit done after {done}, the best was {best}", highlight=False)
    doing = "exporting, measuring, calibrating, verifying"
    if not console.is_terminal:
        console.print(doing)
    with console.status(doing):
        yield


def show_published(published: Published, checkpoint: Path) -> None:
    """Print the short table of a finished run."""
    manifest, accuracy = published.manifest, published.manifest.accuracy
    held_out = manifest.held_out
    grid = Table(box=None, pad_edge=False, show_header=False)
    rows = [
        ("test log-likelihood", _with_error(held_out.log_likelihood, held_out.standard_error)),
        ("  standardised columns", f"{held_out.log_likelihood_standardised:.3f} nats"),
        ("round-trip error", _summary(accuracy.round_trip_error, "deviations")),
        ("onnxruntime vs float64", _summary(accuracy.log_prob_error, "nats")),
        *_steps(manifest.steps),
        ("file size", f"{_size(published):,} bytes"),
        (
            "seconds of the fit",
            f"{manifest.provenance.training_seconds:.1f} "
            f"({counted(published.epochs, 'epoch', 'epochs')}, best {published.best_epoch})",
        ),
    ]
    if held_out.bits_per_dimension is not None:
        rows.insert(2, ("  a pixel", f"{held_out.bits_per_dimension:.3f} bits per dimension"))
    if held_out.out_of_support:
        zero = f"{held_out.out_of_support:,} of the test rows, with density zero"
        rows.insert(2, ("out of support", zero))
    if published.separation is not None:
        auroc = f"{published.separation.auroc:.4f} of {published.separation.anomalies:,} rows"
        rows.insert(2, ("AUROC, labelled anomalies", auroc))
    for row in rows:
        grid.add_row(*row)
    console = _console()
    console.print(f"published {manifest.name}/{manifest.version} in {published.folder}")
    console.print(grid)
    console.print(f"checkpoint {checkpoint}", soft_wrap=True)
    console.print(f"next: logdet score {manifest.name} FILE", highlight=False)


def _console() -> Console:
    # Column names come from the user: `rate [/s]` is no markup.
    return Console(markup=False, emoji=False)


class _NatsColumn(ProgressColumn):
    """Train, validation and best nats, and the time left."""

    def render(self, task: Task) -> Text:
        report: EpochReport | None = task.fields["report"]
        return Text("" if report is None else _nats(report))


def _nats(report: EpochReport) -> str:
    minutes, seconds = divmod(round(report.seconds_left), 60)
    train = "" if report.train_nats is None else f"train {report.train_nats:.3f}  "
    return (
        f"{train}validation {report.validation_nats:.3f}  "
        f"best {report.best_nats:.3f} nats  up to {minutes}:{seconds:02d} left"
    )


def _plain_line(console: Console, report: EpochReport) -> None:
    every = max(1, report.epochs // PLAIN_LINES)
    if report.epoch % every == 0 or report.epoch in (1, report.epochs):
        console.print(
            f"epoch {report.epoch}/{report.epochs}  {_nats(report)}",
            highlight=False,
            soft_wrap=True,
        )


def _column_cells(column: Column, *, is_context: bool) -> tuple[str, ...]:
    kind = f"{column.kind}, context" if is_context else column.kind
    tails = "" if column.constant else f"arcsinh {column.tightness:g}"
    low, high = f"{column.low:g}", f"{column.high:g}"
    return column.name, kind, low, high, tails, "; ".join(column.notes)


def _with_error(mean: float, standard_error: float) -> str:
    return f"{mean:.3f} ± {standard_error:.3f} nats"


def _summary(error: ErrorSummary, unit: str) -> str:
    return f"median {error.median:.1e}, largest {error.max:.1e} {unit}"


def _steps(steps: StepChoices | None) -> list[tuple[str, str]]:
    """What a caller of a continuous flow may choose, and what one gets who does not."""
    if steps is None:
        return []
    default = next(choice for choice in steps.offered if choice.steps == steps.default)
    error = f"error {default.log_prob_error.p999:.1e} nats at the 99.9th percentile"
    offered = ", ".join(str(choice.steps) for choice in steps.offered)
    return [
        ("steps by default", f"{steps.default}, {error}"),
        ("  on offer", offered),
    ]


def _size(published: Published) -> int:
    return sum(path.stat().st_size for path in published.folder.iterdir())
