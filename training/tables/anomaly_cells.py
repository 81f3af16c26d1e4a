"""What is kept of a method on one division of a labelled set, in a file of JSON lines."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.tables.anomaly_sets import Task
from training.tables.detectors import Scored

Place = tuple[str, int, str]


@dataclass(frozen=True, slots=True)
class Cell:
    """One method on one set, with one seed.

    Attributes:
        set: Its name.
        seed: Of what is drawn of the set, and of the method.
        method: Its name.
        settings: What else decides the numbers; a cell of other settings is measured again.
        rows: Trained on.
        features: Columns.
        tested: Rows, the anomalies among them.
        anomalies: Rows.
        auroc: Area under the receiver operating characteristic, by score.
        average_precision: Area under precision and recall, by score.
        train_s: Seconds of the processor.
        score_s: Seconds of the processor, for all rows tested.
    """

    set: str
    seed: int
    method: str
    settings: str
    rows: int
    features: int
    tested: int
    anomalies: int
    auroc: dict[str, float]
    average_precision: dict[str, float]
    train_s: float
    score_s: float

    def key(self) -> tuple[str, int, str, str]:
        """What makes two cells the same measurement."""
        return self.set, self.seed, self.method, self.settings


def cell_of(place: Place, settings: str, task: Task, scored: Scored) -> Cell:
    """The cell of what a method says of a task."""
    found = {name: separation(task.is_anomaly, scores) for name, scores in scored.scores.items()}
    return Cell(
        *place,
        settings=settings,
        rows=len(task.train),
        features=task.train.shape[1],
        tested=len(task.test),
        anomalies=int(task.is_anomaly.sum()),
        auroc={name: auroc for name, (auroc, _) in found.items()},
        average_precision={name: precision for name, (_, precision) in found.items()},
        train_s=round(scored.train_s, 3),
        score_s=round(scored.score_s, 3),
    )


def separation(
    is_anomaly: NDArray[np.bool_], strangeness: NDArray[np.float64]
) -> tuple[float, float]:
    """AUROC and average precision of scores that are larger for anomalies, infinite ones too.

    Raises:
        ValueError: If a score is NaN.
    """
    from sklearn.metrics import average_precision_score, roc_auc_score

    if np.isnan(strangeness).any():
        raise ValueError(f"expected a score of every row, {np.isnan(strangeness).sum()} have none")
    # scikit-learn takes no infinities; the order is what counts.
    limit = np.finfo(np.float64).max
    finite = np.clip(strangeness, -limit, limit)
    return (
        float(roc_auc_score(is_anomaly, finite)),
        float(average_precision_score(is_anomaly, finite)),
    )


def read_cells(path: Path) -> list[Cell]:
    """Cells measured so far; none where there is no file."""
    if not path.is_file():
        return []
    return [Cell(**json.loads(line)) for line in path.read_text().splitlines() if line]


def append_cell(path: Path, cell: Cell) -> None:
    """Add a cell to the file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.write(json.dumps(asdict(cell)) + "\n")
