"""The service without a protocol: find a model, whose operations validate, batch, run and count.

Transports turn bytes into arrays, call one method of what :meth:`Core.find` gives, and turn the
result into bytes again.
"""

from __future__ import annotations

import asyncio

from service.catalogue import Catalogue
from service.config import ServiceConfig
from service.door import Door
from service.drift.metrics import DriftMetrics
from service.drift.sketch import Sketch, State
from service.errors import ErrorKind, ServiceError
from service.execution import execute
from service.metrics import Metrics
from service.place import place_of
from service.policies import Policies
from service.policy import Policy
from service.route import Route
from service.runtime import VERSION, Runtime
from service.served_kinds import AnyServed, compare, serve
from service.standing import Standing
from service.storage.health import StorageMetrics
from service.tracing.start import tracing_of
from service.versions import Versions
from service.work import Work


class Core:
    """All models of one replica.

    Args:
        config: Settings.
        replica: Name of this replica in metrics.

    Attributes:
        tracing: Makes the spans of requests; None where none are wanted.

    Raises:
        StartError: If the settings do not say who may ask, or ask for what is not installed.
    """

    def __init__(self, config: ServiceConfig, replica: str = "0") -> None:
        self.config = config
        self.metrics = Metrics(replica)
        self.door = Door.of(config, self.metrics)
        self.catalogue = Catalogue()
        self.metrics.registry.register(Standing(replica, lambda: self.catalogue))
        self.metrics.registry.register(DriftMetrics(replica, self._sketches))
        self.tracing = tracing_of(config, replica)
        traced = execute if self.tracing is None else self.tracing.execute
        self.work = Work(config, self.metrics, traced)
        self._served: dict[tuple[str, int], AnyServed] = {}
        self._by_default: dict[str, AnyServed] = {}
        self._versions: Versions | None = None
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
        config = self.config
        runtime = Runtime.choose(config.provider, config.sessions, config.gpu_mem_limit_bytes)
        self.metrics.environment(runtime.provider, VERSION)
        wanted = {name: Policy.of_text(text) for name, text in config.serve.items()}
        place = place_of(config.bundles, config.cache)
        place.start()
        if place.health is not None:
            self.metrics.registry.register(StorageMetrics(self.metrics.replica, place))
        policies = Policies(place, wanted)
        self._versions = Versions(place, runtime, self.metrics, policies, self._serve)

    @property
    def versions(self) -> Versions:
        """What changes the models that serve.

        Raises:
            ServiceError: ``not_ready`` before :meth:`start`.
        """
        if self._versions is None:
            raise ServiceError(ErrorKind.NOT_READY, "the service is starting")
        return self._versions

    def follow(self) -> asyncio.Future[None]:
        """Look at the folder of the bundles as often as is configured, until this is cancelled."""
        if not self.config.follow_s:
            return asyncio.get_running_loop().create_future()
        return asyncio.ensure_future(self.versions.follow(self.config.follow_s))

    def _serve(self, catalogue: Catalogue) -> None:
        """Take a catalogue in place of the one before; what it keeps of that goes on."""
        before = {id(served.model): served for served in self._served.values()}
        for model in self.catalogue.all():
            if model not in catalogue:
                self.metrics.unloaded(model.manifest)
        self._served = {
            (m.manifest.name, m.manifest.version): before.get(id(m))
            or serve(m, self.metrics.model(m.manifest, m.calibration), self.work)
            for m in catalogue.all()
        }
        self._by_default = {
            name: self._answering(name, route)
            for name, route in catalogue.routes.items()
            if route.version in catalogue.models[name]
        }
        self.catalogue = catalogue
        self._loaded = True

    def _answering(self, name: str, route: Route) -> AnyServed:
        """What answers requests that name no version."""
        champion = self._served[name, route.version]
        if route.challenger is None:
            return champion
        tally = self.metrics.comparisons.of(name, route.version, route.challenger)
        return compare(champion, self._served[name, route.challenger], tally)

    async def drain(self) -> None:
        """Refuse new work, wait for what is in flight (bounded), and end the workers."""
        self._draining = True
        await self.work.drain()
        if self.tracing is not None:
            await self.tracing.close()

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
        if version is None:
            return self._by_default[name]
        return self._served[manifest.name, manifest.version]

    def sketch(self, served: AnyServed) -> Sketch:
        """What looks for drift in a model's rows.

        Raises:
            ServiceError: ``unsupported`` if nothing does.
        """
        if served.drift is None:
            raise ServiceError(
                ErrorKind.UNSUPPORTED,
                "this service does not look for drift; LOGDET_DRIFT_ALARM_RATE sets the rate of "
                "false alarms at which it does",
            )
        return served.drift

    async def drift(self, name: str, version: int) -> State | None:
        """What this replica knows of drift; None where it does not serve that version."""
        served = self._served.get((name, version))
        if served is None or served.drift is None:
            return None
        return await asyncio.to_thread(served.drift.state, self.metrics.replica)

    def _sketches(self) -> dict[tuple[str, int], Sketch]:
        found = {key: served.drift for key, served in self._served.items()}
        return {key: sketch for key, sketch in found.items() if sketch is not None}
