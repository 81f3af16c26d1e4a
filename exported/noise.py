r"""Base noise from a seed: the same rows whatever the batch, the replica or the numpy version.

Row ``r`` of seed ``s`` is a fixed number of 64-bit words of the Philox-4x64-10 counter generator
with key ``s``: with ``b = ceil(draws / 4)`` blocks a row, those of counters ``r * b + 1`` to
``(r + 1) * b``. A word ``w`` becomes the uniform number
:math:`u = (\lfloor w / 2^{12} \rfloor + 1/2) / 2^{52}`, which float64 holds exactly and which is
never 0 or 1, and the normal number :math:`\Phi^{-1}(u)`.

References:
    Salmon et al., Parallel random numbers: as easy as 1, 2, 3 (2011).
    Wichura, Algorithm AS 241: the percentage points of the normal distribution (1988).
"""

import math

import numpy as np
from numpy.typing import NDArray

MAX_SEED = 2**63 - 1
_WORDS_PER_BLOCK = 4

# AS 241 (PPND16): numerator and denominator, highest power first, of the three rational pieces.
_CENTRE = (
    (2509.0809287301226727, 33430.575583588128105, 67265.770927008700853, 45921.953931549871457,
     13731.693765509461125, 1971.5909503065514427, 133.14166789178437745, 3.387132872796366608),
    (5226.495278852545925, 28729.085735721942674, 39307.89580009271061, 21213.794301586595867,
     5394.1960214247511077, 687.1870074920579083, 42.313330701600911252, 1.0),
)  # fmt: skip
_SHOULDER = (
    (7.7454501427834140764e-4, 0.0227238449892691845833, 0.24178072517745061177,
     1.27045825245236838258, 3.64784832476320460504, 5.7694972214606914055,
     4.6303378461565452959, 1.42343711074968357734),
    (1.05075007164441684324e-9, 5.475938084995344946e-4, 0.0151986665636164571966,
     0.14810397642748007459, 0.68976733498510000455, 1.6763848301838038494,
     2.05319162663775882187, 1.0),
)  # fmt: skip
_TAIL = (
    (2.01033439929228813265e-7, 2.71155556874348757815e-5, 0.0012426609473880784386,
     0.026532189526576123093, 0.29656057182850489123, 1.7848265399172913358,
     5.4637849111641143699, 6.6579046435011037772),
    (2.04426310338993978564e-15, 1.4215117583164458887e-7, 1.8463183175100546818e-5,
     7.868691311456132591e-4, 0.0148753612908506148525, 0.13692988092273580531,
     0.59983220655588793769, 1.0),
)  # fmt: skip


def base_uniforms(seed: int, first_row: int, rows: int, draws: int) -> NDArray[np.float64]:
    """Uniform numbers in (0, 1) of shape ``(rows, draws)`` for rows ``first_row ...`` of a seed.

    Raises:
        ValueError: If the seed is not in ``[0, MAX_SEED]``.
    """
    if not 0 <= seed <= MAX_SEED:
        raise ValueError(f"expected a seed between 0 and {MAX_SEED}, got {seed}")
    blocks = -(-draws // _WORDS_PER_BLOCK)
    philox = np.random.Philox(key=seed, counter=first_row * blocks)
    words = philox.random_raw(rows * blocks * _WORDS_PER_BLOCK)
    words = np.asarray(words, dtype=np.uint64).reshape(rows, blocks * _WORDS_PER_BLOCK)[:, :draws]
    return ((words >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52


def normal_quantile(u: NDArray[np.float64]) -> NDArray[np.float64]:
    """Inverse of the standard normal distribution function, relative error about 1e-16."""
    q = u - 0.5
    near = np.minimum(q * q, 0.180625)
    centre = q * _ratio(_CENTRE, 0.180625 - near)
    r = np.sqrt(-np.log(np.minimum(u, 1.0 - u)))
    outer = np.where(r <= 5.0, _ratio(_SHOULDER, r - 1.6), _ratio(_TAIL, r - 5.0))
    return np.where(np.abs(q) <= 0.425, centre, np.copysign(outer, q))


def standard_normal(seed: int, first_row: int, rows: int, draws: int) -> NDArray[np.float64]:
    """Standard normal numbers of shape ``(rows, draws)``; see the module's text."""
    return normal_quantile(base_uniforms(seed, first_row, rows, draws))


def standard_normal_log_prob(z: NDArray[np.floating]) -> NDArray[np.float64]:
    """Log-density in nats of base noise ``(rows, draws)``, shape ``(rows,)``, in float64."""
    wide = z.astype(np.float64)
    squares = np.einsum("ij,ij->i", wide, wide)
    return np.asarray(-0.5 * squares - 0.5 * wide.shape[1] * math.log(2.0 * math.pi))


def _ratio(
    piece: tuple[tuple[float, ...], tuple[float, ...]], r: NDArray[np.float64]
) -> NDArray[np.float64]:
    return np.asarray(np.polyval(piece[0], r) / np.polyval(piece[1], r), dtype=np.float64)
