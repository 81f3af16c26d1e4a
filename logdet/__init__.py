"""logdet: how likely is this row, exactly, and is that unlikely enough to act on?"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from logdet.client import AsyncClient, Client
    from logdet.estimators import DensityEstimator, RemoteDensity

__all__ = ["AsyncClient", "Client", "DensityEstimator", "RemoteDensity"]

# Where each public name lives. Imported when it is asked for: `import logdet` takes neither
# scikit-learn nor torch.
_HOMES = {
    "AsyncClient": "logdet.client",
    "Client": "logdet.client",
    "DensityEstimator": "logdet.estimators",
    "RemoteDensity": "logdet.estimators",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
