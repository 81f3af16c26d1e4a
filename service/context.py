"""The context of a conditional density: one row for all rows of a request, or one for each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from exported.manifest import Manifest
from service.errors import invalid
from service.results import OK, STATUSES, Codes, Floats
from service.rows import listed
from service.status import RowRules


@dataclass(frozen=True, slots=True)
class Conditioning:
    """What a model is given beside its rows; nothing for an unconditional density.

    Attributes:
        model: The model's name, for messages.
        names: Names of the values of a context row, in order.
        rules: Which context rows may be run.
    """

    model: str
    names: tuple[str, ...]
    rules: RowRules

    @classmethod
    def of(cls, manifest: Manifest) -> Conditioning:
        """That of a manifest."""
        features = manifest.context_features
        return cls(manifest.name, tuple(f.name for f in features), RowRules.of(features))

    def check(self, given: int | None, rows: int) -> None:
        """Refuse a context that is lacking, not wanted, or of another number of rows.

        Args:
            given: Rows of context; None if there is none.
            rows: Rows that it belongs to.

        Raises:
            ServiceError: ``invalid_input``.
        """
        if given is None and not self.names:
            return
        if not self.names:
            raise invalid(f"expected no 'context', as {self.model} has no context features")
        one_or_each = "one row for all, or one for each"
        if given is None:
            raise invalid(
                f"expected a 'context' of {listed(self.names)} ({one_or_each}), as {self.model} "
                "is a conditional density; got none"
            )
        if given not in (1, rows):
            if rows == 1:
                raise invalid(f"expected 1 row of 'context', got {given}")
            raise invalid(f"expected 1 or {rows} rows of 'context' ({one_or_each}), got {given}")

    def spread(self, context: Floats | None, rows: int) -> Floats | None:
        """A context row for every row, without a copy; None for an unconditional density.

        Args:
            context: Shape ``(1, context_features)`` or ``(rows, context_features)``, or None.
            rows: How many there are to be.

        Raises:
            ServiceError: ``invalid_input`` if the context does not fit.
        """
        self.check(None if context is None else len(context), rows)
        if context is None:
            return None
        if context.shape[1:] != (len(self.names),):
            raise invalid(
                f"expected {len(self.names)} values in a row of 'context' ({listed(self.names)}), "
                f"got an array of shape {context.shape}"
            )
        return np.broadcast_to(context, (rows, len(self.names)))

    def single(self, context: Floats | None) -> Floats | None:
        """The one context row that an answer about no row in particular is given.

        Raises:
            ServiceError: ``invalid_input`` if it is lacking, not wanted, or cannot be run.
        """
        context = self.spread(context, 1)
        status = OK if context is None else int(self.rules.judge(context)[0])
        if status != OK:
            raise invalid(
                f"expected a row of 'context' within the support of {self.model}, "
                f"got one that is {STATUSES[status]}"
            )
        return context

    def judge(self, status: Codes, context: Floats | None) -> Codes:
        """The status of rows whose own is known, with their context: what is not finite wins."""
        if context is None:
            return status
        also = self.rules.judge(context)
        either_ok = (status == OK) | (also == OK)
        return np.where(either_ok, np.maximum(status, also), np.minimum(status, also))

    def prevail(self, status: Codes, context: Floats) -> Codes:
        """The status of rows that were made: that of an unfit context comes before their own."""
        also = self.rules.judge(context)
        return np.where(also == OK, status, also)

    def inputs(self, status: Codes, context: Floats | None) -> dict[str, Floats]:
        """What the graphs are given beside the rows, without values that must not be run."""
        return {} if context is None else {"context": self.rules.runnable(context, status)}
