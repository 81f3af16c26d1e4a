"""Rows through a model in this process, in chunks on several threads."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from logdet.errors import UserError
from service.kinds import AnyModel
from service.model import Model
from service.results import (
    STATUSES,
    Bounded,
    Codes,
    Decision,
    Drawn,
    Evaluated,
    Floats,
    Reconstructed,
)
from service.vae import VAE

CHUNK_ROWS = 1024  # what a network makes of more of them does not stay in a core's cache
CHUNK_SAMPLES = 16_384
BAR_ROWS = 50_000  # fewer are done before a bar could be read
T = TypeVar("T")
R = TypeVar("R", Bounded, Drawn, Evaluated, Reconstructed)


@dataclass(frozen=True, slots=True)
class Scores:
    """What is known of each row.

    Attributes:
        called: ``log_prob`` of a density, in nats; ``score`` of a bound on one, in nats, or of an
            error of reconstruction with its sign turned, in deviations.
        score: That, shape ``(rows,)``.
        status: Shape ``(rows,)``, indices into :data:`STATUSES`.
        decision: p-values and anomalies.
        terms: Of each feature given those before it, nats, by name; empty where not asked for.
        by: Of a flow, the score that decides, where it was asked for.
        log_prob: Where another score decides; else None.
    """

    called: str
    score: NDArray[np.floating]
    status: NDArray[np.uint8]
    decision: Decision
    terms: Mapping[str, NDArray[np.floating]] = field(default_factory=dict)
    by: str | None = None
    log_prob: NDArray[np.floating] | None = None

    def columns(self) -> dict[str, NDArray[np.generic]]:
        """As columns of a table; ``is_anomaly`` is masked (a null) where the p-value is NaN."""
        p_value, is_anomaly = self.decision.p_value, self.decision.is_anomaly
        return {
            **({} if self.log_prob is None else {"log_prob": self.log_prob}),
            self.called: self.score,
            "p_value": p_value,
            "is_anomaly": np.ma.masked_array(is_anomaly, np.isnan(p_value)),
            "status": status_names(self.status),
            **{f"log_prob_{name}": values for name, values in self.terms.items()},
        }


def score(
    model: AnyModel,
    x: NDArray[np.float64],
    alpha: float | None,
    context: NDArray[np.float64] | None = None,
    terms: bool = False,
    fdr: float | None = None,
) -> Scores:
    """Scores and decisions of rows of shape ``(rows, features)``.

    The context of a conditional density has shape ``(rows, context_features)``. With ``terms``
    each feature's term comes too. An ``fdr`` is that of all rows together.

    Raises:
        ServiceError: If alpha or fdr cannot be decided, or both are given.
        UserError: If the model has no terms.
    """
    if terms and "feature_log_prob" not in model.manifest.operations:
        raise UserError(
            f"expected a model with feature_log_prob for --terms, got {model.manifest.name}: "
            "train a maf or nsf_ar with mixing: false"
        )
    model.decide(np.empty(0), alpha, fdr)  # a rate that cannot be decided costs no rows

    def run(start: int, stop: int) -> tuple[Floats, Codes, Floats | None]:
        rows = x[start:stop]
        if not isinstance(model, Model):
            return *model.score(rows), None
        given = None if context is None else context[start:stop]
        if terms:
            apart = model.explain(rows, given)
            return apart.log_prob, apart.status, apart.terms
        part = model.evaluate(rows, given)
        return part.log_prob, part.status, None  # latents of a whole file would fill the memory

    samples = model.scoring().plan.samples if isinstance(model, VAE) else 1
    scores, status, apart = zip(*in_chunks(model, len(x), run, samples), strict=True)
    values = np.concatenate(scores)
    by_name = _by_name(model, [part for part in apart if part is not None])
    called, decision = model.manifest.SCORES, model.decide(values, alpha, fdr)
    return Scores(called, values, np.concatenate(status), decision, by_name)


def _by_name(model: AnyModel, terms: Sequence[Floats]) -> dict[str, NDArray[np.floating]]:
    """Terms of parts of the rows, each part ``(rows, features)``, by feature."""
    if not terms:
        return {}
    names = [feature.name for feature in model.manifest.features]
    return dict(zip(names, np.concatenate(terms).T, strict=True))


def in_chunks(
    model: AnyModel, rows: int, run: Callable[[int, int], T], samples: int = 1
) -> list[T]:
    """``run(start, stop)`` over all rows, in order, on as many threads as there are sessions.

    Args:
        model: Whose sessions.
        rows: How many.
        run: Does some of them.
        samples: Runs of a network that each row takes; the more, the fewer rows at once.
    """
    step = max(1, min(CHUNK_ROWS, CHUNK_SAMPLES // samples))
    cuts = [(start, min(start + step, rows)) for start in range(0, rows, step)]
    results = []
    with _progress(rows, samples) as advance:
        for result in _each(cuts, run, model.sessions):
            results.append(result)
            advance(step)
    return results


def _each(
    cuts: Sequence[tuple[int, int]], run: Callable[[int, int], T], threads: int
) -> Iterator[T]:
    if threads == 1:  # another thread would only wait, and take turns with this one
        yield from (run(start, stop) for start, stop in cuts)
        return
    with ThreadPoolExecutor(threads) as pool:
        try:
            for future in [pool.submit(run, start, stop) for start, stop in cuts]:
                yield future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def joined(parts: Sequence[R]) -> R:
    """What is known of all rows, from parts of them in order."""
    return type(parts[0])(*map(np.concatenate, zip(*parts, strict=True)))


def lowest(values: Floats, rows: int) -> list[int]:
    """The rows of the lowest values, lowest first, at most so many; none of a NaN."""
    order = np.argsort(values, kind="stable")  # NaN comes last
    return [int(row) for row in order[:rows] if not np.isnan(values[row])]


def status_names(status: NDArray[np.uint8]) -> NDArray[np.object_]:
    """The words for status codes, each of which is kept once."""
    return np.array(STATUSES, object)[status]


def status_counts(status: NDArray[np.uint8]) -> str:
    """How many rows have each status that occurs."""
    counts = np.bincount(status, minlength=len(STATUSES))
    return ", ".join(f"{word} {n:,}" for word, n in zip(STATUSES, counts, strict=True) if n)


@contextmanager
def _progress(rows: int, samples: int) -> Iterator[Callable[[int], object]]:
    from rich.console import Console

    console = Console(stderr=True)
    if rows * samples <= BAR_ROWS or not console.is_terminal:
        yield lambda _: None
        return
    from rich.progress import Progress

    with Progress(console=console, transient=True) as bar:
        task = bar.add_task("rows", total=rows)
        yield lambda done: bar.update(task, advance=done)
