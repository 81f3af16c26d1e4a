"""The service without a protocol: find a model, whose operations validate, batch, run and count.

Transports turn bytes into arrays, call one method of what :meth:`Core.find` gives, and turn the
result into bytes again.
"""

from __future__ import annotations

import asyncio

from exported.bundle import names
from service.catalogue import Catalogue, read
from service.config import ServiceConfig
from service.errors import ErrorKind, ServiceError, invalid
from service.metrics import Metrics
from service.runtime import VERSION, Runtime
from service.served_kinds import AnyServed, serve
from service.work import Work


class Core:
    """All models of one replica.

    Args:
        config: Settings.
        replica: Name of this replica in metrics.
    """

    def __init__(self, config: ServiceConfig, replica: str = "0") -> None:
        self.config = config
        self.metrics = Metrics(replica)
        self.catalogue = Catalogue()
        self.work = Work(config, self.metrics)
        self._served: dict[tuple[str, int], AnyServed] = {}
        self._changing = asyncio.Lock()
        self._draining = False
        self._loaded = False

    @property
    def is_ready(self) -> bool:
        """Whether models are loaded and requests are taken."""
        return self._loaded and not self._draining

    async def start(self) -> None:
        """Load and verify every bundle; only then is there anything to serve.

        Raises:
            StartError: If nothing can be served as configured.
        """
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, self.load)

    def load(self) -> None:
        """See :meth:`start`; in the calling thread."""
        self._runtime = Runtime.choose(
            self.config.provider, self.config.sessions, self.config.gpu_mem_limit_bytes
        )
        self.metrics.environment(self._runtime.provider, VERSION)
        self._serve(Catalogue.load(self.config.bundles, self._runtime, self.metrics))

    async def load_model(self, name: str) -> None:
        """Serve the versions of a name that are on disk now, in place of those that serve.

        Raises:
            ServiceError: ``not_found`` if there are none, ``invalid_input`` if one is refused;
                nothing has changed then.
        """
        async with self._changing:
            root = self.config.bundles
            if name not in await asyncio.to_thread(names, root):
                raise ServiceError(ErrorKind.NOT_FOUND, f"no bundle is named {name[:64]!r}")
            models, refused = await asyncio.to_thread(
                read, root, name, self._runtime, self.metrics
            )
            if refused:
                self.catalogue = self.catalogue.replaced(
                    name, self.catalogue.models.get(name, {}), refused
                )
                raise invalid(
                    f"{name}/{min(refused)} is refused, so that nothing was changed; the log of "
                    "the service says why"
                )
            self._serve(self.catalogue.replaced(name, models, {}))

    async def unload_model(self, name: str) -> None:
        """Serve a name no longer; requests that have begun are finished.

        Raises:
            ServiceError: ``not_found`` if it does not serve.
        """
        async with self._changing:
            self.catalogue.get(name)  # refuses names that there are not
            whys = dict.fromkeys(self.catalogue.models[name], "unloaded")
            self._serve(self.catalogue.replaced(name, {}, whys))

    async def change(self, action: str, name: str) -> None:
        """Load or unload a model; see :meth:`load_model` and :meth:`unload_model`."""
        await (self.load_model if action == "load" else self.unload_model)(name)

    def _serve(self, catalogue: Catalogue) -> None:
        """Take a catalogue in place of the one before; what it keeps of that goes on."""
        before = {id(served.model): served for served in self._served.values()}
        for model in self.catalogue.all():
            if model not in catalogue:
                self.metrics.unloaded(model.manifest)
        self._served = {
            (m.manifest.name, m.manifest.version): before.get(id(m))
            or serve(m, self.metrics.model(m.manifest), self.work)
            for m in catalogue.all()
        }
        self.catalogue = catalogue
        self._loaded = True

    async def drain(self) -> None:
        """Refuse new work, wait for what is in flight (bounded), and end the workers."""
        self._draining = True
        await self.work.drain()

    def find(
        self, name: str, version: int | None = None, operation: str | None = None
    ) -> AnyServed:
        """A model that offers an operation.

        Raises:
            ServiceError: ``not_ready``, ``not_found`` or ``unsupported``.
        """
        if not self.is_ready:
            raise ServiceError(ErrorKind.NOT_READY, "the service is starting or stopping")
        manifest = self.catalogue.get(name, version).manifest
        if operation is not None and operation not in manifest.operations:
            offered = ", ".join(sorted(manifest.operations))
            raise ServiceError(
                ErrorKind.UNSUPPORTED,
                f"{name} has no operation {operation[:64]!r}; it has: {offered}",
            )
        return self._served[manifest.name, manifest.version]
