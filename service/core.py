"""The service without a protocol: validate, batch, run, count.

Transports turn bytes into arrays, call one method, and turn the result into bytes again.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from exported.noise import MAX_SEED
from service.batcher import Batcher
from service.catalogue import Catalogue
from service.config import ServiceConfig
from service.errors import ErrorKind, ServiceError, invalid
from service.lanes import Arrays, Lane, Take
from service.metrics import Metrics, ModelMetrics
from service.model import Model
from service.results import Decoded, Evaluated, Sampled, Scored
from service.rows import check_count
from service.runtime import VERSION, Runtime

MAX_RANDOM_SEED = 2**53 - 1  # a seed drawn here survives JSON readers that know only doubles


@dataclass(frozen=True, slots=True)
class Served:
    """A model with its place in the batcher and its metrics.

    Attributes:
        model: The loaded bundle.
        metrics: Its series.
        columns: Names of the values of a row.
        latents: Names of the values of a latent row, for messages.
        evaluate: Lane of :meth:`Model.evaluate`.
        decode: Lane of :meth:`Model.decode`.
        emit: Lane of :meth:`Model.emit`.
    """

    model: Model
    metrics: ModelMetrics
    columns: tuple[str, ...]
    latents: tuple[str, ...]
    evaluate: Lane
    decode: Lane
    emit: Lane

    @classmethod
    def of(cls, model: Model, metrics: ModelMetrics) -> Served:
        """Lanes for each way in which the model runs."""

        def evaluate(x: NDArray[np.floating]) -> Arrays:
            out = model.evaluate(x)
            return out.log_prob, out.z, out.log_det, out.status

        def decode(z: NDArray[np.floating]) -> Arrays:
            out = model.decode(z)
            return out.x, out.log_prob, out.status

        def emit(z: NDArray[np.floating]) -> Arrays:
            out = model.emit(z)
            return out.x, out.log_prob, out.status

        columns = tuple(feature.name for feature in model.manifest.features)
        latents = tuple(f"z{i}" for i in range(model.manifest.latent_features))
        lanes = (Lane(run, metrics) for run in (evaluate, decode, emit))
        return cls(model, metrics, columns, latents, *lanes)


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
        self._served: dict[tuple[str, int], Served] = {}
        self._batcher = Batcher(
            config.sessions, config.chunk_rows, config.queue_rows, config.queue_bytes
        )
        self.metrics.queue_rows.set_function(lambda: float(self._batcher.rows))
        self._inflight = 0
        self._draining = False
        self.metrics.inflight.set_function(lambda: float(self._inflight))

    async def start(self) -> None:
        """Load and verify every bundle; only then is there anything to serve.

        Raises:
            StartError: If nothing can be served as configured.
        """
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, self.load)

    def load(self) -> None:
        """See :meth:`start`; in the calling thread."""
        runtime = Runtime.choose(
            self.config.provider, self.config.sessions, self.config.gpu_mem_limit_bytes
        )
        catalogue = Catalogue.load(self.config.bundles, runtime, self.metrics)
        self.metrics.environment(runtime.provider, VERSION)
        self._served = {
            (m.manifest.name, m.manifest.version): Served.of(m, self.metrics.model(m.manifest))
            for m in catalogue.all()
        }
        self.catalogue = catalogue

    async def drain(self) -> None:
        """Refuse new work, wait for what is in flight (bounded), and end the workers."""
        self._draining = True
        deadline = asyncio.get_running_loop().time() + self.config.drain_timeout_s
        while self._inflight and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.01)
        self._batcher.close()

    def find(self, name: str, version: int | None = None, operation: str | None = None) -> Served:
        """A model that offers an operation.

        Raises:
            ServiceError: ``not_ready``, ``not_found`` or ``unsupported``.
        """
        if not self._served or self._draining:
            raise ServiceError(ErrorKind.NOT_READY, "the service is starting or stopping")
        manifest = self.catalogue.get(name, version).manifest
        if operation is not None and operation not in manifest.operations:
            offered = ", ".join(sorted(manifest.operations))
            raise ServiceError(
                ErrorKind.UNSUPPORTED,
                f"{name} has no operation {operation[:64]!r}; it has: {offered}",
            )
        return self._served[manifest.name, manifest.version]

    async def log_prob(self, served: Served, x: NDArray[np.floating]) -> Evaluated:
        """Log-density of rows; x has shape ``(rows, features)``, in the user's units."""
        evaluated = await self._evaluate(served, "log_prob", x)
        served.metrics.judged(evaluated)
        return evaluated

    async def encode(self, served: Served, x: NDArray[np.floating]) -> Evaluated:
        """Latents and log-determinants of rows."""
        return await self._evaluate(served, "encode", x)

    async def score(
        self, served: Served, x: NDArray[np.floating], alpha: float | None = None
    ) -> Scored:
        """Log-density of rows and whether each is an anomaly at the rate ``alpha``."""
        served.model.decide(np.empty(0), alpha)  # an impossible alpha is refused before any run
        evaluated = await self._evaluate(served, "score", x)
        served.metrics.judged(evaluated)
        return Scored(evaluated, served.model.decide(evaluated.log_prob, alpha))

    async def decode(self, served: Served, z: NDArray[np.floating]) -> Decoded:
        """Rows at given latents of shape ``(rows, latent_features)``."""
        check_count(len(z), self.config.limit_rows, served.model.manifest.name, "decode")
        with self._working():
            out = await self._run(served.decode, len(z), z[0].nbytes, lambda a, b: z[a:b])
        decoded = Decoded(*out)
        served.metrics.answered("decode", decoded.status)
        return decoded

    async def sample(
        self, served: Served, n: int, seed: int | None = None, temperature: float = 1.0
    ) -> Sampled:
        """Draw rows; without a seed, one is drawn and returned."""
        model = served.model
        if n < 1:
            raise invalid(f"expected 'n' to be at least 1, got {n}")
        check_count(n, self.config.limit_rows, model.manifest.name, "sample")
        if seed is not None and not 0 <= seed <= MAX_SEED:
            raise invalid(f"expected 'seed' between 0 and {MAX_SEED}, got {seed}")
        if not 0.0 <= temperature < np.inf:
            raise invalid(
                f"expected 'temperature' to be finite and not negative, got {temperature}"
            )
        drawn = secrets.randbelow(MAX_RANDOM_SEED) if seed is None else seed

        def take(start: int, stop: int) -> NDArray[np.floating]:
            return model.base_noise(drawn, temperature, start, stop)

        with self._working():
            out = await self._run(served.emit, n, 8 * model.manifest.latent_features, take)
        sampled = Sampled(Decoded(*out), drawn)
        served.metrics.answered("sample", sampled.rows.status)
        return sampled

    async def _evaluate(
        self, served: Served, operation: str, x: NDArray[np.floating]
    ) -> Evaluated:
        check_count(len(x), self.config.limit_rows, served.model.manifest.name, operation)
        with self._working():
            out = await self._run(served.evaluate, len(x), x[0].nbytes, lambda a, b: x[a:b])
        evaluated = Evaluated(*out)
        served.metrics.answered(operation, evaluated.status)
        return evaluated

    async def _run(self, lane: Lane, rows: int, row_bytes: int, take: Take) -> Arrays:
        try:
            async with asyncio.timeout(self.config.request_timeout_s):
                return await self._batcher.submit(lane, rows, row_bytes, take)
        except TimeoutError as error:
            raise ServiceError(
                ErrorKind.DEADLINE,
                f"no answer within {self.config.request_timeout_s:g} s; send fewer rows at once",
            ) from error
        except asyncio.CancelledError:
            self.metrics.cancelled.inc()
            raise

    @contextmanager
    def _working(self) -> Iterator[None]:
        self._inflight += 1
        try:
            yield
        finally:
            self._inflight -= 1
