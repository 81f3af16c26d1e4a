"""What a manifest tells of where numbers came from: the rows' digest, and when."""

from __future__ import annotations

import datetime
import hashlib
import time
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def now() -> str:
    """ISO 8601 in UTC, to the second."""
    return moment(time.time())


def moment(seconds: float) -> str:
    """ISO 8601 in UTC, to the second, of seconds since 1970."""
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).isoformat(timespec="seconds")


def rows_sha256(columns: Sequence[str], *parts: NDArray[np.float64]) -> str:
    """Digest of column names and of every number under them.

    Args:
        columns: Names, in the order of the file.
        parts: Each of shape ``(rows, columns)``.
    """
    digest = hashlib.sha256("\x1f".join(columns).encode())
    for part in parts:
        digest.update(np.ascontiguousarray(part, dtype="<f8").tobytes())
    return digest.hexdigest()
