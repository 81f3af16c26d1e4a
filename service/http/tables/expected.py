"""The columns that a table has to have."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from service.errors import invalid

_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Expected:
    """What a table has to have.

    Attributes:
        names: Of its columns, which may come in any order.
        purpose: What they are for, in messages.
        check_count: Refuses too many rows.
    """

    names: tuple[str, ...]
    purpose: str
    check_count: Callable[[int], None]

    def check_names(self, found: Sequence[str]) -> None:
        """Refuse a table with other columns.

        Raises:
            ServiceError: ``invalid_input``, naming those missing, unknown and there twice.
        """
        times, known = Counter(found), frozenset(self.names)
        wrong = {
            "missing": [name for name in self.names if name not in times],
            "unknown": [name for name in times if name not in known],
            "there twice": [name for name, count in times.items() if count > 1],
        }
        told = [f"{what}: {listed(names)}" for what, names in wrong.items() if names]
        if told:
            takes = f"the columns {listed(self.names)}" if self.names else "no columns"
            raise invalid(f"expected {takes} for {self.purpose}, in any order; {'; '.join(told)}")


def listed(names: Sequence[str]) -> str:
    """Names for a message, the first of them where they are many."""
    shown = ", ".join(name[:64] for name in names[:_SHOWN])
    return shown if len(names) <= _SHOWN else f"{shown}, ... ({len(names)} columns)"
