"""Every bundle under the root, loaded, verified and ready."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from exported.bundle import names, versions
from exported.errors import BundleError
from service.errors import ErrorKind, ServiceError, StartError
from service.kinds import AnyModel, load
from service.metrics import Metrics
from service.runtime import Runtime

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Models by name and version; replaced as a whole, never changed.

    Attributes:
        models: ``models[name][version]``, versions ascending.
    """

    models: Mapping[str, Mapping[int, AnyModel]] = field(default_factory=dict)

    @classmethod
    def load(cls, root: Path, runtime: Runtime, metrics: Metrics) -> Catalogue:
        """Load every version of every name; a bad bundle is refused and the others serve.

        Raises:
            StartError: If there is nothing to serve.
        """
        found: dict[str, dict[int, AnyModel]] = {}
        refused = 0
        for name in names(root):
            for number in versions(root, name):
                model = _load_one(root / name / str(number), f"{name}/{number}", runtime, metrics)
                refused += model is None
                if model is not None:
                    found.setdefault(name, {})[number] = model
        if not found:
            why = f"all {refused} bundles were refused" if refused else "there are no bundles"
            raise StartError(f"nothing to serve: {why} under {root}")
        return cls(found)

    def get(self, name: str, version: int | None = None) -> AnyModel:
        """A model; the newest version if none is given.

        Raises:
            ServiceError: ``not_found`` with the names or versions that there are.
        """
        known = self.models.get(name)
        if known is None:
            listed = ", ".join(self.models) or "none"
            raise ServiceError(
                ErrorKind.NOT_FOUND, f"no model is named {name[:64]!r}; there are: {listed}"
            )
        if version is None:
            return known[max(known)]
        if version not in known:
            listed = ", ".join(map(str, known))
            raise ServiceError(
                ErrorKind.NOT_FOUND, f"{name} has no version {version}; it has: {listed}"
            )
        return known[version]

    def all(self) -> list[AnyModel]:
        """Every model, by name and version."""
        return [model for by_version in self.models.values() for model in by_version.values()]


def _load_one(folder: Path, label: str, runtime: Runtime, metrics: Metrics) -> AnyModel | None:
    started = time.perf_counter()
    try:
        model = load(folder, runtime)
    except BundleError as error:
        log.error("refused %s: %s", label, error)  # noqa: TRY400 - the reason is the message
        metrics.loaded(time.perf_counter() - started, "refused")
        return None
    metrics.loaded(time.perf_counter() - started, "ok")
    return model
