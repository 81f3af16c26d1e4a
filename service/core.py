"""The service without a protocol: validate, batch, run, count.

Transports turn bytes into arrays, call one method, and turn the result into bytes again.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from exported.noise import MAX_SEED
from service.batcher import Batcher
from service.catalogue import Catalogue
from service.config import ServiceConfig
from service.errors import ErrorKind, ServiceError, invalid
from service.expectation import DEFAULT_SAMPLES, Expected, Questions
from service.lanes import Arrays, Lane, Take
from service.metrics import Metrics
from service.results import Decoded, Evaluated, Explained, Floats, Sampled, Scored
from service.rows import check_count
from service.runtime import VERSION, Runtime
from service.served import Served, keeping, noise_of, rows_of
from service.steps import calibrated

MAX_RANDOM_SEED = 2**53 - 1  # a seed drawn here survives JSON readers that know only doubles


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

    async def log_prob(
        self,
        served: Served,
        x: Floats,
        context: Floats | None = None,
        steps: int | None = None,
    ) -> Evaluated:
        """Log-density of rows.

        Args:
            served: The model.
            x: Shape ``(rows, features)``, in the user's units.
            context: Of a conditional density; shape ``(1, context_features)`` for all rows, or
                ``(rows, context_features)``.
            steps: Of a solver; the model's default if None.
        """
        evaluated = await self._evaluate(served, "log_prob", x, context, steps)
        served.metrics.judged(evaluated)
        return evaluated

    async def encode(
        self,
        served: Served,
        x: Floats,
        context: Floats | None = None,
        steps: int | None = None,
    ) -> Evaluated:
        """Latents and log-determinants of rows; arguments as those of :meth:`log_prob`."""
        return await self._evaluate(served, "encode", x, context, steps)

    async def feature_log_prob(
        self,
        served: Served,
        x: Floats,
        context: Floats | None = None,
        steps: int | None = None,
    ) -> Explained:
        """Log-density of rows and each feature's term; arguments as those of :meth:`log_prob`."""
        operation = "feature_log_prob"
        check_count(len(x), self.config.limit_rows, served.model.manifest.name, operation)
        out = await self._run_rows(served, served.lanes(steps).explain, x, context)
        explained = Explained(*out)
        served.metrics.answered(operation, explained.status)
        return explained

    async def score(
        self,
        served: Served,
        x: Floats,
        alpha: float | None = None,
        context: Floats | None = None,
        steps: int | None = None,
    ) -> Scored:
        """Log-density of rows and whether each is an anomaly at the rate ``alpha``.

        The number of steps can only be the one that the p-values were calibrated at.
        """
        served.model.decide(np.empty(0), alpha)  # an impossible alpha is refused before any run
        steps = calibrated(served.model.manifest, steps)
        evaluated = await self._evaluate(served, "score", x, context, steps)
        served.metrics.judged(evaluated)
        return Scored(evaluated, served.model.decide(evaluated.log_prob, alpha))

    async def decode(
        self,
        served: Served,
        z: Floats,
        context: Floats | None = None,
        steps: int | None = None,
    ) -> Decoded:
        """Rows at given latents of shape ``(rows, latent_features)``."""
        check_count(len(z), self.config.limit_rows, served.model.manifest.name, "decode")
        out = await self._run_rows(served, served.lanes(steps).decode, z, context)
        decoded = Decoded(*out)
        served.metrics.answered("decode", decoded.status)
        return decoded

    async def sample(
        self,
        served: Served,
        n: int,
        seed: int | None = None,
        temperature: float = 1.0,
        context: Floats | None = None,
        steps: int | None = None,
    ) -> Sampled:
        """Draw rows; without a seed, one is drawn and returned."""
        if n < 1:
            raise invalid(f"expected 'n' to be at least 1, got {n}")
        check_count(n, self.config.limit_rows, served.model.manifest.name, "sample")
        if not 0.0 <= temperature < np.inf:
            raise invalid(
                f"expected 'temperature' to be finite and not negative, got {temperature}"
            )
        drawn = _seed(seed)
        lane, given = served.lanes(steps).emit, served.model.conditioning.spread(context, n)
        with self._working():
            out = await self._run(lane, n, *noise_of(served.model, drawn, temperature, given))
        sampled = Sampled(Decoded(*out), drawn)
        served.metrics.answered("sample", sampled.rows.status)
        return sampled

    async def expectation(
        self,
        served: Served,
        questions: Questions,
        samples: int = DEFAULT_SAMPLES,
        seed: int | None = None,
        context: Floats | None = None,
        steps: int | None = None,
    ) -> Expected:
        """Expectations from the rows that a seed draws; one row of context for all of them."""
        if samples < 1:
            raise invalid(f"expected 'samples' to be at least 1, got {samples}")
        check_count(samples, self.config.limit_rows, served.model.manifest.name, "expectation")
        drawn = _seed(seed)
        lane = keeping(served.lanes(steps).emit, questions)
        row = served.model.conditioning.single(context)
        given = None if row is None else np.broadcast_to(row, (samples, row.shape[1]))
        with self._working():
            out = await self._run(lane, samples, *noise_of(served.model, drawn, 1.0, given))
            expected = await asyncio.to_thread(Expected.of, questions, drawn, *out)
        served.metrics.answered("expectation", out[-1])
        return expected

    async def _evaluate(
        self, served: Served, operation: str, x: Floats, context: Floats | None, steps: int | None
    ) -> Evaluated:
        check_count(len(x), self.config.limit_rows, served.model.manifest.name, operation)
        out = await self._run_rows(served, served.lanes(steps).evaluate, x, context)
        evaluated = Evaluated(*out)
        served.metrics.answered(operation, evaluated.status)
        return evaluated

    async def _run_rows(
        self, served: Served, lane: Lane, rows: Floats, context: Floats | None
    ) -> Arrays:
        given = served.model.conditioning.spread(context, len(rows))
        row_bytes = rows[0].nbytes + (0 if given is None else given[0].nbytes)
        with self._working():
            return await self._run(lane, len(rows), row_bytes, rows_of(rows, given))

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


def _seed(seed: int | None) -> int:
    if seed is None:
        return secrets.randbelow(MAX_RANDOM_SEED)
    if not 0 <= seed <= MAX_SEED:
        raise invalid(f"expected 'seed' between 0 and {MAX_SEED}, got {seed}")
    return seed
