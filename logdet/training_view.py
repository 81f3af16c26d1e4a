"""What a person sees of a training run: the columns and a progress bar."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
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
    from training.checkpoint import FitState
    from training.columns import Column
    from training.energy import Target
    from training.fit import EpochReport
    from training.prepared import Prepared
    from training.recipes import Recipe

# Columns listed one by one; of wider tables only those with a remark are.
MAX_LISTED = 24
# Lines printed over a whole fit when there is no terminal to draw a bar on.
PLAIN_LINES = 10
# Narrow, so that the numbers beside it fit an ordinary terminal.
BAR_WIDTH = 16


def show_columns(prepared: Prepared, source: str) -> None:
    """Print the split, and what was decided about each column."""
    console = console_of_names()
    counts = ", ".join(f"{n:,} {part}" for part, n in prepared.split.counts().items() if n)
    console.print(f"{source}: {counts}", highlight=False, soft_wrap=True)
    if prepared.image is not None:
        console.print(
            f"images of {' x '.join(map(str, prepared.image))} (height, width, channels)"
        )
    columns = prepared.columns.all + prepared.context.all
    listed = columns if len(columns) <= MAX_LISTED else tuple(c for c in columns if c.notes)
    if listed:
        console.print(_column_table(prepared, listed))
    if len(listed) < len(columns):
        console.print(f"and {len(columns) - len(listed)} columns without remarks")


def show_target(target: Target) -> None:
    """Print what is fitted where there are no rows."""
    features = counted(len(target.features), "feature", "features")
    console_of_names().print(
        f"energy {target.named} of {features} ({', '.join(target.features)}), no rows",
        highlight=False,
        soft_wrap=True,
    )


def show_next_version(root: Path, name: str) -> None:
    """Print which version will be published where a bundle of that name exists."""
    known = versions(root, name)
    if known:
        kind, them = ("version", "it") if len(known) == 1 else ("versions", "them")
        there = f"{kind} {some([str(version) for version in known])}"
        console_of_names().print(
            f"{root / name} has {there}: this run publishes version {known[-1] + 1} beside "
            f"{them} (--name NAME makes another bundle)",
            highlight=False,
            soft_wrap=True,
        )


@contextmanager
def training_progress(recipe: Recipe) -> Iterator[Callable[[EpochReport], None]]:
    """A progress bar on a terminal, a few plain lines elsewhere; yields the reporter."""
    console, unit, kind = console_of_names(), unit_of(recipe), _kind(recipe)
    if recipe.trim:
        console.print(
            f"trim {recipe.trim:g}: fitted to all rows, then from the start without the "
            f"{100 * recipe.trim:g} % that are least likely",
            highlight=False,
            soft_wrap=True,
        )
    if not console.is_terminal:
        yield lambda report: _plain_line(console, report, unit, kind)
        return
    columns: list[ProgressColumn] = [
        TextColumn(unit + " {task.completed:.0f}/{task.total:.0f}"),
        BarColumn(bar_width=BAR_WIDTH),
        _ReportColumn(kind),
    ]
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("fit", total=_planned(recipe), report=None)
        yield lambda report: progress.update(task, completed=report.epoch, report=report)


@contextmanager
def publishing(recipe: Recipe, state: FitState) -> Iterator[None]:
    """Say how the fit ended, and what takes the seconds after it."""
    console, unit = console_of_names(), unit_of(recipe)
    done = counted(state.epoch, unit, f"{unit}s")
    chosen = f", the best was {state.best_epoch}" if unit == "epoch" else ""
    console.print(f"fit done after {done}{chosen}", highlight=False)
    doing = "exporting, measuring, calibrating, verifying"
    if not console.is_terminal:
        console.print(doing)
    with console.status(doing):
        yield


def unit_of(recipe: Recipe) -> str:
    """What a fit is counted in: an energy has no rows to make an epoch."""
    return "step" if _kind(recipe) == "reverse_kl" else "epoch"


def _kind(recipe: Recipe) -> str:
    """The family that validation is told of; of an energy the objective."""
    from training.recipes import EnergyFitConfig

    fit = recipe.fit
    return fit.objective if isinstance(fit, EnergyFitConfig) else recipe.model.family


def _planned(recipe: Recipe) -> int:
    """The most that a fit may take, in its unit."""
    from training.recipes import EnergyFitConfig

    fit = recipe.fit
    return fit.steps if isinstance(fit, EnergyFitConfig) else fit.epochs


def console_of_names() -> Console:
    """Standard output for text with names in it, which come from the user: `[/s]` is no markup."""
    return Console(markup=False, emoji=False)


class _ReportColumn(ProgressColumn):
    """What :func:`_reported` says of the last epoch."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self._kind = kind

    def render(self, task: Task) -> Text:
        report: EpochReport | None = task.fields["report"]
        return Text("" if report is None else _reported(report, self._kind))


def _reported(report: EpochReport, kind: str) -> str:
    """What is known after an epoch, and the time left."""
    minutes, seconds = divmod(round(report.seconds_left), 60)
    return f"{_validated(report, kind)}  up to {minutes}:{seconds:02d} left"


def _validated(report: EpochReport, kind: str) -> str:
    """Validation of a flow is its log-likelihood, of a VAE a bound, of an autoencoder an error.

    Without rows there is none: the bound of the log normaliser is that of the last steps.
    """
    if kind == "reverse_kl":
        return f"bound of the log normaliser {report.validation_nats:.3f} nats"
    if kind == "autoencoder":
        now, best = -report.validation_nats, -report.best_nats
        return f"squared error of validation {now:.4f}  best {best:.4f}"
    if kind == "vae":
        return (
            f"bound of validation {report.validation_nats:.3f}  best {report.best_nats:.3f} nats"
        )
    train = "" if report.train_nats is None else f"train {report.train_nats:.3f}  "
    return f"{train}validation {report.validation_nats:.3f}  best {report.best_nats:.3f} nats"


def _plain_line(console: Console, report: EpochReport, unit: str, kind: str) -> None:
    every = max(1, report.epochs // PLAIN_LINES)
    if report.epoch % every == 0 or report.epoch in (1, report.epochs):
        console.print(
            f"{unit} {report.epoch}/{report.epochs}  {_reported(report, kind)}",
            highlight=False,
            soft_wrap=True,
        )


def _column_table(prepared: Prepared, listed: Sequence[Column]) -> Table:
    from training.vae.data import Observations

    bent = not isinstance(prepared, Observations)  # columns of autoencoders are scaled alone
    grid = Table(box=None, pad_edge=False, show_edge=False)
    for title in ("column", "kind", "low", "high", *(["tails"] if bent else [])):
        grid.add_column(title, justify="right" if title in ("low", "high") else "left")
    grid.add_column("remarks", overflow="fold")
    for column in listed:
        kind = f"{column.kind}, context" if column in prepared.context.all else column.kind
        tails = "" if column.constant else f"arcsinh {column.tightness:g}"
        cells = [column.name, kind, f"{column.low:g}", f"{column.high:g}"]
        grid.add_row(*cells, *([tails] if bent else []), "; ".join(column.notes))
    return grid
