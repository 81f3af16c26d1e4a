"""Two answers of bounds put beside each other."""

from __future__ import annotations

from typing import Any

import numpy as np

from service.results import Bounded

FIELDS = (
    "elbo",
    "elbo_standard_error",
    "importance_bound",
    "standard_error",
    "effective_sample_size",
)


def same_bounds(got: Bounded, expected: Bounded, at: Any = slice(None)) -> None:
    for field in FIELDS:
        np.testing.assert_allclose(
            getattr(got, field), getattr(expected, field)[at], rtol=1e-4, atol=1e-4, err_msg=field
        )
    np.testing.assert_array_equal(got.status, expected.status[at])
