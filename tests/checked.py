"""Bundles whose answers can be checked, and services that check them."""

from __future__ import annotations

from pathlib import Path

from service.config import ServiceConfig
from service.core import Core
from service.model import Model
from service.runtime import Runtime
from tests.bundles import write_gaussian
from tests.variants import write_conditional, write_referenced, write_stepped


def write_checked(root: Path) -> Path:
    """Publish flows with and without a float64 graph; returns the root."""
    write_referenced(root)
    write_gaussian(root)
    write_gaussian(root, "scorer", operations=("log_prob", "score"))
    write_conditional(root)
    write_stepped(root)
    return root


def started(root: Path, every: int) -> Core:
    """A service that checks one ordinary row in so many."""
    core = Core(ServiceConfig(bundles=root, provider="cpu", sessions=1, self_check_every=every))
    core.load()
    return core


def loaded(root: Path, name: str = "referenced") -> Model:
    """A model of its own."""
    return Model.load(root / name / "1", Runtime.choose("cpu", 1))
