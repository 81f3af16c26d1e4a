"""A Ray of our own for one service: started, filled, waited for, drained and ended."""

from __future__ import annotations

import asyncio
import logging
import re
import signal
from collections.abc import Sequence
from typing import Any

import ray
from ray import serve
from ray.exceptions import RayError

from exported.document import parse_manifest
from service.banner import announce
from service.config import ServiceConfig
from service.errors import StartError
from service.ray_own import own_ray
from service.ray_profile import EVERY_INTERFACE
from service.ray_replica import APPLICATION, DEPLOYMENT, LOGGING, OPEN_S, application

OBJECT_STORE_BYTES = 512 * 2**20  # bodies on their way from the proxy to a replica
KEEP_ALIVE_S = 90
# Beyond the service's own limits, which answer in its own words: a net for what they miss.
PATIENCE_S = 10.0
LINGER_S = 0.3

_EXCEPTION = re.compile(r"^[\w.]*(?:Error|Exception): (.+)$", re.MULTILINE)

log = logging.getLogger(__name__)


def run(config: ServiceConfig, replicas: int, num_gpus: float) -> None:
    """Start, say so, wait for SIGTERM or SIGINT, answer what is in flight, end.

    Raises:
        StartError: If the machine has too few GPUs or a replica cannot start.
    """
    most = config.most_replicas(replicas)
    with own_ray(most, OBJECT_STORE_BYTES):
        logging.getLogger("ray.serve").setLevel(logging.ERROR)
        _require_gpus(most * num_gpus)
        _open(config)
        try:
            _deploy(config, replicas, num_gpus)
        except KeyboardInterrupt:
            # Serve says some moments after the first answer that it runs. Who has seen that answer
            # may stop the service in between.
            if not _answers():
                raise
            asyncio.run(_drain(config))
        else:
            asyncio.run(_attend(config))
        # What Serve does in the background of this process goes on while Ray ends, and complains.
        logging.getLogger("ray.serve").setLevel(logging.CRITICAL)


def _notes(config: ServiceConfig) -> list[str]:
    if config.host != EVERY_INTERFACE:
        return []
    return ["every interface of this machine is bound: the API, Serve's own ports and HAProxy's"]


def _require_gpus(wanted: float) -> None:
    there = ray.cluster_resources().get("GPU", 0.0)
    if wanted > there:
        raise StartError(f"the replicas need {wanted:g} GPUs, this machine has {there:g}")


def _open(config: ServiceConfig) -> None:
    serve.start(
        proxy_location="HeadOnly",
        http_options={
            "host": config.host,
            "port": config.port,
            "request_timeout_s": config.request_timeout_s + PATIENCE_S,
            "keep_alive_timeout_s": KEEP_ALIVE_S,
        },
        logging_config=LOGGING,
    )


def _deploy(config: ServiceConfig, replicas: int, num_gpus: float) -> None:
    try:
        serve.run(application(config, replicas, num_gpus), name=APPLICATION)
    except RuntimeError as error:
        raise StartError(_reason()) from error


def _answers() -> bool:
    """Whether a replica is there to answer."""
    application = serve.status().applications.get(APPLICATION)
    deployments = [] if application is None else application.deployments.values()
    return any(one.replica_states.get("RUNNING") for one in deployments)


def _reason() -> str:
    """Why the replicas did not start, in one line: the last exception that they report."""
    deployments = serve.status().applications[APPLICATION].deployments
    report = "\n".join(deployment.message for deployment in deployments.values())
    causes = _EXCEPTION.findall(report)
    return causes[-1] if causes else "the replicas did not start"


async def _attend(config: ServiceConfig) -> None:
    stop = _stop_signal()
    answers = await _ask("manifests", config.request_timeout_s)
    announce(config, [parse_manifest(m.encode()) for m in answers[0]], *_notes(config))
    await stop.wait()
    await _drain(config)


def _stop_signal() -> asyncio.Event:
    """Set by the first SIGTERM or SIGINT; a second SIGINT does not wait any longer."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def ask() -> None:
        stop.set()
        loop.remove_signal_handler(signal.SIGINT)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ask)
    return stop


async def _drain(config: ServiceConfig) -> None:
    try:
        answered = await _ask("drain", OPEN_S + config.drain_timeout_s + PATIENCE_S)
    except (TimeoutError, RayError):
        log.warning("some replicas did not say that they were done")
    else:
        if not all(answered):
            log.warning("requests were still in flight after %g s", config.drain_timeout_s)
    # The replicas do not see when the proxy has passed on their last answers.
    await asyncio.sleep(LINGER_S)


async def _ask(method: str, timeout_s: float) -> Sequence[Any]:
    """Call a method of every replica."""
    replicas = serve.get_deployment_handle(DEPLOYMENT, APPLICATION)
    answers: Sequence[Any] = await replicas.broadcast(method).results_async(timeout_s=timeout_s)
    return answers
