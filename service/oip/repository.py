"""The model repository of the protocol: what is there, and loading and unloading it.

Which version answers, of which the protocol does not speak, is changed here as well.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Literal

from service.core import Core
from service.errors import ErrorKind, ServiceError
from service.oip.messages import IndexEntry
from service.policy import LATEST, Policy

Action = Literal["load", "unload", "serve"]
# Does something to a model, by its name, wherever the service runs; a policy is what to serve.
Change = Callable[[Action, str, Policy], Awaitable[None]]
_IGNORED = frozenset({"unload_dependents"})


class Repository:
    """Loads and unloads models by name, with all of their versions.

    Args:
        core: Of this replica.
        everywhere: Does it in all replicas; None where this is the only one.
    """

    def __init__(self, core: Core, everywhere: Change | None = None) -> None:
        self._core = core
        self._change = everywhere or core.versions.change

    def index(self, *, ready_only: bool) -> list[IndexEntry]:
        """Every version of every model."""
        catalogue = self._core.catalogue
        ready = [
            IndexEntry(name, str(version), "READY", "")
            for name, versions in catalogue.models.items()
            for version in versions
        ]
        if ready_only:
            return ready
        others = [
            IndexEntry(name, str(version), "UNAVAILABLE", why)
            for (name, version), why in catalogue.refused.items()
        ]
        return sorted([*ready, *others], key=lambda entry: (entry.name, int(entry.version)))

    async def load(self, model: str, parameters: Iterable[str] = ()) -> None:
        """Load what is on disk under a name, in place of what serves.

        Args:
            model: Its name.
            parameters: Names of the request's parameters.

        Raises:
            ServiceError: ``unsupported`` of an upload, ``not_found`` or ``invalid_input``; what
                served goes on serving then.
        """
        odd = sorted(set(parameters) - _IGNORED)
        if odd:
            raise ServiceError(
                ErrorKind.UNSUPPORTED,
                f"models are loaded as the service's own folder has them; got {odd[0][:64]!r}, "
                "which would change or upload one",
            )
        await self._checked("load", model)

    async def unload(self, model: str) -> None:
        """Stop serving a name.

        Raises:
            ServiceError: ``unsupported``, or ``not_found`` if it does not serve.
        """
        await self._checked("unload", model)

    async def serve(self, model: str, policy: Policy) -> None:
        """Choose the version that answers requests without one.

        Raises:
            ServiceError: ``unsupported``, ``not_found`` if a version does not serve, or
                ``invalid_input`` if two cannot be compared.
        """
        await self._checked("serve", model, policy)

    async def _checked(self, action: Action, model: str, policy: Policy = LATEST) -> None:
        if not self._core.config.allow_loading:
            done = "chosen" if action == "serve" else f"{action}ed"
            raise ServiceError(
                ErrorKind.UNSUPPORTED,
                f"models are not to be {done} by requests here; --allow-loading at the start of "
                "the service lets them",
            )
        await self._change(action, model, policy)
