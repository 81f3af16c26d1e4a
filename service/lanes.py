"""Ways in which a model runs, and the requests that wait for each."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from service.gathering import Gathering
from service.jobs import Array, Arrays, Job, Part, shares
from service.pace import Pace

Run = Callable[[Array], Arrays]

# Shorter runs cost more a row, however many passes each takes.
LEAST_ROWS = 64


class Watch(Protocol):
    """Told what happens in a lane."""

    def ran(self, rows: int, requests: int, seconds: float) -> None:
        """A run of some rows for some requests took so long."""

    def waited(self, seconds: float) -> None:
        """A request's first rows went into a run."""


@dataclass(slots=True, eq=False)
class Lane:
    """Requests that may share a run, those that fit into one apart from the longer ones.

    Attributes:
        run: Maps rows ``(rows, columns)`` to arrays with one entry per row; called in a worker.
        watch: Told of every run.
        limit: Most rows of one run, where these are fewer than the batcher's.
        passes: Network evaluations that a row costs one after the other; runs are that much
            shorter, so that none holds up others for longer.
        pace: How long runs took.
        quick: Requests that one run answers.
        bulk: Those that need several.
    """

    run: Run
    watch: Watch
    limit: int | None = None
    passes: int = 1
    pace: Pace = field(default_factory=Pace)
    quick: Line = field(init=False)
    bulk: Line = field(init=False)

    def __post_init__(self) -> None:
        self.quick, self.bulk = Line(self), Line(self)

    def most(self, limit: int) -> int:
        """Rows of one run, where those of one pass have so many."""
        limit = min(limit, max(LEAST_ROWS, limit // self.passes))
        return limit if self.limit is None else min(limit, self.limit)

    def ran(self, rows: int, requests: int, seconds: float) -> None:
        """Remember a run and tell the watch."""
        self.pace.ran(rows, seconds)
        self.watch.ran(rows, requests, seconds)


@dataclass(slots=True, eq=False)
class Line:
    """Jobs of a lane that wait for its next run.

    Attributes:
        lane: Whose.
        waiting: Jobs with rows not yet in a run.
        gathering: What is known of those that come one after the other.
    """

    lane: Lane
    waiting: deque[Job] = field(default_factory=deque)
    gathering: Gathering = field(default_factory=Gathering)

    def cut(self, limit: int) -> list[Part]:
        """The next run: at most ``limit`` rows, shared evenly among the waiting jobs."""
        limit = self.lane.most(limit)
        first = self.waiting[0]
        if len(self.waiting) == 1 and first.left <= limit:  # nothing is to be shared
            self.waiting.clear()
            return [] if first.done.done() else [first.cut(first.left)]
        jobs: list[Job] = []
        while self.waiting and len(jobs) < limit:
            job = self.waiting.popleft()
            if not job.done.done():
                jobs.append(job)
        parts = [job.cut(share) for job, share in zip(jobs, shares(jobs, limit), strict=True)]
        self.waiting.extend(job for job in jobs if job.left)
        return parts
