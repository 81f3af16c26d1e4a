"""Whose run is next."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from service.lanes import Line


@dataclass(slots=True, eq=False)
class Turns:
    """Lines with waiting jobs: each in its turn, quick ones and bulk alternately.

    After a run of a long request the requests that one run answers come first, so that none of
    them waits for more than one such run; and a long one never waits for more than one of theirs.
    """

    _quick: deque[Line] = field(default_factory=deque)
    _bulk: deque[Line] = field(default_factory=deque)
    _bulk_is_next: bool = False

    def __bool__(self) -> bool:
        return bool(self._quick or self._bulk)

    def add(self, line: Line) -> None:
        """Give a line a turn after those that have one."""
        (self._bulk if line is line.lane.bulk else self._quick).append(line)

    def next(self) -> Line:
        """Take the line whose turn it is."""
        is_bulk = bool(self._bulk) and (self._bulk_is_next or not self._quick)
        self._bulk_is_next = not is_bulk
        return (self._bulk if is_bulk else self._quick).popleft()
