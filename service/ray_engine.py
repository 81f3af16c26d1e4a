"""The service on Ray Serve: the same core in replicas, on one machine or a cluster.

``serve`` is what ``logdet serve --ray`` runs. ``build`` is what a cluster's configuration names
(``deploy/kubernetes/base/rayservice.yaml``). Ray reads its environment when it is imported, so
neither it nor a module that needs it is imported before that is set.
"""

from __future__ import annotations

import os
import secrets
import socket
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from exported.bundle import names
from service.config import ServiceConfig
from service.door import refuse_undecided, tokens_of
from service.errors import StartError
from service.grpc.port import reserve, settled
from service.ray_gpu import refuse_device
from service.ray_profile import EVERY_INTERFACE, HAPROXY_PORTS, environment
from service.tls import refuse_tls


def serve(config: ServiceConfig, replicas: int, num_gpus: float) -> None:
    """Serve until SIGTERM or SIGINT.

    Args:
        config: Settings. The host 0.0.0.0 puts HAProxy in front, which binds every interface; with
            any other host, only that address is bound, and the rest of Ray stays on loopback.
        replicas: Processes that each hold every bundle; where the settings have ``max_replicas``,
            their number follows the work.
        num_gpus: GPUs, or a fraction of one, that each replica gets.

    Raises:
        StartError: If the service cannot start.
    """
    # The commonest mistakes, found before ten seconds of starting.
    refuse_tls(config)
    refuse_device(config, num_gpus)
    tokens_of(config)
    _refuse_nothing(config.bundles)
    settings = settled(config).model_copy(
        update={
            "port": _free(config),
            "sessions": _sessions(config, config.most_replicas(replicas)),
            "bundles": _absolute(config.bundles),
            "cache": config.cache and config.cache.absolute(),
            "tokens_file": config.tokens_file and config.tokens_file.resolve(),
        }
    )
    os.environ.update(environment(settings.host, secrets.token_hex(32), os.environ))
    with _kept(settings):
        from service.ray_cluster import run

        run(settings, replicas, num_gpus)


def build(args: dict[str, Any]) -> Any:  # noqa: ANN401
    """The application for a cluster that exists.

    Args:
        args: Fields of :class:`service.config.ServiceConfig`, before those that the environment
            of the nodes has as ``LOGDET_`` variables. With ``max_replicas`` the number of
            replicas follows the work, otherwise it and their resources are the cluster
            configuration's to set. gRPC is answered where ``grpc_port`` is named: each
            replica listens there, and those of one machine share it. They say who may ask:
            ``tokens_file``, a path on every node, or ``allow_anonymous``.

    Raises:
        StartError: If they do not, or one is not acceptable.
    """
    from service.ray_replica import application

    config = ServiceConfig.from_environ(os.environ, **{"host": EVERY_INTERFACE, **args})
    refuse_tls(config)
    refuse_undecided(config)
    return application(config, 1, 0)


def _refuse_nothing(bundles: Path | str) -> None:
    if isinstance(bundles, Path):
        if not names(bundles):
            raise StartError(f"nothing to serve: there are no bundles under {bundles}")
        return
    from service.storage.bucket import refuse_nothing

    refuse_nothing(bundles)


def _absolute(bundles: Path | str) -> Path | str:
    """As replicas find it; a link is followed to wherever it leads then."""
    return bundles.absolute() if isinstance(bundles, Path) else bundles


def _kept(config: ServiceConfig) -> AbstractContextManager[object]:
    """Keep the port of gRPC from other services, even while no replica listens there."""
    if config.grpc_port is None:
        return nullcontext()
    return reserve(config.host, config.grpc_port)


def _sessions(config: ServiceConfig, replicas: int) -> int:
    """Threads per replica: what was asked for, or an even share of the machine."""
    asked = "sessions" in config.model_fields_set
    return config.sessions if asked else max(1, config.sessions // replicas)


def _free(config: ServiceConfig) -> int:
    """The port to serve on, free; 0 becomes a free one."""
    if config.host == EVERY_INTERFACE:
        for port in HAPROXY_PORTS:
            _probe(config.host, port, "with this --host the service needs that port as well")
    return _probe(config.host, config.port, "choose another --port")


def _probe(host: str, port: int, advice: str) -> int:
    # Serve's proxy would share a port that another service listens on.
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise StartError(
                f"cannot listen on {host}:{port} ({error.strerror}); {advice}"
            ) from error
        bound: int = probe.getsockname()[1]
        return bound
