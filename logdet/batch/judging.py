"""The second pass of a job at a false discovery rate: one decision over all its pieces."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from exported.false_discoveries import level_of_counts
from logdet.batch.pieces import Piece
from logdet.batch.places import Folder
from logdet.batch.reading import reading
from logdet.batch.work import DECIDED, P_VALUE, Tally, draft_name, tally_name
from logdet.batch.writing import writing


def level(counts: dict[int, int], calibration_rows: int, fdr: float) -> float | None:
    """The p-value up to which rows are anomalies, from how many have each p-value.

    Args:
        counts: Rows by the place of their p-value among those that there are, from 1.
        calibration_rows: How many.
        fdr: See :func:`exported.false_discoveries.rejection_level`.
    """
    places = np.array(sorted(counts), dtype=np.int64)
    rows = np.array([counts[place] for place in places.tolist()], dtype=np.int64)
    return level_of_counts(places / (calibration_rows + 1.0), rows, fdr)


class Judge:
    """Writes pieces again with the decision in them.

    Args:
        alpha: The p-value up to which a row is an anomaly; None where none is.
        output: Folder of the results.
    """

    def __init__(self, alpha: float | None, output: Folder) -> None:
        pa.set_cpu_count(1)
        self._alpha, self._output = alpha, output

    def __call__(self, item: dict[str, Any]) -> dict[str, Any]:
        """Judge the piece of ``{"piece": JSON}``, as Ray Data calls it; ``{"tally": JSON}``."""
        piece = Piece.model_validate_json(item["piece"])
        return {"tally": self.judge(piece).model_dump_json()}

    def judge(self, piece: Piece) -> Tally:
        """Its rows with the decision, its tally with their number; the draft goes."""
        files, draft = self._output.files, self._output.at(draft_name(piece.output))
        tally = Tally.model_validate_json(self._output.read(tally_name(piece.output)))
        tally.anomalies = 0
        with reading(files, draft, piece.kind, None) as rows:
            at = rows.schema.get_field_index(P_VALUE) + 1
            schema = rows.schema.insert(at, pa.field(DECIDED, pa.bool_()))
            path = self._output.at(piece.output)
            with writing(files, path, piece.kind, schema, rows.is_stream) as write:
                for batch in rows.batches:
                    decided = self._decided(batch.column(P_VALUE))
                    tally.anomalies += pc.sum(decided).as_py() or 0
                    write(pa.Table.from_batches([batch]).add_column(at, DECIDED, decided))
        self._output.write(tally_name(piece.output), tally.model_dump_json().encode())
        files.delete_file(draft)
        return tally

    def _decided(self, p_value: pa.Array) -> pa.Array:
        known = pc.cast(p_value, pa.float64())
        is_missing = pc.or_(pc.is_null(known), pc.is_nan(known))
        below = pc.less_equal(known, -1.0 if self._alpha is None else self._alpha)
        return pc.if_else(is_missing, pa.scalar(None, pa.bool_()), below)
