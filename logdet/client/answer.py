"""Answers as a caller wants them: arrays with what is told of all rows, or a frame."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from logdet.client.rows import Kind
from logdet.client.wire import Facts, Reply

# An Answer, or a frame: of the kind that rows came in, or that was asked for.
Answered = Any


class Answer(Mapping[str, NDArray[Any]]):
    """Arrays by name, ``answer["log_prob"]``, and all that is told, ``answer.threshold``.

    ``log_prob`` and the like have shape ``(rows,)``; ``rows`` and ``feature_log_prob``
    ``(rows, features)``; ``z``, ``mean`` and ``scale`` ``(rows, latent_features)``. Numbers are
    those that the service computed, bit for bit: NaN where there is no answer, with the reason in
    ``status``, an array of words. ``is_anomaly`` is masked where there is no p-value, and False
    beneath the mask.

    Attributes:
        facts: What holds for all rows: ``model``, ``version``, ``density``, and as the operation
            has them ``seed``, ``threshold``, ``alpha``, ``fdr``, ``by``, ``calibration``,
            ``steps``, ``samples``, ``depth``.
    """

    def __init__(self, columns: Mapping[str, NDArray[Any]], facts: Facts) -> None:
        self._columns = dict(columns)
        self.facts = dict(facts)

    def __getitem__(self, name: str) -> NDArray[Any]:
        try:
            return self._columns[name]
        except KeyError:
            held = ", ".join(self._columns)
            raise KeyError(f"this answer has no array {name!r}; it has {held}") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - an array, or what is told
        told = self._told()
        if name in told:
            return told[name]
        raise AttributeError(f"this answer has no {name!r}; it has {', '.join(told)}")

    def __dir__(self) -> Iterable[str]:
        return [*super().__dir__(), *self._told()]

    def __repr__(self) -> str:
        arrays = ", ".join(f"{name} {array.shape}" for name, array in self._columns.items())
        facts = ", ".join(f"{name}={value!r}" for name, value in self.facts.items())
        return f"<Answer {arrays}; {facts}>"

    def _told(self) -> dict[str, Any]:
        # There is nothing yet when unpickling asks for a method of its own.
        held = self.__dict__
        return {**held.get("_columns", {}), **held.get("facts", {})}


def presented(reply: Reply, kind: Kind, index: object) -> Answered:
    """A reply as a caller wants it.

    Args:
        reply: The service's.
        kind: Arrays or a kind of frame.
        index: Of the pandas frame that rows came in; None for a new one.
    """
    table = reply.table
    if kind == "numpy":
        return _arrays(reply)
    if kind == "polars":
        import polars

        return polars.from_arrow(table)
    if kind == "arrow":
        return table.replace_schema_metadata({"logdet": json.dumps(reply.facts)})
    import pandas as pd  # type: ignore[import-untyped]
    import pyarrow as pa

    frame = table.to_pandas(types_mapper={pa.bool_(): pd.BooleanDtype()}.get)
    if index is not None:
        frame.index = index
    frame.attrs.update(reply.facts)
    return frame


def _arrays(reply: Reply) -> Answer:
    table, columns = reply.table, {}
    in_matrix = {name: whole for whole, names in reply.matrices.items() for name in names}
    for name in table.column_names:
        whole = in_matrix.get(name, name)
        if whole not in columns:
            names = reply.matrices.get(whole, (name,))
            arrays = [_array(table.column(part)) for part in names]
            columns[whole] = np.column_stack(arrays) if whole in reply.matrices else arrays[0]
    return Answer(columns, reply.facts)


def _array(column: Any) -> NDArray[Any]:  # noqa: ANN401 - pyarrow has no types
    import pyarrow as pa

    if pa.types.is_string(column.type):
        words = column.combine_chunks().dictionary_encode()
        known: NDArray[Any] = np.array(words.dictionary.to_pylist(), dtype=str)
        told: NDArray[Any] = known[words.indices.to_numpy()]
        return told
    if pa.types.is_boolean(column.type):
        values: NDArray[Any] = column.fill_null(False).to_numpy()
        masked: NDArray[Any] = np.ma.masked_array(values, mask=column.is_null().to_numpy())
        return masked
    return np.array(column.to_numpy())  # a copy, as what Arrow shares cannot be written to
