"""Every bundle under the root, loaded, verified and ready."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from exported.bundle import names, versions
from exported.errors import BundleError
from service.errors import ErrorKind, ServiceError, StartError
from service.kinds import AnyModel, load
from service.metrics import Metrics
from service.route import Route
from service.runtime import Runtime

REFUSED = "refused when it was loaded; the service's log says why"
UNREADABLE = "not to be read when it was loaded; the service's log says why"
_MAX_DIGITS = 10

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Models by name and version; replaced as a whole, never changed.

    Attributes:
        models: ``models[name][version]``, versions ascending.
        refused: Why a bundle is there and does not serve, by name and version.
        routes: How requests that name no version are answered, by name; the newest without one.
    """

    models: Mapping[str, Mapping[int, AnyModel]] = field(default_factory=dict)
    refused: Mapping[tuple[str, int], str] = field(default_factory=dict)
    routes: Mapping[str, Route] = field(default_factory=dict)

    @classmethod
    def load(cls, root: Path, runtime: Runtime, metrics: Metrics) -> Catalogue:
        """Load every version of every name; a bad bundle is refused and the others serve.

        Raises:
            StartError: If there is nothing to serve.
        """
        catalogue = cls()
        for name in names(root):
            found = versions(root, name)
            catalogue = catalogue.replaced(name, *read(root, name, found, runtime, metrics))
        if not catalogue.models:
            count = len(catalogue.refused)
            why = f"all {count} bundles were refused" if count else "there are no bundles"
            raise StartError(f"nothing to serve: {why} under {root}")
        return catalogue

    def replaced(
        self, name: str, models: Mapping[int, AnyModel], refused: Mapping[int, str]
    ) -> Catalogue:
        """A catalogue in which a name has these versions, and those do not serve."""
        others = {key: value for key, value in self.models.items() if key != name}
        whys = {key: why for key, why in self.refused.items() if key[0] != name}
        whys |= {(name, version): why for version, why in refused.items()}
        serving = dict(sorted((others | ({name: models} if models else {})).items()))
        return replace(self, models=serving, refused=whys)

    def of(self, name: str) -> Mapping[int, AnyModel]:
        """The versions of a name, ascending.

        Raises:
            ServiceError: ``not_found`` with the names that there are.
        """
        known = self.models.get(name)
        if known is None:
            listed = ", ".join(self.models) or "none"
            raise ServiceError(
                ErrorKind.NOT_FOUND, f"no model is named {name[:64]!r}; there are: {listed}"
            )
        return known

    def get(self, name: str, version: int | None = None) -> AnyModel:
        """A model; the version that answers requests without one if none is given.

        Raises:
            ServiceError: ``not_found`` with the names or versions that there are.
        """
        known = self.of(name)
        chosen = self.default(name) if version is None else version
        if chosen not in known:
            listed = ", ".join(map(str, known))
            which = ", which is to answer requests that name none" if version is None else ""
            raise ServiceError(
                ErrorKind.NOT_FOUND, f"{name} has no version {chosen}{which}; it has: {listed}"
            )
        return known[chosen]

    def default(self, name: str) -> int:
        """The version of a name that is to answer requests without one; it may not serve."""
        return self.routes[name].version if name in self.routes else max(self.models[name])

    def __contains__(self, model: AnyModel) -> bool:
        """Whether this very model serves, not another of its name and version."""
        known = self.models.get(model.manifest.name, {})
        return known.get(model.manifest.version) is model

    def all(self) -> list[AnyModel]:
        """Every model, by name and version."""
        return [model for by_version in self.models.values() for model in by_version.values()]


def version_number(text: str) -> int:
    """The version that a client names.

    Raises:
        ServiceError: ``not_found`` if it is no whole number.
    """
    if not (text.isascii() and text.isdecimal() and len(text) <= _MAX_DIGITS):
        raise ServiceError(ErrorKind.NOT_FOUND, f"expected a version number, got {text[:64]!r}")
    return int(text)


def read(
    root: Path, name: str, which: Collection[int], runtime: Runtime, metrics: Metrics
) -> tuple[dict[int, AnyModel], dict[int, str]]:
    """Those of some versions of a name that load, verified and warm, and why others do not."""
    models: dict[int, AnyModel] = {}
    refused: dict[int, str] = {}
    for version in which:
        started = time.perf_counter()
        try:
            models[version] = load(root / name / str(version), runtime)
        except StartError:
            raise
        except Exception as error:  # whatever is wrong with one bundle, the others serve
            refused[version] = _why_not(f"{name}/{version}", error)
        result = "refused" if version in refused else "ok"
        metrics.loaded(time.perf_counter() - started, result)
    return models, refused


def _why_not(which: str, error: Exception) -> str:
    """Log why a bundle does not serve; what callers are told of it."""
    if isinstance(error, BundleError):
        log.error("refused %s: %s", which, error)
    elif isinstance(error, OSError):
        log.error("refused %s, which is tried again at every look: %s", which, error)
        return UNREADABLE
    else:
        log.error("refused %s", which, exc_info=error)
    return REFUSED
