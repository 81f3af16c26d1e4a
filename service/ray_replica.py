"""One replica of the Ray Serve deployment: ingress and onnxruntime sessions in one process."""

from __future__ import annotations

import asyncio
import logging
import sys
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import ray
from ray import serve
from ray.exceptions import RayError
from ray.serve._private import replica as serve_replica
from ray.serve.config import AutoscalingConfig, AutoscalingPolicy
from ray.serve.exceptions import RayServeException

import service
from service import collector
from service.config import ServiceConfig
from service.core import Core
from service.drift.sketch import State
from service.errors import ErrorKind, ServiceError
from service.grpc.server import GrpcServer
from service.http.app import MetricsPage, build_app
from service.http.drain import Drainable
from service.http.gone import GoneWhere
from service.http.request_id import HideRequestId
from service.loopback import is_loopback
from service.occupancy import Occupancy
from service.oip.repository import Change
from service.policy import Policy
from service.ray_gpu import on_given_device
from service.ray_scaling import ByWork
from service.scrape import TIMEOUT_S, Scrape

if TYPE_CHECKING:
    from service.tracing.spans import Tracing

APPLICATION = "logdet"
DEPLOYMENT = "Density"
MAX_ONGOING_REQUESTS = 256
LOGGING = {"enable_access_log": False, "log_level": "WARNING"}
# Seconds in which every replica must have loaded a model that a request asks to be loaded.
CHANGE_TIMEOUT_S = 120.0
# Seconds in which requests that a proxy has taken reach a replica that is told to stop.
OPEN_S = 0.5
# Where the number of replicas follows the work: how often each tells what it has to do, and over
# how many seconds that is averaged.
REPORT_S, LOOK_BACK_S = 1.0, 5.0


class Density:
    """Loads, verifies and warms every bundle before Serve sends it a request.

    Args:
        settings: :class:`service.config.ServiceConfig` as plain data.
    """

    async def __init__(self, settings: dict[str, Any]) -> None:  # type: ignore[misc] # Serve awaits
        # For __del__, which Serve calls also where this fails.
        self._grpc: GrpcServer | None = None
        self._tracing: Tracing | None = None
        if is_loopback(ray.util.get_node_ip_address()):
            _keep_to_loopback()
        _log_to_terminal()
        given = ray.get_runtime_context().get_assigned_resources()
        config = on_given_device(ServiceConfig.model_validate(settings), given.get("GPU", 0.0))
        self._config = config
        self._core = Core(config, serve.get_replica_context().replica_tag)
        self._tracing = self._core.tracing
        self._core.load()
        scrape = Scrape(self._core.metrics.snapshot, self._snapshots, RayError, RayServeException)
        # Serve answers with the id of a request itself.
        app = build_app(self._core, scrape.page, self._change_all, self._drift_all)
        self._app = Drainable(GoneWhere(HideRequestId(app, sane=True), RayError))
        self._occupancy = Occupancy(self._core.work, self._core.metrics, config.sessions)
        self._following = self._core.follow()
        self._grpc = await _answer_grpc(self._core, scrape.page, self._change_all)
        collector.settle()

    def __serve_build_asgi_app__(self) -> Drainable:
        return self._app

    async def snapshot(self) -> str:
        """This replica's metrics, for whichever replica is asked for all of them."""
        return self._core.metrics.snapshot()

    async def manifests(self) -> list[str]:
        """What this replica serves, as JSON, for the person who started it."""
        return [m.manifest.model_dump_json() for m in self._core.catalogue.all()]

    async def record_autoscaling_stats(self) -> dict[str, float]:
        """What this replica has to do, for :class:`service.ray_scaling.ByWork`."""
        return self._occupancy.load()._asdict()

    async def drain(self) -> bool:
        """Answer what has arrived, refuse the rest; whether every request was answered."""
        self._following.cancel()
        answered, _ = await asyncio.gather(
            self._app.drain(OPEN_S, self._config.drain_timeout_s), self._stop_grpc()
        )
        await self._core.drain()
        return answered

    async def __del__(self) -> None:
        """Finish what Serve knows nothing of before it ends this replica: gRPC, and traces."""
        await self._stop_grpc()
        if self._tracing is not None:
            await self._tracing.close()

    async def _stop_grpc(self) -> None:
        if self._grpc is not None:
            await self._grpc.stop(self._config.drain_timeout_s)

    async def change(self, action: str, name: str, policy: Policy) -> tuple[str, str] | None:
        """Load, unload or choose a model here; the kind and the message of a refusal."""
        try:
            await self._core.versions.change(action, name, policy)
        except ServiceError as error:
            return error.kind.value, error.message
        return None

    async def _change_all(self, action: str, name: str, policy: Policy) -> None:
        """Load, unload or choose a model in every replica."""
        replicas = serve.get_deployment_handle(DEPLOYMENT, APPLICATION)
        asked = replicas.broadcast("change", action, name, policy)
        try:
            answers = await asked.results_async(timeout_s=CHANGE_TIMEOUT_S)
        except (TimeoutError, RayError) as error:
            raise ServiceError(
                ErrorKind.DEADLINE,
                "not every replica answered in time; the index says what serves",
            ) from error
        refused = [answer for answer in answers if answer is not None]
        for kind, message in refused:
            where = f" (in {len(refused)} of {len(answers)} replicas)"
            told = message + (where if len(refused) < len(answers) else "")
            raise ServiceError(ErrorKind(kind), told)

    async def drift(self, name: str, version: int) -> State | None:
        """See :meth:`service.core.Core.drift`."""
        return await self._core.drift(name, version)

    async def _drift_all(self, name: str, version: int) -> Sequence[State]:
        """What all replicas know of drift."""
        replicas = serve.get_deployment_handle(DEPLOYMENT, APPLICATION)
        asked = replicas.broadcast("drift", name, version)
        try:
            states = await asked.results_async(timeout_s=TIMEOUT_S)
        except (TimeoutError, RayError, RayServeException) as error:
            raise ServiceError(
                ErrorKind.DEADLINE, "not every replica answered in time; ask again"
            ) from error
        return [state for state in states if state is not None]

    async def _snapshots(self) -> Sequence[str]:
        replicas = serve.get_deployment_handle(DEPLOYMENT, APPLICATION)
        pages: Sequence[str] = await replicas.broadcast("snapshot").results_async(
            timeout_s=TIMEOUT_S
        )
        return pages


def application(config: ServiceConfig, replicas: int, num_gpus: float) -> Any:  # noqa: ANN401
    """The one application with its one deployment, for Serve to run."""
    deployment = serve.deployment(
        name=DEPLOYMENT,
        **_number(config, replicas),
        ray_actor_options={"num_cpus": 1, "num_gpus": num_gpus},
        max_ongoing_requests=MAX_ONGOING_REQUESTS,
        max_queued_requests=2 * MAX_ONGOING_REQUESTS,
        health_check_period_s=5,
        graceful_shutdown_timeout_s=config.drain_timeout_s + 10,
        logging_config=LOGGING,
    )
    return deployment(serve.ingress()(Density)).bind(config.model_dump(mode="json"))


def _number(config: ServiceConfig, replicas: int) -> dict[str, Any]:
    """How many replicas: so many, or as many as the work needs."""
    if config.max_replicas is None:
        return {"num_replicas": replicas}
    policy = AutoscalingPolicy(
        policy_function=f"{ByWork.__module__}:{ByWork.__name__}",
        policy_kwargs={"target_wait_s": config.target_wait_s},
    )
    with warnings.catch_warnings():  # the interval is to move to a variable some day
        warnings.simplefilter("ignore", DeprecationWarning)
        scaling = AutoscalingConfig(
            min_replicas=config.min_replicas,
            max_replicas=config.max_replicas,
            upscale_delay_s=config.scale_up_after_s,
            downscale_delay_s=config.scale_down_after_s,
            metrics_interval_s=REPORT_S,
            look_back_period_s=LOOK_BACK_S,
            policy=policy,
        )
    return {"autoscaling_config": scaling}


async def _answer_grpc(core: Core, page: MetricsPage, everywhere: Change) -> GrpcServer | None:
    """Answer gRPC at the address asked for, which all replicas of a machine share.

    Serve's own port for gRPC binds every interface, and its proxy costs more than a density.
    """
    port = core.config.grpc_port
    if port is None:
        return None
    server = GrpcServer(core, page, everywhere)
    await server.start(port, shared=True)
    return server


def _log_to_terminal() -> None:
    # The real standard error: Serve turns sys.stderr into a file of its own.
    handler = logging.StreamHandler(sys.__stderr__)
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    logger = logging.getLogger(service.__name__)
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False


def _keep_to_loopback() -> None:
    """Bind the port on which replicas of other machines call this one to loopback as well.

    Serve binds it to every interface and has no setting for it; there are no other machines here.
    """
    bind = serve_replica.add_port_to_grpc_server
    serve_replica.add_port_to_grpc_server = lambda server, _: bind(server, "127.0.0.1:0")
