"""Rows through a model in this process, in chunks on several threads."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from logdet.errors import UserError
from logdet.options import Reference, find
from service.config import default_sessions
from service.model import Model
from service.results import STATUSES, Codes, Decision, Floats
from service.runtime import Runtime

CHUNK_ROWS = 16_384
BAR_ROWS = 50_000  # fewer are done before a bar could be read
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Scores:
    """What is known of each row.

    Attributes:
        log_prob: Shape ``(rows,)``, nats.
        status: Shape ``(rows,)``, indices into :data:`STATUSES`.
        decision: p-values and anomalies.
        terms: Of each feature given those before it, nats, by name; empty where not asked for.
    """

    log_prob: NDArray[np.floating]
    status: NDArray[np.uint8]
    decision: Decision
    terms: Mapping[str, NDArray[np.floating]] = field(default_factory=dict)

    def columns(self) -> dict[str, NDArray[np.generic]]:
        """As columns of a table; ``is_anomaly`` is masked (a null) where the p-value is NaN."""
        p_value, is_anomaly = self.decision.p_value, self.decision.is_anomaly
        return {
            "log_prob": self.log_prob,
            "p_value": p_value,
            "is_anomaly": np.ma.masked_array(is_anomaly, np.isnan(p_value)),
            "status": status_names(self.status),
            **{f"log_prob_{name}": values for name, values in self.terms.items()},
        }


def open_model(
    bundles: Path, reference: Reference, provider: Literal["auto", "cpu", "cuda"]
) -> Model:
    """Load the model that was named, with a session for each thread.

    Raises:
        BundleError: If there is none, or it is refused.
        StartError: If it cannot run on the provider.
    """
    return Model.load(find(bundles, reference), Runtime.choose(provider, default_sessions()))


def score(
    model: Model,
    x: NDArray[np.float64],
    alpha: float | None,
    context: NDArray[np.float64] | None = None,
    terms: bool = False,
) -> Scores:
    """Log-densities and decisions of rows of shape ``(rows, features)``.

    The context of a conditional density has shape ``(rows, context_features)``. With ``terms``
    each feature's term comes too.

    Raises:
        ServiceError: If alpha cannot be decided.
        UserError: If the model has no terms.
    """
    if terms and "feature_log_prob" not in model.manifest.operations:
        raise UserError(
            f"expected a model with feature_log_prob for --terms, got {model.manifest.name}: "
            "train a maf or nsf_ar with mixing: false"
        )
    model.decide(np.empty(0), alpha)  # an alpha that cannot be decided costs no rows

    def run(start: int, stop: int) -> tuple[Floats, Codes, Floats | None]:
        given = None if context is None else context[start:stop]
        if terms:
            apart = model.explain(x[start:stop], given)
            return apart.log_prob, apart.status, apart.terms
        part = model.evaluate(x[start:stop], given)
        return part.log_prob, part.status, None  # latents of a whole file would fill the memory

    parts = in_chunks(len(x), run)
    log_prob = np.concatenate([part[0] for part in parts])
    status = np.concatenate([part[1] for part in parts])
    apart = [part[2] for part in parts if part[2] is not None]
    names = [feature.name for feature in model.manifest.features] if apart else []
    by_name = dict(zip(names, np.concatenate(apart).T, strict=True)) if apart else {}
    return Scores(log_prob, status, model.decide(log_prob, alpha), by_name)


def in_chunks(rows: int, run: Callable[[int, int], T]) -> list[T]:
    """``run(start, stop)`` over all rows, in order, on as many threads as there are sessions."""
    starts = range(0, rows, CHUNK_ROWS)
    pool = ThreadPoolExecutor(default_sessions())
    with pool, _progress(rows) as advance:
        try:
            futures = [pool.submit(run, s, min(s + CHUNK_ROWS, rows)) for s in starts]
            results = []
            for future in futures:
                results.append(future.result())
                advance(CHUNK_ROWS)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return results


def status_names(status: NDArray[np.uint8]) -> NDArray[np.str_]:
    """The words for status codes."""
    return np.array(STATUSES)[status]


def status_counts(status: NDArray[np.uint8]) -> str:
    """How many rows have each status that occurs."""
    counts = np.bincount(status, minlength=len(STATUSES))
    return ", ".join(f"{word} {n:,}" for word, n in zip(STATUSES, counts, strict=True) if n)


@contextmanager
def _progress(rows: int) -> Iterator[Callable[[int], object]]:
    from rich.console import Console

    console = Console(stderr=True)
    if rows <= BAR_ROWS or not console.is_terminal:
        yield lambda _: None
        return
    from rich.progress import Progress

    with Progress(console=console, transient=True) as bar:
        task = bar.add_task("rows", total=rows)
        yield lambda done: bar.update(task, advance=done)
